/* What the files of attention's backward pass share: one warp's work, and where its gradients go.
 *
 * A row on one path only gets its gradient from one caption, whose warp writes it. A row on
 * several paths gets a part from each: every part has a slot in fp32, slots of a row follow each
 * other in caption order, and when all parts are there a last kernel sums each row's in a fixed
 * order. So no bit depends on which warp came first, and nothing is added atomically. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_H
#define NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_H

#include "attention.h"

/* In scratch; all NULL where no row is shared. A token's place is its place in `path`. */
struct nc_shared_rows {
    int32_t *count; /* [rows] parts of the row; 1: it is not shared */
    int32_t *first; /* [rows] slot of the first */
    int32_t *slot;  /* [tokens] where the token's part goes, or -1: straight to its row */
    int32_t *ends;  /* [parts] by slot: the caption whose last token this is, or -1 */
    float *dquery;  /* [captions, width] parts of dq; where only last queries are computed */
    float *part;    /* [parts, 2, width] parts of dk and dv, by slot */
};

/* The parts of a->scratch, and their size in bytes. */
nc_shared_rows nc_cuda_shared_rows(const nc_attention *a, size_t *bytes);

/* Fills count, first, slot and ends; later, writes the shared rows of dqkv. */
int nc_cuda_index_shared_rows(struct nc_backend *backend, const nc_attention *a,
                              const nc_shared_rows *shared);
int nc_cuda_sum_shared_rows(struct nc_backend *backend, const nc_attention *a,
                            const nc_shared_rows *shared);

/* One head of one caption. */
struct nc_work {
    nc_span span;
    int caption, head;
    int place;        /* of its first token in path */
    int size, chunks; /* of the head, in columns and in chunks */
};

static __device__ __forceinline__ bool nc_work_of_warp(const nc_attention &a, nc_work *w)
{
    if (!nc_caption_of_warp(a, &w->caption, &w->head))
        return false;
    w->span = nc_caption_span(a, w->caption);
    w->place = a.path_start[w->caption];
    w->size = static_cast<int>(a.head_size);
    w->chunks = (w->size + NC_CHUNK - 1) / NC_CHUNK;
    return w->span.queries > 0;
}

/* The head's first element in row `row` of a matrix of `parts` times width columns. */
static __device__ __forceinline__ size_t nc_element(const nc_attention &a, const nc_work &w,
                                                    int row, int parts, int part)
{
    size_t width = a.heads * a.head_size;
    return (static_cast<size_t>(row) * static_cast<size_t>(parts) + static_cast<size_t>(part)) *
               width +
           static_cast<size_t>(w.head * w.size);
}

/* ---- Where gradients go ------------------------------------------------------------------- */

/* A head's gradient of one row: in dqkv, or, where the row is shared, a part in fp32. Both NULL:
 * nowhere. */
template <typename T> struct nc_target {
    T *row;
    float *part;
};

/* dk of a token; dv stands `width` behind. */
template <typename T>
static __device__ __forceinline__ nc_target<T>
nc_key_target(const nc_attention &a, const nc_shared_rows &shared, const nc_work &w, int token)
{
    if (token >= w.span.tokens)
        return {NULL, NULL};
    int slot = shared.slot ? shared.slot[w.place + token] : -1;
    if (slot >= 0)
        return {NULL, shared.part + nc_element(a, w, slot, 2, 0)};
    return {static_cast<T *>(a.dqkv) + nc_element(a, w, nc_span_row(w.span, token), 3, 1), NULL};
}

/* dq of the n-th query */
template <typename T>
static __device__ __forceinline__ nc_target<T>
nc_query_target(const nc_attention &a, const nc_shared_rows &shared, const nc_work &w, int n)
{
    if (n >= w.span.queries)
        return {NULL, NULL};
    if (a.last_only && shared.slot && shared.slot[w.place + w.span.tokens - 1] >= 0)
        return {NULL, shared.dquery + nc_element(a, w, w.caption, 1, 0)};
    return {static_cast<T *>(a.dqkv) + nc_element(a, w, w.span.query_row + n, 3, 0), NULL};
}

/* Where only last queries are computed, a row that belongs to one caption alone and is not its
 * last has no gradient of its query; it is the warp of its key that says so. */
template <typename T>
static __device__ __forceinline__ bool nc_lacks_query(const nc_attention &a, const nc_work &w,
                                                      nc_target<T> key, int token)
{
    return a.last_only && key.row && token + 1 < w.span.tokens;
}

/* The tokens, or queries, that are this layer of the grid's; the end of `count` at most. */
static __device__ __forceinline__ int nc_layer_end(int count)
{
    int end = (static_cast<int>(blockIdx.z) + 1) * NC_ATTENTION_SPAN;
    return end < count ? end : count;
}

/* attention_backward_fp32.cu: the kernels in fp32. */
int nc_cuda_attention_backward_fp32(struct nc_backend *backend, const nc_attention *a,
                                    const nc_shared_rows *shared);

#endif
