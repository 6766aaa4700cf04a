/* Linear layers: their products by cuBLASLt (product.h), and bias, activation and residual around
 * them.
 *
 *   linear                  y  = x W^T     2 rows in out flops
 *   linear_backward_input   dx = dy W      2 rows in out flops
 *   linear_backward_weight  dW = dy^T x    2 rows in out flops, dbias = column sums of dy
 *
 * ViT-L/14's text tower, 6,800 rows, a block's four layers (768 to 2304, 768 to 768, 768 to
 * 3072, 3072 to 768): 96 GFLOP forward, 193 GFLOP backward; implied 97 us and 195 us at 989
 * TFLOP/s of dense bf16 (NVIDIA H100 SXM datasheet).
 *
 * The epilogue adds the bias and, into fp32, the residual. cuBLASLt wants the bias in the
 * result's type: for a bf16 result it is rounded to bf16 first, as PyTorch's autocast does.
 * cuBLASLt has no QuickGELU, and its GELU is the tanh approximation: both follow as a kernel,
 * in bf16 upon as many rows at a time as the L2 cache holds in fp32, so that nothing is rounded
 * twice.
 * Where the product is faster without its bias, or without the bias's gradient, or cannot make them
 * (cublaslt_choice.cu), a kernel adds the bias (8 rows out bytes), or reads dy once more
 * (column_sums.cu: 2 rows out bytes in bf16). */
#include "product.h"

#include <cstdlib>

enum {
    MOST_COLUMNS = NC_CUDA_COLUMNS,
    WORK = 1 << 23,     /* numbers: 32 MB, which an H100's L2 cache holds */
    ROWS_AT_ONCE = 256, /* rows of a product ahead of its activation are a multiple of */
};

struct nc_cuda_gemm {
    struct nc_cuda_products *products;
    float *work;       /* [WORK]: slices of column sums, or rows before their activation */
    nc_bfloat16 *bias; /* [MOST_COLUMNS] */
};

int nc_cuda_gemm_create(struct nc_backend *backend, struct nc_cuda_gemm **out)
{
    *out = NULL;
    struct nc_cuda_gemm *gemm = (struct nc_cuda_gemm *)calloc(1, sizeof *gemm);
    if (!gemm)
        return nc_error(NC_FAILED, "cuda: no memory");
    void *work = NULL, *bias = NULL;
    int status = nc_cuda_products_create(backend, &gemm->products);
    if (status == NC_OK)
        status = nc_cuda_allocate(backend, (size_t)WORK * sizeof *gemm->work, &work);
    if (status == NC_OK)
        status = nc_cuda_allocate(backend, MOST_COLUMNS * sizeof *gemm->bias, &bias);
    gemm->work = (float *)work;
    gemm->bias = (nc_bfloat16 *)bias;
    if (status != NC_OK) {
        nc_cuda_gemm_destroy(gemm);
        return status;
    }
    *out = gemm;
    return NC_OK;
}

void nc_cuda_gemm_destroy(struct nc_cuda_gemm *gemm)
{
    if (!gemm)
        return;
    nc_cuda_products_destroy(gemm->products);
    (void)cudaFree(gemm->work);
    (void)cudaFree(gemm->bias);
    free(gemm);
}

/* ---- The operations ------------------------------------------------------------------------ */

/* `beside`: the work space holds something of `out` columns. */
static int check(const char *operation, size_t rows, size_t in, size_t out, bool beside)
{
    if (in < 1 || out < 1 || in > (size_t)INT32_MAX || out > (size_t)INT32_MAX ||
        rows > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "%s: cuda does no product of %zu rows, in %zu, out %zu",
                        operation, rows, in, out);
    if (beside && out > MOST_COLUMNS)
        return nc_error(NC_FAILED, "%s: %zu columns; with a bias cuda puts out %d at most",
                        operation, out, (int)MOST_COLUMNS);
    return NC_OK;
}

/* The bias as the product wants it: in its result's type, at a multiple of 16 bytes. */
static int prepare_bias(struct nc_backend *backend, const struct nc_linear *l, const void **bias)
{
    *bias = l->bias;
    if (!l->bias || (l->y_type == NC_FLOAT32 && (uintptr_t)l->bias % 16 == 0))
        return NC_OK;
    if (l->y_type == NC_BFLOAT16 && l->bias_bf16 && (uintptr_t)l->bias_bf16 % 16 == 0) {
        *bias = l->bias_bf16;
        return NC_OK;
    }
    void *to = l->y_type == NC_FLOAT32 ? (void *)backend->gemm->work : backend->gemm->bias;
    *bias = to;
    return nc_cuda_convert(backend, to, l->y_type, l->bias, NC_FLOAT32, l->out);
}

static struct nc_cuda_product forward_of(const struct nc_linear *l)
{
    struct nc_cuda_product product = {};
    product.kind = NC_FORWARD;
    product.operation = "linear";
    product.type = l->type;
    product.d_type = l->y_type;
    product.rows = l->rows;
    product.in = l->in;
    product.out = l->out;
    product.a = l->x;
    product.b = l->weight;
    product.addend = l->residual;
    product.d = l->y;
    return product;
}

/* bf16: rows that fit the work space at a time, in fp32 up to the activation. */
static int linear_activated(struct nc_backend *backend, const struct nc_linear *l)
{
    struct nc_cuda_product product = forward_of(l);
    size_t most = WORK / l->out / ROWS_AT_ONCE * ROWS_AT_ONCE;
    product.d_type = NC_FLOAT32;
    product.d = backend->gemm->work;
    int status = NC_OK;
    for (size_t row = 0; status == NC_OK && row < l->rows; row += most) {
        bool apart;
        product.rows = l->rows - row < most ? l->rows - row : most;
        product.a = (const nc_bfloat16 *)l->x + row * l->in;
        status = nc_cuda_product(backend, backend->gemm->products, &product, &apart);
        if (status == NC_OK)
            status =
                nc_cuda_bias_activation(backend, l->activation, backend->gemm->work, l->bias,
                                        product.rows, l->out, (nc_bfloat16 *)l->y + row * l->out);
    }
    return status;
}

int nc_cuda_linear(struct nc_backend *backend, const struct nc_linear *l)
{
    int status = check("linear", l->rows, l->in, l->out, l->bias || l->activate);
    if (status != NC_OK)
        return status;
    if (l->residual && (l->y_type != NC_FLOAT32 || l->activate))
        return nc_error(NC_FAILED, "linear: a residual needs an fp32 output and no activation");
    if (!l->rows)
        return NC_OK;
    if (l->activate && l->y_type == NC_BFLOAT16)
        return linear_activated(backend, l);
    struct nc_cuda_product product = forward_of(l);
    bool apart = false;
    status = prepare_bias(backend, l, &product.bias);
    if (status == NC_OK)
        status = nc_cuda_product(backend, backend->gemm->products, &product, &apart);
    if (status == NC_OK && apart)
        status = nc_cuda_add_bias(backend, (const float *)product.bias, l->rows, l->out,
                                  (float *)l->y);
    if (status != NC_OK || !l->activate)
        return status;
    struct nc_activation_forward activation = {};
    activation.activation = l->activation;
    activation.type = NC_FLOAT32;
    activation.rows = l->rows;
    activation.width = l->out;
    activation.x = activation.y = l->y;
    return nc_cuda_activation_forward(backend, &activation);
}

int nc_cuda_linear_backward_input(struct nc_backend *backend,
                                  const struct nc_linear_backward_input *l)
{
    int status = check("linear_backward_input", l->rows, l->in, l->out, false);
    if (status != NC_OK || !l->rows)
        return status;
    struct nc_cuda_product product = {};
    product.kind = NC_BACKWARD_INPUT;
    product.operation = "linear_backward_input";
    product.type = product.d_type = l->type;
    product.rows = l->rows;
    product.in = l->in;
    product.out = l->out;
    product.a = l->dy;
    product.b = l->weight;
    product.d = l->dx;
    bool apart;
    return nc_cuda_product(backend, backend->gemm->products, &product, &apart);
}

int nc_cuda_linear_backward_weight(struct nc_backend *backend,
                                   const struct nc_linear_backward_weight *l)
{
    int status = check("linear_backward_weight", l->rows, l->in, l->out, l->dbias);
    if (status != NC_OK)
        return status;
    if (!l->rows) {
        if (!l->accumulate)
            status = nc_cuda_zero(backend, l->dweight, l->out * l->in * sizeof(float));
        if (status == NC_OK && !l->accumulate && l->dbias)
            status = nc_cuda_zero(backend, l->dbias, l->out * sizeof(float));
        return status;
    }
    struct nc_cuda_product product = {};
    product.kind = NC_BACKWARD_WEIGHT;
    product.operation = "linear_backward_weight";
    product.type = l->type;
    product.d_type = NC_FLOAT32;
    product.rows = l->rows;
    product.in = l->in;
    product.out = l->out;
    product.a = l->x;
    product.b = l->dy;
    product.addend = l->accumulate ? l->dweight : NULL;
    product.d = l->dweight;
    bool direct = l->dbias && !l->accumulate && (uintptr_t)l->dbias % 16 == 0;
    product.column_sums = direct ? l->dbias : l->dbias ? backend->gemm->work : NULL;
    product.partial = backend->gemm->work;
    bool apart = false;
    status = nc_cuda_product(backend, backend->gemm->products, &product, &apart);
    if (status != NC_OK || !l->dbias || (direct && !apart))
        return status;
    if (apart)
        return nc_cuda_sum_columns(backend, l->type, l->dy, l->rows, l->out, backend->gemm->work,
                                   l->accumulate, l->dbias);
    return nc_cuda_sum_columns(backend, NC_FLOAT32, backend->gemm->work, 1, l->out,
                               backend->gemm->work + l->out, l->accumulate, l->dbias);
}

int nc_cuda_multiply(struct nc_backend *backend, enum nc_type type, size_t rows, size_t in,
                     size_t out, const void *a, const void *b, bool accumulate, float *d)
{
    struct nc_cuda_product product = {};
    product.kind = NC_BACKWARD_INPUT;
    product.operation = "multiply";
    product.type = type;
    product.d_type = NC_FLOAT32;
    product.rows = rows;
    product.in = in;
    product.out = out;
    product.a = a;
    product.b = b;
    product.addend = accumulate ? d : NULL;
    product.d = d;
    bool apart;
    return nc_cuda_product(backend, backend->gemm->products, &product, &apart);
}
