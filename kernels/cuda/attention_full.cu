/* Full attention over pictures, forward: every token sees all tokens.
 *
 *     out = softmax(q k^T / sqrt(head_size)) v
 *
 * with a running softmax over tiles of keys (Dao 2023, FlashAttention-2, algorithm 1).
 *
 * Bytes that must move, a row: 4 width T. Flops: 4 head_size for each pair of tokens, and one
 * exponential. ViT-L/14 (257 tokens, 16 heads of 64), a picture: 2.1 MB, 0.63 us at 3.35 TB/s;
 * 0.27 GFLOP, 0.45 us at 600 TFLOP/s; 1.06 M exponentials, 0.29 us. So neither side is free, and
 * a block's copies run beside its products: while one tile of keys and values is multiplied,
 * the next is on its way to the other half of shared memory (cp.async).
 *
 * A block takes 64 queries of a head, 16 a warp, against tiles of KEYS keys. Rows in shared memory
 * are a multiple of 32 bytes, plus 16: eight rows then start in eight different groups of four
 * banks, and ldmatrix meets no conflict. Of the last tile of keys only groups of 16 that hold
 * some are multiplied (257 = 4 x 64 + 1), and warps without queries only help to copy. Blocks of
 * one head are neighbours, so keys and values come from memory once and then from L2.
 *
 * fp32, the reference precision, computes with vectors, as captions do. */
#include "attention_vectors.h"

enum { QUERIES = NC_ATTENTION_WARPS * NC_TILE };

/* Which tile of which head of which picture is this block's? */
struct place {
    size_t first_row; /* of the picture */
    int head, first;
};

static __device__ __forceinline__ place place_of_block(const nc_attention_full &a, int queries)
{
    unsigned tiles = static_cast<unsigned>((a.tokens + static_cast<size_t>(queries) - 1) /
                                           static_cast<size_t>(queries));
    unsigned heads = static_cast<unsigned>(a.heads), rest = blockIdx.x / tiles;
    return {rest / heads * a.tokens, static_cast<int>(rest % heads),
            static_cast<int>(blockIdx.x % tiles) * queries};
}

/* ---- bf16 ---------------------------------------------------------------------------------- */

/* SIZE: the head's size, rounded up to a multiple of 16. */
template <int SIZE> struct shape {
    static constexpr int KEYS = SIZE <= 64 ? 64 : 32;
    static constexpr int STRIDE = SIZE + 8;        /* of a row in shared memory */
    static constexpr int HALF = 2 * KEYS * STRIDE; /* keys, then values */
    static constexpr int BYTES = 2 * HALF * (int)sizeof(nc_bfloat16);
    static_assert(QUERIES <= 2 * KEYS, "queries pass through one half");
};

/* `rows` rows of a head to shared memory, zeros where there are none. */
template <int SIZE>
static __device__ __forceinline__ void copy_rows(nc_bfloat16 *to, const nc_bfloat16 *from,
                                                 size_t stride, int rows, int there, int size)
{
    enum { PIECES = SIZE / 8 }; /* of 16 bytes */
    for (int i = static_cast<int>(threadIdx.x); i < rows * PIECES; i += NC_ATTENTION_THREADS) {
        int row = i / PIECES, column = i % PIECES * 8;
        bool valid = row < there && column < size;
        nc_cp_async16(to + row * shape<SIZE>::STRIDE + column,
                      valid ? from + static_cast<size_t>(row) * stride + column : from, valid);
    }
}

/* The softmax of a tile of scores, whose first `keys` columns hold keys: the 16 x KEYS scores
 * become exp2(score * scale - most); most, sum (the lane's part) and fade move on. */
template <int KEYS>
static __device__ __forceinline__ void soften(float score[KEYS / 8][4], float scale, int keys,
                                              float most[2], float sum[2], float fade[2])
{
    int t = nc_lane() % 4;
#pragma unroll
    for (int high = 0; high < 2; high++) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
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
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float *s = &score[n][2 * high + i];
                *s = nc_exp2(*s - now);
                sum[high] += *s;
            }
    }
}

/* out = out * fade + softmax'(q k^T) v, over the keys of a tile in shared memory. */
template <int SIZE>
static __device__ __forceinline__ void
attend_tile(float out[SIZE / 8][4], const uint32_t q[SIZE / 16][4], const nc_bfloat16 *tile,
            int keys, float scale, float most[2], float sum[2])
{
    constexpr int KEYS = shape<SIZE>::KEYS, STRIDE = shape<SIZE>::STRIDE;
    const nc_bfloat16 *values = tile + KEYS * STRIDE;
    int lane = nc_lane();
    float score[KEYS / 8][4], fade[2];
#pragma unroll
    for (int n = 0; n < KEYS / 8; n += 2) { /* 16 keys */
#pragma unroll
        for (int i = 0; i < 4; i++)
            score[n][i] = score[n + 1][i] = 0;
        if (8 * n >= keys)
            continue;
        const nc_bfloat16 *row =
            tile + (8 * n + lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
        for (int k = 0; k < SIZE / 16; k++) {
            uint32_t b[4];
            nc_ldmatrix_x4(b, row + 16 * k);
            nc_mma_bf16(score[n], q[k], b);
            nc_mma_bf16(score[n + 1], q[k], b + 2);
        }
    }
    soften<KEYS>(score, scale, keys, most, sum, fade);
#pragma unroll
    for (int n = 0; n < SIZE / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            out[n][i] *= fade[i / 2];
#pragma unroll
    for (int j = 0; j < KEYS / 16; j++) {
        if (16 * j >= keys)
            continue;
        uint32_t p[4];
        nc_make_left(p, score + 2 * j);
        const nc_bfloat16 *row = values + (16 * j + lane % 16) * STRIDE + lane / 16 * 8;
#pragma unroll
        for (int n = 0; n < SIZE / 8; n += 2) {
            uint32_t b[4];
            nc_ldmatrix_x4_trans(b, row + 8 * n);
            nc_mma_bf16(out[n], p, b);
            nc_mma_bf16(out[n + 1], p, b + 2);
        }
    }
}

template <int SIZE>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, SIZE <= 32   ? 4
                                                               : SIZE <= 64 ? 3
                                                                            : 2)
    full_bf16(nc_attention_full a)
{
    constexpr int KEYS = shape<SIZE>::KEYS, STRIDE = shape<SIZE>::STRIDE, HALF = shape<SIZE>::HALF;
    NC_SHARED(nc_bfloat16, memory); /* two halves: [2][KEYS][STRIDE] each */
    int size = static_cast<int>(a.head_size), tokens = static_cast<int>(a.tokens);
    int warp = static_cast<int>(threadIdx.x) / NC_WARP, lane = nc_lane();
    size_t width = a.heads * a.head_size, stride = 3 * width;
    place at = place_of_block(a, QUERIES);
    size_t column = static_cast<size_t>(at.head) * a.head_size;
    const nc_bfloat16 *query =
        static_cast<const nc_bfloat16 *>(a.qkv) + at.first_row * stride + column;
    const nc_bfloat16 *key = query + width, *value = key + width;
    bool works = at.first + warp * NC_TILE < tokens;

    /* Queries through the first half, while the first keys and values go to the second. */
    copy_rows<SIZE>(memory, query + static_cast<size_t>(at.first) * stride, stride, QUERIES,
                    tokens - at.first, size);
    nc_cp_async_commit();
    copy_rows<SIZE>(memory + HALF, key, stride, KEYS, tokens, size);
    copy_rows<SIZE>(memory + HALF + KEYS * STRIDE, value, stride, KEYS, tokens, size);
    nc_cp_async_commit();
    nc_cp_async_wait<1>();
    nc_barrier();
    uint32_t q[SIZE / 16][4];
#pragma unroll
    for (int k = 0; k < SIZE / 16; k++)
        nc_ldmatrix_x4(q[k],
                       memory + (warp * NC_TILE + lane % 16) * STRIDE + lane / 16 * 8 + 16 * k);

    float out[SIZE / 8][4], most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < SIZE / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            out[n][i] = 0;
    float scale = NC_LOG2_E / sqrtf(static_cast<float>(size));
    nc_bfloat16 *now = memory + HALF, *next = memory;
    for (int j = 0; j < tokens; j += KEYS) {
        nc_cp_async_wait<0>();
        nc_barrier(); /* this tile is there, and all are done with the half before it */
        int later = j + KEYS;
        if (later < tokens) {
            size_t from = static_cast<size_t>(later) * stride;
            copy_rows<SIZE>(next, key + from, stride, KEYS, tokens - later, size);
            copy_rows<SIZE>(next + KEYS * STRIDE, value + from, stride, KEYS, tokens - later, size);
            nc_cp_async_commit();
        }
        if (works)
            attend_tile<SIZE>(out, q, now, tokens - j, scale, most, sum);
        nc_bfloat16 *swap = now;
        now = next;
        next = swap;
    }

    /* Out through shared memory, each warp its own rows, so that stores are of 16 bytes. */
    nc_barrier();
    if (!works)
        return;
    nc_bfloat16 *mine = memory + warp * NC_TILE * STRIDE;
#pragma unroll
    for (int high = 0; high < 2; high++) {
        float factor = 1.0f / nc_row_sum(sum[high]);
#pragma unroll
        for (int n = 0; n < SIZE / 8; n++) {
            uint32_t two = nc_pack_bf16(out[n][2 * high] * factor, out[n][2 * high + 1] * factor);
            memcpy(mine + (lane / 4 + 8 * high) * STRIDE + 8 * n + lane % 4 * 2, &two, sizeof two);
        }
    }
    nc_warp_barrier();
    for (int i = lane; i < NC_TILE * SIZE / 8; i += NC_WARP) {
        int row = i / (SIZE / 8), piece = i % (SIZE / 8) * 8,
            token = at.first + warp * NC_TILE + row;
        if (token < tokens && piece < size)
            nc_store16(static_cast<nc_bfloat16 *>(a.out) +
                           (at.first_row + static_cast<size_t>(token)) * width + column + piece,
                       nc_load16(mine + row * STRIDE + piece));
    }
}

/* ---- fp32 ---------------------------------------------------------------------------------- */

enum { VECTOR_QUERIES = NC_ATTENTION_WARPS * NC_ROWS_A_WARP };

template <int CHUNKS>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 4) full_fp32(nc_attention_full a)
{
    place at = place_of_block(a, VECTOR_QUERIES);
    int first_row = static_cast<int>(at.first_row), tokens = static_cast<int>(a.tokens);
    nc_span span = {NULL, first_row, first_row, first_row, tokens, tokens};
    int first = at.first + static_cast<int>(threadIdx.x) / NC_WARP * NC_ROWS_A_WARP;
    if (first < tokens)
        nc_attend_vectors<CHUNKS>(static_cast<const float *>(a.qkv), static_cast<float *>(a.out),
                                  NULL, a.heads, a.head_size, span, false, at.head, first);
}

/* ---- Launch -------------------------------------------------------------------------------- */

static unsigned blocks(const nc_attention_full *a, int queries)
{
    size_t tiles = (a->tokens + static_cast<size_t>(queries) - 1) / static_cast<size_t>(queries);
    return static_cast<unsigned>(a->pictures * a->heads * tiles);
}

template <int SIZE> static int launch(struct nc_backend *backend, const nc_attention_full *a)
{
    return NC_LAUNCH(full_bf16<SIZE>, blocks(a, QUERIES), NC_ATTENTION_THREADS, shape<SIZE>::BYTES,
                     backend->compute, *a);
}

template <int CHUNKS> static int launch_fp32(struct nc_backend *backend, const nc_attention_full *a)
{
    return NC_LAUNCH(full_fp32<CHUNKS>, blocks(a, VECTOR_QUERIES), NC_ATTENTION_THREADS, 0,
                     backend->compute, *a);
}

int nc_cuda_attention_full_own(struct nc_backend *backend, const struct nc_attention_full *a)
{
    int status = nc_cuda_head_check("attention_full", a->type, a->heads, a->head_size);
    if (status != NC_OK || !a->pictures || !a->tokens)
        return status;
    if (a->tokens > INT32_MAX / a->pictures / a->heads)
        return nc_error(NC_FAILED,
                        "attention_full: %zu pictures of %zu tokens are too many at once; a "
                        "smaller batch fits",
                        a->pictures, a->tokens);
    static int (*const vectors[])(struct nc_backend *, const nc_attention_full *) = {
        launch_fp32<1>, launch_fp32<2>, launch_fp32<3>, launch_fp32<4>};
    if (a->type == NC_FLOAT32)
        return vectors[(a->head_size - 1) / NC_CHUNK](backend, a);
    return a->head_size <= 32   ? launch<32>(backend, a)
           : a->head_size <= 64 ? launch<64>(backend, a)
           : a->head_size <= 80 ? launch<80>(backend, a)
           : a->head_size <= 96 ? launch<96>(backend, a)
                                : launch<128>(backend, a);
}
