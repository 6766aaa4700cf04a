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
 * and one write of the weight against `rows` uses of it.
 */
#include "cpu.h"

#include "nclip/support/error.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CACHE_ENTRIES = 128,
    REORDER_FROM_ROWS = 256, /* fewer rows do not pay for reordering the weight */
};

/* A residual that is y itself must be a sum: long products lay partial sums into y, and
 * whatever else reads y there reads those. */
enum residual { NO_RESIDUAL, ELSEWHERE, IN_PLACE };

enum kind { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

struct key {
    enum kind kind;
    size_t rows, in, out;
    enum nc_type y_type;
    int bias, activation; /* activation: -1 none, else enum nc_activation */
    enum residual residual;
};

struct entry {
    struct key key;
    uint64_t last_use;
    dnnl_primitive_t product;
    dnnl_primitive_t reorder;      /* weight to the preferred layout, or NULL: as it is */
    dnnl_memory_t a, b, c;         /* x W y | dy W dx | x dW dy */
    dnnl_memory_t plain_weight, bias, residual;
    size_t packed_bytes;
};

struct nc_cpu_gemm {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct entry entries[CACHE_ENTRIES];
    uint64_t clock;
    void *packed; /* a reordered weight, or a weight gradient before it is added */
    size_t packed_bytes;
};

static int failed(const char *operation, dnnl_status_t status, size_t rows, size_t in, size_t out)
{
    return nc_error(NC_FAILED, "%s: oneDNN refused rows %zu, in %zu, out %zu (status %d)",
                    operation, rows, in, out, (int)status);
}

static void entry_clear(struct entry *entry)
{
    dnnl_memory_t memories[] = {entry->a, entry->b, entry->c, entry->plain_weight, entry->bias,
                                entry->residual};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (entry->product)
        dnnl_primitive_destroy(entry->product);
    if (entry->reorder)
        dnnl_primitive_destroy(entry->reorder);
    memset(entry, 0, sizeof *entry);
}

int nc_cpu_gemm_create(struct nc_cpu_gemm **out)
{
    struct nc_cpu_gemm *gemm = calloc(1, sizeof *gemm);
    *out = gemm;
    if (!gemm)
        return nc_error(NC_FAILED, "cpu: no memory");
    dnnl_status_t status = dnnl_engine_create(&gemm->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&gemm->stream, gemm->engine, dnnl_stream_in_order);
    if (status != dnnl_success) {
        nc_cpu_gemm_destroy(gemm);
        *out = NULL;
        return nc_error(NC_FAILED, "cpu: oneDNN has no engine for this processor (status %d)",
                        (int)status);
    }
    return NC_OK;
}

void nc_cpu_gemm_destroy(struct nc_cpu_gemm *gemm)
{
    if (!gemm)
        return;
    for (size_t i = 0; i < CACHE_ENTRIES; i++)
        entry_clear(&gemm->entries[i]);
    if (gemm->stream)
        dnnl_stream_destroy(gemm->stream);
    if (gemm->engine)
        dnnl_engine_destroy(gemm->engine);
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
static void column_sums(const float *dy, size_t rows, size_t out, bool accumulate, float *dbias)
{
    enum { COLUMNS = 64, ROWS = 16 };
    size_t blocks = (out + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static)
    for (size_t block = 0; block < blocks; block++) {
        size_t first = block * COLUMNS;
        size_t count = out - first < COLUMNS ? out - first : COLUMNS;
        double total[COLUMNS] = {0};
        for (size_t row = 0; row < rows; row += ROWS) {
            float sum[COLUMNS] = {0};
            for (size_t r = row; r < row + ROWS && r < rows; r++)
                for (size_t i = 0; i < count; i++)
                    sum[i] += dy[r * out + first + i];
            for (size_t i = 0; i < count; i++)
                total[i] += sum[i];
        }
        for (size_t i = 0; i < count; i++)
            dbias[first + i] = (float)(accumulate ? dbias[first + i] + total[i] : total[i]);
    }
}

/* ---- bf16 ------------------------------------------------------------------------- */

static dnnl_memory_desc_t matrix(size_t rows, size_t columns, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t result;
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    dnnl_memory_desc_init_by_tag(&result, 2, dims, type, tag);
    return result;
}

/* Two weights of one shape in two layouts: how to get from the checkpoint's to oneDNN's. */
static dnnl_status_t make_reorder(struct nc_cpu_gemm *gemm, struct entry *entry,
                                  const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *wanted)
{
    dnnl_status_t status =
        dnnl_memory_create(&entry->plain_weight, plain, gemm->engine, DNNL_MEMORY_NONE);
    if (status != dnnl_success || dnnl_memory_desc_equal(plain, wanted))
        return status;
    dnnl_primitive_desc_t description;
    status = dnnl_reorder_primitive_desc_create(&description, plain, gemm->engine, wanted,
                                                gemm->engine, NULL);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&entry->reorder, description);
    dnnl_primitive_desc_destroy(description);
    entry->packed_bytes = dnnl_memory_desc_get_size(wanted);
    return status;
}

static dnnl_status_t add_post_operations(const struct key *key, const dnnl_memory_desc_t *y,
                                         dnnl_primitive_attr_t attributes)
{
    if (!key->residual && key->activation < 0)
        return dnnl_success;
    dnnl_post_ops_t post;
    dnnl_status_t status = dnnl_post_ops_create(&post);
    if (status != dnnl_success)
        return status;
    if (key->residual == IN_PLACE)
        status = dnnl_post_ops_append_sum(post, 1.0f);
    else if (key->residual)
        status = dnnl_post_ops_append_binary(post, dnnl_binary_add, y);
    else if (key->activation == NC_QUICK_GELU)
        status = dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_swish, 1.702f, 0.0f);
    else
        status = dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_gelu_erf, 0.0f, 0.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, post);
    dnnl_post_ops_destroy(post);
    return status;
}

/* forward: a [rows, in] x W^T; backward input: dy [rows, out] x W. */
static dnnl_status_t make_product(struct nc_cpu_gemm *gemm, struct entry *entry)
{
    const struct key *key = &entry->key;
    bool forward = key->kind == FORWARD;
    size_t inner = forward ? key->in : key->out, outer = forward ? key->out : key->in;
    bool reorder = key->rows >= REORDER_FROM_ROWS;
    dnnl_memory_desc_t none = {0};
    dnnl_memory_desc_t a = matrix(key->rows, inner, dnnl_bf16, dnnl_ab);
    dnnl_memory_desc_t plain = matrix(inner, outer, dnnl_bf16, forward ? dnnl_ba : dnnl_ab);
    dnnl_memory_desc_t weight = reorder ? matrix(inner, outer, dnnl_bf16, dnnl_format_tag_any) : plain;
    dnnl_memory_desc_t bias = key->bias ? matrix(1, outer, dnnl_f32, dnnl_ab) : none;
    dnnl_memory_desc_t c =
        matrix(key->rows, outer, key->y_type == NC_FLOAT32 ? dnnl_f32 : dnnl_bf16, dnnl_ab);

    dnnl_matmul_desc_t operation;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, &a, &weight, &bias, &c);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = add_post_operations(key, &c, attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&description, &operation, attributes, gemm->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&entry->product, description);
    if (status == dnnl_success) {
        const dnnl_memory_desc_t *wanted =
            dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
        status = make_reorder(gemm, entry, &plain, wanted);
        if (status == dnnl_success)
            status = dnnl_memory_create(&entry->b, wanted, gemm->engine, DNNL_MEMORY_NONE);
    }
    if (status == dnnl_success)
        status = dnnl_memory_create(&entry->a, &a, gemm->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&entry->c, &c, gemm->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && key->bias)
        status = dnnl_memory_create(&entry->bias, &bias, gemm->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && key->residual == ELSEWHERE)
        status = dnnl_memory_create(&entry->residual, &c, gemm->engine, DNNL_MEMORY_NONE);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

static dnnl_status_t make_weight_gradient(struct nc_cpu_gemm *gemm, struct entry *entry)
{
    const struct key *key = &entry->key;
    dnnl_memory_desc_t none = {0};
    dnnl_memory_desc_t x = matrix(key->rows, key->in, dnnl_bf16, dnnl_ab);
    dnnl_memory_desc_t weight = matrix(key->out, key->in, dnnl_bf16, dnnl_ab);
    dnnl_memory_desc_t dweight = matrix(key->out, key->in, dnnl_f32, dnnl_ab);
    dnnl_memory_desc_t dy = matrix(key->rows, key->out, dnnl_bf16, dnnl_ab);
    dnnl_memory_desc_t bias = none;
    if (key->bias) {
        dnnl_dims_t dims = {(dnnl_dim_t)key->out};
        dnnl_memory_desc_init_by_tag(&bias, 1, dims, dnnl_f32, dnnl_a);
    }
    dnnl_inner_product_desc_t forward, backward;
    dnnl_primitive_desc_t hint = NULL, description = NULL;
    dnnl_status_t status = dnnl_inner_product_forward_desc_init(&forward, dnnl_forward_training, &x,
                                                                &weight, &bias, &dy);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&hint, &forward, NULL, gemm->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_inner_product_backward_weights_desc_init(&backward, &x, &dweight, &bias, &dy);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&description, &backward, NULL, gemm->engine, hint);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&entry->product, description);
    if (status == dnnl_success)
        status = dnnl_memory_create(&entry->a, &x, gemm->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&entry->b, &dweight, gemm->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&entry->c, &dy, gemm->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && key->bias)
        status = dnnl_memory_create(&entry->bias, &bias, gemm->engine, DNNL_MEMORY_NONE);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    return status;
}

static bool key_equal(const struct key *a, const struct key *b)
{
    return a->kind == b->kind && a->rows == b->rows && a->in == b->in && a->out == b->out &&
           a->y_type == b->y_type && a->bias == b->bias && a->residual == b->residual &&
           a->activation == b->activation;
}

/* The product of this shape, made now or kept from an earlier call; the one unused
 * for longest makes room. */
static int find_entry(struct nc_cpu_gemm *gemm, const struct key *key, const char *operation,
                      struct entry **found)
{
    struct entry *oldest = &gemm->entries[0];
    for (size_t i = 0; i < CACHE_ENTRIES; i++) {
        struct entry *entry = &gemm->entries[i];
        if (entry->product && key_equal(&entry->key, key)) {
            entry->last_use = ++gemm->clock;
            *found = entry;
            return NC_OK;
        }
        if (entry->last_use < oldest->last_use)
            oldest = entry;
    }
    entry_clear(oldest);
    oldest->key = *key;
    dnnl_status_t status = key->kind == BACKWARD_WEIGHT ? make_weight_gradient(gemm, oldest)
                                                        : make_product(gemm, oldest);
    if (status != dnnl_success) {
        entry_clear(oldest);
        return failed(operation, status, key->rows, key->in, key->out);
    }
    oldest->last_use = ++gemm->clock;
    *found = oldest;
    return NC_OK;
}

/* a x weight, with the weight brought into the product's layout first. */
static int run_product(struct nc_cpu_gemm *gemm, struct entry *entry, const void *a,
                       const void *weight, const float *bias, const float *residual, void *c,
                       const char *operation)
{
    const struct key *key = &entry->key;
    void *used = (void *)weight; /* oneDNN's handles are not const; inputs are only read */
    dnnl_status_t status = dnnl_success;
    if (entry->reorder) {
        int reserved = packed_reserve(gemm, entry->packed_bytes);
        if (reserved != NC_OK)
            return reserved;
        used = gemm->packed;
        dnnl_memory_set_data_handle_v2(entry->plain_weight, (void *)weight, gemm->stream);
        dnnl_memory_set_data_handle_v2(entry->b, used, gemm->stream);
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, entry->plain_weight}, {DNNL_ARG_TO, entry->b}};
        status = dnnl_primitive_execute(entry->reorder, gemm->stream, 2, arguments);
    }
    dnnl_exec_arg_t arguments[5];
    int count = 0;
    dnnl_memory_set_data_handle_v2(entry->a, (void *)a, gemm->stream);
    dnnl_memory_set_data_handle_v2(entry->b, used, gemm->stream);
    dnnl_memory_set_data_handle_v2(entry->c, c, gemm->stream);
    arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SRC, entry->a};
    arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, entry->b};
    arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_DST, entry->c};
    if (bias) {
        dnnl_memory_set_data_handle_v2(entry->bias, (void *)bias, gemm->stream);
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, entry->bias};
    }
    if (residual) {
        dnnl_memory_set_data_handle_v2(entry->residual, (void *)residual, gemm->stream);
        arguments[count++] = (dnnl_exec_arg_t){
            DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, entry->residual};
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(entry->product, gemm->stream, count, arguments);
    if (status == dnnl_success)
        status = dnnl_stream_wait(gemm->stream);
    return status == dnnl_success ? NC_OK : failed(operation, status, key->rows, key->in, key->out);
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
    enum residual residual = !l->residual ? NO_RESIDUAL : l->residual == l->y ? IN_PLACE : ELSEWHERE;
    struct key key = {FORWARD, l->rows, l->in, l->out, l->y_type, l->bias != NULL,
                      l->activate ? (int)l->activation : -1, residual};
    struct entry *entry;
    int status = find_entry(backend->gemm, &key, "linear", &entry);
    if (status != NC_OK)
        return status;
    return run_product(backend->gemm, entry, l->x, l->weight, l->bias,
                       residual == ELSEWHERE ? l->residual : NULL, l->y, "linear");
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
    struct key key = {BACKWARD_INPUT, l->rows, l->in, l->out, l->type, 0, -1, NO_RESIDUAL};
    struct entry *entry;
    int status = find_entry(backend->gemm, &key, "linear_backward_input", &entry);
    if (status != NC_OK)
        return status;
    return run_product(backend->gemm, entry, l->dy, l->weight, NULL, NULL, l->dx,
                       "linear_backward_input");
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
        column_sums(l->dy, l->rows, l->out, l->accumulate, l->dbias);
    return NC_OK;
}

static void add(float *to, const float *from, size_t count)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

int nc_cpu_linear_backward_weight(struct nc_backend *backend,
                                  const struct nc_linear_backward_weight *l)
{
    size_t weights = l->out * l->in;
    if (!l->rows) {
        if (!l->accumulate) {
            memset(l->dweight, 0, weights * sizeof(float));
            if (l->dbias)
                memset(l->dbias, 0, l->out * sizeof(float));
        }
        return NC_OK;
    }
    if (l->type == NC_FLOAT32)
        return weight_gradient_fp32(l);

    struct nc_cpu_gemm *gemm = backend->gemm;
    struct key key = {BACKWARD_WEIGHT, l->rows, l->in, l->out, NC_FLOAT32, l->dbias != NULL, -1, NO_RESIDUAL};
    struct entry *entry;
    int status = find_entry(gemm, &key, "linear_backward_weight", &entry);
    if (status != NC_OK)
        return status;
    /* oneDNN overwrites: a gradient that adds up takes a detour. */
    float *dweight = l->dweight, *dbias = l->dbias;
    if (l->accumulate) {
        status = packed_reserve(gemm, (weights + l->out) * sizeof(float));
        if (status != NC_OK)
            return status;
        dweight = gemm->packed;
        dbias = l->dbias ? dweight + weights : NULL;
    }
    dnnl_memory_set_data_handle_v2(entry->a, (void *)l->x, gemm->stream);
    dnnl_memory_set_data_handle_v2(entry->b, dweight, gemm->stream);
    dnnl_memory_set_data_handle_v2(entry->c, (void *)l->dy, gemm->stream);
    dnnl_exec_arg_t arguments[4] = {{DNNL_ARG_SRC, entry->a},
                                    {DNNL_ARG_DIFF_DST, entry->c},
                                    {DNNL_ARG_DIFF_WEIGHTS, entry->b}};
    if (dbias) {
        dnnl_memory_set_data_handle_v2(entry->bias, dbias, gemm->stream);
        arguments[3] = (dnnl_exec_arg_t){DNNL_ARG_DIFF_BIAS, entry->bias};
    }
    dnnl_status_t done =
        dnnl_primitive_execute(entry->product, gemm->stream, dbias ? 4 : 3, arguments);
    if (done == dnnl_success)
        done = dnnl_stream_wait(gemm->stream);
    if (done != dnnl_success)
        return failed("linear_backward_weight", done, l->rows, l->in, l->out);
    if (l->accumulate) {
        add(l->dweight, dweight, weights);
        if (dbias)
            add(l->dbias, dbias, l->out);
    }
    return NC_OK;
}
