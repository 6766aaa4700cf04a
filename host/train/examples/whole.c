/* Loads a whole prepared set (whole.h). */
#include "whole.h"

#include "nclip/support/error.h"
#include "nclip/support/random.h"
#include "prepare.h"

#include <stdlib.h>
#include <string.h>

/* An example as the set has it: the places of its texts among those of the set. */
struct entry {
    uint64_t ordinal, row, distractor; /* distractor: NC_SET_NO_ROW: none */
    size_t text[NC_TEXT_ROLES];
    uint8_t count[NC_TEXT_ROLES];
};

struct loader {
    const struct nc_set *set;
    struct nc_losses losses;
    struct entry *entries;
    size_t count, texts, tokens;
    int32_t *ids;  /* of all texts of the set */
    size_t *start; /* [texts + 1] where a text's ids begin */
};

static int no_memory(void)
{
    return nc_error(NC_FAILED, "train: no memory for the set");
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void add_examples(struct loader *l, const struct nc_set_block *block,
                         const struct nc_set_heads *heads)
{
    size_t text = 0;
    for (size_t i = 0; i < heads->examples; i++) {
        struct entry *entry = &l->entries[l->count++];
        *entry = (struct entry){.ordinal = heads->ordinal[i],
                                .row = block->first_row + heads->row[i],
                                .distractor = heads->distractor ? heads->distractor[i]
                                                                : NC_SET_NO_ROW};
        for (int role = 0; role < NC_TEXT_ROLES; role++) {
            entry->text[role] = l->texts;
            entry->count[role] = heads->counts[role] ? heads->counts[role][i] : 0;
            for (size_t k = 0; k < entry->count[role]; k++) {
                l->tokens += heads->lengths[text++];
                l->start[++l->texts] = l->tokens;
            }
        }
    }
}

static int read_block(struct loader *l, size_t b)
{
    struct nc_set_block block;
    struct nc_set_heads heads;
    nc_set_block(l->set, b, &block);
    if (!block.examples)
        return NC_OK;
    uint64_t *bytes = malloc(block.heads.bytes), *body = malloc(block.body.bytes);
    int status = bytes && body ? nc_set_read_heads(l->set, b, bytes) : no_memory();
    if (status == NC_OK)
        status = nc_set_decode_heads(l->set, b, bytes, &heads);
    if (status == NC_OK)
        status = nc_set_read_body(l->set, b, body);
    if (status == NC_OK)
        status = nc_set_decode_body(l->set, b, body, l->ids + l->tokens, NULL);
    if (status == NC_OK)
        add_examples(l, &block, &heads);
    free(bytes);
    free(body);
    return status;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = ((const struct entry *)a)->ordinal, y = ((const struct entry *)b)->ordinal;
    return (x > y) - (x < y);
}

static int read_all(struct loader *l)
{
    const struct nc_set_info *info = nc_set_info(l->set);
    l->entries = calloc(info->examples + 1, sizeof *l->entries);
    l->ids = malloc((info->tokens + 1) * sizeof *l->ids);
    l->start = calloc(info->texts + 1, sizeof *l->start);
    int status = l->entries && l->ids && l->start ? NC_OK : no_memory();
    for (size_t b = 0; b < nc_set_blocks(l->set) && status == NC_OK; b++)
        status = read_block(l, b);
    if (status == NC_OK)
        qsort(l->entries, l->count, sizeof *l->entries, compare);
    return status;
}

/* ---- Pictures' numbers ------------------------------------------------------------------------ */

/* Rows get numbers in the order in which captions name them, as the reader of captions does it. */
struct numbers {
    uint64_t *row; /* plus 1; 0: free */
    int32_t *number;
    size_t places, count;
};

static int32_t number_of(struct numbers *n, uint64_t row)
{
    size_t at = (size_t)nc_random_mix(row) & (n->places - 1);
    while (n->row[at] && n->row[at] != row + 1)
        at = (at + 1) & (n->places - 1);
    if (!n->row[at]) {
        n->row[at] = row + 1;
        n->number[at] = (int32_t)n->count++;
    }
    return n->number[at];
}

static int start_numbers(struct numbers *n, size_t most)
{
    *n = (struct numbers){.places = 1024};
    while (n->places < 2 * most)
        n->places *= 2;
    n->row = calloc(n->places, sizeof *n->row);
    n->number = calloc(n->places, sizeof *n->number);
    return n->row && n->number ? NC_OK : no_memory();
}

/* ---- Examples ----------------------------------------------------------------------------------- */

static int allocate(const struct loader *l, struct nc_examples *e)
{
    int status = nc_examples_allocate(&l->losses, l->count + 1, e);
    e->tokens = malloc((l->tokens + 1) * sizeof *e->tokens);
    e->token_start = calloc(l->texts + 1, sizeof *e->token_start);
    return status == NC_OK && (!e->tokens || !e->token_start) ? no_memory() : status;
}

static void add_text(const struct loader *l, size_t text, struct nc_examples *e)
{
    size_t at = e->token_start[e->texts], length = l->start[text + 1] - l->start[text];
    memcpy(e->tokens + at, l->ids + l->start[text], length * sizeof *e->tokens);
    e->token_start[++e->texts] = at + length;
}

/* All captions first, then one role after the other, as nc_examples_load lays them. Notes where the
 * entries' texts are now. */
static void lay_texts(struct loader *l, struct nc_examples *e)
{
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        for (size_t i = 0; i < l->count && nc_losses_take(&l->losses, role); i++) {
            size_t first = e->texts, from = l->entries[i].text[role];
            for (size_t k = 0; k < l->entries[i].count[role]; k++)
                add_text(l, from + k, e);
            l->entries[i].text[role] = first;
        }
}

static int check_rows(const struct loader *l, const struct nc_examples *e)
{
    size_t rows = nc_embedding_store_count(e->store);
    for (size_t i = 0; i < l->count; i++) {
        const struct entry *entry = &l->entries[i];
        if (entry->row >= rows || (entry->distractor >= rows && entry->distractor != NC_SET_NO_ROW))
            return nc_error(NC_BAD_INPUT,
                            "train: the set names row %llu of a store of %zu: it was prepared for "
                            "another store",
                            (unsigned long long)(entry->row >= rows ? entry->row
                                                                    : entry->distractor),
                            rows);
    }
    return NC_OK;
}

static void set_roles(const struct loader *l, const struct entry *entry, struct nc_examples *e)
{
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        if (e->text[role])
            e->text[role][e->count] = nc_losses_take(&l->losses, role) && entry->count[role]
                                          ? (uint32_t)entry->text[role] : NC_NO_TEXT;
    if (e->choices)
        e->choices[e->count] = entry->count[NC_TEXT_CHOICES];
}

static int collect(struct loader *l, struct nc_examples *e, size_t *image_count)
{
    struct numbers numbers = {0};
    int status = check_rows(l, e);
    if (status == NC_OK)
        status = allocate(l, e);
    if (status == NC_OK)
        status = start_numbers(&numbers, 2 * l->count);
    if (status == NC_OK)
        lay_texts(l, e);
    for (size_t i = 0; i < l->count && status == NC_OK; i++) {
        const struct entry *entry = &l->entries[i];
        bool has_other = entry->distractor != NC_SET_NO_ROW;
        int32_t image = number_of(&numbers, entry->row);
        int32_t other = has_other ? number_of(&numbers, entry->distractor) : -1;
        set_roles(l, entry, e);
        if (nc_examples_lack(&l->losses, e, e->count, has_other)) {
            e->without_roles++;
            continue;
        }
        if (l->losses.distractors) {
            e->distractor_embedding[e->count] = (size_t)entry->distractor;
            e->distractor_image[e->count] = other;
        }
        e->embedding[e->count] = (size_t)entry->row;
        e->image[e->count++] = image;
    }
    *image_count = numbers.count;
    free(numbers.row);
    free(numbers.number);
    return status;
}

/* For people: what nclip prepare has counted. */
static void count_left_out(const struct nc_set_info *info, struct nc_examples *e)
{
    e->captions_in_file = (size_t)info->captions;
    e->truncated = (size_t)info->truncated;
    e->negation_lost = (size_t)info->negation_lost;
    for (size_t i = 0; i < info->left_out_count; i++) {
        const char *reason = info->left_out[i].reason;
        if (strcmp(reason, prepare_reason_name(PREPARE_PICTURE_MISSING)) == 0)
            e->without_embedding = (size_t)info->left_out[i].count;
        else if (strcmp(reason, prepare_reason_name(PREPARE_TOO_LONG + NC_TEXT_CAPTION)) == 0)
            e->skipped_too_long = (size_t)info->left_out[i].count;
        else if (strcmp(reason, prepare_reason_name(PREPARE_MALFORMED)) == 0)
            e->malformed = (size_t)info->left_out[i].count;
    }
}

int nc_examples_from_set(const struct nc_set *set, struct nc_embedding_store *store,
                         const struct nc_config *config, struct nc_examples *e)
{
    const struct nc_set_info *info = nc_set_info(set);
    struct loader l = {.set = set};
    size_t image_count = 0;
    char needs[200];
    *e = (struct nc_examples){.store = store};
    int status = NC_OK;
    nc_losses_of(config, &l.losses);
    if (info->texts > UINT32_MAX / 2)
        status = nc_error(NC_BAD_INPUT, "train: a set of %llu texts is more than this program "
                                        "counts in memory; lower pool_bytes",
                          (unsigned long long)info->texts);
    if (status == NC_OK)
        status = read_all(&l);
    if (status == NC_OK)
        status = collect(&l, e, &image_count);
    if (status == NC_OK && !e->count)
        status = e->without_roles
                     ? nc_error(NC_BAD_INPUT,
                                "train: no example of the set has %s, which the loss needs",
                                nc_losses_needs(&l.losses, needs, sizeof needs))
                     : nc_error(NC_BAD_INPUT, "train: the set has no example");
    if (status == NC_OK) {
        count_left_out(info, e);
        status = nc_examples_complete(config, image_count, e);
    }
    free(l.entries);
    free(l.ids);
    free(l.start);
    if (status != NC_OK)
        nc_examples_free(e);
    return status;
}
