/* Attention's backward pass for captions of up to two tiles (32 tokens: nearly all), one warp a
 * head; the formulas are those of attention_backward.cu.
 *
 * Scores of all queries with all their keys stand in registers at once, so that delta is summed
 * from p dp and `out` need not be read. Only p and ds are held, as bf16; gradients are made 32
 * columns at a time, dq from ds, then dk and dv from the transposed ds and p.
 *
 * A caption of one tile (half of all) has room for its queries, keys, values and dout too: the
 * loops over chunks are unrolled, all loads (8 KiB) are under way before the first product, and
 * what was loaded is multiplied twice. With two tiles each loop loads what it needs, the second
 * time from the L1 cache. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_SHORT_H
#define NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_SHORT_H

#include "attention_backward_tiles.h"

/* The caption's queries fill QUERIES tiles, its tokens KEYS; `size` <= CHUNKS * NC_CHUNK. */
template <int QUERIES, int KEYS, int CHUNKS>
static __device__ __forceinline__ void nc_short_caption(const nc_attention &a,
                                                        const nc_shared_rows &shared,
                                                        const nc_work &w, const nc_matrices &m)
{
    [[maybe_unused]] constexpr int UNROLL = QUERIES * KEYS * CHUNKS <= 2 ? CHUNKS : 1;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_rows key[KEYS];
#pragma unroll
    for (int j = 0; j < KEYS; j++)
        key[j] = nc_token_rows(w.span, m.stride, m.column, j * NC_TILE);
    nc_coefficients of[QUERIES][KEYS];
#pragma unroll
    for (int i = 0; i < QUERIES; i++) {
        nc_queries q = nc_queries_at(a, w, m, i * NC_TILE);
        float p[KEYS][2][4], dp[KEYS][2][4], delta[2] = {0, 0};
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            nc_clear(p[j]);
            nc_clear(dp[j]);
        }
#pragma unroll UNROLL
        for (int c = 0; c < CHUNKS; c++) {
            nc_chunk query = nc_load_chunk(m.qkv, q.row, 0, c, w.size);
            nc_chunk dout = nc_load_chunk(m.dout, q.output, 0, c, w.size);
#pragma unroll
            for (int j = 0; j < KEYS; j++) {
                nc_add_scores(p[j], query, nc_load_chunk(m.qkv, key[j], m.width, c, w.size));
                nc_add_scores(dp[j], dout, nc_load_chunk(m.qkv, key[j], 2 * m.width, c, w.size));
            }
        }
#pragma unroll
        for (int j = 0; j < KEYS; j++)
            nc_make_probabilities(p[j], q, j * NC_TILE, scale);
#pragma unroll
        for (int j = 0; j < KEYS; j++)
#pragma unroll
            for (int e = 0; e < 8; e++)
                delta[e / 2 % 2] += p[j][e / 4][e % 4] * dp[j][e / 4][e % 4];
        delta[0] = nc_row_sum(delta[0]);
        delta[1] = nc_row_sum(delta[1]);
#pragma unroll
        for (int j = 0; j < KEYS; j++)
            of[i][j] = nc_make_coefficients(p[j], dp[j], delta, scale);
#pragma unroll UNROLL
        for (int c = 0; c < CHUNKS; c++) {
            float dq[4][4];
            nc_clear(dq);
#pragma unroll
            for (int j = 0; j < KEYS; j++)
                nc_add_columns(dq, of[i][j].ds, nc_load_chunk(m.qkv, key[j], m.width, c, w.size));
            nc_put_query(a, shared, w, m, q, c, dq);
        }
#pragma unroll
        for (int j = 0; j < KEYS; j++)
            nc_transpose_coefficients(&of[i][j]);
    }
#pragma unroll
    for (int j = 0; j < KEYS; j++) {
        nc_keys k = nc_keys_at(shared, w, key[j], j * NC_TILE);
#pragma unroll UNROLL
        for (int c = 0; c < CHUNKS; c++) {
            float dk[4][4], dv[4][4];
            nc_clear(dk);
            nc_clear(dv);
#pragma unroll
            for (int i = 0; i < QUERIES; i++) {
                nc_queries q = nc_queries_at(a, w, m, i * NC_TILE);
                nc_add_columns(dk, of[i][j].ds, nc_load_chunk(m.qkv, q.row, 0, c, w.size));
            }
            nc_put_key(a, shared, w, m, k, 1, c, dk);
#pragma unroll
            for (int i = 0; i < QUERIES; i++) {
                nc_queries q = nc_queries_at(a, w, m, i * NC_TILE);
                nc_add_columns(dv, of[i][j].p, nc_load_chunk(m.dout, q.output, 0, c, w.size));
            }
            nc_put_key(a, shared, w, m, k, 2, c, dv);
        }
        nc_clear_queries(a, w, k);
    }
}

#endif
