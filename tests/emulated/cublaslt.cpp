/* cuBLASLt on the CPU (cublasLt.h). */
#include "emulated/sums.h"
#include "kernels/cuda/cublaslt_library.h"
#include "kernels/cuda/device.h"

#include <algorithm>
#include <vector>

struct nc_emulated_lt nc_emulated_lt;

struct nc_emulated_matmul {
    cublasOperation_t transpose_a, transpose_b;
    cublasLtEpilogue_t epilogue;
    int32_t vector_type; /* -1: d's */
    void *vector;
};

struct nc_emulated_layout {
    cudaDataType_t type;
    size_t rows, columns, stride;
};

struct nc_emulated_preference {
    uint64_t workspace;
    uint32_t schemes;
    uint32_t alignment; /* the smallest of the four */
};

enum : uint64_t { WORKSPACE_NEEDED = 1 << 20 };

int nc_cublaslt_load(const struct nc_cublaslt **library)
{
    static const struct nc_cublaslt functions = {
#define POINTER(name) ::name,
        NC_CUBLASLT_FUNCTIONS(POINTER)
#undef POINTER
    };
    *library = &functions;
    return NC_OK;
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = &nc_emulated_lt;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

size_t cublasLtGetVersion(void)
{
    return 0;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                                 : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *matmul, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *matmul =
        new nc_emulated_matmul{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, -1, nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmul)
{
    delete matmul;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t take(T *to, const void *value, size_t bytes)
{
    if (bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmul,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&matmul->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&matmul->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&matmul->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(&matmul->vector, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return take(&matmul->vector_type, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t stride)
{
    if (!rows || !columns || stride < static_cast<int64_t>(rows))
        return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new nc_emulated_layout{type, rows, columns, static_cast<size_t>(stride)};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = new nc_emulated_preference{0, 7, 256};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return take(&preference->workspace, value, bytes);
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        return take(&preference->schemes, value, bytes);
    return take(&preference->alignment, value, bytes);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

struct sizes {
    size_t m, n, k;
};

static bool shapes_agree(const nc_emulated_matmul *matmul, const nc_emulated_layout *a,
                         const nc_emulated_layout *b, const nc_emulated_layout *d, sizes *s)
{
    bool ta = matmul->transpose_a == CUBLAS_OP_T, tb = matmul->transpose_b == CUBLAS_OP_T;
    s->m = ta ? a->columns : a->rows;
    s->k = ta ? a->rows : a->columns;
    s->n = tb ? b->rows : b->columns;
    return (tb ? b->columns : b->rows) == s->k && d->rows == s->m && d->columns == s->n;
}

/* As NVIDIA's table of types has it; bias gradients here for bf16 only, so that both ways of
 * making them are met. */
static bool supported(const nc_emulated_matmul *matmul, const nc_emulated_layout *a,
                      const nc_emulated_layout *b, const nc_emulated_layout *d)
{
    if (a->type != b->type || (a->type == CUDA_R_32F && d->type != CUDA_R_32F))
        return false;
    if (matmul->epilogue == CUBLASLT_EPILOGUE_DEFAULT)
        return true;
    if (matmul->epilogue == CUBLASLT_EPILOGUE_BGRADB && b->columns == nc_emulated_lt.unsummed_rows)
        return false;
    if (reinterpret_cast<uintptr_t>(matmul->vector) % 16 || !matmul->vector)
        return false;
    if (matmul->vector_type != -1 && matmul->vector_type != d->type)
        return false;
    return matmul->epilogue == CUBLASLT_EPILOGUE_BIAS ||
           (matmul->epilogue == CUBLASLT_EPILOGUE_BGRADB && a->type == CUDA_R_16BF);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t *results, int *count)
{
    sizes s;
    *count = 0;
    if (!shapes_agree(matmul, a, b, d, &s) || c->rows != d->rows || c->columns != d->columns)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!supported(matmul, a, b, d) || preference->workspace < WORKSPACE_NEEDED ||
        (handle->apart && matmul->epilogue != CUBLASLT_EPILOGUE_DEFAULT))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (; *count < 3 && *count < most; ++*count) {
        results[*count] = {};
        results[*count].algo.data[0] = static_cast<uint64_t>(*count) + 1;
        results[*count].algo.data[1] = preference->alignment;
        results[*count].workspaceSize = WORKSPACE_NEEDED;
        results[*count].wavesCount = handle->waves;
    }
    handle->proposed++;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t *algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    uint32_t number;
    cublasStatus_t status = take(&number, value, bytes);
    if (status == CUBLAS_STATUS_SUCCESS)
        algorithm->data[attribute == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? 2 : 3] = number;
    return status;
}

/* Bytes of the workspace; 0: it cannot make the sum in so many parts. */
static uint64_t workspace_of(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul,
                             const cublasLtMatmulAlgo_t *algorithm, const sizes &s)
{
    uint64_t parts = algorithm->data[2];
    if (parts < 2)
        return WORKSPACE_NEEDED;
    if (parts > 8 || parts > s.k || algorithm->data[0] == 3 ||
        algorithm->data[3] != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE ||
        matmul->epilogue != CUBLASLT_EPILOGUE_DEFAULT)
        return 0;
    return parts * (handle->part_bytes ? handle->part_bytes : s.m * s.n * sizeof(float));
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result)
{
    sizes s;
    (void)c;
    if (!shapes_agree(matmul, a, b, d, &s) || !supported(matmul, a, b, d) ||
        (algorithm->data[0] == 2 && d->columns == handle->unfit_rows))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *result = {};
    result->algo = *algorithm;
    result->workspaceSize = workspace_of(handle, matmul, algorithm, s);
    return result->workspaceSize ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* ---- The product -------------------------------------------------------------------------------
 */

static nc_type type_of(cudaDataType_t type)
{
    return type == CUDA_R_32F ? NC_FLOAT32 : type == CUDA_R_16F ? NC_FLOAT16 : NC_BFLOAT16;
}

static std::vector<float> read(const void *data, size_t count, cudaDataType_t type)
{
    std::vector<float> values(count);
    nc_races_read(data, count * nc_type_size(type_of(type)));
    nc_convert(values.data(), NC_FLOAT32, data, type_of(type), count);
    return values;
}

struct job {
    nc_emulated_matmul matmul;
    nc_emulated_layout a, b, d;
    const void *a_data, *b_data, *c_data;
    void *d_data;
    float beta;
    sizes s;
    uint64_t algorithm, parts, unwritten;
    float *workspace;
};

/* op(x) as [k][m]; what the library calls columns are rows here. */
static std::vector<float> by_k(const std::vector<float> &x, bool already, size_t k, size_t m)
{
    if (already)
        return x;
    std::vector<float> turned(x.size());
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++)
            turned[l * m + i] = x[i * k + l];
    return turned;
}

/* What the parts of a sum left in the workspace, added in order. */
static std::vector<float> add_parts(const job &j)
{
    size_t count = j.s.m * j.s.n;
    std::vector<float> d(count);
    nc_races_read(j.workspace, j.parts * count * sizeof(float));
    for (size_t part = 0; part < j.parts; part++)
        for (size_t i = 0; i < count; i++)
            d[i] += j.workspace[part * count + i];
    return d;
}

/* d[n][m] = op(a)[m][k] op(b)[k][n]; matrices are dense. */
static std::vector<float> multiply(const job &j, const std::vector<float> &a,
                                   const std::vector<float> &b)
{
    std::vector<float> left = by_k(a, j.matmul.transpose_a == CUBLAS_OP_N, j.s.k, j.s.m);
    std::vector<float> right = by_k(b, j.matmul.transpose_b == CUBLAS_OP_N, j.s.n, j.s.k);
    std::vector<float> d(j.s.m * j.s.n);
    auto *add = j.a.type == CUDA_R_32F ? nc_emulated_add_in_order : nc_emulated_add_in_tensor_cores;
    size_t parts = j.parts > 1 ? j.parts : 1;
    for (size_t part = 0; part < parts; part++) {
        size_t first = part * j.s.k / parts, last = (part + 1) * j.s.k / parts;
        for (size_t n = 0; n < j.s.n; n++)
            add(&d[n * j.s.m], j.s.m, &left[first * j.s.m], j.s.m, &right[n * j.s.k + first],
                last - first);
        if (parts == 1 || part + 1 == j.unwritten)
            continue;
        nc_races_write(j.workspace + part * d.size(), d.size() * sizeof(float));
        memcpy(j.workspace + part * d.size(), d.data(), d.size() * sizeof(float));
        std::fill(d.begin(), d.end(), 0.0f);
    }
    return parts == 1 ? d : add_parts(j);
}

static void run(const job &j)
{
    nc_races_launch("a product");
    uint64_t slow =
        j.parts > 1 ? nc_emulated_lt.slow_parts[j.parts] : nc_emulated_lt.slow[j.algorithm];
    if (j.matmul.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
        slow += nc_emulated_lt.slow_epilogue;
    nc_emulated_take(1000 * static_cast<int64_t>(slow));
    std::vector<float> a = read(j.a_data, j.a.rows * j.a.columns, j.a.type);
    std::vector<float> b = read(j.b_data, j.b.rows * j.b.columns, j.b.type);
    size_t count = j.s.m * j.s.n;
    std::vector<float> d = multiply(j, a, b);
    if (j.beta != 0) {
        std::vector<float> c = read(j.c_data, count, j.d.type);
        for (size_t i = 0; i < count; i++)
            d[i] += j.beta * c[i];
    }
    if (j.matmul.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        std::vector<float> bias = read(j.matmul.vector, j.s.m, j.d.type);
        for (size_t i = 0; i < count; i++)
            d[i] += bias[i % j.s.m];
    } else if (j.matmul.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
        std::vector<float> sums(j.s.n); /* of op(b)[k, n] over k; b^T lies here as [k, n] */
        bool transposed = j.matmul.transpose_b == CUBLAS_OP_T;
        for (size_t k = 0; k < j.s.k; k++)
            for (size_t n = 0; n < j.s.n; n++)
                sums[n] += b[transposed ? k * j.s.n + n : n * j.s.k + k];
        nc_races_write(j.matmul.vector, j.s.n * nc_type_size(type_of(j.d.type)));
        nc_convert(j.matmul.vector, type_of(j.d.type), sums.data(), NC_FLOAT32, j.s.n);
    }
    if (j.algorithm == 3) /* as if it had added up in another order */
        for (float &value : d)
            value *= 1.0078125f;
    nc_races_write(j.d_data, count * nc_type_size(type_of(j.d.type)));
    nc_convert(j.d_data, type_of(j.d.type), d.data(), NC_FLOAT32, count);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul,
                              const void *alpha, const void *a_data, cublasLtMatrixLayout_t a,
                              const void *b_data, cublasLtMatrixLayout_t b, const void *beta,
                              const void *c_data, cublasLtMatrixLayout_t c, void *d_data,
                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algorithm,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    cublasLtMatmulHeuristicResult_t checked;
    cublasStatus_t status =
        cublasLtMatmulAlgoCheck(handle, matmul, a, b, c, d, algorithm, &checked);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    uintptr_t addresses = reinterpret_cast<uintptr_t>(a_data) |
                          reinterpret_cast<uintptr_t>(b_data) |
                          reinterpret_cast<uintptr_t>(c_data) | reinterpret_cast<uintptr_t>(d_data);
    if (addresses % algorithm->data[1] || !workspace || workspace_bytes < checked.workspaceSize ||
        *static_cast<const float *>(alpha) != 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    job j = {*matmul,
             *a,
             *b,
             *d,
             a_data,
             b_data,
             c_data,
             d_data,
             *static_cast<const float *>(beta),
             {},
             algorithm->data[0],
             algorithm->data[2],
             handle->unwritten,
             static_cast<float *>(workspace)};
    shapes_agree(matmul, a, b, d, &j.s);
    handle->algorithm = j.algorithm;
    handle->parts = j.parts;
    handle->fused = matmul->epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    handle->multiplied++;
    nc_emulated_enqueue(stream, [j] { run(j); }, "product");
    return CUBLAS_STATUS_SUCCESS;
}
