/* Attention in the reference precision, fp32: vectors instead of tiles. Eight lanes hold a row,
 * four rows a warp; lane l of the eight holds columns 32 c + 4 l .. + 3 of chunk c. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_VECTORS_H
#define NCLIP_KERNELS_CUDA_ATTENTION_VECTORS_H

#include "attention.h"

enum { NC_ROW_LANES = 8, NC_ROWS_A_WARP = NC_WARP / NC_ROW_LANES };

template <int CHUNKS> struct nc_vector {
    float v[CHUNKS][4];
};

/* NULL: zeros */
template <int CHUNKS>
static __device__ __forceinline__ nc_vector<CHUNKS> nc_load_vector(const float *row, int size)
{
    nc_vector<CHUNKS> x;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int column = c * NC_CHUNK + nc_lane() % NC_ROW_LANES * 4;
        if (row && column < size)
            nc_load4(x.v[c], row + column);
        else
            x.v[c][0] = x.v[c][1] = x.v[c][2] = x.v[c][3] = 0;
    }
    return x;
}

/* Each of the eight lanes receives the product of the rows. */
template <int CHUNKS>
static __device__ __forceinline__ float nc_dot(const nc_vector<CHUNKS> &x,
                                               const nc_vector<CHUNKS> &y)
{
    float sum = 0;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sum += x.v[c][i] * y.v[c][i];
#pragma unroll
    for (int mask = NC_ROW_LANES / 2; mask; mask /= 2)
        sum += nc_shuffle_xor(sum, mask);
    return sum;
}

/* x = x * fade + y * factor */
template <int CHUNKS>
static __device__ __forceinline__ void nc_fade_and_add(nc_vector<CHUNKS> &x, float fade,
                                                       const nc_vector<CHUNKS> &y, float factor)
{
#pragma unroll
    for (int c = 0; c < CHUNKS; c++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            x.v[c][i] = x.v[c][i] * fade + y.v[c][i] * factor;
}

/* Queries first .. first + 3 of the span; lse may be NULL. */
template <int CHUNKS>
static __device__ __forceinline__ void
nc_attend_vectors(const float *qkv, float *out, float *lse, size_t heads, size_t head_size,
                  const nc_span &span, bool causal, int head, int first)
{
    enum { KEYS = 8 };
    int size = static_cast<int>(head_size), n = first + nc_lane() / NC_ROW_LANES;
    size_t width = heads * head_size, stride = 3 * width;
    size_t column = static_cast<size_t>(head) * head_size;
    const float *key = qkv + width + column, *value = key + width;
    const float *from = qkv + static_cast<size_t>(span.query_row + n) * stride + column;
    nc_vector<CHUNKS> q = nc_load_vector<CHUNKS>(n < span.queries ? from : NULL, size);
    nc_vector<CHUNKS> sum_of_values = nc_load_vector<CHUNKS>(NULL, size);
    float most = -INFINITY, sum = 0, scale = 1.0f / sqrtf(static_cast<float>(size));
    int earlier = span.tokens - span.queries, end = span.tokens;
    if (causal && earlier + first + NC_ROWS_A_WARP < end)
        end = earlier + first + NC_ROWS_A_WARP;
    for (int j = 0; j < end; j += KEYS) {
        float score[KEYS], now = most;
#pragma unroll
        for (int i = 0; i < KEYS; i++) {
            score[i] = -INFINITY;
            if (j + i >= end)
                continue;
            float s =
                nc_dot(q, nc_load_vector<CHUNKS>(
                              key + static_cast<size_t>(nc_span_row(span, j + i)) * stride, size));
            if (!causal || j + i <= earlier + n)
                score[i] = s * scale;
            now = fmaxf(now, score[i]);
        }
        float fade = expf(most - now); /* 0 at first; all see the first key, so now is finite */
        most = now;
        sum *= fade;
#pragma unroll
        for (int i = 0; i < KEYS; i++) {
            if (j + i >= end)
                continue;
            float p = expf(score[i] - most);
            sum += p;
            nc_fade_and_add(
                sum_of_values, i ? 1 : fade,
                nc_load_vector<CHUNKS>(
                    value + static_cast<size_t>(nc_span_row(span, j + i)) * stride, size),
                p);
        }
    }
    if (n >= span.queries)
        return;
    size_t row = static_cast<size_t>(span.output_row + n);
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int at = c * NC_CHUNK + nc_lane() % NC_ROW_LANES * 4;
        float four[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            four[i] = sum_of_values.v[c][i] / sum;
        if (at < size)
            nc_store4(out + row * width + column + at, four);
    }
    if (lse && nc_lane() % NC_ROW_LANES == 0)
        lse[row * heads + static_cast<size_t>(head)] = most + logf(sum);
}

#endif
