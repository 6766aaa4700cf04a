/* Products of bf16 matrices by fp32 arithmetic.
 *
 * The result is cut into tiles, which threads share out. For one tile, panel by panel along the sum,
 * both operands become fp32 in a thread's own memory, which the second cache holds, and oneDNN's
 * fp32 product multiplies them; the tile gathers the sums in fp32 and is rounded when it leaves. No
 * fp32 copy of a matrix is ever made, and memory is read as bf16.
 *
 * 2 m n k flops, and for each TILE of them 2 numbers widened and written into the cache; measured
 * against oneDNN's fp32 product of whole matrices 0.9 of its speed with AVX2 and with SSE4.1,
 * and no more with larger tiles. */
#include "widened.h"

#include "activation.h"

#include <oneapi/dnnl/dnnl.h>

enum {
    TILE = 128,
    DEPTH = 256,
    PAD = 16, /* between rows of a panel: 2^k bytes apart they would share cache sets */
    PANEL = TILE * (DEPTH + PAD) > DEPTH * (TILE + PAD) ? TILE * (DEPTH + PAD) : DEPTH * (TILE + PAD),
};

/* An operand as the product reads it: element (i, p) of the left one, (p, j) of the right one.
 * `along`: p counts neighbours in memory. */
struct operand {
    const nc_bfloat16 *data;
    size_t step; /* between rows in memory */
    bool along;
};

struct product {
    size_t m, n, k;
    struct operand left, right;
    const struct nc_product_shape *shape;
    const struct nc_product_operands *out; /* where it goes, and what is added before */
    bool add;
};

size_t nc_cpu_widened_workspace(void)
{
    return (2 * PANEL + TILE * (TILE + PAD)) * sizeof(float);
}

/* Elements first .. first + count of the tile's side, p .. p + depth of the sum. Returns the step
 * between the panel's rows. */
static size_t widen(const struct operand *o, size_t first, size_t count, size_t p, size_t depth,
                    float *panel)
{
    size_t row = o->along ? first : p, column = o->along ? p : first;
    size_t rows = o->along ? count : depth, columns = o->along ? depth : count;
    size_t step = (o->along ? DEPTH : TILE) + PAD;
    for (size_t r = 0; r < rows; r++) {
        const nc_bfloat16 *from = o->data + (row + r) * o->step + column;
        for (size_t k = 0; k < columns; k += NC_LANES)
            nc_store(panel + r * step, k, NC_FLOAT32, nc_load_of(from, k, NC_BFLOAT16, columns - k));
    }
    return step;
}

/* One row of a tile, on its way to `to`. */
NC_INLINE void finish_row(const struct product *x, const float *sum, size_t row, size_t column,
                          size_t columns, int activation, enum nc_type type)
{
    size_t at = row * x->n + column;
    for (size_t k = 0; k < columns; k += NC_LANES) {
        size_t left = columns - k;
        nc_floats y = nc_load(sum, k, NC_FLOAT32);
        if (x->out->bias)
            y += nc_load_of(x->out->bias, column + k, NC_FLOAT32, left);
        if (x->out->residual)
            y += nc_load_of(x->out->residual, at + k, NC_FLOAT32, left);
        if (x->add)
            y += nc_load_of(x->out->result, at + k, NC_FLOAT32, left);
        if (activation != NC_NO_ACTIVATION)
            y *= nc_gate(y, (enum nc_activation)activation);
        nc_store_of(x->out->result, at + k, type, y, left);
    }
}

#define FINISH(activation, type) \
    for (size_t i = 0; i < rows; i++) \
        finish_row(x, sums + i * (TILE + PAD), row + i, column, columns, activation, type)

static void finish(const struct product *x, const float *sums, size_t row, size_t rows,
                   size_t column, size_t columns)
{
    bool fp32 = x->shape->result_type == NC_FLOAT32;
    if (x->shape->activation == NC_NO_ACTIVATION && fp32)
        FINISH(NC_NO_ACTIVATION, NC_FLOAT32);
    else if (x->shape->activation == NC_NO_ACTIVATION)
        FINISH(NC_NO_ACTIVATION, NC_BFLOAT16);
    else if (x->shape->activation == NC_QUICK_GELU && fp32)
        FINISH(NC_QUICK_GELU, NC_FLOAT32);
    else if (x->shape->activation == NC_QUICK_GELU)
        FINISH(NC_QUICK_GELU, NC_BFLOAT16);
    else if (x->shape->activation == NC_GELU_TANH && fp32)
        FINISH(NC_GELU_TANH, NC_FLOAT32);
    else if (x->shape->activation == NC_GELU_TANH)
        FINISH(NC_GELU_TANH, NC_BFLOAT16);
    else if (fp32)
        FINISH(NC_GELU, NC_FLOAT32);
    else
        FINISH(NC_GELU, NC_BFLOAT16);
}

static int make_tile(const struct product *x, size_t row, size_t column, float *workspace)
{
    size_t rows = x->m - row < TILE ? x->m - row : TILE;
    size_t columns = x->n - column < TILE ? x->n - column : TILE;
    float *left = workspace, *right = left + PANEL, *sums = right + PANEL;
    for (size_t p = 0; p < x->k; p += DEPTH) {
        size_t depth = x->k - p < DEPTH ? x->k - p : DEPTH;
        size_t left_step = widen(&x->left, row, rows, p, depth, left);
        size_t right_step = widen(&x->right, column, columns, p, depth, right);
        dnnl_status_t status =
            dnnl_sgemm(x->left.along ? 'N' : 'T', x->right.along ? 'T' : 'N', (dnnl_dim_t)rows,
                       (dnnl_dim_t)columns, (dnnl_dim_t)depth, 1.0f, left, (dnnl_dim_t)left_step,
                       right, (dnnl_dim_t)right_step, p ? 1.0f : 0.0f, sums, TILE + PAD);
        if (status != dnnl_success)
            return status;
    }
    finish(x, sums, row, rows, column, columns);
    return dnnl_success;
}

static struct product describe(const struct nc_product_shape *shape,
                               const struct nc_product_operands *o)
{
    struct product x = {.shape = shape, .out = o};
    switch (shape->kind) {
    case NC_PRODUCT_FORWARD: /* x [rows, in] W^T */
        x.m = shape->rows, x.n = shape->out, x.k = shape->in;
        x.left = (struct operand){o->left, shape->in, true};
        x.right = (struct operand){o->right, shape->in, true};
        break;
    case NC_PRODUCT_BACKWARD_INPUT: /* dy [rows, out] W */
        x.m = shape->rows, x.n = shape->in, x.k = shape->out;
        x.left = (struct operand){o->left, shape->out, true};
        x.right = (struct operand){o->right, shape->in, false};
        break;
    case NC_PRODUCT_BACKWARD_WEIGHT: /* dy^T x */
        x.m = shape->out, x.n = shape->in, x.k = shape->rows;
        x.left = (struct operand){o->left, shape->out, false};
        x.right = (struct operand){o->right, shape->in, false};
        break;
    }
    return x;
}

int nc_cpu_widened_product(struct nc_backend *backend, const struct nc_product_shape *shape,
                           const struct nc_product_operands *operands, bool add)
{
    struct product x = describe(shape, operands);
    x.add = add;
    size_t across = (x.n + TILE - 1) / TILE, tiles = (x.m + TILE - 1) / TILE * across;
    int status = dnnl_success;
#pragma omp parallel for num_threads(backend->threads) schedule(dynamic) reduction(max : status)
    for (size_t tile = 0; tile < tiles; tile++) {
        int refused = make_tile(&x, tile / across * TILE, tile % across * TILE,
                                nc_cpu_thread_workspace(backend));
        status = status > refused ? status : refused;
    }
    return status;
}
