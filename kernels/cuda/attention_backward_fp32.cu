/* Causal attention over packed captions, backward, in the reference precision; the formulas are
 * those of attention_backward.cu. A warp takes a head of a caption: four queries at a time with
 * the keys they see, then four keys at a time with the queries that see them; eight lanes hold a
 * row. Nothing is rounded on the way, and everything but the first read of a row comes from the
 * caches.
 *
 * Bytes that must move, a row: 32 width (query, key, value, out, dout read; gradients written).
 * 6,800 rows of width 768: 167 MB, 50 us at 3.35 TB/s. Flops: 14 head_size for each pair of a
 * query and a key (scores and dp twice, delta once a pair): 0.6 GFLOP, 10 us at 60 TFLOP/s. */
#include "attention_backward.h"
#include "attention_vectors.h"

/* The head's first element in row `row` of a matrix of `parts` times width columns. */
static __device__ __forceinline__ size_t element(const nc_attention &a, const nc_work &w, int row,
                                                 int parts, int part)
{
    size_t width = a.heads * a.head_size;
    return (static_cast<size_t>(row) * static_cast<size_t>(parts) + static_cast<size_t>(part)) *
               width +
           static_cast<size_t>(w.head * w.size);
}

/* Where dk of a token goes; dv stands `width` behind. `slot`: of nc_shared_rows. */
static __device__ __forceinline__ float *key_target(const nc_attention &a,
                                                    const nc_shared_rows &shared, const nc_work &w,
                                                    int token, int slot)
{
    if (slot >= 0)
        return shared.part + element(a, w, slot, 2, 0);
    return static_cast<float *>(a.dqkv) + element(a, w, nc_span_row(w.span, token), 3, 1);
}

/* Where dq of the n-th query goes; NULL: nowhere. */
static __device__ __forceinline__ float *query_target(const nc_attention &a,
                                                      const nc_shared_rows &shared,
                                                      const nc_work &w, int n)
{
    if (n >= w.span.queries)
        return NULL;
    if (a.last_only && shared.slot && shared.slot[w.place + w.span.tokens - 1] >= 0)
        return shared.dquery + element(a, w, w.caption, 1, 0);
    return static_cast<float *>(a.dqkv) + element(a, w, w.span.query_row + n, 3, 0);
}

/* = `factor` times the vector, where there is a row. */
template <int CHUNKS>
static __device__ __forceinline__ void put_vector(float *row, int size, const nc_vector<CHUNKS> &x,
                                                  float factor)
{
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int column = c * NC_CHUNK + nc_lane() % NC_ROW_LANES * 4;
        float four[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            four[i] = x.v[c][i] * factor;
        if (row && column < size)
            nc_store4(row + column, four);
    }
}

/* The head's columns in row 0 of each matrix; dout and out from the caption's first query on. */
struct float_matrices {
    const float *query, *key, *value, *dout, *out;
    size_t width, stride;
};

template <int CHUNKS>
static __device__ __forceinline__ void
vector_queries(const nc_attention &a, const nc_shared_rows &shared, const nc_work &w,
               const float_matrices &m, int first)
{
    int n = first + nc_lane() / NC_ROW_LANES, earlier = w.span.tokens - w.span.queries;
    bool there = n < w.span.queries;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    size_t at = static_cast<size_t>(n);
    nc_vector<CHUNKS> q = nc_load_vector<CHUNKS>(
        there ? m.query + (static_cast<size_t>(w.span.query_row) + at) * m.stride : NULL, w.size);
    nc_vector<CHUNKS> d = nc_load_vector<CHUNKS>(there ? m.dout + at * m.width : NULL, w.size);
    nc_vector<CHUNKS> dq = nc_load_vector<CHUNKS>(there ? m.out + at * m.width : NULL, w.size);
    float delta = nc_dot(d, dq);
    float lse = there ? a.lse[(static_cast<size_t>(w.span.output_row) + at) * a.heads +
                              static_cast<size_t>(w.head)]
                      : 0;
    nc_fade_and_add(dq, 0, dq, 0);
    int end = earlier + first + NC_ROWS_A_WARP;
    end = end < w.span.tokens ? end : w.span.tokens;
#pragma unroll 1
    for (int j = 0; j < end; j++) {
        size_t row = static_cast<size_t>(nc_span_row(w.span, j)) * m.stride;
        nc_vector<CHUNKS> k = nc_load_vector<CHUNKS>(m.key + row, w.size);
        float score = nc_dot(q, k);
        float dp = nc_dot(d, nc_load_vector<CHUNKS>(m.value + row, w.size));
        float p = there && j <= earlier + n ? expf(score * scale - lse) : 0;
        nc_fade_and_add(dq, 1, k, p * (dp - delta));
    }
    put_vector(query_target(a, shared, w, n), w.size, dq, scale);
}

template <int CHUNKS>
static __device__ __forceinline__ void vector_keys(const nc_attention &a,
                                                   const nc_shared_rows &shared, const nc_work &w,
                                                   const float_matrices &m, int first)
{
    int token = first + nc_lane() / NC_ROW_LANES, earlier = w.span.tokens - w.span.queries;
    bool there = token < w.span.tokens;
    float scale = 1.0f / sqrtf(static_cast<float>(w.size));
    size_t row = there ? static_cast<size_t>(nc_span_row(w.span, token)) * m.stride : 0;
    nc_vector<CHUNKS> k = nc_load_vector<CHUNKS>(there ? m.key + row : NULL, w.size);
    nc_vector<CHUNKS> v = nc_load_vector<CHUNKS>(there ? m.value + row : NULL, w.size);
    nc_vector<CHUNKS> dk = nc_load_vector<CHUNKS>(NULL, w.size), dv = dk;
#pragma unroll 1
    for (int n = first > earlier ? first - earlier : 0; n < w.span.queries; n++) {
        size_t at = static_cast<size_t>(n);
        nc_vector<CHUNKS> d = nc_load_vector<CHUNKS>(m.dout + at * m.width, w.size);
        float delta = nc_dot(d, nc_load_vector<CHUNKS>(m.out + at * m.width, w.size));
        float lse = a.lse[(static_cast<size_t>(w.span.output_row) + at) * a.heads +
                          static_cast<size_t>(w.head)];
        nc_vector<CHUNKS> q = nc_load_vector<CHUNKS>(
            m.query + (static_cast<size_t>(w.span.query_row) + at) * m.stride, w.size);
        float score = nc_dot(q, k), dp = nc_dot(d, v);
        float p = there && token <= earlier + n ? expf(score * scale - lse) : 0;
        nc_fade_and_add(dv, 1, d, p);
        nc_fade_and_add(dk, 1, q, p * (dp - delta));
    }
    if (!there)
        return;
    int slot = shared.slot ? shared.slot[w.place + token] : -1;
    float *to = key_target(a, shared, w, token, slot);
    put_vector(to, w.size, dk, scale);
    put_vector(to + m.width, w.size, dv, 1);
    /* Where only last queries are computed, a row of this caption alone that is not its last has
     * no gradient of its query. */
    if (a.last_only && slot < 0 && token + 1 < w.span.tokens)
        put_vector(to - m.width, w.size, nc_load_vector<CHUNKS>(NULL, w.size), 1);
}

template <int CHUNKS>
static __global__ void __launch_bounds__(NC_ATTENTION_THREADS, 3)
    backward(nc_attention a, nc_shared_rows shared)
{
    nc_work w;
    if (nc_zero_padding(a, a.dqkv, 3 * a.heads * a.head_size * sizeof(float)))
        return;
    if (!nc_work_of_warp(a, &w))
        return;
    float_matrices m;
    m.width = a.heads * a.head_size;
    m.stride = 3 * m.width;
    m.query = static_cast<const float *>(a.qkv) + element(a, w, 0, 3, 0);
    m.key = m.query + m.width;
    m.value = m.key + m.width;
    m.dout = static_cast<const float *>(a.dout) + element(a, w, w.span.output_row, 1, 0);
    m.out = static_cast<const float *>(a.out) + element(a, w, w.span.output_row, 1, 0);
    int first = static_cast<int>(blockIdx.z) * NC_ATTENTION_SPAN;
#pragma unroll 1
    for (int i = first; i < nc_layer_end(w.span.queries); i += NC_ROWS_A_WARP)
        vector_queries<CHUNKS>(a, shared, w, m, i);
#pragma unroll 1
    for (int j = first; j < nc_layer_end(w.span.tokens); j += NC_ROWS_A_WARP)
        vector_keys<CHUNKS>(a, shared, w, m, j);
}

template <int CHUNKS>
static int launch(struct nc_backend *backend, const nc_attention *a, const nc_shared_rows *shared)
{
    return NC_LAUNCH(backward<CHUNKS>, nc_attention_grid(a), NC_ATTENTION_THREADS, 0,
                     backend->compute, *a, *shared);
}

int nc_cuda_attention_backward_fp32(struct nc_backend *backend, const nc_attention *a,
                                    const nc_shared_rows *shared)
{
    static int (*const launches[])(struct nc_backend *, const nc_attention *,
                                   const nc_shared_rows *) = {launch<1>, launch<2>, launch<3>,
                                                              launch<4>};
    return launches[(a->head_size - 1) / NC_CHUNK](backend, a, shared);
}
