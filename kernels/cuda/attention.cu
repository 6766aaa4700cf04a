/* Causal attention over packed captions, forward.
 *
 *     out = softmax(q k^T / sqrt(head_size)) v         (Vaswani et al. 2017)
 *
 * with a running softmax over tiles of keys, and lse, the logarithm of its denominator, kept
 * for the backward pass (Dao 2023, FlashAttention-2, algorithm 1).
 *
 * Bytes that must move, a row: 4 width T (query, key, value read, output written) and 4 heads
 * for lse. Flops: 4 head_size for each pair of a query and a key that it sees. ViT-L/14's text
 * tower (12 heads of 64, bf16), 512 captions, 6,800 rows: 42 MB and 0.15 GFLOP, or 0.6 GFLOP
 * in whole tiles, so 12.6 us at 3.35 TB/s against 1 us of products: memory decides. At 77
 * tokens a caption: 245 MB, 73 us, and 9 GFLOP in whole tiles, 15 us at 600 TFLOP/s.
 *
 * Instructions (counted in sm_90's code) against what may be issued while the bytes move, 4 for
 * every 15 bytes (attention.h): a caption of 16 tokens 480 of 2,180 for each head, of 20 tokens
 * 1,070 of 2,730. 120 registers: 16 warps a multiprocessor, 6 KiB each under way.
 *
 * A warp computes a head of a caption: one tile of 16 queries after the other, each with the
 * tiles of 16 keys up to the diagonal. Half of all captions fit one tile; their loads, of
 * queries, keys and values, are all under way before the first product. Longer captions read
 * keys and values again for each tile of queries, from the L1 cache: a head of a caption is a
 * few KiB, and a block keeps no shared memory. A caption of 40 tokens takes six pairs of tiles
 * where one of 16 takes one. Blocks are small (four warps) and many (3 a caption for 12 heads,
 * 12 a multiprocessor), so that the hardware evens this out.
 *
 * fp32, the reference precision, computes with vectors instead: eight lanes a query. */
#include "attention_unmasked.h"
#include "attention_vectors.h"

int nc_cuda_head_check(const char *operation, enum nc_type type, size_t heads, size_t head_size)
{
    if (type != NC_FLOAT32 && type != NC_BFLOAT16)
        return nc_error(NC_FAILED, "%s: %s is not supported; types are fp32 and bf16", operation,
                        nc_type_name(type));
    if (!heads || heads > 1024 || !head_size || head_size > NC_MOST_HEAD_SIZE || head_size % 8)
        return nc_error(NC_FAILED,
                        "%s: %zu heads of size %zu are not supported; there may be 1 to 1024, of "
                        "a size that is a multiple of 8 up to %d",
                        operation, heads, head_size, NC_MOST_HEAD_SIZE);
    return NC_OK;
}

int nc_cuda_attention_supported(struct nc_backend *backend, enum nc_type type, size_t heads,
                                size_t head_size)
{
    (void)backend;
    return nc_cuda_head_check("attention", type, heads, head_size);
}

int nc_cuda_attention_check(const char *operation, const nc_attention *a)
{
    int status = nc_cuda_head_check(operation, a->type, a->heads, a->head_size);
    if (status != NC_OK)
        return status;
    size_t row = 3 * a->heads * a->head_size / 4; /* places of a row: nc_place() */
    if (a->rows + a->repeated >= UINT32_MAX / row ||
        a->captions >= INT32_MAX / nc_attention_groups(a) - NC_PADDING_BLOCKS ||
        a->rows + a->repeated > INT32_MAX)
        return nc_error(NC_FAILED,
                        "%s: a batch of %zu captions with %zu rows is too large; a smaller "
                        "batch_size fits",
                        operation, a->captions, a->rows);
    return NC_OK;
}

/* ---- bf16 -------------------------------------------------------------------------------- */

/* Turns scores into exp2(score * scale - most), 0 where a query does not see the key, and updates
 * most, sum (this lane's part of it) and fade, the factor by which earlier sums shrink. Indices 0
 * and 1 are rows g and g + 8; the first key's column is `key`, the first query sees keys up to
 * `query`. */
static __device__ __forceinline__ void soften(float score[2][4], float scale, int key, int query,
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

/* Queries first .. first + 15 of the span, of heads of `size` <= CHUNKS * NC_CHUNK. */
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
        nc_rows key_at = nc_token_rows(span, stride, column, j);
        nc_chunk k[CHUNKS], v[CHUNKS];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            k[c] = nc_load_chunk(qkv, key_at, width, c, size);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            v[c] = nc_load_chunk(qkv, key_at, 2 * width, c, size);
        float score[2][4];
        nc_clear(score);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
            nc_add_scores(score, q[c], k[c]);
        soften(score, scale, j, token, most, sum, fade);
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

/* A caption without tokens has no query; where one is asked for, its output is 0. */
template <typename T>
static __device__ __forceinline__ void write_nothing(const nc_attention &a, size_t caption,
                                                     int head)
{
    size_t at = static_cast<size_t>(caption) * a.heads + static_cast<size_t>(head);
    for (size_t i = static_cast<size_t>(nc_lane()); i < a.head_size; i += NC_WARP)
        static_cast<T *>(a.out)[at * a.head_size + i] = 0;
    if (nc_lane() == 0)
        a.lse[at] = 0;
}

/* SIZE: of the head, if that is known to the compiler, or 0. */
template <int CHUNKS, int SIZE>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, CHUNKS <= 2 ? 4 : 2)
    forward_bf16(nc_attention a)
{
    int size = SIZE ? SIZE : static_cast<int>(a.head_size);
    int caption, head;
    if (!a.last_only && nc_zero_padding(a, a.out, a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_caption_of_warp(a, &caption, &head))
        return;
    nc_span span = nc_caption_span(a, caption);
    if (a.last_only && !span.tokens && blockIdx.z == 0)
        write_nothing<nc_bfloat16>(a, caption, head);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
    int end = first + NC_ATTENTION_SPAN < span.queries ? first + NC_ATTENTION_SPAN : span.queries;
    for (; first < end; first += NC_TILE)
        attend_tile<CHUNKS>(a, span, head, first, size);
}

/* ---- fp32 -------------------------------------------------------------------------------- */

template <int CHUNKS>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 4) forward_fp32(nc_attention a)
{
    int caption, head;
    if (!a.last_only && nc_zero_padding(a, a.out, a.heads * a.head_size * sizeof(float)))
        return;
    if (!nc_caption_of_warp(a, &caption, &head))
        return;
    nc_span span = nc_caption_span(a, caption);
    if (a.last_only && !span.tokens && blockIdx.z == 0)
        write_nothing<float>(a, caption, head);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
    int end = first + NC_ATTENTION_SPAN < span.queries ? first + NC_ATTENTION_SPAN : span.queries;
    for (; first < end; first += NC_ROWS_A_WARP)
        nc_attend_vectors<CHUNKS>(static_cast<const float *>(a.qkv), static_cast<float *>(a.out),
                                  a.lse, a.heads, a.head_size, span, true, head, first);
}

/* ---- Launch ------------------------------------------------------------------------------ */

template <int CHUNKS> static int launch(struct nc_backend *backend, const nc_attention *a)
{
    if (a->type == NC_FLOAT32)
        return NC_LAUNCH(forward_fp32<CHUNKS>, nc_attention_grid(a), NC_ATTENTION_THREADS, 0,
                         backend->compute, *a);
    constexpr int SIZE = CHUNKS == 2 ? 64 : 0; /* CLIP's text towers */
    return NC_LAUNCH((a->head_size == SIZE ? forward_bf16<CHUNKS, SIZE> : forward_bf16<CHUNKS, 0>),
                     nc_attention_grid(a), NC_ATTENTION_THREADS, 0, backend->compute, *a);
}

int nc_cuda_attention_forward(struct nc_backend *backend, const struct nc_attention *a)
{
    int status = nc_cuda_attention_check("attention_forward", a);
    if (status != NC_OK || !a->captions)
        return status;
    if (a->full && !a->last_only)
        return nc_cuda_attention_unmasked_forward(backend, a);
    static int (*const launches[])(struct nc_backend *, const nc_attention *) = {
        launch<1>, launch<2>, launch<3>, launch<4>};
    return launches[(a->head_size - 1) / NC_CHUNK](backend, a);
}
