/* Chooses cuBLASLt's algorithm for a product.
 *
 * The library proposes some, its favourite first; they are timed once on the first call's numbers,
 * and the fastest is remembered for all row counts of one bucket (an eighth of a power of two).
 * Only those compete whose result equals the favourite's to the bit: whatever the clock says, the
 * same seed gives the same bits. Algorithms that add up with atomics are not asked for.
 * With NCLIP_GEMM_TIMING=0, and on a stream under capture, where waiting is not allowed, the
 * favourite is taken without timing. */
#include "cublaslt.h"

enum {
    REPEATS = 5,
    THREADS = 256,
    SMALLEST_BUCKET = 64, /* rows */
};

/* ---- Proposals ---------------------------------------------------------------------------- */

/* cuBLASLt's proposals for the shape of `entry`; none is no error. */
static int propose(struct nc_cuda_products *products, struct nc_lt_entry *entry,
                   const struct nc_cuda_product *p, cublasLtMatmulHeuristicResult_t *results)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t alignment = entry->shape.alignment;
    for (cublasLtMatmulPreferenceAttributes_t attribute : alignments)
        products->lt->cublasLtMatmulPreferenceSetAttribute(products->preference, attribute,
                                                           &alignment, sizeof alignment);
    const void *vector = entry->shape.bias ? p->bias : p->column_sums; /* for its alignment */
    if (entry->shape.bias || entry->summed)
        products->lt->cublasLtMatmulDescSetAttribute(
            entry->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof vector);
    int found = 0;
    cublasStatus_t status = products->lt->cublasLtMatmulAlgoGetHeuristic(
        products->handle, entry->operation, entry->a, entry->b, entry->d, entry->d,
        products->preference, NC_LT_CANDIDATES, results, &found);
    int usable = 0;
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < found; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS &&
            results[i].workspaceSize <= NC_LT_WORKSPACE)
            results[usable++] = results[i];
    return usable;
}

static bool fits(struct nc_cuda_products *products, struct nc_lt_entry *entry,
                 const cublasLtMatmulAlgo_t *algorithm)
{
    cublasLtMatmulHeuristicResult_t result;
    return products->lt->cublasLtMatmulAlgoCheck(products->handle, entry->operation, entry->a,
                                                 entry->b, entry->d, entry->d, algorithm,
                                                 &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= NC_LT_WORKSPACE;
}

/* ---- Timing ------------------------------------------------------------------------------- */

static size_t result_bytes(const struct nc_lt_shape *shape)
{
    size_t count = shape->kind == NC_FORWARD          ? shape->rows * shape->out
                   : shape->kind == NC_BACKWARD_INPUT ? shape->rows * shape->in
                                                      : shape->out * shape->in;
    return count * nc_type_size(shape->d_type);
}

static __global__ void __launch_bounds__(THREADS)
    differ_kernel(const uint16_t *a, const uint16_t *b, size_t count, int32_t *differ)
{
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < count;
         i += (size_t)gridDim.x * THREADS)
        if (a[i] != b[i]) {
            nc_atomic_max(differ, (int32_t)1);
            return;
        }
}

/* What timing needs: two results (each followed by its column sums), a flag, two events. */
struct arena {
    char *result[2];
    int32_t *differ;
    size_t sums_at, bytes;
    cudaEvent_t start, end;
};

static void arena_close(struct arena *arena)
{
    (void)cudaFree(arena->result[0]);
    (void)cudaFree(arena->result[1]);
    (void)cudaFree(arena->differ);
    if (arena->start)
        (void)cudaEventDestroy(arena->start);
    if (arena->end)
        (void)cudaEventDestroy(arena->end);
}

static bool arena_open(struct arena *arena, const struct nc_lt_shape *shape)
{
    *arena = {};
    arena->sums_at = (result_bytes(shape) + 255) / 256 * 256;
    arena->bytes = arena->sums_at + shape->out * sizeof(float);
    void *blocks[3] = {};
    bool opened = cudaMalloc(&blocks[0], arena->bytes) == cudaSuccess &&
                  cudaMalloc(&blocks[1], arena->bytes) == cudaSuccess &&
                  cudaMalloc(&blocks[2], sizeof *arena->differ) == cudaSuccess &&
                  cudaEventCreate(&arena->start) == cudaSuccess &&
                  cudaEventCreate(&arena->end) == cudaSuccess;
    arena->result[0] = (char *)blocks[0];
    arena->result[1] = (char *)blocks[1];
    arena->differ = (int32_t *)blocks[2];
    if (opened)
        return true;
    (void)cudaGetLastError();
    arena_close(arena);
    return false;
}

/* Milliseconds of the algorithm's fastest run; negative where it fails, or its result differs
 * from result[0], which the first one leaves behind. */
static float time_of(struct nc_backend *backend, struct nc_cuda_products *products,
                     struct nc_lt_entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                     const struct nc_cuda_product *p, struct arena *arena, bool first)
{
    char *to = arena->result[first ? 0 : 1];
    float best = -1;
    for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
        float milliseconds = 0;
        if (cudaEventRecord(arena->start, backend->compute) != cudaSuccess ||
            nc_lt_multiply(backend, products, entry, algorithm, p, to, to + arena->sums_at) !=
                CUBLAS_STATUS_SUCCESS ||
            cudaEventRecord(arena->end, backend->compute) != cudaSuccess ||
            cudaEventSynchronize(arena->end) != cudaSuccess ||
            cudaEventElapsedTime(&milliseconds, arena->start, arena->end) != cudaSuccess)
            return -1;
        if (i && (best < 0 || milliseconds < best))
            best = milliseconds;
    }
    if (first)
        return best;
    int32_t differ = 1;
    if (cudaMemsetAsync(arena->differ, 0, sizeof differ, backend->compute) != cudaSuccess ||
        NC_LAUNCH(differ_kernel, (unsigned)backend->multiprocessors * 8, THREADS, 0,
                  backend->compute, (const uint16_t *)arena->result[0], (const uint16_t *)to,
                  arena->bytes / sizeof(uint16_t), arena->differ) != NC_OK ||
        cudaMemcpyAsync(&differ, arena->differ, sizeof differ, cudaMemcpyDeviceToHost,
                        backend->compute) != cudaSuccess ||
        cudaStreamSynchronize(backend->compute) != cudaSuccess)
        return -1;
    return differ ? -1 : best;
}

/* The index of the fastest among `count` proposals. */
static int fastest(struct nc_backend *backend, struct nc_cuda_products *products,
                   struct nc_lt_entry *entry, const struct nc_cuda_product *p,
                   const cublasLtMatmulHeuristicResult_t *results, int count)
{
    struct arena arena;
    if (!products->timing || count < 2 || nc_cuda_capturing(backend) ||
        !fits(products, entry, &results[0].algo) || !arena_open(&arena, &entry->shape))
        return 0;
    int chosen = 0;
    (void)cudaMemsetAsync(arena.result[0], 0, arena.bytes, backend->compute);
    (void)cudaMemsetAsync(arena.result[1], 0, arena.bytes, backend->compute);
    float best = time_of(backend, products, entry, &results[0].algo, p, &arena, true);
    for (int i = 1; best >= 0 && i < count; i++) {
        if (!fits(products, entry, &results[i].algo))
            continue;
        float time = time_of(backend, products, entry, &results[i].algo, p, &arena, false);
        if (time >= 0 && time < best) {
            best = time;
            chosen = i;
        }
    }
    (void)cudaGetLastError();
    arena_close(&arena);
    return chosen;
}

/* ---- Buckets ------------------------------------------------------------------------------ */

static size_t bucket_of(size_t rows)
{
    size_t step = SMALLEST_BUCKET;
    while (step * 16 <= rows)
        step *= 2;
    return (rows + step - 1) / step * step;
}

/* What the bucket of `shape` uses. The proposals are for the bucket's most rows, so that they do
 * not depend on which of its shapes came first. `entry` describes the shape itself. */
static int choose_for_bucket(struct nc_backend *backend, struct nc_cuda_products *products,
                             const struct nc_lt_shape *shape, const struct nc_cuda_product *p,
                             struct nc_lt_choice *choice)
{
    cublasLtMatmulHeuristicResult_t results[NC_LT_CANDIDATES];
    struct nc_lt_shape most = *shape;
    most.rows = bucket_of(shape->rows);
    bool summed = shape->sums; /* on the way; where that cannot be, without */
    for (;;) {
        struct nc_lt_entry bucket = {}, here = {};
        int count = 0, chosen = 0;
        cublasStatus_t status = nc_lt_describe(products, &most, summed, &bucket);
        if (status == CUBLAS_STATUS_SUCCESS)
            status = nc_lt_describe(products, shape, summed, &here);
        if (status == CUBLAS_STATUS_SUCCESS) {
            count = propose(products, &bucket, p, results);
            chosen = fastest(backend, products, &here, p, results, count);
        }
        nc_lt_clear(products, &bucket);
        nc_lt_clear(products, &here);
        if (count) {
            choice->shape = most;
            choice->algorithm = results[chosen].algo;
            choice->summed = summed;
            return NC_OK;
        }
        if (status != CUBLAS_STATUS_SUCCESS || !summed)
            return nc_lt_check(
                products, status == CUBLAS_STATUS_SUCCESS ? CUBLAS_STATUS_NOT_SUPPORTED : status,
                shape, p->operation);
        summed = false;
    }
}

int nc_lt_choose(struct nc_backend *backend, struct nc_cuda_products *products,
                 const struct nc_lt_shape *shape, const struct nc_cuda_product *p,
                 struct nc_lt_entry *entry)
{
    struct nc_lt_shape most = *shape;
    most.rows = bucket_of(shape->rows);
    bool known;
    struct nc_lt_choice *choice = nc_lt_look_up(products->choices, &most, &known);
    if (!known) {
        *choice = {};
        int status = choose_for_bucket(backend, products, shape, p, choice);
        if (status != NC_OK)
            return status;
    }
    choice->last_use = ++products->clock;
    int status = nc_lt_check(products, nc_lt_describe(products, shape, choice->summed, entry),
                             shape, p->operation);
    if (status != NC_OK)
        return status;
    entry->algorithm = choice->algorithm;
    if (fits(products, entry, &entry->algorithm))
        return NC_OK;
    /* The library refuses it for this shape of the bucket. */
    cublasLtMatmulHeuristicResult_t results[NC_LT_CANDIDATES];
    if (!propose(products, entry, p, results))
        return nc_lt_check(products, CUBLAS_STATUS_NOT_SUPPORTED, shape, p->operation);
    entry->algorithm = results[0].algo;
    return NC_OK;
}
