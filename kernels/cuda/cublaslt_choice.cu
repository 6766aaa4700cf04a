/* Chooses cuBLASLt's algorithm for a product.
 *
 * The library proposes some, its favourite first; they are timed once on the first call's numbers,
 * and the fastest is remembered for all row counts of one bucket (an eighth of a power of two).
 * Only those compete whose result equals the favourite's to the bit: whatever the clock says, the
 * same seed gives the same bits. Algorithms that add up with atomics are not asked for.
 *
 * A weight's gradient is the exception, a sum over thousands of rows for few results: tiles of
 * 128 x 128 fill 36 (768 x 768) of an H100's 132 multiprocessors, of 128 x 256 72 (768 x 3072).
 * There the favourite is timed with its sum in parts, too (split-K: each part goes into the
 * workspace, and a second kernel adds the parts in their order, without atomics; the library is
 * asked whether it can, and whether the workspace is large enough). Parts are added in another
 * order, so that the clock decides about last bits: such an algorithm must be faster by MUCH, and
 * its result as near to the favourite's as another order can be. NCLIP_GEMM_TIMING=0 asks no clock.
 *
 * A bias beside an addend, and the column sums of a weight's gradient, can be made on the way (an
 * epilogue of the product) or apart, by a kernel of ours. Neither is better everywhere: BGRADB was
 * seen to make a backward pass 1.6 times slower, where it excludes the algorithms in parts. So both
 * are timed, what is done apart with its kernel, and once more the result must be the same to the
 * bit. Column sums of the two are of different orders: there the epilogue must be clearly faster,
 * by CLEARLY, so that the clock decides as rarely as it can about their last bits.
 *
 * With NCLIP_GEMM_TIMING=0, and on a stream under capture, where waiting is not allowed, the
 * favourite is taken without timing, with the bias on the way and column sums apart. */
#include "cublaslt.h"

enum {
    REPEATS = 5,
    THREADS = 256,
    SMALLEST_BUCKET = 64, /* rows */
};
static const float CLEARLY = 0.9f, MUCH = 0.8f; /* times as long */
static const int32_t parts_of_a_sum[] = {2, 3, 4, 6, 8};
enum {
    PARTS = sizeof parts_of_a_sum / sizeof *parts_of_a_sum,
    PROPOSALS = NC_LT_CANDIDATES + PARTS,
};
/* Of a result in another order: its distance, relative and squared. Sums of 7,000 products in fp32
 * differ by some 1e-6; what is wrong by a tile, a part or a row is far away. */
static const double NEAR = 1e-8;

/* ---- Proposals ---------------------------------------------------------------------------- */

/* As nc_lt_describe, with the vector that `p` has: its alignment counts. */
static cublasStatus_t describe(struct nc_cuda_products *products, const struct nc_lt_shape *shape,
                               const struct nc_cuda_product *p, bool fused,
                               struct nc_lt_entry *entry)
{
    cublasStatus_t status = nc_lt_describe(products, shape, fused, entry);
    const void *vector = shape->bias ? p->bias : p->column_sums;
    if (status == CUBLAS_STATUS_SUCCESS && entry->fused)
        status = products->lt->cublasLtMatmulDescSetAttribute(
            entry->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof vector);
    return status;
}

/* cuBLASLt's proposals for the shape of `entry`; none is no error. */
static int propose(struct nc_cuda_products *products, struct nc_lt_entry *entry,
                   cublasLtMatmulHeuristicResult_t *results)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t alignment = entry->shape.alignment;
    for (cublasLtMatmulPreferenceAttributes_t attribute : alignments)
        products->lt->cublasLtMatmulPreferenceSetAttribute(products->preference, attribute,
                                                           &alignment, sizeof alignment);
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

/* squares[0] += those of a, squares[1] += those of what b differs by. */
static __global__ void __launch_bounds__(THREADS)
    distance_kernel(const float *a, const float *b, size_t count, double *squares)
{
    double own = 0, difference = 0;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < count;
         i += (size_t)gridDim.x * THREADS) {
        double x = (double)a[i], y = (double)b[i];
        own += x * x;
        difference += (x - y) * (x - y);
    }
    own = nc_warp_sum(own);
    difference = nc_warp_sum(difference);
    if (nc_lane() == 0) {
        nc_atomic_add(&squares[0], own);
        nc_atomic_add(&squares[1], difference);
    }
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

/* What the comparison of two results finds. */
struct verdict {
    double squares[2];
    int32_t differ;
};

/* What timing needs: two results (each followed by its column sums), a verdict, two events. */
struct arena {
    char *result[2];
    struct verdict *verdict;
    size_t sums_at, bytes;
    cudaEvent_t start, end;
};

static void arena_close(struct arena *arena)
{
    (void)cudaFree(arena->result[0]);
    (void)cudaFree(arena->result[1]);
    (void)cudaFree(arena->verdict);
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
                  cudaMalloc(&blocks[2], sizeof *arena->verdict) == cudaSuccess &&
                  cudaEventCreate(&arena->start) == cudaSuccess &&
                  cudaEventCreate(&arena->end) == cudaSuccess;
    arena->result[0] = (char *)blocks[0];
    arena->result[1] = (char *)blocks[1];
    arena->verdict = (struct verdict *)blocks[2];
    if (opened)
        return true;
    (void)cudaGetLastError();
    arena_close(arena);
    return false;
}

/* Once, as the caller has it: with what is done apart. */
static bool run_once(struct nc_backend *backend, struct nc_cuda_products *products,
                     struct nc_lt_entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                     const struct nc_cuda_product *p, char *result, char *sums)
{
    const struct nc_lt_shape *shape = &entry->shape;
    if (nc_lt_multiply(backend, products, entry, algorithm, p, result, sums) !=
        CUBLAS_STATUS_SUCCESS)
        return false;
    if (entry->fused)
        return true;
    if (shape->bias && shape->d_type == NC_FLOAT32)
        return nc_cuda_add_bias(backend, (const float *)p->bias, shape->rows, shape->out,
                                (float *)result) == NC_OK;
    if (shape->sums)
        return nc_cuda_sum_columns(backend, shape->type, p->b, shape->rows, shape->out, p->partial,
                                   false, (float *)sums) == NC_OK;
    return true;
}

/* Milliseconds of the algorithm's fastest run into result[to]; negative where it fails. The result
 * is full of NaNs before. */
static float time_of(struct nc_backend *backend, struct nc_cuda_products *products,
                     struct nc_lt_entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                     const struct nc_cuda_product *p, struct arena *arena, int to)
{
    char *result = arena->result[to];
    float best = -1;
    if (cudaMemsetAsync(result, 0xff, arena->bytes, backend->compute) != cudaSuccess)
        return -1;
    for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
        float milliseconds = 0;
        if (cudaEventRecord(arena->start, backend->compute) != cudaSuccess ||
            !run_once(backend, products, entry, algorithm, p, result, result + arena->sums_at) ||
            cudaEventRecord(arena->end, backend->compute) != cudaSuccess ||
            cudaEventSynchronize(arena->end) != cudaSuccess ||
            cudaEventElapsedTime(&milliseconds, arena->start, arena->end) != cudaSuccess)
            return -1;
        if (i && (best < 0 || milliseconds < best))
            best = milliseconds;
    }
    return best;
}

enum likeness { EQUAL, ANOTHER_ORDER, WRONG };

/* Of result[1], beside result[0]. */
static enum likeness compare(struct nc_backend *backend, const struct nc_lt_shape *shape,
                             struct arena *arena)
{
    unsigned grid = (unsigned)backend->multiprocessors * 8;
    size_t bytes = result_bytes(shape);
    bool ordered = shape->kind == NC_BACKWARD_WEIGHT;
    struct verdict verdict = {};
    if (cudaMemsetAsync(arena->verdict, 0, sizeof verdict, backend->compute) != cudaSuccess ||
        NC_LAUNCH(differ_kernel, grid, THREADS, 0, backend->compute,
                  (const uint16_t *)arena->result[0], (const uint16_t *)arena->result[1],
                  bytes / sizeof(uint16_t), &arena->verdict->differ) != NC_OK ||
        (ordered && NC_LAUNCH(distance_kernel, grid, THREADS, 0, backend->compute,
                              (const float *)arena->result[0], (const float *)arena->result[1],
                              bytes / sizeof(float), arena->verdict->squares) != NC_OK) ||
        cudaMemcpyAsync(&verdict, arena->verdict, sizeof verdict, cudaMemcpyDeviceToHost,
                        backend->compute) != cudaSuccess ||
        cudaStreamSynchronize(backend->compute) != cudaSuccess)
        return WRONG;
    if (!verdict.differ)
        return EQUAL;
    return ordered && verdict.squares[1] <= NEAR * verdict.squares[0] ? ANOTHER_ORDER : WRONG;
}

/* ---- Buckets ------------------------------------------------------------------------------ */

/* One way of a product: with its vector on the way, or apart. */
struct way {
    struct nc_lt_entry bucket, here; /* the bucket's most rows; the shape that came first */
    cublasLtMatmulHeuristicResult_t results[PROPOSALS];
    cublasStatus_t status;
    int count;
};

/* The favourite once more for each number of parts that the library can make of its sum, unless it
 * keeps all multiprocessors busy as it is. */
static void propose_parts(struct nc_cuda_products *products, struct way *way)
{
    const struct nc_cublaslt *lt = products->lt;
    const cublasLtMatmulHeuristicResult_t *favourite = &way->results[0];
    const uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* in fp32, in order */
    if (!way->count || favourite->wavesCount >= 1)
        return;
    for (int32_t parts : parts_of_a_sum) {
        cublasLtMatmulHeuristicResult_t *one = &way->results[way->count];
        *one = *favourite;
        if (lt->cublasLtMatmulAlgoConfigSetAttribute(&one->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                     &parts,
                                                     sizeof parts) == CUBLAS_STATUS_SUCCESS &&
            lt->cublasLtMatmulAlgoConfigSetAttribute(&one->algo,
                                                     CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                                     sizeof scheme) == CUBLAS_STATUS_SUCCESS &&
            fits(products, &way->bucket, &one->algo))
            way->count++;
    }
}

/* The proposals are for the bucket's most rows, so that they do not depend on which of its shapes
 * came first. */
static void way_open(struct nc_cuda_products *products, const struct nc_lt_shape *most,
                     const struct nc_lt_shape *shape, const struct nc_cuda_product *p, bool fused,
                     struct way *way)
{
    *way = {};
    way->status = describe(products, most, p, fused, &way->bucket);
    if (way->status == CUBLAS_STATUS_SUCCESS)
        way->status = describe(products, shape, p, fused, &way->here);
    if (way->status == CUBLAS_STATUS_SUCCESS)
        way->count = propose(products, &way->bucket, way->results);
    if (shape->kind == NC_BACKWARD_WEIGHT)
        propose_parts(products, way);
}

static void way_close(struct nc_cuda_products *products, struct way *way)
{
    nc_lt_clear(products, &way->bucket);
    nc_lt_clear(products, &way->here);
}

/* The fastest of the ways' proposals, the first of the first where none is timed. Each is held
 * against the one that is fastest until then; one that gives other bits must be faster by more. */
static void fastest(struct nc_backend *backend, struct nc_cuda_products *products,
                    const struct nc_cuda_product *p, struct way *ways, int *chosen_way, int *chosen)
{
    struct arena arena;
    *chosen_way = ways[0].count ? 0 : 1;
    *chosen = 0;
    struct way *first = &ways[*chosen_way];
    if (!products->timing || ways[0].count + ways[1].count < 2 || nc_cuda_capturing(backend) ||
        !fits(products, &first->here, &first->results[0].algo) ||
        !arena_open(&arena, &first->here.shape))
        return;
    float best = time_of(backend, products, &first->here, &first->results[0].algo, p, &arena, 0);
    for (int w = *chosen_way; w < 2 && best >= 0; w++)
        for (int i = first == &ways[w]; i < ways[w].count; i++) {
            struct way *way = &ways[w];
            if (!fits(products, &way->here, &way->results[i].algo))
                continue;
            float time =
                time_of(backend, products, &way->here, &way->results[i].algo, p, &arena, 1);
            enum likeness likeness = time < 0 ? WRONG : compare(backend, &way->here.shape, &arena);
            float least = likeness == ANOTHER_ORDER                  ? MUCH
                          : way->here.shape.sums && *chosen_way != w ? CLEARLY
                                                                     : 1;
            if (likeness == WRONG || time >= best * least)
                continue;
            best = time;
            *chosen_way = w;
            *chosen = i;
            if (likeness == ANOTHER_ORDER) { /* what follows is held against this one */
                char *result = arena.result[0];
                arena.result[0] = arena.result[1];
                arena.result[1] = result;
            }
        }
    (void)cudaGetLastError();
    arena_close(&arena);
}

static size_t bucket_of(size_t rows)
{
    size_t step = SMALLEST_BUCKET;
    while (step * 16 <= rows)
        step *= 2;
    return (rows + step - 1) / step * step;
}

/* What the bucket of `shape` uses. The way that is taken where nothing is timed comes first. */
static int choose_for_bucket(struct nc_backend *backend, struct nc_cuda_products *products,
                             const struct nc_lt_shape *shape, const struct nc_cuda_product *p,
                             struct nc_lt_choice *choice)
{
    struct nc_lt_shape most = *shape;
    most.rows = bucket_of(shape->rows);
    struct way ways[2] = {};
    bool fused_first = !shape->sums;
    bool either = shape->sums || (shape->bias && shape->addend);
    way_open(products, &most, shape, p, fused_first, &ways[0]);
    if (either || (shape->bias && shape->d_type == NC_FLOAT32 && !ways[0].count))
        way_open(products, &most, shape, p, !fused_first, &ways[1]);
    int chosen_way = 0, chosen = 0, status = NC_OK;
    if (ways[0].count + ways[1].count) {
        fastest(backend, products, p, ways, &chosen_way, &chosen);
        choice->shape = most;
        choice->algorithm = ways[chosen_way].results[chosen].algo;
        choice->fused = chosen_way ? !fused_first : fused_first;
    } else {
        bool described = ways[0].status == CUBLAS_STATUS_SUCCESS;
        status = nc_lt_check(products,
                             described ? CUBLAS_STATUS_NOT_SUPPORTED : ways[0].status, shape,
                             p->operation);
    }
    way_close(products, &ways[0]);
    way_close(products, &ways[1]);
    return status;
}

/* The favourite for this shape alone. */
static bool propose_for(struct nc_cuda_products *products, struct nc_lt_entry *entry)
{
    cublasLtMatmulHeuristicResult_t results[NC_LT_CANDIDATES];
    if (!propose(products, entry, results))
        return false;
    entry->algorithm = results[0].algo;
    return true;
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
    int status = nc_lt_check(products, describe(products, shape, p, choice->fused, entry), shape,
                             p->operation);
    if (status != NC_OK)
        return status;
    entry->algorithm = choice->algorithm;
    if (fits(products, entry, &entry->algorithm) || propose_for(products, entry))
        return NC_OK;
    /* The library refuses the bucket's for this shape, and has no other: without the epilogue it
     * may. */
    if (entry->fused && (!shape->bias || shape->d_type == NC_FLOAT32)) {
        nc_lt_clear(products, entry);
        status = nc_lt_check(products, describe(products, shape, p, false, entry), shape,
                             p->operation);
        if (status != NC_OK || propose_for(products, entry))
            return status;
    }
    return nc_lt_check(products, CUBLAS_STATUS_NOT_SUPPORTED, shape, p->operation);
}
