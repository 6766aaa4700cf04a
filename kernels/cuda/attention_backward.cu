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
 * 3.35 TB/s, and with what is computed twice below 3 GFLOP in whole tiles, 5 us at 600 TFLOP/s:
 * memory decides, and products may be repeated where that saves a trip.
 *
 * Short captions, of up to two tiles (32 tokens: nearly all), are a warp's each, whole: first
 * queries, tile by tile, with all their keys at once, so that delta is summed from p dp and `out`
 * need not be read; then keys, tile by tile, with all their queries. The second half computes the
 * scores again as k q^T, since in that shape p^T and ds^T stand in registers as the products
 * after them want them, and reads what the first half read, from the L1 cache. Only p and ds are
 * held, as bf16, for both tiles; gradients are made 32 columns at a time, so that registers do
 * not grow with the head. One tile (half of all captions) is a case of its own: 8 KiB are under
 * way before its first product. 154 registers: 12 warps, 96 KiB, a multiprocessor.
 *
 * Longer captions hold the gradients of a tile, 64 columns at a time, and run over the others;
 * they read `out` for delta: 8 width T a row. Where there are none, they are compiled out.
 *
 * fp32, the reference precision, has kernels of its own: attention_backward_fp32.cu. */
#include "attention_backward.h"

enum {
    SHORT_TILES = 2,
    SHORT = SHORT_TILES * NC_TILE, /* tokens */
    TOGETHER = 2,                  /* chunks in registers at a time: all of a head of 64 */
};

static __device__ __forceinline__ void put8(nc_target<nc_bfloat16> to, size_t at, const float v[8])
{
    if (to.row)
        nc_store8_bf16(to.row + at, v);
    if (to.part) {
        nc_store4(to.part + at, v);
        nc_store4(to.part + at + 4, v + 4);
    }
}

/* ---- bf16: what both kernels do ---------------------------------------------------------------
 */

/* Where tiles of the caption's head lie, in places. Keys and values: of tokens, width and twice
 * that behind queries. */
struct matrices {
    const nc_bfloat16 *qkv, *dout, *out;
    uint32_t width, column;
};

static __device__ __forceinline__ matrices matrices_of(const nc_attention &a, const nc_work &w)
{
    return {static_cast<const nc_bfloat16 *>(a.qkv), static_cast<const nc_bfloat16 *>(a.dout),
            static_cast<const nc_bfloat16 *>(a.out),
            static_cast<uint32_t>(a.heads * a.head_size / 4),
            static_cast<uint32_t>(w.head * w.size / 4)};
}

/* lse of the n-th query in base 2; infinite behind the last, which makes its p 0. */
static __device__ __forceinline__ float lse_of(const nc_attention &a, const nc_work &w, int n)
{
    if (n >= w.span.queries)
        return INFINITY;
    size_t row = static_cast<size_t>(w.span.output_row + n);
    return a.lse[row * a.heads + static_cast<size_t>(w.head)] * NC_LOG2_E;
}

static __device__ __forceinline__ float probability(float score, float scale, float lse, bool sees)
{
    return sees ? nc_exp2(score * scale - lse) : 0;
}

static __device__ __forceinline__ void clear_scores(float tile[2][4])
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        tile[i / 4][i % 4] = 0;
}

/* dq, columns of one chunk, of queries g and g + 8 of the tile at `first`. */
static __device__ __forceinline__ void put_queries(const nc_attention &a,
                                                   const nc_shared_rows &shared, const nc_work &w,
                                                   int first, int chunk, float scale,
                                                   const float dq[4][4])
{
    int column = chunk * NC_CHUNK + nc_lane() % 4 * 8;
#pragma unroll
    for (int high = 0; high < 2; high++) {
        int n = first + nc_lane() / 4 + 8 * high;
        float v[8];
        nc_take_row(v, dq, high, scale);
        if (column < w.size)
            put8(nc_query_target<nc_bfloat16>(a, shared, w, n), static_cast<size_t>(column), v);
    }
}

/* dk and dv likewise, of the tokens at `first`. */
static __device__ __forceinline__ void put_keys(const nc_attention &a, const nc_shared_rows &shared,
                                                const nc_work &w, int first, int chunk, float scale,
                                                const float dk[4][4], const float dv[4][4])
{
    int column = chunk * NC_CHUNK + nc_lane() % 4 * 8;
    size_t at = static_cast<size_t>(column);
#pragma unroll
    for (int high = 0; high < 2; high++) {
        int token = first + nc_lane() / 4 + 8 * high;
        float v[8];
        if (column >= w.size)
            continue;
        nc_target<nc_bfloat16> to = nc_key_target<nc_bfloat16>(a, shared, w, token);
        nc_take_row(v, dk, high, scale);
        put8(to, at, v);
        nc_take_row(v, dv, high, 1);
        put8(to, at + a.heads * a.head_size, v);
        if (nc_lacks_query(a, w, to, token))
            nc_store16(to.row - a.heads * a.head_size + at, {{0, 0, 0, 0}});
    }
}

/* ---- bf16: short captions -----------------------------------------------------------------------
 */

/* A warp's shared memory: lse and delta of all queries, which the second half wants by columns. */
struct statistics {
    float lse[SHORT], delta[SHORT];
};

/* dq of queries first .. first + 15, whose keys are all in TILES tiles. */
template <int TILES>
static __device__ __forceinline__ void short_queries(const nc_attention &a,
                                                     const nc_shared_rows &shared, const nc_work &w,
                                                     const matrices &m, int first, statistics *s)
{
    constexpr int together = TILES == 1 ? TOGETHER : 1;
    int g = nc_lane() / 4, t = nc_lane() % 4, earlier = w.span.tokens - w.span.queries;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_rows query = nc_query_rows(w.span, w.span.query_row, 3 * m.width, m.column, first);
    nc_rows dout = nc_query_rows(w.span, w.span.output_row, m.width, m.column, first);
    float lse[2] = {lse_of(a, w, first + g), lse_of(a, w, first + g + 8)}, delta[2] = {0, 0};
    float p[TILES][2][4], dp[TILES][2][4];
#pragma unroll
    for (int j = 0; j < TILES; j++) {
        clear_scores(p[j]);
        clear_scores(dp[j]);
    }
#pragma unroll 1
    for (int pair = 0; pair < w.chunks; pair += together) {
#pragma unroll
        for (int c = pair; c < pair + together; c++) {
            nc_by_rows q = nc_load_rows(m.qkv, query, 0, c, w.size),
                       d = nc_load_rows(m.dout, dout, 0, c, w.size);
#pragma unroll
            for (int j = 0; j < TILES; j++) {
                nc_rows key = nc_token_rows(w.span, 3 * m.width, m.column, j * NC_TILE);
                nc_add_scores(p[j], q, nc_load_rows(m.qkv, key, m.width, c, w.size));
                nc_add_scores(dp[j], d, nc_load_rows(m.qkv, key, 2 * m.width, c, w.size));
            }
        }
    }
#pragma unroll
    for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int high = i / 2 % 2;
            bool sees = j * NC_TILE + i / 4 * 8 + 2 * t + i % 2 <= earlier + first + g + 8 * high;
            float *x = &p[j][i / 4][i % 4];
            *x = probability(*x, scale * NC_LOG2_E, lse[high], sees);
            delta[high] += *x * dp[j][i / 4][i % 4];
        }
#pragma unroll
    for (int high = 0; high < 2; high++) {
        delta[high] = nc_row_sum(delta[high]);
        if (t == 0) {
            s->lse[first + g + 8 * high] = lse[high];
            s->delta[first + g + 8 * high] = delta[high];
        }
    }
    uint32_t ds[TILES][4];
#pragma unroll
    for (int j = 0; j < TILES; j++) {
#pragma unroll
        for (int i = 0; i < 8; i++)
            p[j][i / 4][i % 4] *= dp[j][i / 4][i % 4] - delta[i / 2 % 2];
        nc_make_left(ds[j], p[j]);
    }
#pragma unroll 1
    for (int c = 0; c < w.chunks; c++) {
        float dq[4][4];
        nc_clear(dq);
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            nc_columns key = nc_token_columns(w.span, 3 * m.width, m.column, j * NC_TILE);
            nc_add_columns(dq, ds[j], nc_load_by_columns(m.qkv, key, m.width, c, w.size));
        }
        put_queries(a, shared, w, first, c, scale, dq);
    }
}

/* dk and dv of keys first .. first + 15, whose queries are all in TILES tiles. */
template <int TILES>
static __device__ __forceinline__ void short_keys(const nc_attention &a,
                                                  const nc_shared_rows &shared, const nc_work &w,
                                                  const matrices &m, int first, const statistics *s)
{
    constexpr int together = TILES == 1 ? TOGETHER : 1;
    int g = nc_lane() / 4, t = nc_lane() % 4, earlier = w.span.tokens - w.span.queries;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_rows key = nc_token_rows(w.span, 3 * m.width, m.column, first);
    float p[TILES][2][4], dp[TILES][2][4];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        clear_scores(p[i]);
        clear_scores(dp[i]);
    }
#pragma unroll 1
    for (int pair = 0; pair < w.chunks; pair += together) {
#pragma unroll
        for (int c = pair; c < pair + together; c++) {
            nc_by_rows k = nc_load_rows(m.qkv, key, m.width, c, w.size),
                       v = nc_load_rows(m.qkv, key, 2 * m.width, c, w.size);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                int n = i * NC_TILE;
                nc_rows query = nc_query_rows(w.span, w.span.query_row, 3 * m.width, m.column, n);
                nc_rows dout = nc_query_rows(w.span, w.span.output_row, m.width, m.column, n);
                nc_add_scores(p[i], k, nc_load_rows(m.qkv, query, 0, c, w.size));
                nc_add_scores(dp[i], v, nc_load_rows(m.dout, dout, 0, c, w.size));
            }
        }
    }
    uint32_t ps[TILES][4], ds[TILES][4];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int e = 0; e < 8; e++) {
            int n = i * NC_TILE + e / 4 * 8 + 2 * t + e % 2;
            bool sees = first + g + e / 2 % 2 * 8 <= earlier + n;
            float *x = &p[i][e / 4][e % 4], *y = &dp[i][e / 4][e % 4];
            *x = probability(*x, scale * NC_LOG2_E, s->lse[n], sees);
            *y = *x * (*y - s->delta[n]);
        }
        nc_make_left(ps[i], p[i]);
        nc_make_left(ds[i], dp[i]);
    }
#pragma unroll 1
    for (int c = 0; c < w.chunks; c++) {
        float dk[4][4], dv[4][4];
        nc_clear(dk);
        nc_clear(dv);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            int n = i * NC_TILE;
            nc_columns query = nc_query_columns(w.span, w.span.query_row, 3 * m.width, m.column, n);
            nc_columns dout = nc_query_columns(w.span, w.span.output_row, m.width, m.column, n);
            nc_add_columns(dv, ps[i], nc_load_by_columns(m.dout, dout, 0, c, w.size));
            nc_add_columns(dk, ds[i], nc_load_by_columns(m.qkv, query, 0, c, w.size));
        }
        put_keys(a, shared, w, first, c, scale, dk, dv);
    }
}

template <int TILES>
static __device__ __forceinline__ void short_caption(const nc_attention &a,
                                                     const nc_shared_rows &shared, const nc_work &w,
                                                     const matrices &m, statistics *s)
{
#pragma unroll 1
    for (int i = 0; i < TILES * NC_TILE; i += NC_TILE)
        if (i < w.span.queries)
            short_queries<TILES>(a, shared, w, m, i, s);
        else if (nc_lane() < NC_TILE) {
            s->lse[i + nc_lane()] = INFINITY;
            s->delta[i + nc_lane()] = 0;
        }
    nc_warp_barrier();
#pragma unroll 1
    for (int j = 0; j < w.span.tokens; j += NC_TILE)
        short_keys<TILES>(a, shared, w, m, j, s);
}

/* ---- bf16: long captions ------------------------------------------------------------ */

/* This lane's part of dout . out over the chunk, for rows g and g + 8. */
static __device__ __forceinline__ void add_delta(float delta[2], const nc_by_rows &dout,
                                                 const nc_by_rows &out)
{
    float x[8], y[8];
    nc_unpack_bf16(x, dout.low);
    nc_unpack_bf16(y, out.low);
#pragma unroll
    for (int i = 0; i < 8; i++)
        delta[0] += x[i] * y[i];
    nc_unpack_bf16(x, dout.high);
    nc_unpack_bf16(y, out.high);
#pragma unroll
    for (int i = 0; i < 8; i++)
        delta[1] += x[i] * y[i];
}

static __device__ __forceinline__ void long_queries(const nc_attention &a,
                                                    const nc_shared_rows &shared, const nc_work &w,
                                                    const matrices &m, int first, int chunk)
{
    int g = nc_lane() / 4, t = nc_lane() % 4;
    int query_token = w.span.tokens - w.span.queries + first;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_rows query = nc_query_rows(w.span, w.span.query_row, 3 * m.width, m.column, first);
    nc_rows dout = nc_query_rows(w.span, w.span.output_row, m.width, m.column, first);
    nc_rows out = nc_query_rows(w.span, w.span.output_row, m.width, m.column, first);
    float lse[2] = {lse_of(a, w, first + g), lse_of(a, w, first + g + 8)}, delta[2] = {0, 0};
#pragma unroll 1
    for (int c = 0; c < w.chunks; c++)
        add_delta(delta, nc_load_rows(m.dout, dout, 0, c, w.size),
                  nc_load_rows(m.out, out, 0, c, w.size));
    delta[0] = nc_row_sum(delta[0]);
    delta[1] = nc_row_sum(delta[1]);
    float dq[TOGETHER][4][4];
#pragma unroll
    for (int c = 0; c < TOGETHER; c++)
        nc_clear(dq[c]);
#pragma unroll 1
    for (int j = 0; j < w.span.tokens && j < query_token + NC_TILE; j += NC_TILE) {
        nc_rows key = nc_token_rows(w.span, 3 * m.width, m.column, j);
        float p[2][4], dp[2][4];
        clear_scores(p);
        clear_scores(dp);
#pragma unroll 1
        for (int c = 0; c < w.chunks; c++) {
            nc_add_scores(p, nc_load_rows(m.qkv, query, 0, c, w.size),
                          nc_load_rows(m.qkv, key, m.width, c, w.size));
            nc_add_scores(dp, nc_load_rows(m.dout, dout, 0, c, w.size),
                          nc_load_rows(m.qkv, key, 2 * m.width, c, w.size));
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int high = i / 2 % 2;
            bool sees = j + i / 4 * 8 + 2 * t + i % 2 <= query_token + g + 8 * high;
            float x = probability(p[i / 4][i % 4], scale * NC_LOG2_E, lse[high], sees);
            p[i / 4][i % 4] = x * (dp[i / 4][i % 4] - delta[high]);
        }
        uint32_t ds[4];
        nc_make_left(ds, p);
        nc_columns keys = nc_token_columns(w.span, 3 * m.width, m.column, j);
#pragma unroll
        for (int c = 0; c < TOGETHER; c++)
            nc_add_columns(dq[c], ds, nc_load_by_columns(m.qkv, keys, m.width, chunk + c, w.size));
    }
#pragma unroll
    for (int c = 0; c < TOGETHER; c++)
        put_queries(a, shared, w, first, chunk + c, scale, dq[c]);
}

static __device__ __forceinline__ void long_keys(const nc_attention &a,
                                                 const nc_shared_rows &shared, const nc_work &w,
                                                 const matrices &m, int first, int chunk)
{
    int g = nc_lane() / 4, t = nc_lane() % 4, earlier = w.span.tokens - w.span.queries;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    nc_rows key = nc_token_rows(w.span, 3 * m.width, m.column, first);
    float dk[TOGETHER][4][4], dv[TOGETHER][4][4];
#pragma unroll
    for (int c = 0; c < TOGETHER; c++) {
        nc_clear(dk[c]);
        nc_clear(dv[c]);
    }
#pragma unroll 1
    for (int n = first > earlier ? (first - earlier) / NC_TILE * NC_TILE : 0; n < w.span.queries;
         n += NC_TILE) {
        nc_rows query = nc_query_rows(w.span, w.span.query_row, 3 * m.width, m.column, n);
        nc_rows dout = nc_query_rows(w.span, w.span.output_row, m.width, m.column, n);
        nc_rows out = nc_query_rows(w.span, w.span.output_row, m.width, m.column, n);
        float p[2][4], dp[2][4], delta[2] = {0, 0};
        clear_scores(p);
        clear_scores(dp);
#pragma unroll 1
        for (int c = 0; c < w.chunks; c++) {
            nc_by_rows d = nc_load_rows(m.dout, dout, 0, c, w.size);
            nc_add_scores(p, nc_load_rows(m.qkv, key, m.width, c, w.size),
                          nc_load_rows(m.qkv, query, 0, c, w.size));
            nc_add_scores(dp, nc_load_rows(m.qkv, key, 2 * m.width, c, w.size), d);
            add_delta(delta, d, nc_load_rows(m.out, out, 0, c, w.size));
        }
        delta[0] = nc_row_sum(delta[0]);
        delta[1] = nc_row_sum(delta[1]);
#pragma unroll
        for (int half = 0; half < 2; half++) /* queries n .. n + 7, then the others */
#pragma unroll
            for (int odd = 0; odd < 2; odd++) {
                int column = 2 * t + odd;
                float lse = lse_of(a, w, n + 8 * half + column);
                float its_delta = nc_shuffle(delta[half], 4 * column);
#pragma unroll
                for (int high = 0; high < 2; high++) {
                    bool sees = first + g + 8 * high <= earlier + n + 8 * half + column;
                    float *x = &p[half][2 * high + odd], *y = &dp[half][2 * high + odd];
                    *x = probability(*x, scale * NC_LOG2_E, lse, sees);
                    *y = *x * (*y - its_delta);
                }
            }
        uint32_t ps[4], ds[4];
        nc_make_left(ps, p);
        nc_make_left(ds, dp);
        nc_columns douts = nc_query_columns(w.span, w.span.output_row, m.width, m.column, n);
#pragma unroll
        for (int c = 0; c < TOGETHER; c++)
            nc_add_columns(dv[c], ps, nc_load_by_columns(m.dout, douts, 0, chunk + c, w.size));
        nc_columns queries = nc_query_columns(w.span, w.span.query_row, 3 * m.width, m.column, n);
#pragma unroll
        for (int c = 0; c < TOGETHER; c++)
            nc_add_columns(dk[c], ds, nc_load_by_columns(m.qkv, queries, 0, chunk + c, w.size));
    }
#pragma unroll
    for (int c = 0; c < TOGETHER; c++)
        put_keys(a, shared, w, first, chunk + c, scale, dk[c], dv[c]);
}

/* Blocks a multiprocessor: sm_80's long captions spill a register where there are three. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
enum { LONG_BLOCKS = 2 };
#else
enum { LONG_BLOCKS = 3 };
#endif

/* LONG: there may be captions of more than SHORT tokens. Of short ones there is one layer. */
template <bool LONG>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, LONG ? LONG_BLOCKS : 3)
    backward(nc_attention a, nc_shared_rows shared)
{
    NC_SHARED(statistics, all);
    nc_work w;
    if (nc_zero_padding(a, a.dqkv, 3 * a.heads * a.head_size * sizeof(nc_bfloat16)))
        return;
    if (!nc_work_of_warp(a, &w))
        return;
    matrices m = matrices_of(a, w);
    if (LONG && w.span.tokens > SHORT) {
        int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
#pragma unroll 1
        for (int i = first; i < nc_layer_end(w.span.queries); i += NC_TILE)
            for (int chunk = 0; chunk < w.chunks; chunk += TOGETHER)
                long_queries(a, shared, w, m, i, chunk);
#pragma unroll 1
        for (int j = first; j < nc_layer_end(w.span.tokens); j += NC_TILE)
            for (int chunk = 0; chunk < w.chunks; chunk += TOGETHER)
                long_keys(a, shared, w, m, j, chunk);
    }
    statistics *s = all + threadIdx.x / NC_WARP;
    if (w.span.tokens > SHORT || blockIdx.z > 0)
        return;
    if (w.span.tokens <= NC_TILE)
        short_caption<1>(a, shared, w, m, s);
    else
        short_caption<SHORT_TILES>(a, shared, w, m, s);
}

/* ---- Launch ------------------------------------------------------------------------------- */

static int launch(struct nc_backend *backend, const nc_attention *a, const nc_shared_rows *shared)
{
    dim3 grid = nc_attention_grid(a);
    size_t bytes = NC_ATTENTION_WARPS * sizeof(statistics);
    return NC_LAUNCH(a->longest > SHORT ? backward<true> : backward<false>, grid,
                     NC_ATTENTION_THREADS, bytes, backend->compute, *a, *shared);
}

int nc_cuda_attention_backward(struct nc_backend *backend, const struct nc_attention *a)
{
    int status = nc_cuda_attention_check("attention_backward", a);
    if (status != NC_OK || !a->captions)
        return status;
    size_t bytes;
    nc_shared_rows shared = nc_cuda_shared_rows(a, &bytes);
    if (a->repeated)
        status = nc_cuda_index_shared_rows(backend, a, &shared);
    if (status == NC_OK)
        status = a->type == NC_FLOAT32 ? nc_cuda_attention_backward_fp32(backend, a, &shared)
                                       : launch(backend, a, &shared);
    if (status == NC_OK && a->repeated)
        status = nc_cuda_sum_shared_rows(backend, a, &shared);
    return status;
}
