/* Causal attention over packed captions, backward (Dao 2023, FlashAttention-2, algorithm 2).
 *
 *     p  = exp(q k^T scale - lse)              the probabilities, once more
 *     dv = p^T dout         dp = dout v^T
 *     ds = p (dp - delta)                      delta = sum over keys of p dp = dout . out
 *     dq = scale ds k       dk = scale ds^T q
 *
 * Bytes that must move, a row: 7 width T (query, key, value, dout read; their gradients
 * written) and 4 heads for lse. Flops: 10 head_size for each pair of a query and a key that it
 * sees. ViT-L/14's text tower (12 heads of 64, bf16), 512 captions, 6,800 rows: 73 MB, 22 us at
 * 3.35 TB/s, and 2 GFLOP in whole tiles, 3.5 us at 600 TFLOP/s: memory decides.
 *
 * Instructions (counted in sm_90's code) against what may be issued while the bytes move, 4 for
 * every 15 bytes (attention.h): a caption of 16 tokens 670 of 3,820 for each head, of 20 tokens
 * 2,200 of 4,780, of 20 tokens with 6 that others brought 1,380 of 3,340. 128 registers: 16 warps a
 * multiprocessor, 8 KiB each under way, whatever else the batch holds.
 *
 * attention_backward_tiles.h computes one tile (attention.h) of queries with one of keys,
 * attention_backward_short.h captions of few tiles, attention_block.cu those of up to 128 tokens,
 * attention_backward_long.h longer ones and larger heads, each in a kernel of its own.
 * attention_shared_rows.cu sums the gradients of rows that captions share. fp32, the reference
 * precision, has kernels of its own: attention_backward_fp32.cu. */
#include "attention_backward_long.h"
#include "attention_backward_short.h"
#include "attention_block.h"
#include "attention_unmasked.h"

enum {
    SHORT = 2 * NC_TILE, /* tokens */
    SHORT_CHUNKS = 2,    /* of a head: 64 */
};

/* Captions of up to SHORT tokens. SIZE: of the head, if that is known to the compiler, or 0. */
template <int SIZE>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 4)
    attention_backward_short(nc_attention a, nc_shared_rows shared)
{
    nc_take_turn();
    nc_work w;
    if (nc_zero_padding(a, a.dqkv, 3 * a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_work_of_warp(a, &w))
        return;
    if (SIZE) {
        w.size = SIZE;
        w.chunks = SIZE / NC_CHUNK;
    }
    nc_matrices m = nc_matrices_of(a, w);
    if (w.span.tokens > SHORT)
        return;
    if (w.span.tokens <= NC_TILE)
        nc_short_caption<1, 1, SHORT_CHUNKS>(a, shared, w, m);
    else if (w.span.queries <= NC_TILE)
        nc_short_caption<1, 2, SHORT_CHUNKS>(a, shared, w, m);
    else
        nc_short_caption<2, 2, SHORT_CHUNKS>(a, shared, w, m);
}

/* Those of more than `others` tokens; the kernel for them zeroes the padding, if it is launched. */
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 3)
    attention_backward_long(nc_attention a, nc_shared_rows shared, int others)
{
    nc_take_turn();
    nc_work w;
    if (nc_zero_padding(a, a.dqkv, 3 * a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_work_of_warp(a, &w) || w.span.tokens <= others)
        return;
    nc_long_caption(a, shared, w, nc_matrices_of(a, w));
}

/* ---- Launch ------------------------------------------------------------------------------- */

/* Short captions, longer ones and very long ones each in a launch of their own, which the batch may
 * not need: one caption of 40 tokens does not take the others to a kernel with fewer warps. */
static int launch(struct nc_backend *backend, const nc_attention *a, const nc_shared_rows *shared)
{
    bool small_heads = a->head_size <= SHORT_CHUNKS * NC_CHUNK;
    int others = small_heads ? SHORT : 0, most = nc_block_most(backend, a, true), status = NC_OK;
    if (small_heads) {
        auto *attention_backward =
            a->head_size == 64 ? attention_backward_short<64> : attention_backward_short<0>;
        nc_attention one_layer = *a;
        one_layer.longest = 1;
        status = NC_LAUNCH_EARLY(backend, attention_backward, nc_attention_grid(&one_layer),
                                 NC_ATTENTION_THREADS, 0, *a, *shared);
    }
    if (status == NC_OK && most) {
        status = nc_block_backward(backend, a, shared, most);
        others = most;
    }
    if (status == NC_OK && a->longest > static_cast<size_t>(others))
        status = NC_LAUNCH_EARLY(backend, attention_backward_long, nc_attention_grid(a),
                                 NC_ATTENTION_THREADS, 0, *a, *shared, others);
    return status;
}

int nc_cuda_attention_backward(struct nc_backend *backend, const struct nc_attention *a)
{
    int status = nc_cuda_attention_check("attention_backward", a);
    if (status != NC_OK || !a->captions)
        return status;
    if (a->full && !a->last_only)
        return nc_cuda_attention_unmasked_backward(backend, a);
    size_t bytes;
    nc_shared_rows shared = nc_cuda_shared_rows(a, &bytes);
    if (a->repeated && !a->indexed)
        status = nc_cuda_index_shared_rows(backend, a, &shared);
    if (status == NC_OK)
        status = a->type == NC_FLOAT32 ? nc_cuda_attention_backward_fp32(backend, a, &shared)
                                       : launch(backend, a, &shared);
    if (status == NC_OK && a->repeated)
        status = nc_cuda_sum_shared_rows(backend, a, &shared);
    return status;
}
