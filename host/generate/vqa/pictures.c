/* Names pictures, loads the captions that they have already, and starts a random stream for each
 * question. */
#include "generator.h"

#include "nclip/support/error.h"
#include "nclip/support/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct named_picture {
    const char *name;
    size_t first, count; /* in caption_order */
};

/* ---- Chance ------------------------------------------------------------------------ */

uint64_t vqa_chance_begin(uint64_t seed, size_t question)
{
    uint64_t state = seed;
    state = nc_random_next(&state) ^ question;
    return nc_random_next(&state);
}

double vqa_chance(uint64_t *state)
{
    return (double)(nc_random_next(state) >> 11) * 0x1p-53;
}

size_t vqa_chance_below(uint64_t *state, size_t count)
{
    return (size_t)(vqa_chance(state) * (double)count);
}

/* ---- Pictures and the captions that they have already ------------------------------- */

static int compare_sizes(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_captions(const void *a, const void *b, void *context)
{
    const struct nc_caption *items = context;
    size_t first = *(const size_t *)a, second = *(const size_t *)b;
    int order = compare_sizes(items[first].image, items[second].image);
    return order ? order : compare_sizes(first, second);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named_picture *)a)->name, ((const struct named_picture *)b)->name);
}

int vqa_load_captions(struct generator *g)
{
    int status = nc_captions_load(g->options->captions, &g->captions);
    if (status != NC_OK)
        return status;
    size_t count = g->captions.count, pictures = g->captions.image_count;
    g->caption_order = malloc((count + 1) * sizeof *g->caption_order);
    g->named = calloc(pictures + 1, sizeof *g->named);
    if (!g->caption_order || !g->named)
        return nc_error(NC_FAILED, "%s: no memory for %zu captions", g->options->captions, count);
    for (size_t i = 0; i < count; i++)
        g->caption_order[i] = i;
    qsort_r(g->caption_order, count, sizeof *g->caption_order, compare_captions, g->captions.items);
    for (size_t i = 0; i < pictures; i++)
        g->named[i].name = g->captions.images[i];
    for (size_t i = count; i-- > 0;) {
        struct named_picture *picture = &g->named[g->captions.items[g->caption_order[i]].image];
        picture->first = i;
        picture->count++;
    }
    qsort(g->named, pictures, sizeof *g->named, compare_names);
    return NC_OK;
}

/* Behind the slot "{id}", "{id:12}" or "{id:012}", the last two the same; NULL: it is none. */
static const char *read_slot(const char *slot, int *digits)
{
    const char *at = slot + strlen("{id"), *first;
    *digits = 1;
    if (*at == ':') {
        at += 1 + (at[1] == '0');
        for (*digits = 0, first = at; *at >= '0' && *at <= '9' && at < first + 2; at++)
            *digits = 10 * *digits + (*at - '0');
    }
    return *at == '}' && *digits ? at + 1 : NULL;
}

/* "COCO_{id:12}.jpg": checks the pattern and writes one picture's name. */
int vqa_name_picture(const char *pattern, uint64_t id, char *name, size_t size)
{
    size_t used = 0;
    bool any = false;
    for (const char *at = pattern; *at && used + 1 < size;) {
        int digits;
        if (strncmp(at, "{id", 3) != 0) {
            name[used++] = *at++;
            continue;
        }
        const char *end = read_slot(at, &digits);
        if (!end)
            return nc_error(NC_USAGE,
                            "the pattern of picture names \"%s\" has a slot that is neither {id} "
                            "nor like {id:012}",
                            pattern);
        used += (size_t)snprintf(name + used, size - used, "%0*" PRIu64, digits, id);
        any = true;
        at = end;
    }
    if (used + 1 >= size)
        return nc_error(NC_USAGE, "the pattern of picture names \"%.40s...\" is too long", pattern);
    name[used] = 0;
    return any ? NC_OK
               : nc_error(NC_USAGE, "the pattern of picture names \"%s\" has no {id} or {id:012}",
                          pattern);
}

/* The picture's own caption: one of the given ones, or what is known. `text` holds the latter. */
const char *vqa_own_caption(const struct generator *g, uint64_t *state, char *text, size_t size)
{
    if (g->options->captions) {
        struct named_picture key = {.name = g->image_name};
        const struct named_picture *picture =
            bsearch(&key, g->named, g->captions.image_count, sizeof key, compare_names);
        if (!picture || !picture->count)
            return NULL;
        size_t at = picture->first + vqa_chance_below(state, picture->count);
        return g->captions.items[g->caption_order[at]].text;
    }
    if (!g->words.subject)
        return NULL;
    char known[2 * NC_VQA_TEXT];
    vqa_facts_describe(&g->words, g->facts, known, sizeof known);
    snprintf(text, size, "%s %s", strchr("aeiou", known[0]) ? "an" : "a", known);
    return text;
}
