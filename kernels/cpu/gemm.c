/* Dense products of linear layers, by oneDNN: never hand-written.
 *
 *   linear                  y  = x W^T     2 rows in out flops
 *   linear_backward_input   dx = dy W      2 rows in out flops
 *   linear_backward_weight  dW = dy^T x    2 rows in out flops
 *
 * fp32 goes through dnnl_sgemm, which needs no set-up per shape: bias and residual
 * are laid into y first and the product is added to them. bf16 goes through
 * primitives, which oneDNN generates code for; the number of rows changes with
 * every packed batch, so the newest of them are kept (a cache of CACHE_ENTRIES).
 * Weights are reordered to the layout that oneDNN prefers, in passing: one read
 * and one write of the weight against `rows` uses of it. Where the processor does not
 * multiply bf16, its products go another way (widened.c).
 */
#include "cpu.h"
#include "nclip/support/error.h"
#include "onednn.h"
#include "vector.h"
#include "widened.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CACHE_ENTRIES = 128,
    REORDER_FROM_ROWS = 256, /* with fewer rows, reordering the weight costs more than it saves */
};

struct entry {
    struct nc_product_shape shape;
    uint64_t last_use;
    struct nc_onednn_product *product;
};

struct nc_cpu_gemm {
    struct nc_onednn *onednn;
    bool multiplies_bf16;
    struct entry entries[CACHE_ENTRIES];
    uint64_t clock;
    void *packed; /* a reordered weight, or a weight gradient before it is added */
    size_t packed_bytes;
};

static int failed(const char *operation, int status, size_t rows, size_t in, size_t out)
{
    return nc_error(NC_FAILED, "%s: oneDNN refused rows %zu, in %zu, out %zu (status %d)",
                    operation, rows, in, out, status);
}

static void entry_clear(struct entry *entry)
{
    nc_onednn_product_destroy(entry->product);
    *entry = (struct entry){0};
}

int nc_cpu_gemm_create(struct nc_cpu_gemm **out)
{
    struct nc_cpu_gemm *gemm = calloc(1, sizeof *gemm);
    *out = gemm;
    if (!gemm)
        return nc_error(NC_FAILED, "cpu: no memory");
    int status = nc_onednn_create(&gemm->onednn);
    if (status) {
        nc_cpu_gemm_destroy(gemm);
        *out = NULL;
        return nc_error(NC_FAILED, "cpu: oneDNN has no engine for this processor (status %d)",
                        status);
    }
    gemm->multiplies_bf16 = nc_onednn_multiplies_bf16();
    return NC_OK;
}

void nc_cpu_gemm_destroy(struct nc_cpu_gemm *gemm)
{
    if (!gemm)
        return;
    for (size_t i = 0; i < CACHE_ENTRIES; i++)
        entry_clear(&gemm->entries[i]);
    nc_onednn_destroy(gemm->onednn);
    if (gemm->packed)
        munmap(gemm->packed, gemm->packed_bytes);
    free(gemm);
}

/* The one buffer behind every reorder; it grows to the largest weight and stays. */
static int packed_reserve(struct nc_cpu_gemm *gemm, size_t bytes)
{
    if (bytes <= gemm->packed_bytes)
        return NC_OK;
    if (gemm->packed)
        munmap(gemm->packed, gemm->packed_bytes);
    gemm->packed_bytes = 0;
    gemm->packed = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (gemm->packed == MAP_FAILED) {
        gemm->packed = NULL;
        return nc_error(NC_FAILED, "cpu: no memory for a weight of %zu bytes", bytes);
    }
    gemm->packed_bytes = bytes;
    return NC_OK;
}

/* ---- fp32 ------------------------------------------------------------------------- */

static void lay_bias(float *y, const float *bias, const float *residual, size_t rows, size_t out)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        float *to = y + r * out;
        const float *from = residual ? residual + r * out : NULL;
        if (bias && from)
            for (size_t i = 0; i < out; i++)
                to[i] = bias[i] + from[i];
        else if (bias)
            memcpy(to, bias, out * sizeof *to);
        else if (from != to)
            memcpy(to, from, out * sizeof *to);
    }
}

static int linear_fp32(struct nc_backend *backend, const struct nc_linear *l)
{
    float *y = l->y;
    if (l->bias || l->residual)
        lay_bias(y, l->bias, l->residual, l->rows, l->out);
    dnnl_status_t status = dnnl_sgemm(
        'N', 'T', (dnnl_dim_t)l->rows, (dnnl_dim_t)l->out, (dnnl_dim_t)l->in, 1.0f, l->x,
        (dnnl_dim_t)l->in, l->weight, (dnnl_dim_t)l->in, l->bias || l->residual ? 1.0f : 0.0f, y,
        (dnnl_dim_t)l->out);
    if (status != dnnl_success)
        return failed("linear", status, l->rows, l->in, l->out);
    if (!l->activate)
        return NC_OK;
    struct nc_activation_forward activation = {
        .activation = l->activation, .type = NC_FLOAT32, .rows = l->rows, .width = l->out,
        .x = y, .y = y};
    return nc_cpu_activation_forward(backend, &activation);
}

/* Column sums in a fixed order of rows, whatever the number of threads: 16 rows at a time in
 * fp32, those sums in double, so that thousands of rows lose no more than 16 do. */
enum { COLUMNS = 64, ROWS_TOGETHER = 16 };

NC_INLINE void sum_block(const struct nc_linear_backward_weight *l, size_t first, enum nc_type type)
{
    size_t count = l->out - first < COLUMNS ? l->out - first : COLUMNS;
    double total[COLUMNS] = {0};
    for (size_t row = 0; row < l->rows; row += ROWS_TOGETHER) {
        float sum[COLUMNS] = {0};
        for (size_t r = row; r < row + ROWS_TOGETHER && r < l->rows; r++)
            for (size_t i = 0; i < count; i += NC_LANES)
                nc_store(sum, i, NC_FLOAT32,
                         nc_load(sum, i, NC_FLOAT32) +
                             nc_load_of(l->dy, r * l->out + first + i, type, count - i));
        for (size_t i = 0; i < count; i++)
            total[i] += sum[i];
    }
    for (size_t i = 0; i < count; i++)
        l->dbias[first + i] = (float)(l->accumulate ? l->dbias[first + i] + total[i] : total[i]);
}

static void column_sums(const struct nc_linear_backward_weight *l)
{
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < l->out; first += COLUMNS) {
        if (l->type == NC_FLOAT32)
            sum_block(l, first, NC_FLOAT32);
        else
            sum_block(l, first, NC_BFLOAT16);
    }
}

/* ---- bf16 ------------------------------------------------------------------------- */

static bool shape_equal(const struct nc_product_shape *a, const struct nc_product_shape *b)
{
    return a->kind == b->kind && a->rows == b->rows && a->in == b->in && a->out == b->out &&
           a->result_type == b->result_type && a->bias == b->bias && a->residual == b->residual &&
           a->activation == b->activation;
}

/* The product of this shape, made now or kept from an earlier call; the one unused
 * for longest makes room. */
static int find_product(struct nc_cpu_gemm *gemm, const struct nc_product_shape *shape,
                        const char *operation, struct nc_onednn_product **found)
{
    struct entry *oldest = &gemm->entries[0];
    for (size_t i = 0; i < CACHE_ENTRIES; i++) {
        struct entry *entry = &gemm->entries[i];
        if (entry->product && shape_equal(&entry->shape, shape)) {
            entry->last_use = ++gemm->clock;
            *found = entry->product;
            return NC_OK;
        }
        if (entry->last_use < oldest->last_use)
            oldest = entry;
    }
    entry_clear(oldest);
    int status = nc_onednn_product_create(gemm->onednn, shape, shape->rows >= REORDER_FROM_ROWS,
                                          &oldest->product);
    if (status)
        return failed(operation, status, shape->rows, shape->in, shape->out);
    oldest->shape = *shape;
    oldest->last_use = ++gemm->clock;
    *found = oldest->product;
    return NC_OK;
}

static int multiply(struct nc_backend *backend, const struct nc_product_shape *shape,
                    struct nc_product_operands *operands, const char *operation)
{
    struct nc_cpu_gemm *gemm = backend->gemm;
    if (!gemm->multiplies_bf16) {
        int refused = nc_cpu_widened_product(backend, shape, operands, false);
        return refused ? failed(operation, refused, shape->rows, shape->in, shape->out) : NC_OK;
    }
    struct nc_onednn_product *product = NULL;
    int status = find_product(gemm, shape, operation, &product);
    if (status == NC_OK)
        status = packed_reserve(gemm, nc_onednn_product_packed(product));
    if (status != NC_OK)
        return status;
    if (nc_onednn_product_packed(product))
        operands->packed = gemm->packed;
    int refused = nc_onednn_product_run(gemm->onednn, product, operands);
    return refused ? failed(operation, refused, shape->rows, shape->in, shape->out) : NC_OK;
}

/* ---- The operations --------------------------------------------------------------- */

int nc_cpu_linear(struct nc_backend *backend, const struct nc_linear *l)
{
    if (l->residual && (l->y_type != NC_FLOAT32 || l->activate))
        return nc_error(NC_FAILED, "linear: a residual needs an fp32 output and no activation");
    if (!l->rows)
        return NC_OK;
    if (l->type == NC_FLOAT32)
        return linear_fp32(backend, l);
    struct nc_product_shape shape = {
        .kind = NC_PRODUCT_FORWARD, .rows = l->rows, .in = l->in, .out = l->out,
        .result_type = l->y_type, .bias = l->bias != NULL,
        .activation = l->activate ? (int)l->activation : NC_NO_ACTIVATION,
        .residual = !l->residual          ? NC_NO_RESIDUAL
                    : l->residual == l->y ? NC_RESIDUAL_IN_PLACE
                                          : NC_RESIDUAL_ELSEWHERE};
    struct nc_product_operands operands = {
        .left = l->x, .right = l->weight, .result = l->y, .bias = l->bias, .residual = l->residual};
    return multiply(backend, &shape, &operands, "linear");
}

int nc_cpu_linear_backward_input(struct nc_backend *backend, const struct nc_linear_backward_input *l)
{
    if (!l->rows)
        return NC_OK;
    if (l->type == NC_FLOAT32) {
        dnnl_status_t status = dnnl_sgemm('N', 'N', (dnnl_dim_t)l->rows, (dnnl_dim_t)l->in,
                                          (dnnl_dim_t)l->out, 1.0f, l->dy, (dnnl_dim_t)l->out,
                                          l->weight, (dnnl_dim_t)l->in, 0.0f, l->dx,
                                          (dnnl_dim_t)l->in);
        return status == dnnl_success
                   ? NC_OK
                   : failed("linear_backward_input", status, l->rows, l->in, l->out);
    }
    struct nc_product_shape shape = {
        .kind = NC_PRODUCT_BACKWARD_INPUT, .rows = l->rows, .in = l->in, .out = l->out,
        .result_type = l->type, .activation = NC_NO_ACTIVATION};
    struct nc_product_operands operands = {.left = l->dy, .right = l->weight, .result = l->dx};
    return multiply(backend, &shape, &operands, "linear_backward_input");
}

static int weight_gradient_fp32(const struct nc_linear_backward_weight *l)
{
    dnnl_status_t status = dnnl_sgemm(
        'T', 'N', (dnnl_dim_t)l->out, (dnnl_dim_t)l->in, (dnnl_dim_t)l->rows, 1.0f, l->dy,
        (dnnl_dim_t)l->out, l->x, (dnnl_dim_t)l->in, l->accumulate ? 1.0f : 0.0f, l->dweight,
        (dnnl_dim_t)l->in);
    if (status != dnnl_success)
        return failed("linear_backward_weight", status, l->rows, l->in, l->out);
    if (l->dbias)
        column_sums(l);
    return NC_OK;
}

static void add(float *to, const float *from, size_t count)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* oneDNN overwrites: a gradient that adds up takes a detour. */
static int weight_gradient_bf16(struct nc_backend *backend, const struct nc_linear_backward_weight *l)
{
    struct nc_cpu_gemm *gemm = backend->gemm;
    struct nc_product_shape shape = {
        .kind = NC_PRODUCT_BACKWARD_WEIGHT, .rows = l->rows, .in = l->in, .out = l->out,
        .bias = l->dbias != NULL, .activation = NC_NO_ACTIVATION};
    struct nc_product_operands operands = {
        .left = l->dy, .right = l->x, .result = l->dweight, .dbias = l->dbias};
    if (!l->accumulate)
        return multiply(backend, &shape, &operands, "linear_backward_weight");
    size_t weights = l->out * l->in;
    int status = packed_reserve(gemm, (weights + l->out) * sizeof(float));
    if (status != NC_OK)
        return status;
    float *dweight = gemm->packed, *dbias = dweight + weights;
    operands.result = dweight;
    operands.dbias = l->dbias ? dbias : NULL;
    status = multiply(backend, &shape, &operands, "linear_backward_weight");
    if (status != NC_OK)
        return status;
    add(l->dweight, dweight, weights);
    if (l->dbias)
        add(l->dbias, dbias, l->out);
    return NC_OK;
}

static int weight_gradient_widened(struct nc_backend *backend,
                                   const struct nc_linear_backward_weight *l)
{
    struct nc_product_shape shape = {
        .kind = NC_PRODUCT_BACKWARD_WEIGHT, .rows = l->rows, .in = l->in, .out = l->out,
        .result_type = NC_FLOAT32, .activation = NC_NO_ACTIVATION};
    struct nc_product_operands operands = {.left = l->dy, .right = l->x, .result = l->dweight};
    int refused = nc_cpu_widened_product(backend, &shape, &operands, l->accumulate);
    if (refused)
        return failed("linear_backward_weight", refused, l->rows, l->in, l->out);
    if (l->dbias)
        column_sums(l);
    return NC_OK;
}

int nc_cpu_linear_backward_weight(struct nc_backend *backend,
                                  const struct nc_linear_backward_weight *l)
{
    if (!l->rows) {
        if (!l->accumulate) {
            memset(l->dweight, 0, l->out * l->in * sizeof(float));
            if (l->dbias)
                memset(l->dbias, 0, l->out * sizeof(float));
        }
        return NC_OK;
    }
    if (l->type == NC_FLOAT32)
        return weight_gradient_fp32(l);
    return backend->gemm->multiplies_bf16 ? weight_gradient_bf16(backend, l)
                                          : weight_gradient_widened(backend, l);
}
