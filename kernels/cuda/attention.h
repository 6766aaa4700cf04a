/* Helpers of attention's kernels: which rows a caption's head reads, and how tiles of 16 tokens
 * become operands of the tensor cores without passing through shared memory.
 *
 * One warp computes one head of one caption, independently of all other warps, so that there are
 * no barriers. Real captions have 13 to 20 tokens: a head's queries, keys and values are 16 x 64 or
 * 32 x 64 numbers, which fit the warp's registers.
 *
 * A chunk is 16 tokens x 32 columns. With g = lane / 4 and t = lane % 4, as in the PTX ISA's
 * figures of mma.m16n8k16, a lane holds columns 8 t .. 8 t + 7 of tokens g and g + 8 of a chunk:
 * two loads of 16 bytes, and the warp's loads cover runs of 64 bytes, whole sectors. The columns
 * of a product's two factors may be in any order that is the same for both. So these registers
 * serve unchanged as the left and the right factor of a product that sums over columns (q k^T,
 * dout v^T). Transposed in registers, 8 x 8 at a time, they are the right factor of a product that
 * sums over tokens (p v, ds k, p^T dout, ds^T q), whose result has the layout of the chunk again
 * and is stored 16 bytes at a time. A tile is read from memory once.
 *
 * Lanes for tokens behind a caption's last load the last token again. Their results are multiplied
 * by a probability of 0 or not stored. So no register must be cleared, no additional sector is
 * read, and no load waits for a branch.
 *
 * An H100 moves 3.35 TB/s, which is 15 bytes a cycle for each multiprocessor (132 at 1.7 GHz),
 * while it issues at most four warp instructions; 18 KiB a multiprocessor must be under way to
 * cover 0.7 us of latency. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_H
#define NCLIP_KERNELS_CUDA_ATTENTION_H

#include "cuda.h"

enum {
    NC_ATTENTION_WARPS = 4, /* heads of a block: 512 neighbouring bytes of a row at head size 64 */
    NC_ATTENTION_THREADS = NC_ATTENTION_WARPS * NC_WARP,
    NC_TILE = 16,            /* tokens of a tile, bf16 */
    NC_CHUNK = 32,           /* columns of a chunk */
    NC_ATTENTION_SPAN = 128, /* tokens of a caption that one warp takes; longer ones take several */
    NC_PADDING_BLOCKS = 64,  /* blocks that zero the rows behind the last caption's */
    NC_MOST_HEAD_SIZE = 128,
};

/* ---- Captions ------------------------------------------------------------------------ */

/* The tokens of one caption, or of one picture. The queries are the last `queries` of them. */
struct nc_span {
    const int32_t *path; /* rows of the tokens, or NULL: first_row, first_row + 1, ... */
    int first_row;
    int query_row;  /* row of the first query in qkv; the others follow it */
    int output_row; /* row of the first query in out, lse and dout */
    int tokens, queries;
};

static __device__ __forceinline__ int nc_span_row(const nc_span &span, int token)
{
    return span.path ? span.path[token] : span.first_row + token;
}

/* Without shared rows a path is its rows in order (packing.h) and need not be read. */
static __device__ __forceinline__ nc_span nc_caption_span(const nc_attention &a, int caption)
{
    int start = a.path_start[caption], first_own = a.row_start[caption];
    nc_span span;
    span.path = a.repeated ? a.path + start : NULL;
    span.first_row = start;
    span.tokens = a.path_start[caption + 1] - start;
    span.queries = a.row_start[caption + 1] - first_own;
    span.query_row = span.output_row = first_own;
    if (a.last_only) {
        span.queries = span.tokens > 0;
        span.output_row = caption;
        if (span.queries)
            span.query_row = nc_span_row(span, span.tokens - 1);
    }
    return span;
}

/* Blocks are numbered caption by caption, heads first, so that what runs at a time lies
 * together in memory; behind them come those that zero rows on no path. Which head of which
 * caption is this warp's? False: none. */
static __device__ __forceinline__ bool nc_caption_of_warp(const nc_attention &a, int *caption,
                                                          int *head)
{
    unsigned heads = static_cast<unsigned>(a.heads);
    unsigned groups = (heads + NC_ATTENTION_WARPS - 1) / NC_ATTENTION_WARPS;
    *caption = static_cast<int>(blockIdx.x / groups);
    *head = static_cast<int>(blockIdx.x % groups * NC_ATTENTION_WARPS + threadIdx.x / NC_WARP);
    return *caption < static_cast<int>(a.captions) && *head < static_cast<int>(heads);
}

/* In the blocks behind those of the captions: zeroes their share of the rows behind all captions,
 * and returns true. A batch may be padded to a size for which a graph was recorded. */
static __device__ __forceinline__ bool nc_zero_padding(const nc_attention &a, void *rows,
                                                       size_t row_bytes)
{
    size_t groups = (a.heads + NC_ATTENTION_WARPS - 1) / NC_ATTENTION_WARPS;
    size_t blocks = a.captions * groups;
    if (blockIdx.x < blocks)
        return false;
    size_t first = static_cast<size_t>(a.row_start[a.captions]) * row_bytes / 16;
    size_t part = (blockIdx.x - blocks) * NC_ATTENTION_THREADS + threadIdx.x;
    if (blockIdx.z == 0)
        for (size_t i = first + part; i < a.rows * row_bytes / 16;
             i += NC_PADDING_BLOCKS * NC_ATTENTION_THREADS)
            nc_store16(static_cast<char *>(rows) + i * 16, {{0, 0, 0, 0}});
    return true;
}

/* ---- Tiles of bf16 ------------------------------------------------------------------- */

/* Places in a matrix, and distances, are counted in units of four elements, in 32 bits: half
 * the registers of pointers, of which a tile needs many. The host refuses larger matrices. */
static __device__ __forceinline__ uint32_t nc_place(int row, uint32_t stride, uint32_t column)
{
    return static_cast<uint32_t>(row) * stride + column;
}

/* The places of this lane's columns of tokens g and g + 8 of a tile. */
struct nc_rows {
    uint32_t low, high;
};

struct nc_chunk {
    nc_bytes16 low, high;
};

/* Reads a tile. `part` is added to its places, in units of four elements: the distance of keys or
 * values from the queries. No thread writes the matrix meanwhile. */
static __device__ __forceinline__ nc_chunk nc_load_chunk(const nc_bfloat16 *matrix, nc_rows rows,
                                                         uint32_t part, int chunk, int size)
{
    if (chunk * NC_CHUNK + nc_lane() % 4 * 8 >= size)
        return {{{0, 0, 0, 0}}, {{0, 0, 0, 0}}};
    part += static_cast<uint32_t>(chunk * NC_CHUNK / 4);
    return {nc_load16_constant(matrix + static_cast<size_t>(rows.low + part) * 4),
            nc_load16_constant(matrix + static_cast<size_t>(rows.high + part) * 4)};
}

/* sum[16 tokens of left, 16 of right] += left right^T over the chunk; sum[n] are tokens
 * 8 n .. 8 n + 7 of right. */
static __device__ __forceinline__ void nc_add_scores(float sum[2][4], const nc_chunk &left,
                                                     const nc_chunk &right)
{
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        uint32_t a[4] = {left.low.word[half], left.high.word[half], left.low.word[half + 1],
                         left.high.word[half + 1]};
        uint32_t low[2] = {right.low.word[half], right.low.word[half + 1]};
        uint32_t high[2] = {right.high.word[half], right.high.word[half + 1]};
        nc_mma_bf16(sum[0], a, low);
        nc_mma_bf16(sum[1], a, high);
    }
}

/* A tile of scores, rounded, as the left factor of a product that sums over its columns. */
static __device__ __forceinline__ void nc_make_left(uint32_t left[4], const float tile[2][4])
{
    left[0] = nc_pack_bf16(tile[0][0], tile[0][1]);
    left[1] = nc_pack_bf16(tile[0][2], tile[0][3]);
    left[2] = nc_pack_bf16(tile[1][0], tile[1][1]);
    left[3] = nc_pack_bf16(tile[1][2], tile[1][3]);
}

/* The transposed tile, as a left factor. */
static __device__ __forceinline__ void nc_transpose_left(uint32_t left[4])
{
    uint32_t upper_right = left[2];
    left[0] = nc_transpose(left[0]);
    left[2] = nc_transpose(left[1]);
    left[1] = nc_transpose(upper_right);
    left[3] = nc_transpose(left[3]);
}

/* sum[16 rows of left, 32 columns] += left[16, 16 tokens] right. In sum[j], the lane holds
 * columns 8 t + 2 j and 8 t + 2 j + 1, of row g (the first two numbers) and row g + 8. */
static __device__ __forceinline__ void nc_add_columns(float sum[4][4], const uint32_t left[4],
                                                      const nc_chunk &right)
{
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t b[2] = {nc_transpose(right.low.word[j]), nc_transpose(right.high.word[j])};
        nc_mma_bf16(sum[j], left, b);
    }
}

/* The lane's eight columns, in order, of the low (0) or the high (1) row of such a sum. */
static __device__ __forceinline__ void nc_take_row(float v[8], const float sum[4][4], int high,
                                                   float factor)
{
#pragma unroll
    for (int j = 0; j < 4; j++) {
        v[2 * j] = sum[j][2 * high] * factor;
        v[2 * j + 1] = sum[j][2 * high + 1] * factor;
    }
}

/* A tile of the span's tokens from `first` on, in a matrix whose rows are `stride` apart;
 * `column` is the head's. */
static __device__ __forceinline__ nc_rows nc_token_rows(const nc_span &span, uint32_t stride,
                                                        uint32_t column, int first)
{
    int low = first + nc_lane() / 4, last = span.tokens - 1;
    column += static_cast<uint32_t>(nc_lane() % 4) * 2;
    return {nc_place(nc_span_row(span, min(low, last)), stride, column),
            nc_place(nc_span_row(span, min(low + 8, last)), stride, column)};
}

/* The same of queries, which follow each other from row `row` on. */
static __device__ __forceinline__ nc_rows nc_query_rows(const nc_span &span, int row,
                                                        uint32_t stride, uint32_t column, int first)
{
    int low = first + nc_lane() / 4, last = span.queries - 1;
    column += static_cast<uint32_t>(nc_lane() % 4) * 2;
    return {nc_place(row + min(low, last), stride, column),
            nc_place(row + min(low + 8, last), stride, column)};
}

/* Sum or largest over the four lanes that hold a row's scores. */
static __device__ __forceinline__ float nc_row_sum(float value)
{
    value += nc_shuffle_xor(value, 1);
    return value + nc_shuffle_xor(value, 2);
}

static __device__ __forceinline__ float nc_row_max(float value)
{
    value = fmaxf(value, nc_shuffle_xor(value, 1));
    return fmaxf(value, nc_shuffle_xor(value, 2));
}

template <int COUNT> static __device__ __forceinline__ void nc_clear(float (&tile)[COUNT][4])
{
#pragma unroll
    for (int i = 0; i < COUNT; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            tile[i][j] = 0;
}

/* ---- Host ------------------------------------------------------------------------------ */

/* Refuses what the kernels cannot do. */
int nc_cuda_head_check(const char *operation, enum nc_type type, size_t heads, size_t head_size);
int nc_cuda_attention_check(const char *operation, const nc_attention *a);

static inline size_t nc_attention_groups(const nc_attention *a)
{
    return (a->heads + NC_ATTENTION_WARPS - 1) / NC_ATTENTION_WARPS;
}

/* Warps for the captions' heads, and one more layer of them for every NC_ATTENTION_SPAN tokens. */
static inline dim3 nc_attention_grid(const nc_attention *a)
{
    size_t blocks = a->captions * nc_attention_groups(a) + NC_PADDING_BLOCKS;
    size_t spans = (a->longest + NC_ATTENTION_SPAN - 1) / NC_ATTENTION_SPAN;
    return dim3(static_cast<unsigned>(blocks), 1, static_cast<unsigned>(spans ? spans : 1));
}

#endif
