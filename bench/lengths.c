/* Lengths of captions (lengths.h): two that are built in, and those of a file. */
#include "lengths.h"

#include "../host/train/examples/random.h"
#include "nclip/captions/captions.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTEST = 2, LONGEST = NC_CLIP_CONTEXT, LARGEST_FILE = 1 << 20 };
static const uint64_t MOST = (uint64_t)1 << 40; /* captions of a length */

/* Of 1,000 captions so many have 7, 8, ... tokens: 10 to 12 words mostly, as people write them
 * about photographs (the shape of COCO's captions); 13.4 tokens in the mean. */
enum { PLAIN_FIRST = 7 };
static const uint64_t plain[] = {2,  8,  25, 70, 130, 175, 180, 140, 100, 62,
                                 38, 24, 16, 10, 7,   5,   3,   2,   2,   1};

/* Of 1,000 negated captions so many are longer by 2, 3, ... tokens than the plain one that they
 * were made of ("with no car", ", where a dog is absent"): counted over the 95 negated captions of
 * tests/generate/recorded/expected.json, words and commas each as a token; 3.5 in the mean. What
 * questions and answers add is longer: give a file of such captions for that. */
enum { ADDED_FIRST = 2 };
static const uint64_t added[] = {232, 347, 158, 231, 32};

static void take_plain(struct lengths *l)
{
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        l->captions[PLAIN_FIRST + i] = plain[i];
}

static void take_negated(struct lengths *l)
{
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        for (size_t k = 0; k < sizeof added / sizeof *added; k++)
            l->captions[PLAIN_FIRST + i + ADDED_FIRST + k] += plain[i] * added[k];
}

/* One line of a table: a length and a number. */
static bool read_line(const char *line, unsigned long *length, uint64_t *captions)
{
    int end = -1;
    if (strchr(line, '-') || sscanf(line, "%lu %" SCNu64 " %n", length, captions, &end) != 2)
        return false;
    return end >= 0 && !line[end] && *length >= SHORTEST && *length <= LONGEST && *captions <= MOST;
}

static int read_table(const char *path, struct lengths *l)
{
    char *text = NULL, *line;
    size_t size, length;
    int status = nc_text_read(path, LARGEST_FILE, &text, &size);
    if (status != NC_OK)
        return status;
    struct nc_lines lines = nc_lines_of(text, size);
    while (status == NC_OK && (line = nc_lines_cut(&lines, &length))) {
        unsigned long tokens = 0;
        uint64_t captions = 0;
        line[strcspn(line, "#")] = 0;
        if (nc_is_blank(line, strlen(line)))
            continue;
        if (read_line(line, &tokens, &captions))
            l->captions[tokens] += captions;
        else
            status = nc_error(NC_BAD_INPUT,
                              "%s:%zu: no length of %d to %d tokens and a number of captions, as "
                              "in \"13 175\"",
                              path, lines.number, SHORTEST, LONGEST);
        if (l->captions[tokens] > MOST)
            status = nc_error(NC_BAD_INPUT, "%s:%zu: too many captions", path, lines.number);
    }
    free(text);
    return status;
}

static int count_captions(const char *path, const char *tokenizer_path, struct lengths *l)
{
    struct nc_captions captions = {0};
    struct nc_tokenizer *tokenizer = NULL;
    struct nc_tokens tokens = {0};
    if (!tokenizer_path)
        return nc_error(NC_USAGE, "--lengths of captions needs --tokenizer, a CLIP folder or "
                                  "tokenizer file");
    int status = nc_captions_load(path, &captions);
    if (status == NC_OK)
        status = nc_tokenizer_load(tokenizer_path, NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    for (size_t i = 0; i < captions.count && status == NC_OK; i++) {
        const char *text = captions.items[i].text;
        status = nc_tokenizer_encode(tokenizer, text, strlen(text), NC_CLIP_CONTEXT, NC_TRUNCATE,
                                     &tokens);
        if (status == NC_OK)
            l->captions[tokens.count]++;
    }
    nc_tokens_free(&tokens);
    nc_tokenizer_destroy(tokenizer);
    nc_captions_free(&captions);
    return status;
}

int lengths_named(const char *name, const char *tokenizer, struct lengths *l)
{
    int status = NC_OK;
    *l = (struct lengths){0};
    if (!name || strcmp(name, "plain") == 0)
        take_plain(l);
    else if (strcmp(name, "negated") == 0)
        take_negated(l);
    else if (nc_path_ends(name, ".json") || nc_path_ends(name, ".jsonl"))
        status = count_captions(name, tokenizer, l);
    else
        status = read_table(name, l);
    for (size_t i = 0; i <= LONGEST; i++)
        l->all += l->captions[i];
    if (status == NC_OK && !l->all)
        status = nc_error(NC_BAD_INPUT, "%s: no captions", name);
    return status;
}

size_t lengths_draw(const struct lengths *l, uint64_t *state)
{
    uint64_t at = nc_random_below(state, l->all);
    size_t length = 0;
    while (at >= l->captions[length])
        at -= l->captions[length++];
    return length;
}
