/* Attention's backward pass in bf16 for one tile of queries and one tile of keys: their
 * probabilities, their gradients, and where those are stored. attention_backward_short.h and
 * attention_backward_long.h build captions from such tiles. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_TILES_H
#define NCLIP_KERNELS_CUDA_ATTENTION_BACKWARD_TILES_H

#include "attention_backward.h"

/* Places in the matrices (attention.h). dqkv has those of qkv; keys and values stand width and
 * twice that behind queries. */
struct nc_matrices {
    const nc_bfloat16 *qkv, *dout, *out;
    uint32_t width, stride; /* of a row of dout, of qkv */
    uint32_t column;        /* of the head */
};

static __device__ __forceinline__ nc_matrices nc_matrices_of(const nc_attention &a,
                                                             const nc_work &w)
{
    uint32_t width = static_cast<uint32_t>(a.heads * a.head_size / 4);
    return {static_cast<const nc_bfloat16 *>(a.qkv),
            static_cast<const nc_bfloat16 *>(a.dout),
            static_cast<const nc_bfloat16 *>(a.out),
            width,
            3 * width,
            static_cast<uint32_t>(w.head * w.size / 4)};
}

/* ---- A tile of queries ---------------------------------------------------------------- */

struct nc_queries {
    nc_rows row, output; /* in qkv and dqkv; in dout and out */
    float lse[2];     /* base 2, of queries g and g + 8; infinite, which makes p 0, where none is */
    int first, token; /* of its first query: among the caption's queries, and tokens */
};

static __device__ __forceinline__ nc_queries nc_queries_at(const nc_attention &a, const nc_work &w,
                                                           const nc_matrices &m, int first)
{
    nc_queries q = {nc_query_rows(w.span, w.span.query_row, m.stride, m.column, first),
                    nc_query_rows(w.span, w.span.output_row, m.width, m.column, first),
                    {INFINITY, INFINITY},
                    first,
                    w.span.tokens - w.span.queries + first};
#pragma unroll
    for (int high = 0; high < 2; high++) {
        int n = first + nc_lane() / 4 + 8 * high;
        uint32_t at = nc_place(w.span.output_row + n, static_cast<uint32_t>(a.heads),
                               static_cast<uint32_t>(w.head));
        if (n < w.span.queries)
            q.lse[high] = a.lse[at] * NC_LOG2_E;
    }
    return q;
}

/* Scores with the keys from token `key` on become probabilities. */
static __device__ __forceinline__ void nc_make_probabilities(float score[2][4], const nc_queries &q,
                                                             int key, float scale)
{
    int last = q.token - key + nc_lane() / 4 - nc_lane() % 4 * 2; /* the last column to be seen */
#pragma unroll
    for (int e = 0; e < 8; e++) {
        float *p = &score[e / 4][e % 4];
        int high = e / 2 % 2;
        bool sees = e / 4 * 8 + e % 2 - 8 * high <= last;
        *p = sees ? nc_exp2(*p * (scale * NC_LOG2_E) - q.lse[high]) : 0;
    }
}

/* p and ds scale, rounded, as left factors: of products that sum over keys, until they are
 * transposed, then over queries. */
struct nc_coefficients {
    uint32_t p[4], ds[4];
};

static __device__ __forceinline__ nc_coefficients nc_make_coefficients(const float p[2][4],
                                                                       const float dp[2][4],
                                                                       const float delta[2],
                                                                       float scale)
{
    float ds[2][4];
    nc_coefficients of;
#pragma unroll
    for (int e = 0; e < 8; e++)
        ds[e / 4][e % 4] = p[e / 4][e % 4] * scale * (dp[e / 4][e % 4] - delta[e / 2 % 2]);
    nc_make_left(of.p, p);
    nc_make_left(of.ds, ds);
    return of;
}

static __device__ __forceinline__ void nc_transpose_coefficients(nc_coefficients *of)
{
    nc_transpose_left(of->p);
    nc_transpose_left(of->ds);
}

/* ---- Where gradients go ----------------------------------------------------------------- */

/* Eight columns of a gradient: to their place in dqkv or, where the row is shared, in `part`. */
static __device__ __forceinline__ void nc_put8(const nc_attention &a, uint32_t place, float *part,
                                               uint32_t place_in_part, bool is_shared, int chunk,
                                               const float sum[4][4], int high)
{
    float v[8];
    nc_take_row(v, sum, high, 1);
    if (is_shared) {
        part += static_cast<size_t>(place_in_part) * 4 + chunk * NC_CHUNK;
#pragma unroll
        for (int i = 0; i < 8; i += 2) /* as they stand in registers, without a copy */
            nc_store2(part + i, v + i);
    } else {
        nc_store8_bf16(static_cast<nc_bfloat16 *>(a.dqkv) + static_cast<size_t>(place) * 4 +
                           chunk * NC_CHUNK,
                       v);
    }
}

/* dq, columns of one chunk. */
static __device__ __forceinline__ void nc_put_query(const nc_attention &a,
                                                    const nc_shared_rows &shared, const nc_work &w,
                                                    const nc_matrices &m, const nc_queries &q,
                                                    int chunk, const float dq[4][4])
{
    int lane_column = nc_lane() % 4 * 8;
    if (chunk * NC_CHUNK + lane_column >= w.size)
        return;
    bool is_shared = a.last_only && shared.slot && shared.slot[w.place + w.span.tokens - 1] >= 0;
    uint32_t part = nc_place(w.caption, m.width, m.column) + static_cast<uint32_t>(lane_column / 4);
#pragma unroll
    for (int high = 0; high < 2; high++)
        if (q.first + nc_lane() / 4 + 8 * high < w.span.queries)
            nc_put8(a, high ? q.row.high : q.row.low, shared.dquery, part, is_shared, chunk, dq,
                    high);
}

/* A tile of keys: its places in qkv, and what nc_shared_rows says of tokens g and g + 8. */
struct nc_keys {
    nc_rows row;
    int left; /* tokens from its first one on */
    int slot[2];
};

static __device__ __forceinline__ nc_keys nc_keys_at(const nc_shared_rows &shared, const nc_work &w,
                                                     nc_rows row, int first)
{
    nc_keys k = {row, w.span.tokens - first, {-1, -1}};
#pragma unroll
    for (int high = 0; high < 2; high++) {
        int n = nc_lane() / 4 + 8 * high;
        if (shared.slot && n < k.left)
            k.slot[high] = shared.slot[w.place + first + n];
    }
    return k;
}

/* dk (part 1) or dv (part 2), columns of one chunk. */
static __device__ __forceinline__ void nc_put_key(const nc_attention &a,
                                                  const nc_shared_rows &shared, const nc_work &w,
                                                  const nc_matrices &m, const nc_keys &k, int part,
                                                  int chunk, const float sum[4][4])
{
    int lane_column = nc_lane() % 4 * 8;
    if (chunk * NC_CHUNK + lane_column >= w.size)
        return;
#pragma unroll
    for (int high = 0; high < 2; high++) {
        uint32_t place = high ? k.row.high : k.row.low, columns = lane_column / 4;
        uint32_t in_part = nc_place(2 * k.slot[high] + part - 1, m.width, m.column + columns);
        if (nc_lane() / 4 + 8 * high < k.left)
            nc_put8(a, place + static_cast<uint32_t>(part) * m.width, shared.part, in_part,
                    k.slot[high] >= 0, chunk, sum, high);
    }
}

/* Where only last queries are computed, a row of this caption alone that is not its last has no
 * gradient of its query. */
static __device__ __forceinline__ void nc_clear_queries(const nc_attention &a, const nc_work &w,
                                                        const nc_keys &k)
{
    if (!a.last_only)
        return;
#pragma unroll
    for (int high = 0; high < 2; high++)
        if (nc_lane() / 4 + 8 * high + 1 < k.left && k.slot[high] < 0)
            for (int column = nc_lane() % 4 * 8; column < w.size; column += NC_CHUNK)
                nc_store16(static_cast<nc_bfloat16 *>(a.dqkv) +
                               static_cast<size_t>(high ? k.row.high : k.row.low) * 4 + column -
                               nc_lane() % 4 * 8,
                           {{0, 0, 0, 0}});
}

#endif
