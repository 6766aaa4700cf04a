/* Full attention over packed captions, forward and backward: every token of a caption sees all of
 * its tokens, before and behind it, and none of another caption's.
 *
 *     out = softmax(q k^T / sqrt(head_size)) v         (Vaswani et al. 2017)
 *
 * The formulas and the bytes are those of attention.cu and attention_backward.cu; flops are twice
 * those of causal captions as long, since no pair is left out. Towers without a mask give each
 * caption its whole context (64 tokens, SigLIP): 512 captions of SO400M (16 heads of 72, bf16) are
 * 32,768 rows, 302 MB forward, 90 us at 3.35 TB/s, and 9.7 GFLOP, 16 us at 600 TFLOP/s: memory
 * decides. No row is shared, so rows follow each other and a path is never read.
 *
 * A warp computes a head of a caption, as there: tiles of 16 queries with tiles of 16 keys, from
 * registers, with no shared memory and no barrier. A last tile that is cut short repeats the last
 * token, whose further copies get a probability of 0. Where only last queries are asked for, full
 * and causal attention are the same, and attention.cu does it. */
#include "attention_backward_tiles.h"
#include "attention_unmasked.h"
#include "attention_vectors.h"

/* ---- bf16, forward ------------------------------------------------------------------------- */

/* Turns scores into exp2(score * scale - most), 0 behind the `keys` that there are, and updates
 * most, sum (this lane's part of it) and fade. Indices 0 and 1 are rows g and g + 8. */
static __device__ __forceinline__ void soften(float score[2][4], float scale, int keys,
                                              float most[2], float sum[2], float fade[2])
{
    int t = nc_lane() % 4;
#pragma unroll
    for (int high = 0; high < 2; high++) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float *s = &score[n][2 * high + i];
                *s = 8 * n + 2 * t + i < keys ? *s * scale : -INFINITY;
                largest = fmaxf(largest, *s);
            }
        float now = fmaxf(most[high], nc_row_max(largest)); /* finite: a tile has a key */
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

/* Queries first .. first + 15 of the span. */
template <int CHUNKS>
static __device__ __forceinline__ void attend_tile(const nc_attention &a, const nc_span &span,
                                                   int head, int first, int size)
{
    int g = nc_lane() / 4, t = nc_lane() % 4;
    const nc_bfloat16 *qkv = static_cast<const nc_bfloat16 *>(a.qkv);
    uint32_t width = static_cast<uint32_t>(a.heads * a.head_size / 4), stride = 3 * width;
    uint32_t column = static_cast<uint32_t>(head * size / 4);

    nc_rows query_at = nc_query_rows(span, span.query_row, stride, column, first);
    nc_chunk q[CHUNKS];
    float out[CHUNKS][4][4];
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        q[c] = nc_load_chunk(qkv, query_at, 0, c, size);
        nc_clear(out[c]);
    }
    float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, fade[2];
    float scale = NC_LOG2_E / sqrtf(static_cast<float>(size));
#pragma unroll 1
    for (int j = 0; j < span.tokens; j += NC_TILE) {
        nc_rows key_at = nc_token_rows(span, stride, column, j);
        float score[2][4];
        nc_clear(score);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            nc_add_scores(score, q[c], nc_load_chunk(qkv, key_at, width, c, size));
        soften(score, scale, span.tokens - j, most, sum, fade);
        uint32_t p[4];
        nc_make_left(p, score);
#pragma unroll
        for (int i = 0; i < CHUNKS * 16; i++)
            out[i / 16][i / 4 % 4][i % 4] *= fade[i % 4 / 2];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            nc_add_columns(out[c], p, nc_load_chunk(qkv, key_at, 2 * width, c, size));
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

template <int CHUNKS>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, CHUNKS <= 2 ? 4 : 2)
    forward_bf16(nc_attention a)
{
    int caption, head;
    if (nc_zero_padding(a, a.out, a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_caption_of_warp(a, &caption, &head))
        return;
    nc_span span = nc_caption_span(a, caption);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
    for (; first < nc_layer_end(span.queries); first += NC_TILE)
        attend_tile<CHUNKS>(a, span, head, first, static_cast<int>(a.head_size));
}

/* ---- bf16, backward ------------------------------------------------------------------------ */

enum { TOGETHER = 2 }; /* chunks whose gradients are in registers */

/* p and ds of a tile of queries with the tile of keys at token `first`, in rows `key`. */
static __device__ __forceinline__ nc_coefficients pair_of_tiles(const nc_work &w,
                                                                const nc_matrices &m,
                                                                const nc_queries &q, nc_rows key,
                                                                int first)
{
    float p[2][4], dp[2][4], delta[2] = {0, 0};
    nc_clear(p);
    nc_clear(dp);
#pragma unroll 1
    for (int c = 0; c < w.chunks; c++) {
        nc_chunk d = nc_load_chunk(m.dout, q.output, 0, c, w.size);
        nc_chunk o = nc_load_chunk(m.out, q.output, 0, c, w.size);
        nc_add_scores(p, nc_load_chunk(m.qkv, q.row, 0, c, w.size),
                      nc_load_chunk(m.qkv, key, m.width, c, w.size));
        nc_add_scores(dp, d, nc_load_chunk(m.qkv, key, 2 * m.width, c, w.size));
#pragma unroll
        for (int high = 0; high < 2; high++) {
            float u[8], v[8];
            nc_unpack_bf16(u, high ? d.high : d.low);
            nc_unpack_bf16(v, high ? o.high : o.low);
#pragma unroll
            for (int i = 0; i < 8; i++)
                delta[high] += u[i] * v[i];
        }
    }
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
#pragma unroll
    for (int e = 0; e < 8; e++) {
        float *score = &p[e / 4][e % 4];
        bool there = first + e / 4 * 8 + nc_lane() % 4 * 2 + e % 2 < w.span.tokens;
        *score = there ? nc_exp2(*score * (scale * NC_LOG2_E) - q.lse[e / 2 % 2]) : 0;
    }
    delta[0] = nc_row_sum(delta[0]);
    delta[1] = nc_row_sum(delta[1]);
    return nc_make_coefficients(p, dp, delta, scale);
}

/* dq of queries first .. first + 15, from chunk `chunk` on. */
static __device__ __forceinline__ void queries_backward(const nc_attention &a, const nc_work &w,
                                                        const nc_matrices &m, int first, int chunk)
{
    nc_queries q = nc_queries_at(a, w, m, first);
    float dq[TOGETHER][4][4];
#pragma unroll
    for (int c = 0; c < TOGETHER; c++)
        nc_clear(dq[c]);
#pragma unroll 1
    for (int j = 0; j < w.span.tokens; j += NC_TILE) {
        nc_rows key = nc_token_rows(w.span, m.stride, m.column, j);
        nc_coefficients of = pair_of_tiles(w, m, q, key, j);
#pragma unroll
        for (int c = 0; c < TOGETHER; c++)
            nc_add_columns(dq[c], of.ds, nc_load_chunk(m.qkv, key, m.width, chunk + c, w.size));
    }
#pragma unroll
    for (int c = 0; c < TOGETHER; c++)
        nc_put_query(a, nc_shared_rows(), w, m, q, chunk + c, dq[c]);
}

/* dk and dv likewise, of tokens first .. first + 15. */
static __device__ __forceinline__ void keys_backward(const nc_attention &a, const nc_work &w,
                                                     const nc_matrices &m, int first, int chunk)
{
    nc_rows key = nc_token_rows(w.span, m.stride, m.column, first);
    float dk[TOGETHER][4][4], dv[TOGETHER][4][4];
#pragma unroll
    for (int c = 0; c < TOGETHER; c++) {
        nc_clear(dk[c]);
        nc_clear(dv[c]);
    }
#pragma unroll 1
    for (int i = 0; i < w.span.queries; i += NC_TILE) {
        nc_queries q = nc_queries_at(a, w, m, i);
        nc_coefficients of = pair_of_tiles(w, m, q, key, first);
        nc_transpose_coefficients(&of);
#pragma unroll
        for (int c = 0; c < TOGETHER; c++) {
            nc_add_columns(dk[c], of.ds, nc_load_chunk(m.qkv, q.row, 0, chunk + c, w.size));
            nc_add_columns(dv[c], of.p, nc_load_chunk(m.dout, q.output, 0, chunk + c, w.size));
        }
    }
    nc_keys k = nc_keys_at(nc_shared_rows(), w, key, first);
#pragma unroll
    for (int c = 0; c < TOGETHER; c++) {
        nc_put_key(a, nc_shared_rows(), w, m, k, 1, chunk + c, dk[c]);
        nc_put_key(a, nc_shared_rows(), w, m, k, 2, chunk + c, dv[c]);
    }
}

static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 3) backward_bf16(nc_attention a)
{
    nc_work w;
    if (nc_zero_padding(a, a.dqkv, 3 * a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_work_of_warp(a, &w))
        return;
    nc_matrices m = nc_matrices_of(a, w);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
#pragma unroll 1
    for (int i = first; i < nc_layer_end(w.span.queries); i += NC_TILE)
        for (int chunk = 0; chunk < w.chunks; chunk += TOGETHER)
            queries_backward(a, w, m, i, chunk);
#pragma unroll 1
    for (int j = first; j < nc_layer_end(w.span.tokens); j += NC_TILE)
        for (int chunk = 0; chunk < w.chunks; chunk += TOGETHER)
            keys_backward(a, w, m, j, chunk);
}

/* ---- fp32: four rows a warp, eight lanes a row ----------------------------------------------- */

template <int CHUNKS>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 4) forward_fp32(nc_attention a)
{
    int caption, head;
    if (nc_zero_padding(a, a.out, a.heads * a.head_size * sizeof(float)))
        return;
    if (!nc_caption_of_warp(a, &caption, &head))
        return;
    nc_span span = nc_caption_span(a, caption);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
    for (; first < nc_layer_end(span.queries); first += NC_ROWS_A_WARP)
        nc_attend_vectors<CHUNKS>(static_cast<const float *>(a.qkv), static_cast<float *>(a.out),
                                  a.lse, a.heads, a.head_size, span, false, head, first);
}

/* The head's columns in the caption's first row of each matrix. */
struct float_matrices {
    const float *query, *key, *value, *dout, *out, *lse;
    float *dquery, *dkey, *dvalue;
    size_t width, stride, heads;
};

/* = `factor` times the vector. */
template <int CHUNKS>
static __device__ __forceinline__ void put(float *row, int size, const nc_vector<CHUNKS> &x,
                                           float factor)
{
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int column = c * NC_CHUNK + nc_lane() % NC_ROW_LANES * 4;
        float four[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            four[i] = x.v[c][i] * factor;
        if (column < size)
            nc_store4(row + column, four);
    }
}

/* Row `own` of queries against all keys. Lanes without a row of their own only help to sum. */
template <int CHUNKS>
static __device__ __forceinline__ void query_backward(const float_matrices &m, int tokens, int size,
                                                      int own)
{
    bool there = own < tokens;
    size_t at = static_cast<size_t>(there ? own : 0);
    float scale = 1.0f / sqrtf(static_cast<float>(size)), lse = m.lse[at * m.heads];
    nc_vector<CHUNKS> q = nc_load_vector<CHUNKS>(m.query + at * m.stride, size);
    nc_vector<CHUNKS> d = nc_load_vector<CHUNKS>(m.dout + at * m.width, size);
    float delta = nc_dot(d, nc_load_vector<CHUNKS>(m.out + at * m.width, size));
    nc_vector<CHUNKS> dq = nc_load_vector<CHUNKS>(NULL, size);
#pragma unroll 1
    for (int j = 0; j < tokens; j++) {
        size_t row = static_cast<size_t>(j) * m.stride;
        nc_vector<CHUNKS> k = nc_load_vector<CHUNKS>(m.key + row, size);
        float score = nc_dot(q, k), dp = nc_dot(d, nc_load_vector<CHUNKS>(m.value + row, size));
        nc_fade_and_add(dq, 1, k, expf(score * scale - lse) * (dp - delta));
    }
    if (there)
        put(m.dquery + at * m.stride, size, dq, scale);
}

/* Row `own` of keys and values against all queries. */
template <int CHUNKS>
static __device__ __forceinline__ void key_backward(const float_matrices &m, int tokens, int size,
                                                    int own)
{
    bool there = own < tokens;
    size_t at = static_cast<size_t>(there ? own : 0);
    float scale = 1.0f / sqrtf(static_cast<float>(size));
    nc_vector<CHUNKS> k = nc_load_vector<CHUNKS>(m.key + at * m.stride, size);
    nc_vector<CHUNKS> v = nc_load_vector<CHUNKS>(m.value + at * m.stride, size);
    nc_vector<CHUNKS> dk = nc_load_vector<CHUNKS>(NULL, size), dv = dk;
#pragma unroll 1
    for (int n = 0; n < tokens; n++) {
        size_t i = static_cast<size_t>(n);
        nc_vector<CHUNKS> q = nc_load_vector<CHUNKS>(m.query + i * m.stride, size);
        nc_vector<CHUNKS> d = nc_load_vector<CHUNKS>(m.dout + i * m.width, size);
        float delta = nc_dot(d, nc_load_vector<CHUNKS>(m.out + i * m.width, size));
        float score = nc_dot(q, k), dp = nc_dot(d, v), p = expf(score * scale - m.lse[i * m.heads]);
        nc_fade_and_add(dv, 1, d, p);
        nc_fade_and_add(dk, 1, q, p * (dp - delta));
    }
    if (!there)
        return;
    put(m.dkey + at * m.stride, size, dk, scale);
    put(m.dvalue + at * m.stride, size, dv, 1);
}

template <int CHUNKS>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 3) backward_fp32(nc_attention a)
{
    nc_work w;
    if (nc_zero_padding(a, a.dqkv, 3 * a.heads * a.head_size * sizeof(float)))
        return;
    if (!nc_work_of_warp(a, &w))
        return;
    size_t width = a.heads * a.head_size, row = static_cast<size_t>(w.span.query_row);
    size_t column = static_cast<size_t>(w.head * w.size);
    float_matrices m;
    m.width = width;
    m.stride = 3 * width;
    m.heads = a.heads;
    m.query = static_cast<const float *>(a.qkv) + row * m.stride + column;
    m.key = m.query + width;
    m.value = m.key + width;
    m.dquery = static_cast<float *>(a.dqkv) + row * m.stride + column;
    m.dkey = m.dquery + width;
    m.dvalue = m.dkey + width;
    m.dout = static_cast<const float *>(a.dout) + row * width + column;
    m.out = static_cast<const float *>(a.out) + row * width + column;
    m.lse = a.lse + row * a.heads + static_cast<size_t>(w.head);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN, lane = nc_lane() / NC_ROW_LANES;
#pragma unroll 1
    for (int i = first; i < nc_layer_end(w.span.tokens); i += NC_ROWS_A_WARP) {
        query_backward<CHUNKS>(m, w.span.tokens, w.size, i + lane);
        key_backward<CHUNKS>(m, w.span.tokens, w.size, i + lane);
    }
}

/* ---- Launch ---------------------------------------------------------------------------------- */

template <int CHUNKS> static int launch_forward(struct nc_backend *backend, const nc_attention *a)
{
    return NC_LAUNCH((a->type == NC_FLOAT32 ? forward_fp32<CHUNKS> : forward_bf16<CHUNKS>),
                     nc_attention_grid(a), NC_ATTENTION_THREADS, 0, backend->compute, *a);
}

template <int CHUNKS> static int launch_backward(struct nc_backend *backend, const nc_attention *a)
{
    return NC_LAUNCH((a->type == NC_FLOAT32 ? backward_fp32<CHUNKS> : backward_bf16),
                     nc_attention_grid(a), NC_ATTENTION_THREADS, 0, backend->compute, *a);
}

static int check(const char *operation, const nc_attention *a)
{
    return a->repeated ? nc_error(NC_FAILED, "%s: captions that see all tokens share no rows",
                                  operation)
                       : NC_OK;
}

int nc_cuda_attention_unmasked_forward(struct nc_backend *backend, const struct nc_attention *a)
{
    static int (*const launches[])(struct nc_backend *, const nc_attention *) = {
        launch_forward<1>, launch_forward<2>, launch_forward<3>, launch_forward<4>};
    int status = check("attention_forward", a);
    return status == NC_OK ? launches[(a->head_size - 1) / NC_CHUNK](backend, a) : status;
}

int nc_cuda_attention_unmasked_backward(struct nc_backend *backend, const struct nc_attention *a)
{
    static int (*const launches[])(struct nc_backend *, const nc_attention *) = {
        launch_backward<1>, launch_backward<2>, launch_backward<3>, launch_backward<4>};
    int status = check("attention_backward", a);
    return status == NC_OK ? launches[(a->head_size - 1) / NC_CHUNK](backend, a) : status;
}
