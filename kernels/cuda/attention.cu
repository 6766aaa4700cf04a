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
 * 1,070 of 2,730. 120 registers: 16 warps a multiprocessor, 6 KiB each under way. Captions of 33 to
 * 128 tokens are attention_block.cu's.
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
#include "attention_block.h"
#include "attention_forward_tile.h"
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

/* SIZE: of the head, if that is known to the compiler, or 0. most: of the captions that
 * attention_block.cu takes; 0: none. */
template <int CHUNKS, int SIZE>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, CHUNKS <= 2 ? 4 : 2)
    forward_bf16(nc_attention a, int most)
{
    nc_take_turn();
    int size = SIZE ? SIZE : static_cast<int>(a.head_size);
    int caption, head;
    if (!a.last_only && nc_zero_padding(a, a.out, a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_caption_of_warp(a, &caption, &head))
        return;
    nc_span span = nc_caption_span(a, caption);
    if (a.last_only && !span.tokens && blockIdx.z == 0)
        write_nothing<nc_bfloat16>(a, caption, head);
    if (most && nc_block_takes(span.tokens, most))
        return;
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
    int end = first + NC_ATTENTION_SPAN < span.queries ? first + NC_ATTENTION_SPAN : span.queries;
    for (; first < end; first += NC_TILE)
        nc_attend_tile<CHUNKS>(a, span, head, first, size, nc_keys_in_memory(a, span, head, size));
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
    auto *attention_bf16 =
        a->head_size == SIZE ? forward_bf16<CHUNKS, SIZE> : forward_bf16<CHUNKS, 0>;
    int most = nc_block_most(backend, a, false);
    int status = NC_LAUNCH_EARLY(backend, attention_bf16, nc_attention_grid(a),
                                 NC_ATTENTION_THREADS, 0, *a, most);
    return status == NC_OK && most ? nc_block_forward(backend, a, most) : status;
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
