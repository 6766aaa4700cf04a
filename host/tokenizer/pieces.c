/* The index of a vocabulary of pieces, and the memory that words are cut with. */
#include "pieces.h"

#include "nclip/support/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b, void *context)
{
    const struct nc_vocabulary *v = context;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    size_t n = v->length[x], m = v->length[y];
    int order = memcmp(v->text + v->offset[x], v->text + v->offset[y], n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static int by_score(const void *a, const void *b, void *context)
{
    const double *score = context;
    double x = score[*(const int32_t *)a], y = score[*(const int32_t *)b];
    return (x < y) - (x > y);
}

/* Equal scores have equal ranks. */
static int rank_by_score(struct nc_pieces *p, const char *where, size_t size)
{
    int32_t *sorted = malloc((p->ordered + 1) * sizeof *sorted);
    p->rank = calloc(size + 1, sizeof *p->rank);
    if (!sorted || !p->rank) {
        free(sorted);
        return nc_error(NC_FAILED, "%s: no memory for its %zu pieces", where, size);
    }
    memcpy(sorted, p->order, p->ordered * sizeof *sorted);
    qsort_r(sorted, p->ordered, sizeof *sorted, by_score, p->score);
    for (size_t i = 0, rank = 0; i < p->ordered; i++) {
        rank += i && p->score[sorted[i]] != p->score[sorted[i - 1]];
        p->rank[sorted[i]] = (uint32_t)rank;
    }
    free(sorted);
    return NC_OK;
}

int nc_pieces_index(struct nc_pieces *p, const char *where, const struct nc_vocabulary *vocabulary)
{
    size_t size = vocabulary->size;
    p->order = malloc((size + 1) * sizeof *p->order);
    if (!p->order)
        return nc_error(NC_FAILED, "%s: no memory for its %zu pieces", where, size);
    double least = INFINITY;
    p->largest_score = -INFINITY;
    for (size_t id = 0; id < size; id++) {
        if (!p->normal[id] || vocabulary->offset[id] == UINT32_MAX || !vocabulary->length[id])
            continue;
        p->order[p->ordered++] = (int32_t)id;
        if (p->user && p->user[id])
            continue;
        least = fmin(least, p->score[id]);
        p->largest_score = fmax(p->largest_score, p->score[id]);
    }
    enum { UNKNOWN_PENALTY = 10 }; /* sentencepiece's kUnkPenalty */
    p->unknown_score = isfinite(least) ? least - UNKNOWN_PENALTY : -UNKNOWN_PENALTY;
    if (p->single)
        p->unknown_score = (double)(float)p->unknown_score;
    if (!isfinite(p->largest_score))
        p->largest_score = 0;
    qsort_r(p->order, p->ordered, sizeof *p->order, by_bytes, (void *)vocabulary);
    for (size_t byte = 0, i = 0; byte <= 256; byte++) {
        while (i < p->ordered &&
               (uint8_t)vocabulary->text[vocabulary->offset[p->order[i]]] < byte)
            i++;
        p->first[byte] = i;
    }
    for (int byte = 0; byte < 256; byte++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)byte);
        p->bytes[byte] = nc_vocabulary_find(vocabulary, piece, 6);
    }
    return p->is_bpe && !p->merges ? rank_by_score(p, where, size) : NC_OK;
}

void nc_pieces_free(struct nc_pieces *p)
{
    if (!p)
        return;
    nc_steps_free(&p->steps);
    free(p->score);
    free(p->normal);
    free(p->user);
    free(p->order);
    free(p->rank);
    free(p);
}

int nc_pieces_reserve(struct nc_pieces_scratch *scratch, size_t capacity)
{
    if (capacity <= scratch->capacity)
        return NC_OK;
    int32_t *ids = realloc(scratch->ids, capacity * sizeof *ids);
    scratch->ids = ids ? ids : scratch->ids;
    uint32_t *starts = realloc(scratch->starts, capacity * sizeof *starts);
    scratch->starts = starts ? starts : scratch->starts;
    if (!ids || !starts)
        return nc_error(NC_FAILED, "no memory for a word of %zu bytes", capacity);
    scratch->capacity = capacity;
    return NC_OK;
}

void nc_pieces_scratch_free(struct nc_pieces_scratch *scratch)
{
    free(scratch->valid.at);
    free(scratch->text.at);
    free(scratch->other.at);
    free(scratch->memory.at);
    free(scratch->ids);
    free(scratch->starts);
    *scratch = (struct nc_pieces_scratch){0};
}

void nc_pieces_add_unknown(const struct nc_pieces *pieces, const uint8_t *word, size_t start,
                           size_t end, bool first_of_run, struct nc_pieces_scratch *scratch)
{
    bool bytes = pieces->byte_fallback;
    for (size_t i = start; i < end && bytes; i++)
        bytes = pieces->bytes[word[i]] >= 0;
    if (!bytes && (pieces->unknown < 0 || (pieces->fuse_unknown && !first_of_run)))
        return;
    for (size_t i = start; i < (bytes ? end : start + 1); i++) {
        scratch->starts[scratch->count] = (uint32_t)i;
        scratch->ids[scratch->count++] = bytes ? pieces->bytes[word[i]] : pieces->unknown;
    }
}
