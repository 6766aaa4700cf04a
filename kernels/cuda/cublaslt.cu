/* Computes the products of product.h by cuBLASLt: describes them to the library, runs them, and
 * keeps the descriptions.
 *
 * cuBLASLt's matrices are stored by columns, so that each of ours is its own transpose there:
 *
 *     NC_FORWARD          d^T[out, rows] = W[in, out]^T  x^T[in, rows]
 *     NC_BACKWARD_INPUT   d^T[in, rows]  = W[in, out]    dy^T[out, rows]
 *     NC_BACKWARD_WEIGHT  d^T[in, out]   = x^T[in, rows] dy^T[out, rows]^T
 *
 * cublaslt_choice.cu chooses among the library's algorithms.
 *
 * Precision: bf16 and fp16 with fp32 accumulation; fp32 in full fp32, never tf32: it is the
 * reference. */
#include "cublaslt.h"

#include "nclip/devices.h"

#include <cstdio>
#include <cstdlib>

int nc_lt_check(const struct nc_cuda_products *products, cublasStatus_t status,
                const struct nc_lt_shape *shape, const char *operation)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return NC_OK;
    return nc_error(NC_FAILED, "%s: cuBLASLt refused rows %zu, in %zu, out %zu: %s", operation,
                    shape->rows, shape->in, shape->out,
                    products->lt->cublasLtGetStatusString(status));
}

/* ---- Descriptors --------------------------------------------------------------------------- */

void nc_lt_clear(const struct nc_cuda_products *products, struct nc_lt_entry *entry)
{
    const struct nc_cublaslt *lt = products->lt;
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

static cublasStatus_t set_epilogue(const struct nc_cublaslt *lt, struct nc_lt_entry *entry)
{
    const struct nc_lt_shape *shape = &entry->shape;
    cublasLtEpilogue_t epilogue = !entry->fused ? CUBLASLT_EPILOGUE_DEFAULT
                                  : shape->bias ? CUBLASLT_EPILOGUE_BIAS
                                                : CUBLASLT_EPILOGUE_BGRADB;
    int32_t type = data_type(shape->d_type); /* backward: fp32 */
    cublasStatus_t status = lt->cublasLtMatmulDescSetAttribute(
        entry->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS && entry->fused)
        status = lt->cublasLtMatmulDescSetAttribute(
            entry->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    return status;
}

cublasStatus_t nc_lt_describe(const struct nc_cuda_products *products,
                              const struct nc_lt_shape *shape, bool fused,
                              struct nc_lt_entry *entry)
{
    const struct nc_cublaslt *lt = products->lt;
    *entry = {};
    entry->shape = *shape;
    entry->fused = fused && (shape->bias || shape->sums);
    cudaDataType_t type = data_type(shape->type);
    cublasOperation_t first = shape->kind == NC_FORWARD ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t second = shape->kind == NC_BACKWARD_WEIGHT ? CUBLAS_OP_T : CUBLAS_OP_N;
    size_t in = shape->in, out = shape->out, rows = shape->rows;
    size_t a_columns = shape->kind == NC_BACKWARD_WEIGHT ? rows : out;
    size_t b_rows = shape->kind == NC_FORWARD ? in : out;
    size_t d_rows = shape->kind == NC_FORWARD ? out : in;
    size_t d_columns = shape->kind == NC_BACKWARD_WEIGHT ? out : rows;
    cublasStatus_t status =
        lt->cublasLtMatmulDescCreate(&entry->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulDescSetAttribute(entry->operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                    &first, sizeof first);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatmulDescSetAttribute(entry->operation, CUBLASLT_MATMUL_DESC_TRANSB,
                                                    &second, sizeof second);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_epilogue(lt, entry);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatrixLayoutCreate(&entry->a, type, in, a_columns, (int64_t)in);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatrixLayoutCreate(&entry->b, type, b_rows, rows, (int64_t)b_rows);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->cublasLtMatrixLayoutCreate(&entry->d, data_type(shape->d_type), d_rows,
                                                d_columns, (int64_t)d_rows);
    return status;
}

/* ---- Running ------------------------------------------------------------------------------ */

cublasStatus_t nc_lt_multiply(struct nc_backend *backend, const struct nc_cuda_products *products,
                              struct nc_lt_entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                              const struct nc_cuda_product *p, void *d, void *sums)
{
    const struct nc_cublaslt *lt = products->lt;
    bool weight_first = p->kind != NC_BACKWARD_WEIGHT;
    const void *a = weight_first ? p->b : p->a, *b = weight_first ? p->a : p->b;
    const void *vector = entry->shape.bias ? p->bias : sums;
    const float one = 1, beta = p->addend ? 1.0f : 0.0f;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    if (entry->fused)
        status = lt->cublasLtMatmulDescSetAttribute(
            entry->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof vector);
    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            lt->cublasLtMatmul(products->handle, entry->operation, &one, a, entry->a, b, entry->b,
                               &beta, p->addend ? p->addend : d, entry->d, d, entry->d, algorithm,
                               products->workspace, NC_LT_WORKSPACE, backend->compute);
    return status;
}

/* ---- The door ----------------------------------------------------------------------------- */

static unsigned alignment_of(const struct nc_cuda_product *p)
{
    uintptr_t all = (uintptr_t)p->a | (uintptr_t)p->b | (uintptr_t)p->d | (uintptr_t)p->addend;
    unsigned alignment = 16;
    while (alignment > 1 && all % alignment)
        alignment /= 2;
    return alignment;
}

int nc_cuda_product(struct nc_backend *backend, struct nc_cuda_products *products,
                    const struct nc_cuda_product *p, bool *apart)
{
    bool sums = p->column_sums && p->rows >= NC_LT_FEWEST_SUMMED;
    struct nc_lt_shape shape = {
        p->kind, p->type,         p->d_type,       p->rows,           p->in,
        p->out,  alignment_of(p), p->bias != NULL, p->addend != NULL, sums};
    bool known;
    struct nc_lt_entry *entry = nc_lt_look_up(products->entries, &shape, &known);
    if (!known) {
        nc_lt_clear(products, entry);
        int status = nc_lt_choose(backend, products, &shape, p, entry);
        if (status != NC_OK) {
            nc_lt_clear(products, entry);
            return status;
        }
    }
    entry->last_use = ++products->clock;
    *apart = !entry->fused && (p->bias || p->column_sums);
    return nc_lt_check(
        products,
        nc_lt_multiply(backend, products, entry, &entry->algorithm, p, p->d, p->column_sums),
        &shape, p->operation);
}

/* ---- Opening ------------------------------------------------------------------------------ */

void nc_cuda_products_version(char *text)
{
    const struct nc_cublaslt *library;
    *text = 0;
    if (nc_cublaslt_load(&library) != NC_OK)
        return;
    size_t version = library->cublasLtGetVersion(); /* 13.1.2 is 130102 */
    snprintf(text, NC_VERSION_SIZE, "%zu.%zu.%zu", version / 10000, version / 100 % 100,
             version % 100);
}

int nc_cuda_products_create(struct nc_backend *backend, struct nc_cuda_products **out)
{
    *out = NULL;
    struct nc_cuda_products *products = (struct nc_cuda_products *)calloc(1, sizeof *products);
    if (!products)
        return nc_error(NC_FAILED, "cuda: no memory");
    const char *timing = getenv("NCLIP_GEMM_TIMING");
    products->timing = !timing || timing[0] != '0';
    uint64_t workspace = NC_LT_WORKSPACE;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* no atomics, fp32 */
    int result = nc_cublaslt_load(&products->lt);
    if (result != NC_OK) {
        free(products);
        return result;
    }
    const struct nc_cublaslt *lt = products->lt;
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
                 ? nc_cuda_allocate(backend, NC_LT_WORKSPACE, &products->workspace)
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
    for (size_t i = 0; i < NC_LT_REMEMBERED; i++)
        nc_lt_clear(products, &products->entries[i]);
    if (products->preference)
        products->lt->cublasLtMatmulPreferenceDestroy(products->preference);
    if (products->handle)
        products->lt->cublasLtDestroy(products->handle);
    (void)cudaFree(products->workspace);
    free(products);
}
