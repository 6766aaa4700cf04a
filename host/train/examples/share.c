/* Divides a batch among the ranks, longest examples first. */
#include "share.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

size_t nc_share_tokens(const struct nc_examples *e, uint32_t example)
{
    size_t tokens = 0, count;
    for (int role = 0; role < NC_TEXT_ROLES; role++) {
        uint32_t text = nc_examples_text(e, role, example, &count);
        if (count)
            tokens += e->token_start[text + count] - e->token_start[text];
    }
    return tokens;
}

int nc_share_create(size_t size, size_t capacity, const struct nc_examples *examples,
                    struct nc_share *s)
{
    *s = (struct nc_share){.size = size, .capacity = capacity};
    for (size_t i = 0; i < examples->count && !examples->owner; i++) {
        size_t tokens = nc_share_tokens(examples, (uint32_t)i);
        s->longest = tokens > s->longest ? tokens : s->longest;
    }
    s->list = calloc(capacity, sizeof *s->list);
    s->first = calloc(size + 1, sizeof *s->first);
    s->tokens = calloc(size, sizeof *s->tokens);
    s->counts = calloc(size, sizeof *s->counts);
    s->heap = calloc(size, sizeof *s->heap);
    s->rank = calloc(capacity, sizeof *s->rank);
    s->by_length = calloc(capacity, sizeof *s->by_length);
    s->starts = calloc(s->longest + 2, sizeof *s->starts);
    if (s->list && s->first && s->tokens && s->counts && s->heap && s->rank && s->by_length &&
        s->starts)
        return NC_OK;
    nc_share_free(s);
    return nc_error(NC_FAILED, "train: no memory");
}

void nc_share_free(struct nc_share *s)
{
    free(s->list);
    free(s->first);
    free(s->tokens);
    free(s->counts);
    free(s->heap);
    free(s->rank);
    free(s->by_length);
    free(s->starts);
    *s = (struct nc_share){0};
}

/* Places of the batch, the longest example first, equals in the batch's order. */
static void sort_by_length(struct nc_share *s, const struct nc_examples *e, const uint32_t *list,
                           size_t count)
{
    memset(s->starts, 0, (s->longest + 2) * sizeof *s->starts);
    for (size_t i = 0; i < count; i++)
        s->starts[s->longest - nc_share_tokens(e, list[i]) + 1]++;
    for (size_t length = 0; length <= s->longest; length++)
        s->starts[length + 1] += s->starts[length];
    for (size_t i = 0; i < count; i++)
        s->by_length[s->starts[s->longest - nc_share_tokens(e, list[i])]++] = (uint32_t)i;
}

/* Fewer tokens, then fewer examples, then the lower rank. */
static bool before(const struct nc_share *s, uint32_t a, uint32_t b)
{
    if (s->tokens[a] != s->tokens[b])
        return s->tokens[a] < s->tokens[b];
    return s->counts[a] != s->counts[b] ? s->counts[a] < s->counts[b] : a < b;
}

/* The heap's top has grown: it goes down to its place. */
static void sink(struct nc_share *s)
{
    size_t at = 0;
    uint32_t rank = s->heap[0];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < s->size && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (child >= s->size || !before(s, s->heap[child], rank))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = rank;
}

/* The longest example goes first. */
static void balance(struct nc_share *s, const struct nc_examples *e, const uint32_t *list,
                    size_t count)
{
    sort_by_length(s, e, list, count);
    for (size_t rank = 0; rank < s->size; rank++)
        s->heap[rank] = (uint32_t)rank;
    for (size_t i = 0; i < count; i++) {
        uint32_t place = s->by_length[i], rank = s->heap[0];
        s->rank[place] = rank;
        s->tokens[rank] += nc_share_tokens(e, list[place]);
        s->counts[rank]++;
        sink(s);
    }
}

void nc_share_divide(struct nc_share *s, const struct nc_examples *e, const uint32_t *list,
                     size_t count)
{
    for (size_t rank = 0; rank < s->size; rank++)
        s->tokens[rank] = s->counts[rank] = 0;
    if (!e->owner)
        balance(s, e, list, count);
    for (size_t i = 0; i < count && e->owner; i++)
        s->counts[s->rank[i] = e->owner[list[i]]]++;
    s->most = s->first[0] = 0;
    for (size_t rank = 0; rank < s->size; rank++) {
        s->first[rank + 1] = s->first[rank] + s->counts[rank];
        s->most = s->counts[rank] > s->most ? s->counts[rank] : s->most;
        s->counts[rank] = 0;
    }
    for (size_t i = 0; i < count; i++)
        s->list[s->first[s->rank[i]] + s->counts[s->rank[i]]++] = list[i];
}
