/* Helpers of attention's backward kernels: the work of one warp, and where its gradients go.
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
