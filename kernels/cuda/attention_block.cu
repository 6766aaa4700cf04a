/* Attention over longer captions, 33 to 128 tokens, forward and backward in bf16; the formulas are
 * those of attention.cu and attention_backward.cu.
 *
 * Where a warp walks through such a caption by itself, it reads keys and values again for each tile
 * of queries, and backward has to compute each pair of tiles twice, for dq and for dk and dv: 450
 * KB through the caches for a head of 77 tokens, of which 79 must move. Here a block takes a head:
 * all of its rows are copied into shared memory at once, which has 20 KB (forward) and 50 KB
 * (backward) under way a block, and each warp takes a tile of 16 tokens.
 *
 * Forward, a warp takes a tile of queries and its keys one tile after the other. Backward, it takes
 * a tile of keys, whose dk and dv stand in its registers, and in turn s the queries of tile j + s,
 * if they see it: in no turn do two warps have the same queries, so that dq is added up in shared
 * memory, in fp32, in the order of the turns: no bit depends on which warp is faster. delta = dout
 * . out is summed once a row.
 *
 * Bytes that must move, a row: forward 4 width T and 4 heads for lse; backward 8 width T (`out`,
 * too) and 4 heads. ViT-L/14's text tower (12 heads of 64, bf16), 512 captions of 77 tokens: 245 MB
 * and 486 MB, 73 and 145 us at 3.35 TB/s. Flops: 9 GFLOP and 23 GFLOP in whole tiles, 15 and 38 us
 * at 600 TFLOP/s: memory decides.
 *
 * Instructions (counted in sm_90's code; tests/kernels/check_budgets.py holds them) of a block over
 * 77 tokens, against 4 for every 15 bytes: 7,320 of 10,600 forward, 15,840 of 21,100 backward, so
 * that 80% and 75% of the bandwidth leave nearly half of the issue slots.
 *
 * A block of 5 warps (77 tokens) shares a multiprocessor with two others, by its registers and by
 * its 61 KB of shared memory (backward); of more warps, with none at least. */
#include "attention_block.h"
#include "attention_backward_tiles.h"
#include "attention_forward_tile.h"

enum {
    COLUMNS = NC_BLOCK_CHUNKS * NC_CHUNK,
    PIECES = COLUMNS / 8, /* of 16 bytes, in a row */
    TILE_NUMBERS = NC_TILE * COLUMNS,
    CONTEXT_TILES = 5, /* of CLIP's 77 tokens */
};

/* ---- Shared memory ------------------------------------------------------------------------- */

/* A tile is [NC_TILE][COLUMNS] bf16. Every second row has its halves exchanged: the eight lanes
 * that read 16 bytes at a time are four from each of two rows, and meet all 32 banks. */
static __device__ __forceinline__ int place_of(int row, int piece)
{
    return row * COLUMNS + (piece ^ (row % 2 * 4)) * 8;
}

static __device__ __forceinline__ nc_chunk staged_chunk(const nc_bfloat16 *tile, int chunk)
{
    const nc_bfloat16 *at = tile + place_of(nc_lane() / 4, chunk * 4 + nc_lane() % 4);
    return {nc_load16(at), nc_load16(at + 8 * COLUMNS)};
}

/* Copies `count` rows of the head into whole tiles, zeros behind; `span`: of its path, else from
 * `first` on. */
static __device__ __forceinline__ void stage(nc_bfloat16 *to, const void *matrix, size_t stride,
                                             size_t column, const nc_span *span, int first,
                                             int count, int size)
{
    int rows = (count + NC_TILE - 1) / NC_TILE * NC_TILE;
    const nc_bfloat16 *from = static_cast<const nc_bfloat16 *>(matrix) + column;
    for (int i = static_cast<int>(threadIdx.x); i < rows * PIECES;
         i += static_cast<int>(blockDim.x)) {
        int n = i / PIECES, piece = i % PIECES;
        bool there = n < count && piece * 8 < size;
        int row = !there ? 0 : span ? nc_span_row(*span, n) : first + n;
        nc_cp_async16(to + place_of(n, piece),
                      from + (there ? static_cast<size_t>(row) * stride + piece * 8 : 0), there);
    }
}

/* ---- Forward -------------------------------------------------------------------------------- */

struct staged_keys {
    const nc_bfloat16 *keys, *values, *tile_of_keys, *tile_of_values;

    __device__ __forceinline__ void move_to(int token)
    {
        tile_of_keys = keys + token * COLUMNS;
        tile_of_values = values + token * COLUMNS;
    }
    __device__ __forceinline__ nc_chunk key(int chunk) const
    {
        return staged_chunk(tile_of_keys, chunk);
    }
    __device__ __forceinline__ nc_chunk value(int chunk) const
    {
        return staged_chunk(tile_of_values, chunk);
    }
};

static __global__ void __launch_bounds__(NC_BLOCK_TILES *NC_WARP, 2)
    attention_block_forward(nc_attention a, int most, int tiles)
{
    nc_take_turn();
    NC_SHARED(nc_bfloat16, shared);
    unsigned heads = static_cast<unsigned>(a.heads);
    int caption = static_cast<int>(blockIdx.x / heads);
    int head = static_cast<int>(blockIdx.x % heads), size = static_cast<int>(a.head_size);
    const nc_span span = nc_caption_span(a, caption);
    if (!nc_block_takes(span.tokens, most))
        return;
    size_t width = a.heads * a.head_size, column = static_cast<size_t>(head * size);
    staged_keys keys = {shared, shared + tiles * TILE_NUMBERS, shared, shared};
    stage(shared, a.qkv, 3 * width, width + column, &span, 0, span.tokens, size);
    stage(shared + tiles * TILE_NUMBERS, a.qkv, 3 * width, 2 * width + column, &span, 0,
          span.tokens, size);
    nc_cp_async_commit();
    nc_cp_async_wait<0>();
    nc_barrier();
    int first = static_cast<int>(threadIdx.x) / NC_WARP * NC_TILE;
    if (first < span.queries)
        nc_attend_tile<NC_BLOCK_CHUNKS>(a, span, head, first, size, keys);
}

/* ---- Backward ------------------------------------------------------------------------------- */

/* In shared memory, `tiles` tiles of each. dq has the numbers of a lane side by side. */
struct staged {
    nc_bfloat16 *q, *dout, *k, *v;
    float *dq; /* [tiles][NC_BLOCK_CHUNKS][4][NC_WARP][4]; before that, `out` */
    float *delta, *lse;
};

static __device__ __forceinline__ staged staged_in(nc_bfloat16 *memory, int tiles)
{
    int numbers = tiles * TILE_NUMBERS;
    float *dq = reinterpret_cast<float *>(memory + 4 * numbers);
    return {memory,           memory + numbers, memory + 2 * numbers,
            memory + 3 * numbers, dq,           dq + numbers,
            dq + numbers + tiles * NC_TILE};
}

static size_t backward_bytes(int tiles)
{
    return static_cast<size_t>(tiles) *
           (TILE_NUMBERS * (4 * sizeof(nc_bfloat16) + sizeof(float)) + 2 * NC_TILE * sizeof(float));
}

/* delta and lse (base 2) of all queries, where none is 0 and infinity; and zeros in dq. */
static __device__ __forceinline__ void prepare_rows(const nc_attention &a, const nc_work &w,
                                                    const staged &s)
{
    const nc_bfloat16 *out = reinterpret_cast<const nc_bfloat16 *>(s.dq);
    int rows = (w.span.queries + NC_TILE - 1) / NC_TILE * NC_TILE;
    int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    for (int n = thread / PIECES; n < rows; n += threads / PIECES) {
        float x[8], y[8], sum = 0;
        nc_unpack_bf16(x, nc_load16(s.dout + place_of(n, thread % PIECES)));
        nc_unpack_bf16(y, nc_load16(out + place_of(n, thread % PIECES)));
        for (int i = 0; i < 8; i++)
            sum += x[i] * y[i];
        for (int mask = PIECES / 2; mask; mask /= 2)
            sum += nc_shuffle_xor(sum, mask);
        if (thread % PIECES)
            continue;
        size_t at = static_cast<size_t>(w.span.output_row + n) * a.heads +
                    static_cast<size_t>(w.head);
        s.delta[n] = sum;
        s.lse[n] = n < w.span.queries ? a.lse[at] * NC_LOG2_E : INFINITY;
    }
    nc_barrier();
    for (int i = thread * 4; i < rows * COLUMNS; i += threads * 4) {
        const float zeros[4] = {0, 0, 0, 0};
        nc_store4(s.dq + i, zeros);
    }
}

static __device__ __forceinline__ float *dq_of(const staged &s, int tile, int chunk)
{
    return s.dq + ((tile * NC_BLOCK_CHUNKS + chunk) * 4 * NC_WARP + nc_lane()) * 4;
}

static __device__ __forceinline__ void load_dq(float dq[4][4], const float *from)
{
#pragma unroll
    for (int j = 0; j < 4; j++)
        nc_load4(dq[j], from + j * NC_WARP * 4);
}

/* Adds what the pair of query tile i and key tile j gives to dq, dk and dv. */
static __device__ __forceinline__ void add_pair(const nc_work &w, const staged &s, int i, int j,
                                                float dk[NC_BLOCK_CHUNKS][4][4],
                                                float dv[NC_BLOCK_CHUNKS][4][4])
{
    const nc_bfloat16 *q = s.q + i * TILE_NUMBERS, *dout = s.dout + i * TILE_NUMBERS;
    const nc_bfloat16 *k = s.k + j * TILE_NUMBERS, *v = s.v + j * TILE_NUMBERS;
    float p[2][4], dp[2][4], scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_clear(p);
    nc_clear(dp);
#pragma unroll 1
    for (int c = 0; c < NC_BLOCK_CHUNKS; c++) {
        nc_add_scores(p, staged_chunk(q, c), staged_chunk(k, c));
        nc_add_scores(dp, staged_chunk(dout, c), staged_chunk(v, c));
    }
    int row = i * NC_TILE + nc_lane() / 4;
    nc_queries queries = {};
    queries.lse[0] = s.lse[row];
    queries.lse[1] = s.lse[row + 8];
    queries.token = w.span.tokens - w.span.queries + i * NC_TILE;
    const float delta[2] = {s.delta[row], s.delta[row + 8]};
    nc_make_probabilities(p, queries, j * NC_TILE, scale);
    nc_coefficients of = nc_make_coefficients(p, dp, delta, scale);
#pragma unroll 1 /* registers are scarce: dk and dv take 64 of 128 */
    for (int c = 0; c < NC_BLOCK_CHUNKS; c++) {
        float dq[4][4], *at = dq_of(s, i, c);
        load_dq(dq, at);
        nc_add_columns(dq, of.ds, staged_chunk(k, c));
#pragma unroll
        for (int n = 0; n < 4; n++)
            nc_store4(at + n * NC_WARP * 4, dq[n]);
    }
    nc_transpose_coefficients(&of);
#pragma unroll
    for (int c = 0; c < NC_BLOCK_CHUNKS; c++) {
        nc_add_columns(dk[c], of.ds, staged_chunk(q, c));
        nc_add_columns(dv[c], of.p, staged_chunk(dout, c));
    }
}

/* WARPS: of a block at most. */
template <int WARPS>
static __global__ void __launch_bounds__(WARPS *NC_WARP, WARPS > CONTEXT_TILES ? 1 : 3)
    attention_block_backward(nc_attention a, nc_shared_rows shared, int most, int tiles)
{
    nc_take_turn();
    NC_SHARED(nc_bfloat16, memory);
    unsigned heads = static_cast<unsigned>(a.heads);
    nc_work w;
    w.caption = static_cast<int>(blockIdx.x / heads);
    w.head = static_cast<int>(blockIdx.x % heads);
    w.span = nc_caption_span(a, w.caption);
    w.place = a.path_start[w.caption];
    w.size = static_cast<int>(a.head_size);
    w.chunks = NC_BLOCK_CHUNKS;
    if (!nc_block_takes(w.span.tokens, most) || !w.span.queries)
        return;
    const staged s = staged_in(memory, tiles);
    size_t width = a.heads * a.head_size, column = static_cast<size_t>(w.head * w.size);
    int queries = w.span.queries, first_query = w.span.query_row, output = w.span.output_row;
    stage(s.dout, a.dout, width, column, NULL, output, queries, w.size);
    stage(reinterpret_cast<nc_bfloat16 *>(s.dq), a.out, width, column, NULL, output, queries,
          w.size);
    stage(s.q, a.qkv, 3 * width, column, NULL, first_query, queries, w.size);
    stage(s.k, a.qkv, 3 * width, width + column, &w.span, 0, w.span.tokens, w.size);
    stage(s.v, a.qkv, 3 * width, 2 * width + column, &w.span, 0, w.span.tokens, w.size);
    nc_cp_async_commit();
    nc_cp_async_wait<0>();
    nc_barrier();
    prepare_rows(a, w, s);
    nc_barrier();

    const int j = nc_kept(static_cast<int>(threadIdx.x) / NC_WARP); /* this warp's tile of keys */
    int key_tiles = (w.span.tokens + NC_TILE - 1) / NC_TILE;
    int earlier = w.span.tokens - queries;
    float dk[NC_BLOCK_CHUNKS][4][4], dv[NC_BLOCK_CHUNKS][4][4];
#pragma unroll
    for (int c = 0; c < NC_BLOCK_CHUNKS; c++) {
        nc_clear(dk[c]);
        nc_clear(dv[c]);
    }
    /* There are as many tiles of queries at most. Bounds are compared in tokens: sm_100 has no
     * register for the number of tiles of queries. */
#pragma unroll 1
    for (int turn = 0; turn * NC_TILE < w.span.tokens; turn++) {
        int i = j + turn < key_tiles ? j + turn : j + turn - key_tiles;
        bool sees = i * NC_TILE < queries && j * NC_TILE <= earlier + i * NC_TILE + NC_TILE - 1;
        if (j < key_tiles && sees)
            add_pair(w, s, i, j, dk, dv);
        nc_barrier(); /* before others add to the same dq */
    }

    nc_matrices m = nc_matrices_of(a, w);
    if (j < key_tiles) {
        nc_keys keys = nc_keys_at(
            shared, w, nc_token_rows(w.span, m.stride, m.column, j * NC_TILE), j * NC_TILE);
#pragma unroll
        for (int c = 0; c < NC_BLOCK_CHUNKS; c++) {
            nc_put_key(a, shared, w, m, keys, 1, c, dk[c]);
            nc_put_key(a, shared, w, m, keys, 2, c, dv[c]);
        }
    }
    if (j * NC_TILE < queries) {
        nc_queries q = nc_queries_at(a, w, m, j * NC_TILE);
#pragma unroll
        for (int c = 0; c < NC_BLOCK_CHUNKS; c++) {
            float dq[4][4];
            load_dq(dq, dq_of(s, j, c));
            nc_put_query(a, shared, w, m, q, c, dq);
        }
    }
}

/* ---- Launches ------------------------------------------------------------------------------- */

static int tiles_of(size_t tokens)
{
    return static_cast<int>((tokens + NC_TILE - 1) / NC_TILE);
}

/* Where only last queries are computed there is one tile of queries, and a warp does. */
int nc_block_most(const struct nc_backend *backend, const nc_attention *a, bool backward)
{
    if (a->longest < NC_BLOCK_LEAST || a->head_size > COLUMNS || a->last_only ||
        a->captions * a->heads > INT32_MAX)
        return 0;
    int tiles = tiles_of(a->longest);
    tiles = tiles < NC_BLOCK_TILES ? tiles : static_cast<int>(NC_BLOCK_TILES);
    while (backward && backward_bytes(tiles) > backend->shared_bytes)
        tiles--;
    return tiles * NC_TILE;
}

int nc_block_forward(struct nc_backend *backend, const nc_attention *a, int most)
{
    int tiles = most / NC_TILE;
    size_t bytes = static_cast<size_t>(tiles) * TILE_NUMBERS * 2 * sizeof(nc_bfloat16);
    return NC_LAUNCH_EARLY(backend, attention_block_forward,
                           static_cast<unsigned>(a->captions * a->heads),
                           static_cast<unsigned>(tiles * NC_WARP), bytes, *a, most, tiles);
}

int nc_block_backward(struct nc_backend *backend, const nc_attention *a,
                      const nc_shared_rows *shared, int most)
{
    int tiles = most / NC_TILE;
    auto *attention_backward_in_blocks = tiles <= CONTEXT_TILES
                                             ? attention_block_backward<CONTEXT_TILES>
                                             : attention_block_backward<NC_BLOCK_TILES>;
    return NC_LAUNCH_EARLY(
        backend, attention_backward_in_blocks, static_cast<unsigned>(a->captions * a->heads),
        static_cast<unsigned>(tiles * NC_WARP), backward_bytes(tiles), *a, *shared, most, tiles);
}
