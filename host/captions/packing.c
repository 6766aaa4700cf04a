/* Lays captions end to end, with equal beginnings in a trie so that each stands once. */
#include "nclip/captions/packing.h"

#include "nclip/support/error.h"
#include "nclip/support/random.h"

#include <stdlib.h>
#include <string.h>

/* A prefix is known by the row of its last token, so the pair (row of the prefix,
 * next token) names the longer prefix: the forest is one hash table of such pairs,
 * open addressing, at most half full. */

enum { NO_ROW = -1 };

static uint64_t trie_key(int32_t parent, int32_t token)
{
    return (uint64_t)(uint32_t)parent << 32 | (uint32_t)token;
}

/* Every bit of the key moves the slot. */
static size_t trie_slot(const struct nc_packing *packing, uint64_t key)
{
    return (size_t)nc_random_mix(key) & (packing->trie_capacity - 1);
}

static int32_t trie_find(const struct nc_packing *packing, int32_t parent, int32_t token)
{
    uint64_t key = trie_key(parent, token);
    size_t slot = trie_slot(packing, key);
    while (packing->trie_row[slot] != NO_ROW && packing->trie_key[slot] != key)
        slot = (slot + 1) & (packing->trie_capacity - 1);
    return packing->trie_row[slot];
}

static void trie_insert(struct nc_packing *packing, int32_t parent, int32_t token, int32_t row)
{
    uint64_t key = trie_key(parent, token);
    size_t slot = trie_slot(packing, key);
    while (packing->trie_row[slot] != NO_ROW)
        slot = (slot + 1) & (packing->trie_capacity - 1);
    packing->trie_key[slot] = key;
    packing->trie_row[slot] = row;
}

int nc_packing_create(size_t captions, size_t tokens, struct nc_packing *packing)
{
    *packing = (struct nc_packing){0};
    if (captions >= INT32_MAX || tokens > INT32_MAX - NC_PACKING_BUCKET)
        return nc_error(NC_FAILED,
                        "a batch of %zu captions with %zu tokens is too large; a smaller "
                        "batch_size fits", captions, tokens);
    size_t trie_capacity = 16;
    while (trie_capacity < 2 * tokens)
        trie_capacity *= 2;
    size_t held = tokens ? tokens : 1, rows = held + NC_PACKING_BUCKET, ends = captions + 1;
    packing->token = malloc(rows * sizeof(int32_t));
    packing->position = malloc(rows * sizeof(int32_t));
    packing->path = malloc(held * sizeof(int32_t));
    packing->row_start = malloc(ends * sizeof(int32_t));
    packing->path_start = malloc(ends * sizeof(int32_t));
    packing->last_row = malloc(ends * sizeof(int32_t));
    packing->trie_key = malloc(trie_capacity * sizeof(uint64_t));
    packing->trie_row = malloc(trie_capacity * sizeof(int32_t));
    if (!packing->token || !packing->position || !packing->path || !packing->row_start ||
        !packing->path_start || !packing->last_row || !packing->trie_key || !packing->trie_row) {
        nc_packing_destroy(packing);
        return nc_error(NC_FAILED, "no memory for a batch of %zu captions with %zu tokens",
                        captions, tokens);
    }
    packing->capacity_captions = captions;
    packing->capacity_rows = tokens;
    packing->capacity_tokens = tokens;
    packing->trie_capacity = trie_capacity;
    nc_packing_clear(packing);
    return NC_OK;
}

void nc_packing_destroy(struct nc_packing *packing)
{
    free(packing->token);
    free(packing->position);
    free(packing->path);
    free(packing->row_start);
    free(packing->path_start);
    free(packing->last_row);
    free(packing->trie_key);
    free(packing->trie_row);
    *packing = (struct nc_packing){0};
}

void nc_packing_clear(struct nc_packing *packing)
{
    packing->captions = 0;
    packing->rows = 0;
    packing->tokens = 0;
    packing->repeated = 0;
    packing->longest = 0;
    packing->row_start[0] = 0;
    packing->path_start[0] = 0;
    memset(packing->trie_row, 0xff, packing->trie_capacity * sizeof(int32_t)); /* NO_ROW */
}

static int check_room(const struct nc_packing *packing, size_t count)
{
    if (!count)
        return nc_error(NC_FAILED, "packing: a caption without tokens has no end-of-text token");
    if (packing->captions == packing->capacity_captions)
        return nc_error(NC_FAILED, "packing: the batch holds its %zu captions already",
                        packing->capacity_captions);
    if (count > packing->capacity_tokens - packing->tokens)
        return nc_error(NC_FAILED,
                        "packing: a caption of %zu tokens does not fit: %zu of %zu are used", count,
                        packing->tokens, packing->capacity_tokens);
    return NC_OK;
}

/* The caption whose last row is `last` is complete. */
static void close_caption(struct nc_packing *packing, int32_t last, size_t count, size_t shared)
{
    packing->last_row[packing->captions++] = last;
    packing->tokens += count;
    packing->repeated += shared;
    packing->row_start[packing->captions] = (int32_t)packing->rows;
    packing->path_start[packing->captions] = (int32_t)packing->tokens;
    if (packing->longest < count)
        packing->longest = count;
}

int nc_packing_add(struct nc_packing *packing, const int32_t *tokens, size_t count,
                   bool share_prefixes)
{
    int status = check_room(packing, count);
    if (status != NC_OK)
        return status;
    int32_t *path = packing->path + packing->tokens;
    size_t shared = 0; /* leading tokens that share rows of an earlier caption */
    int32_t parent = NO_ROW;
    while (share_prefixes && shared < count) {
        int32_t row = trie_find(packing, parent, tokens[shared]);
        if (row == NO_ROW)
            break;
        path[shared++] = row;
        parent = row;
    }
    for (size_t i = shared; i < count; i++) {
        int32_t row = (int32_t)packing->rows++;
        packing->token[row] = tokens[i];
        packing->position[row] = (int32_t)i;
        path[i] = row;
        if (share_prefixes)
            trie_insert(packing, parent, tokens[i], row);
        parent = row;
    }
    close_caption(packing, parent, count, shared);
    return NC_OK;
}

int nc_packing_add_filled(struct nc_packing *packing, const int32_t *tokens, size_t count,
                          size_t total, int32_t pad, size_t end)
{
    int status = check_room(packing, total);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < total; i++) {
        /* `end` last, all others in order */
        size_t place = i + 1 == total ? end : i < end ? i : i + 1;
        int32_t row = (int32_t)packing->rows++;
        packing->token[row] = place < count ? tokens[place] : pad;
        packing->position[row] = (int32_t)place;
        packing->path[packing->tokens + i] = row;
    }
    close_caption(packing, (int32_t)packing->rows - 1, total, 0);
    return NC_OK;
}

void nc_packing_pad(struct nc_packing *packing)
{
    for (; packing->rows % NC_PACKING_BUCKET; packing->rows++) {
        packing->token[packing->rows] = 0;
        packing->position[packing->rows] = 0;
    }
}
