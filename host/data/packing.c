#include "nclip/packing.h"

#include "nclip/error.h"

#include <stdlib.h>
#include <string.h>

enum { EMPTY = 0, ROOT = 1 }; /* parents in a key are row + 2, so that no key is EMPTY */

int nc_packing_create(size_t captions, size_t tokens, struct nc_packing *p)
{
    *p = (struct nc_packing){.capacity_captions = captions, .capacity_rows = tokens,
                             .capacity_tokens = tokens, .trie_capacity = 64};
    if (tokens > INT32_MAX - 2 || captions > INT32_MAX - 1)
        return nc_error(NC_FAILED, "packing: %zu captions of %zu tokens are too many for one batch", captions, tokens);
    while (p->trie_capacity < 2 * tokens)
        p->trie_capacity *= 2;
    size_t most = tokens ? tokens : 1;
    p->token = malloc(most * sizeof *p->token);
    p->position = malloc(most * sizeof *p->position);
    p->path = malloc(most * sizeof *p->path);
    p->row_start = calloc(captions + 1, sizeof *p->row_start);
    p->path_start = calloc(captions + 1, sizeof *p->path_start);
    p->last_row = malloc((captions ? captions : 1) * sizeof *p->last_row);
    p->trie_key = calloc(p->trie_capacity, sizeof *p->trie_key);
    p->trie_row = malloc(p->trie_capacity * sizeof *p->trie_row);
    if (!p->token || !p->position || !p->path || !p->row_start || !p->path_start || !p->last_row ||
        !p->trie_key || !p->trie_row) {
        nc_packing_destroy(p);
        return nc_error(NC_FAILED, "packing: no memory for %zu tokens", tokens);
    }
    return NC_OK;
}

void nc_packing_destroy(struct nc_packing *p)
{
    free(p->token);
    free(p->position);
    free(p->path);
    free(p->row_start);
    free(p->path_start);
    free(p->last_row);
    free(p->trie_key);
    free(p->trie_row);
    *p = (struct nc_packing){0};
}

void nc_packing_clear(struct nc_packing *p)
{
    p->captions = p->rows = p->tokens = p->longest = 0;
    memset(p->trie_key, EMPTY, p->trie_capacity * sizeof *p->trie_key);
}

/* The slot where (parent row, token) stands or would stand. */
static size_t find(const struct nc_packing *p, uint64_t key)
{
    size_t mask = p->trie_capacity - 1;
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 24) & mask;
    while (p->trie_key[at] != EMPTY && p->trie_key[at] != key)
        at = (at + 1) & mask;
    return at;
}

int nc_packing_add(struct nc_packing *p, const int32_t *tokens, size_t count, bool share_prefixes)
{
    if (!count || p->captions >= p->capacity_captions || count > p->capacity_tokens - p->tokens)
        return nc_error(NC_FAILED, "packing: a caption of %zu tokens does not fit: %zu of %zu captions, %zu of %zu tokens",
                        count, p->captions, p->capacity_captions, p->tokens, p->capacity_tokens);
    uint64_t parent = ROOT;
    for (size_t i = 0; i < count; i++) {
        int32_t row = (int32_t)p->rows;
        bool known = false;
        if (share_prefixes) {
            uint64_t key = parent << 32 | (uint32_t)tokens[i];
            size_t at = find(p, key);
            known = p->trie_key[at] == key;
            if (known) {
                row = p->trie_row[at];
            } else {
                p->trie_key[at] = key;
                p->trie_row[at] = row;
            }
        }
        if (!known) {
            p->token[row] = tokens[i];
            p->position[row] = (int32_t)i;
            p->rows++;
        }
        p->path[p->tokens++] = row;
        parent = (uint64_t)row + 2;
    }
    p->last_row[p->captions] = p->path[p->tokens - 1];
    p->captions++;
    p->row_start[p->captions] = (int32_t)p->rows;
    p->path_start[p->captions] = (int32_t)p->tokens;
    p->longest = count > p->longest ? count : p->longest;
    return NC_OK;
}
