/* Attention's forward pass in bf16 for one tile of queries; the formulas are those of attention.cu.
 * */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_FORWARD_TILE_H
#define NCLIP_KERNELS_CUDA_ATTENTION_FORWARD_TILE_H

#include "attention.h"

/* Turns scores into exp2(score * scale - most), 0 where a query does not see the key, and updates
 * most, sum (this lane's part of it) and fade, the factor by which earlier sums shrink. Indices 0
 * and 1 are rows g and g + 8; the first key's column is `key`, the first query sees keys up to
 * `query`. */
static __device__ __forceinline__ void nc_soften(float score[2][4], float scale, int key, int query,
                                              float most[2], float sum[2], float fade[2])
{
    int g = nc_lane() / 4, t = nc_lane() % 4;
#pragma unroll
    for (int high = 0; high < 2; high++) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float *s = &score[n][2 * high + i];
                bool sees = key + 8 * n + 2 * t + i <= query + g + 8 * high;
                *s = sees ? *s * scale : -INFINITY;
                largest = fmaxf(largest, *s);
            }
        float now = fmaxf(most[high], nc_row_max(largest)); /* finite: all see the first key */
        fade[high] = nc_exp2(most[high] - now);
        most[high] = now;
        sum[high] *= fade[high];
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float *s = &score[n][2 * high + i];
                *s = nc_exp2(*s - now);
                sum[high] += *s;
            }
    }
}

/* Keys and values where they are. */
struct nc_memory_keys {
    const nc_bfloat16 *qkv;
    const nc_span &span;
    uint32_t width, stride, column;
    int size;
    nc_rows at;

    __device__ __forceinline__ void move_to(int token)
    {
        at = nc_token_rows(span, stride, column, token);
    }
    __device__ __forceinline__ nc_chunk key(int chunk) const
    {
        return nc_load_chunk(qkv, at, width, chunk, size);
    }
    __device__ __forceinline__ nc_chunk value(int chunk) const
    {
        return nc_load_chunk(qkv, at, 2 * width, chunk, size);
    }
};

static __device__ __forceinline__ nc_memory_keys nc_keys_in_memory(const nc_attention &a,
                                                                   const nc_span &span, int head,
                                                                   int size)
{
    uint32_t width = static_cast<uint32_t>(a.heads * a.head_size / 4);
    return {static_cast<const nc_bfloat16 *>(a.qkv), span, width, 3 * width,
            static_cast<uint32_t>(head * size / 4), size, {0, 0}};
}

/* Queries first .. first + 15 of the span, of heads of `size` <= CHUNKS * NC_CHUNK, with the keys
 * and values of `tiles`. */
template <int CHUNKS, typename Keys>
static __device__ __forceinline__ void nc_attend_tile(const nc_attention &a, const nc_span &span,
                                                      int head, int first, int size, Keys tiles)
{
    int g = nc_lane() / 4, t = nc_lane() % 4;
    const nc_bfloat16 *qkv = static_cast<const nc_bfloat16 *>(a.qkv);
    uint32_t width = static_cast<uint32_t>(a.heads * a.head_size / 4), stride = 3 * width;
    uint32_t column = static_cast<uint32_t>(head * size / 4);

    nc_rows query_at = nc_query_rows(span, span.query_row, stride, column, first);
    nc_chunk q[CHUNKS];
#pragma unroll
    for (int c = 0; c < CHUNKS; c++)
        q[c] = nc_load_chunk(qkv, query_at, 0, c, size);

    float out[CHUNKS][4][4];
#pragma unroll
    for (int c = 0; c < CHUNKS; c++)
        nc_clear(out[c]);
    float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, fade[2];
    float scale = NC_LOG2_E / sqrtf(static_cast<float>(size));
    int token = span.tokens - span.queries + first; /* of the first query: the last key it sees */
    int end = token + NC_TILE < span.tokens ? token + NC_TILE : span.tokens;
#pragma unroll 1
    for (int j = 0; j < end; j += NC_TILE) {
        tiles.move_to(j);
        nc_chunk k[CHUNKS], v[CHUNKS];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            k[c] = tiles.key(c);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            v[c] = tiles.value(c);
        float score[2][4];
        nc_clear(score);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            nc_add_scores(score, q[c], k[c]);
        nc_soften(score, scale, j, token, most, sum, fade);
        uint32_t p[4];
        nc_make_left(p, score);
        if (j)
#pragma unroll
            for (int i = 0; i < CHUNKS * 16; i++)
                out[i / 16][i / 4 % 4][i % 4] *= fade[i % 4 / 2];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            nc_add_columns(out[c], p, v[c]);
    }

#pragma unroll
    for (int high = 0; high < 2; high++) {
        float total = nc_row_sum(sum[high]);
        int n = first + g + 8 * high;
        if (n >= span.queries)
            continue;
        uint32_t row = static_cast<uint32_t>(span.output_row + n);
        uint32_t place = row * width + column + 2 * static_cast<uint32_t>(t);
        nc_bfloat16 *to = static_cast<nc_bfloat16 *>(a.out) + static_cast<size_t>(place) * 4;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            float eight[8];
            nc_take_row(eight, out[c], high, nc_divide(1, total));
            if (c * NC_CHUNK + 8 * t < size)
                nc_store8_bf16(to + c * NC_CHUNK, eight);
        }
        if (t == 0)
            a.lse[row * static_cast<uint32_t>(a.heads) + static_cast<uint32_t>(head)] =
                (most[high] + nc_log2(total)) * NC_LN_2;
    }
}

#endif
