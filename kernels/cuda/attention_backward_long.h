/* Attention's backward pass for captions of more than two tiles, and for heads of more than 64;
 * the formulas are those of attention_backward.cu. The gradients of a tile stand in registers, 64
 * columns at a time, while its warp runs over the tiles on the other side: queries over the keys
 * that they see, then keys over the queries that see them. delta = dout . out is summed where it
 * is needed, so that nothing passes through memory: 8 width T a row. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_LONG_H
#define NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_LONG_H

#include "attention_backward_tiles.h"

enum { NC_CHUNKS_TOGETHER = 2 }; /* whose gradients are in registers */

/* This lane's part of x . y over the chunk, for rows g and g + 8. */
static __device__ __forceinline__ void nc_add_dot(float sum[2], const nc_chunk &x,
                                                  const nc_chunk &y)
{
#pragma unroll
    for (int high = 0; high < 2; high++) {
        float u[8], v[8];
        nc_unpack_bf16(u, high ? x.high : x.low);
        nc_unpack_bf16(v, high ? y.high : y.low);
#pragma unroll
        for (int i = 0; i < 8; i++)
            sum[high] += u[i] * v[i];
    }
}

/* p and ds of a tile of queries with the tile of keys at token `first`, in rows `key`. */
static __device__ __forceinline__ nc_coefficients nc_pair_of_tiles(const nc_work &w,
                                                                   const nc_matrices &m,
                                                                   const nc_queries &q, nc_rows key,
                                                                   int first)
{
    float p[2][4], dp[2][4], delta[2] = {0, 0};
    nc_clear(p);
    nc_clear(dp);
#pragma unroll 1
    for (int c = 0; c < w.chunks; c++) {
        nc_add_scores(p, nc_load_chunk(m.qkv, q.row, 0, c, w.size),
                      nc_load_chunk(m.qkv, key, m.width, c, w.size));
        nc_add_scores(dp, nc_load_chunk(m.dout, q.output, 0, c, w.size),
                      nc_load_chunk(m.qkv, key, 2 * m.width, c, w.size));
    }
#pragma unroll 1
    for (int c = 0; c < w.chunks; c++)
        nc_add_dot(delta, nc_load_chunk(m.dout, q.output, 0, c, w.size),
                   nc_load_chunk(m.out, q.output, 0, c, w.size));
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_make_probabilities(p, q, first, scale);
    delta[0] = nc_row_sum(delta[0]);
    delta[1] = nc_row_sum(delta[1]);
    return nc_make_coefficients(p, dp, delta, scale);
}

/* dq of queries first .. first + 15, from chunk `chunk` on. */
static __device__ __forceinline__ void nc_long_queries(const nc_attention &a,
                                                       const nc_shared_rows &shared,
                                                       const nc_work &w, const nc_matrices &m,
                                                       int first, int chunk)
{
    nc_queries q = nc_queries_at(a, w, m, first);
    float dq[NC_CHUNKS_TOGETHER][4][4];
#pragma unroll
    for (int c = 0; c < NC_CHUNKS_TOGETHER; c++)
        nc_clear(dq[c]);
    int end = min(w.span.tokens, w.span.tokens - w.span.queries + first + NC_TILE);
#pragma unroll 1
    for (int j = 0; j < end; j += NC_TILE) {
        nc_rows key = nc_token_rows(w.span, m.stride, m.column, j);
        nc_coefficients of = nc_pair_of_tiles(w, m, q, key, j);
#pragma unroll
        for (int c = 0; c < NC_CHUNKS_TOGETHER; c++)
            nc_add_columns(dq[c], of.ds, nc_load_chunk(m.qkv, key, m.width, chunk + c, w.size));
    }
#pragma unroll
    for (int c = 0; c < NC_CHUNKS_TOGETHER; c++)
        nc_put_query(a, shared, w, m, q, chunk + c, dq[c]);
}

/* dk and dv likewise, of tokens first .. first + 15. */
static __device__ __forceinline__ void nc_long_keys(const nc_attention &a,
                                                    const nc_shared_rows &shared, const nc_work &w,
                                                    const nc_matrices &m, int first, int chunk)
{
    nc_rows key = nc_token_rows(w.span, m.stride, m.column, first);
    float dk[NC_CHUNKS_TOGETHER][4][4], dv[NC_CHUNKS_TOGETHER][4][4];
#pragma unroll
    for (int c = 0; c < NC_CHUNKS_TOGETHER; c++) {
        nc_clear(dk[c]);
        nc_clear(dv[c]);
    }
    int earlier = w.span.tokens - w.span.queries;
    int begin = first > earlier ? (first - earlier) / NC_TILE * NC_TILE : 0;
#pragma unroll 1
    for (int i = begin; i < w.span.queries; i += NC_TILE) {
        nc_queries q = nc_queries_at(a, w, m, i);
        nc_coefficients of = nc_pair_of_tiles(w, m, q, key, first);
        nc_transpose_coefficients(&of);
#pragma unroll
        for (int c = 0; c < NC_CHUNKS_TOGETHER; c++)
            nc_add_columns(dk[c], of.ds, nc_load_chunk(m.qkv, q.row, 0, chunk + c, w.size));
#pragma unroll
        for (int c = 0; c < NC_CHUNKS_TOGETHER; c++)
            nc_add_columns(dv[c], of.p, nc_load_chunk(m.dout, q.output, 0, chunk + c, w.size));
    }
    nc_keys k = nc_keys_at(shared, w, key, first);
#pragma unroll
    for (int c = 0; c < NC_CHUNKS_TOGETHER; c++) {
        nc_put_key(a, shared, w, m, k, 1, chunk + c, dk[c]);
        nc_put_key(a, shared, w, m, k, 2, chunk + c, dv[c]);
    }
    if (!chunk)
        nc_clear_queries(a, w, k);
}

/* The layer's share of the caption's tiles. The ends are made in each turn: sm_100 has no register
 * for them. */
static __device__ __forceinline__ void nc_long_caption(const nc_attention &a,
                                                       const nc_shared_rows &shared,
                                                       const nc_work &w, const nc_matrices &m)
{
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
#pragma unroll 1
    for (int i = first; i < nc_layer_end(nc_kept(w.span.queries)); i += NC_TILE)
        for (int chunk = 0; chunk < w.chunks; chunk += NC_CHUNKS_TOGETHER)
            nc_long_queries(a, shared, w, m, i, chunk);
#pragma unroll 1
    for (int j = first; j < nc_layer_end(nc_kept(w.span.tokens)); j += NC_TILE)
        for (int chunk = 0; chunk < w.chunks; chunk += NC_CHUNKS_TOGETHER)
            nc_long_keys(a, shared, w, m, j, chunk);
}

#endif
