/* Products by cuBLASLt (product.h).
 *
 * cuBLASLt's matrices lie by columns, so that each of ours is its own transpose there:
 *
 *     NC_FORWARD          d^T[out, rows] = W[in, out]^T  x^T[in, rows]
 *     NC_BACKWARD_INPUT   d^T[in, rows]  = W[in, out]    dy^T[out, rows]
 *     NC_BACKWARD_WEIGHT  d^T[in, out]   = x^T[in, rows] dy^T[out, rows]^T
 *
 * Which algorithm. cuBLASLt proposes some, its favourite first; they are timed once on the
 * first call's numbers, and the fastest is remembered for all row counts of one bucket (an
 * eighth of a power of two). Only those compete whose result equals the favourite's to the bit:
 * whatever the clock says, the same seed gives the same bits. Algorithms that add up with
 * atomics are not asked for. NCLIP_GEMM_TIMING=0 takes the favourite unseen, and so does a
 * stream under capture, where nobody may wait.
 *
 * Precision: bf16 and fp16 with fp32 accumulation; fp32 in full fp32, never tf32: it is the reference. */
#include "product.h"

#include "cublaslt_library.h"
#include "nclip/devices.h"

#include <cstdio>
#include <cstdlib>

enum {
    ENTRIES = 256, /* shapes, and buckets, that are remembered */
    CANDIDATES = 8,
    REPEATS = 5,
    THREADS = 256,
    WORKSPACE = 32 << 20, /* bytes; what NVIDIA recommends for Hopper */
    SMALLEST_BUCKET = 64, /* rows */
};

static const struct nc_cublaslt *lt; /* the library, once a backend was opened */

struct key {
    enum nc_cuda_product_kind kind;
    enum nc_type type, d_type;
    size_t rows, in, out;
    unsigned alignment; /* of all matrices, 16 at most */
    bool bias, addend, sums;
};

/* A shape's descriptors and algorithm. */
struct entry {
    struct key key;
    uint64_t last_use; /* 0: empty */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
    bool summed; /* the product makes the column sums that the key asks for */
};

/* What was chosen for a bucket of rows. */
struct choice {
    struct key key; /* rows: the bucket's most */
    uint64_t last_use;
    cublasLtMatmulAlgo_t algorithm;
    bool summed;
};

struct nc_cuda_products {
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
    void *workspace;
    struct entry entries[ENTRIES];
    struct choice choices[ENTRIES];
    uint64_t clock;
    bool timing;
};

static int check(cublasStatus_t status, const struct key *key, const char *operation)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return NC_OK;
    return nc_error(NC_FAILED, "%s: cuBLASLt refused rows %zu, in %zu, out %zu: %s", operation,
                    key->rows, key->in, key->out, lt->cublasLtGetStatusString(status));
}

/* ---- Descriptors --------------------------------------------------------------------------- */

static void entry_clear(struct entry *entry)
{
    if (entry->operation)
        lt->cublasLtMatmulDescDestroy(entry->operation);
    if (entry->a)
        lt->cublasLtMatrixLayoutDestroy(entry->a);
    if (entry->b)
        lt->cublasLtMatrixLayoutDestroy(entry->b);
    if (entry->d)
        lt->cublasLtMatrixLayoutDestroy(entry->d);
    *entry = {};
}

static cudaDataType_t data_type(enum nc_type type)
{
    return type == NC_FLOAT32 ? CUDA_R_32F : type == NC_FLOAT16 ? CUDA_R_16F : CUDA_R_16BF;
}

static cublasStatus_t set_epilogue(struct entry *entry)
{
    const struct key *key = &entry->key;
    cublasLtEpilogue_t epilogue = key->bias       ? CUBLASLT_EPILOGUE_BIAS
                                  : entry->summed ? CUBLASLT_EPILOGUE_BGRADB
                                                  : CUBLASLT_EPILOGUE_DEFAULT;
    int32_t type = data_type(key->d_type); /* backward: fp32 */
    cublasStatus_t status = lt->cublasLtMatmulDescSetAttribute(
        entry->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS && (key->bias || entry->summed))
        status = lt->cublasLtMatmulDescSetAttribute(
            entry->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    return status;
}

/* The descriptors of `key`, without an algorithm. */
static cublasStatus_t describe(struct entry *entry, const struct key *key, bool summed)
{
    *entry = {};
    entry->key = *key;
    entry->summed = summed;
    cudaDataType_t type = data_type(key->type);
    cublasOperation_t first = key->kind == NC_FORWARD ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t second = key->kind == NC_BACKWARD_WEIGHT ? CUBLAS_OP_T : CUBLAS_OP_N;
    size_t in = key->in, out = key->out, rows = key->rows;
    size_t a_columns = key->kind == NC_BACKWARD_WEIGHT ? rows : out;
    size_t b_rows = key->kind == NC_FORWARD ? in : out;
    size_t d_rows = key->kind == NC_FORWARD ? out : in;
    size_t d_columns = key->kind == NC_BACKWARD_WEIGHT ? out : rows;
    cublasStatus_t status =
        lt->cublasLtMatmulDescCreate(&entry->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulDescSetAttribute(entry->operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                    &first, sizeof first);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulDescSetAttribute(entry->operation, CUBLASLT_MATMUL_DESC_TRANSB,
                                                    &second, sizeof second);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_epilogue(entry);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatrixLayoutCreate(&entry->a, type, in, a_columns, (int64_t)in);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatrixLayoutCreate(&entry->b, type, b_rows, rows, (int64_t)b_rows);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatrixLayoutCreate(&entry->d, data_type(key->d_type), d_rows,
                                                d_columns, (int64_t)d_rows);
    return status;
}

static size_t result_bytes(const struct key *key)
{
    size_t count = key->kind == NC_FORWARD          ? key->rows * key->out
                   : key->kind == NC_BACKWARD_INPUT ? key->rows * key->in
                                                    : key->out * key->in;
    return count * nc_type_size(key->d_type);
}

/* ---- One product --------------------------------------------------------------------------------
 */

/* `d` and `sums` are those of the product, or others while algorithms are compared. */
static cublasStatus_t multiply(struct nc_backend *backend, struct nc_cuda_products *products,
                               struct entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                               const struct nc_cuda_product *p, void *d, void *sums)
{
    bool weight_first = p->kind != NC_BACKWARD_WEIGHT;
    const void *a = weight_first ? p->b : p->a, *b = weight_first ? p->a : p->b;
    const void *vector = entry->key.bias ? p->bias : sums;
    const float one = 1, beta = p->addend ? 1.0f : 0.0f;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    if (entry->key.bias || entry->summed)
        status = lt->cublasLtMatmulDescSetAttribute(
            entry->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof vector);
    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            lt->cublasLtMatmul(products->handle, entry->operation, &one, a, entry->a, b, entry->b,
                               &beta, p->addend ? p->addend : d, entry->d, d, entry->d, algorithm,
                               products->workspace, WORKSPACE, backend->compute);
    return status;
}

/* ---- Choosing an algorithm
 * ------------------------------------------------------------------------ */

/* cuBLASLt's proposals for the shape of `entry`; none is no error. */
static int propose(struct nc_cuda_products *products, struct entry *entry,
                   const struct nc_cuda_product *p, cublasLtMatmulHeuristicResult_t *results)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t alignment = entry->key.alignment;
    for (cublasLtMatmulPreferenceAttributes_t attribute : alignments)
        lt->cublasLtMatmulPreferenceSetAttribute(products->preference, attribute, &alignment,
                                                 sizeof alignment);
    const void *vector = entry->key.bias ? p->bias : p->column_sums; /* for its alignment */
    if (entry->key.bias || entry->summed)
        lt->cublasLtMatmulDescSetAttribute(entry->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                           &vector, sizeof vector);
    int found = 0;
    cublasStatus_t status = lt->cublasLtMatmulAlgoGetHeuristic(
        products->handle, entry->operation, entry->a, entry->b, entry->d, entry->d,
        products->preference, CANDIDATES, results, &found);
    int usable = 0;
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < found; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS && results[i].workspaceSize <= WORKSPACE)
            results[usable++] = results[i];
    return usable;
}

static bool fits(struct nc_cuda_products *products, struct entry *entry,
                 const cublasLtMatmulAlgo_t *algorithm)
{
    cublasLtMatmulHeuristicResult_t result;
    return lt->cublasLtMatmulAlgoCheck(products->handle, entry->operation, entry->a, entry->b,
                                       entry->d, entry->d, algorithm,
                                       &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= WORKSPACE;
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

static bool arena_open(struct arena *arena, const struct key *key)
{
    *arena = {};
    arena->sums_at = (result_bytes(key) + 255) / 256 * 256;
    arena->bytes = arena->sums_at + key->out * sizeof(float);
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
                     struct entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                     const struct nc_cuda_product *p, struct arena *arena, bool first)
{
    char *to = arena->result[first ? 0 : 1];
    float best = -1;
    for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
        float milliseconds = 0;
        if (cudaEventRecord(arena->start, backend->compute) != cudaSuccess ||
            multiply(backend, products, entry, algorithm, p, to, to + arena->sums_at) !=
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
                   struct entry *entry, const struct nc_cuda_product *p,
                   const cublasLtMatmulHeuristicResult_t *results, int count)
{
    struct arena arena;
    if (!products->timing || count < 2 || nc_cuda_capturing(backend) ||
        !fits(products, entry, &results[0].algo) || !arena_open(&arena, &entry->key))
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

/* ---- Remembering
 * ------------------------------------------------------------------------------------ */

static bool key_equal(const struct key *a, const struct key *b)
{
    return a->kind == b->kind && a->type == b->type && a->d_type == b->d_type &&
           a->rows == b->rows && a->in == b->in && a->out == b->out &&
           a->alignment == b->alignment && a->bias == b->bias && a->addend == b->addend &&
           a->sums == b->sums;
}

/* The one of this key, or the one unused for longest, whose last_use then is not *found. */
template <typename T> static T *look_up(T *table, const struct key *key, bool *found)
{
    T *oldest = &table[0];
    *found = true;
    for (size_t i = 0; i < ENTRIES; i++) {
        if (table[i].last_use && key_equal(&table[i].key, key))
            return &table[i];
        if (table[i].last_use < oldest->last_use)
            oldest = &table[i];
    }
    *found = false;
    return oldest;
}

static size_t bucket_of(size_t rows)
{
    size_t step = SMALLEST_BUCKET;
    while (step * 16 <= rows)
        step *= 2;
    return (rows + step - 1) / step * step;
}

/* What the bucket of `key` uses. The proposals are for the bucket's most rows, so that they do
 * not depend on which of its shapes came first. `entry` describes the shape itself. */
static int choose(struct nc_backend *backend, struct nc_cuda_products *products,
                  const struct key *key, const struct nc_cuda_product *p, struct choice *choice)
{
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    struct key most = *key;
    most.rows = bucket_of(key->rows);
    bool summed = key->sums; /* on the way; where that cannot be, without */
    for (;;) {
        struct entry bucket = {}, here = {};
        int count = 0, chosen = 0;
        cublasStatus_t status = describe(&bucket, &most, summed);
        if (status == CUBLAS_STATUS_SUCCESS)
            status = describe(&here, key, summed);
        if (status == CUBLAS_STATUS_SUCCESS) {
            count = propose(products, &bucket, p, results);
            chosen = fastest(backend, products, &here, p, results, count);
        }
        entry_clear(&bucket);
        entry_clear(&here);
        if (count) {
            choice->key = most;
            choice->algorithm = results[chosen].algo;
            choice->summed = summed;
            return NC_OK;
        }
        if (status != CUBLAS_STATUS_SUCCESS || !summed)
            return check(status == CUBLAS_STATUS_SUCCESS ? CUBLAS_STATUS_NOT_SUPPORTED : status,
                         key, p->operation);
        summed = false;
    }
}

static int make_entry(struct nc_backend *backend, struct nc_cuda_products *products,
                      const struct key *key, const struct nc_cuda_product *p, struct entry *entry)
{
    struct key most = *key;
    most.rows = bucket_of(key->rows);
    bool known;
    struct choice *choice = look_up(products->choices, &most, &known);
    if (!known) {
        *choice = {};
        int status = choose(backend, products, key, p, choice);
        if (status != NC_OK)
            return status;
    }
    choice->last_use = ++products->clock;
    int status = check(describe(entry, key, choice->summed), key, p->operation);
    if (status != NC_OK)
        return status;
    entry->algorithm = choice->algorithm;
    if (fits(products, entry, &entry->algorithm))
        return NC_OK;
    cublasLtMatmulHeuristicResult_t results[CANDIDATES]; /* not for this shape of the bucket */
    if (!propose(products, entry, p, results))
        return check(CUBLAS_STATUS_NOT_SUPPORTED, key, p->operation);
    entry->algorithm = results[0].algo;
    return NC_OK;
}

static unsigned alignment_of(const struct nc_cuda_product *p)
{
    uintptr_t all = (uintptr_t)p->a | (uintptr_t)p->b | (uintptr_t)p->d | (uintptr_t)p->addend;
    unsigned alignment = 16;
    while (alignment > 1 && all % alignment)
        alignment /= 2;
    return alignment;
}

int nc_cuda_product(struct nc_backend *backend, struct nc_cuda_products *products,
                    const struct nc_cuda_product *p, bool *summed)
{
    struct key key = {
        p->kind, p->type,         p->d_type,       p->rows,           p->in,
        p->out,  alignment_of(p), p->bias != NULL, p->addend != NULL, p->column_sums != NULL};
    bool known;
    struct entry *entry = look_up(products->entries, &key, &known);
    if (!known) {
        entry_clear(entry);
        int status = make_entry(backend, products, &key, p, entry);
        if (status != NC_OK) {
            entry_clear(entry);
            return status;
        }
    }
    entry->last_use = ++products->clock;
    *summed = entry->summed;
    return check(multiply(backend, products, entry, &entry->algorithm, p, p->d, p->column_sums),
                 &key, p->operation);
}

/* ---- Opening
 * ------------------------------------------------------------------------------------------ */

void nc_cuda_products_version(char *text)
{
    const struct nc_cublaslt *library;
    *text = 0;
    if (nc_cublaslt_load(&library) != NC_OK)
        return;
    size_t version = library->cublasLtGetVersion(); /* 13.1.2 is 130102 */
    snprintf(text, NC_VERSION_SIZE, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

int nc_cuda_products_create(struct nc_backend *backend, struct nc_cuda_products **out)
{
    *out = NULL;
    struct nc_cuda_products *products = (struct nc_cuda_products *)calloc(1, sizeof *products);
    if (!products)
        return nc_error(NC_FAILED, "cuda: no memory");
    const char *timing = getenv("NCLIP_GEMM_TIMING");
    products->timing = !timing || timing[0] != '0';
    uint64_t workspace = WORKSPACE;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* no atomics, fp32 */
    int result = nc_cublaslt_load(&lt);
    if (result != NC_OK) {
        free(products);
        return result;
    }
    cublasStatus_t status = lt->cublasLtCreate(&products->handle);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulPreferenceCreate(&products->preference);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulPreferenceSetAttribute(products->preference,
                                                          CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                          &workspace, sizeof workspace);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulPreferenceSetAttribute(
            products->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
            sizeof schemes);
    result = status == CUBLAS_STATUS_SUCCESS
                 ? nc_cuda_allocate(backend, WORKSPACE, &products->workspace)
                 : nc_error(NC_FAILED, "cuda: cuBLASLt does not start: %s",
                            lt->cublasLtGetStatusString(status));
    if (result != NC_OK) {
        nc_cuda_products_destroy(products);
        return result;
    }
    *out = products;
    return NC_OK;
}

void nc_cuda_products_destroy(struct nc_cuda_products *products)
{
    if (!products)
        return;
    for (size_t i = 0; i < ENTRIES; i++)
        entry_clear(&products->entries[i]);
    if (products->preference)
        lt->cublasLtMatmulPreferenceDestroy(products->preference);
    if (products->handle)
        lt->cublasLtDestroy(products->handle);
    (void)cudaFree(products->workspace);
    free(products);
}
