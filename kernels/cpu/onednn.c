/* oneDNN's primitives, alike over its releases. The release is the one of the headers: of a shared
 * library only one with the same major number is ever loaded. */
#include "onednn.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nc_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct nc_onednn_product {
    struct nc_product_shape shape;
    dnnl_primitive_t product;
    dnnl_primitive_t reorder; /* weight to the preferred layout, or NULL: as it is */
    dnnl_memory_t left, right, result, plain_weight, bias, residual;
    size_t packed_bytes;
};

/* ---- What differs between the releases -------------------------------------------- */

/* A matrix as oneDNN describes it: NULL where there is none. In release 2 a description is a value
 * and an operation is described before its primitive is, in release 3 it is an object. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t matrix;
typedef const_dnnl_memory_desc_t matrix_view;

static dnnl_status_t matrix_create(matrix *out, int dimensions, const dnnl_dims_t sizes,
                                   dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(out, dimensions, sizes, type, tag);
}

static void matrix_destroy(matrix m)
{
    if (m)
        dnnl_memory_desc_destroy(m);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, matrix left,
                                     matrix right, matrix bias, matrix result,
                                     dnnl_primitive_attr_t attributes)
{
    return dnnl_matmul_primitive_desc_create(out, engine, left, right, bias, result, attributes);
}

static dnnl_status_t describe_layer(dnnl_primitive_desc_t *out, dnnl_engine_t engine, matrix x,
                                    matrix weight, matrix bias, matrix y)
{
    return dnnl_inner_product_forward_primitive_desc_create(
        out, engine, dnnl_forward_training, x, weight, bias, y, NULL);
}

static dnnl_status_t describe_weight_gradient(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                              matrix x, matrix dweight, matrix dbias, matrix dy,
                                              dnnl_primitive_desc_t layer)
{
    return dnnl_inner_product_backward_weights_primitive_desc_create(out, engine, x, dweight, dbias,
                                                                     dy, layer, NULL);
}

static dnnl_status_t append_sum(dnnl_post_ops_t post)
{
    return dnnl_post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t append_activation(dnnl_post_ops_t post, dnnl_alg_kind_t which, float alpha)
{
    return dnnl_post_ops_append_eltwise(post, which, alpha, 0.0f);
}

static void set_data(dnnl_memory_t memory, const void *data, dnnl_stream_t stream)
{
    (void)stream;
    dnnl_memory_set_data_handle(memory, (void *)data);
}
#else
typedef dnnl_memory_desc_t *matrix;
typedef const dnnl_memory_desc_t *matrix_view;

static dnnl_status_t matrix_create(matrix *out, int dimensions, const dnnl_dims_t sizes,
                                   dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    *out = malloc(sizeof **out);
    return *out ? dnnl_memory_desc_init_by_tag(*out, dimensions, sizes, type, tag)
                : dnnl_out_of_memory;
}

static void matrix_destroy(matrix m)
{
    free(m);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, matrix left,
                                     matrix right, matrix bias, matrix result,
                                     dnnl_primitive_attr_t attributes)
{
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, left, right, bias, result);
    return status == dnnl_success
               ? dnnl_primitive_desc_create(out, &operation, attributes, engine, NULL)
               : status;
}

static dnnl_status_t describe_layer(dnnl_primitive_desc_t *out, dnnl_engine_t engine, matrix x,
                                    matrix weight, matrix bias, matrix y)
{
    dnnl_inner_product_desc_t operation;
    dnnl_status_t status = dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_training,
                                                                x, weight, bias, y);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &operation, NULL, engine, NULL)
                                  : status;
}

static dnnl_status_t describe_weight_gradient(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                              matrix x, matrix dweight, matrix dbias, matrix dy,
                                              dnnl_primitive_desc_t layer)
{
    dnnl_inner_product_desc_t operation;
    dnnl_status_t status =
        dnnl_inner_product_backward_weights_desc_init(&operation, x, dweight, dbias, dy);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &operation, NULL, engine, layer)
                                  : status;
}

static dnnl_status_t append_sum(dnnl_post_ops_t post)
{
    return dnnl_post_ops_append_sum(post, 1.0f);
}

static dnnl_status_t append_activation(dnnl_post_ops_t post, dnnl_alg_kind_t which, float alpha)
{
    return dnnl_post_ops_append_eltwise(post, 1.0f, which, alpha, 0.0f);
}

static void set_data(dnnl_memory_t memory, const void *data, dnnl_stream_t stream)
{
    dnnl_memory_set_data_handle_v2(memory, (void *)data, stream);
}
#endif

/* Sets that only later releases know have numbers there that the others print as unknown. */
static const char *isa_name(dnnl_cpu_isa_t isa)
{
    switch ((int)isa) {
    case dnnl_cpu_isa_sse41:
        return "sse41";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "avx512_core_amx";
#if DNNL_VERSION_MAJOR >= 3
    case dnnl_cpu_isa_avx2_vnni_2:
        return "avx2_vnni_2";
    case dnnl_cpu_isa_avx512_core_fp16:
        return "avx512_core_fp16";
    case dnnl_cpu_isa_avx512_core_amx_fp16:
        return "avx512_core_amx_fp16";
#endif
    default:
        return "unknown";
    }
}

/* ---- Engine and stream ------------------------------------------------------------ */

int nc_onednn_create(struct nc_onednn **out)
{
    struct nc_onednn *onednn = calloc(1, sizeof *onednn);
    *out = onednn;
    if (!onednn)
        return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_engine_create(&onednn->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&onednn->stream, onednn->engine, dnnl_stream_in_order);
    if (status != dnnl_success) {
        nc_onednn_destroy(onednn);
        *out = NULL;
    }
    return status;
}

void nc_onednn_destroy(struct nc_onednn *onednn)
{
    if (!onednn)
        return;
    if (onednn->stream)
        dnnl_stream_destroy(onednn->stream);
    if (onednn->engine)
        dnnl_engine_destroy(onednn->engine);
    free(onednn);
}

/* ---- Products --------------------------------------------------------------------- */

/* The descriptions that a product is made of. */
struct matrices {
    matrix left, right, result, plain, bias;
};

static void matrices_destroy(struct matrices *m)
{
    matrix all[] = {m->left, m->right, m->result, m->plain, m->bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        matrix_destroy(all[i]);
}

static dnnl_status_t describe(matrix *out, size_t rows, size_t columns, dnnl_data_type_t type,
                              dnnl_format_tag_t tag)
{
    dnnl_dims_t sizes = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    return matrix_create(out, 2, sizes, type, tag);
}

static dnnl_status_t add_memory(struct nc_onednn *onednn, matrix_view of, dnnl_memory_t *out)
{
    return dnnl_memory_create(out, of, onednn->engine, DNNL_MEMORY_NONE);
}

/* A weight in two layouts: how to get from the checkpoint's to oneDNN's. */
static dnnl_status_t make_reorder(struct nc_onednn *onednn, struct nc_onednn_product *product,
                                  matrix_view plain, matrix_view wanted)
{
    dnnl_status_t status = add_memory(onednn, plain, &product->plain_weight);
    if (status != dnnl_success || dnnl_memory_desc_equal(plain, wanted))
        return status;
    dnnl_primitive_desc_t description;
    status = dnnl_reorder_primitive_desc_create(&description, plain, onednn->engine, wanted,
                                                onednn->engine, NULL);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&product->reorder, description);
    dnnl_primitive_desc_destroy(description);
    product->packed_bytes = dnnl_memory_desc_get_size(wanted);
    return status;
}

static dnnl_status_t add_post_operations(const struct nc_product_shape *shape, matrix_view y,
                                         dnnl_primitive_attr_t attributes)
{
    if (!shape->residual && shape->activation == NC_NO_ACTIVATION)
        return dnnl_success;
    dnnl_post_ops_t post;
    dnnl_status_t status = dnnl_post_ops_create(&post);
    if (status != dnnl_success)
        return status;
    if (shape->residual == NC_RESIDUAL_IN_PLACE)
        status = append_sum(post);
    else if (shape->residual)
        status = dnnl_post_ops_append_binary(post, dnnl_binary_add, y);
    else if (shape->activation == NC_QUICK_GELU)
        status = append_activation(post, dnnl_eltwise_swish, 1.702f);
    else if (shape->activation == NC_GELU_TANH)
        status = append_activation(post, dnnl_eltwise_gelu_tanh, 0.0f);
    else
        status = append_activation(post, dnnl_eltwise_gelu_erf, 0.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, post);
    dnnl_post_ops_destroy(post);
    return status;
}

static dnnl_status_t add_memories(struct nc_onednn *onednn, struct nc_onednn_product *product,
                                  const struct matrices *m, matrix_view right)
{
    dnnl_status_t status = add_memory(onednn, m->left, &product->left);
    if (status == dnnl_success)
        status = add_memory(onednn, right, &product->right);
    if (status == dnnl_success)
        status = add_memory(onednn, m->result, &product->result);
    if (status == dnnl_success && m->bias)
        status = add_memory(onednn, m->bias, &product->bias);
    if (status == dnnl_success && product->shape.residual == NC_RESIDUAL_ELSEWHERE)
        status = add_memory(onednn, m->result, &product->residual);
    return status;
}

/* forward: x [rows, in] W^T; backward input: dy [rows, out] W. */
static dnnl_status_t make_matmul(struct nc_onednn *onednn, struct nc_onednn_product *product,
                                 bool reorder)
{
    const struct nc_product_shape *shape = &product->shape;
    bool forward = shape->kind == NC_PRODUCT_FORWARD;
    size_t inner = forward ? shape->in : shape->out, outer = forward ? shape->out : shape->in;
    dnnl_format_tag_t as_it_is = forward ? dnnl_ba : dnnl_ab;
    dnnl_data_type_t result = shape->result_type == NC_FLOAT32 ? dnnl_f32 : dnnl_bf16;
    struct matrices m = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = describe(&m.left, shape->rows, inner, dnnl_bf16, dnnl_ab);
    if (status == dnnl_success)
        status = describe(&m.plain, inner, outer, dnnl_bf16, as_it_is);
    if (status == dnnl_success)
        status = describe(&m.right, inner, outer, dnnl_bf16,
                          reorder ? dnnl_format_tag_any : as_it_is);
    if (status == dnnl_success && shape->bias)
        status = describe(&m.bias, 1, outer, dnnl_f32, dnnl_ab);
    if (status == dnnl_success)
        status = describe(&m.result, shape->rows, outer, result, dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = add_post_operations(shape, m.result, attributes);
    if (status == dnnl_success)
        status = describe_matmul(&description, onednn->engine, m.left, m.right, m.bias, m.result,
                                 attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&product->product, description);
    if (status == dnnl_success) {
        matrix_view wanted = dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
        status = make_reorder(onednn, product, m.plain, wanted);
        if (status == dnnl_success)
            status = add_memories(onednn, product, &m, wanted);
    }
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    matrices_destroy(&m);
    return status;
}

static dnnl_status_t make_weight_gradient(struct nc_onednn *onednn,
                                          struct nc_onednn_product *product)
{
    const struct nc_product_shape *shape = &product->shape;
    struct matrices m = {0};
    dnnl_primitive_desc_t layer = NULL, description = NULL;
    dnnl_status_t status = describe(&m.left, shape->rows, shape->out, dnnl_bf16, dnnl_ab);
    if (status == dnnl_success)
        status = describe(&m.right, shape->rows, shape->in, dnnl_bf16, dnnl_ab);
    if (status == dnnl_success)
        status = describe(&m.plain, shape->out, shape->in, dnnl_bf16, dnnl_ab); /* the layer's */
    if (status == dnnl_success)
        status = describe(&m.result, shape->out, shape->in, dnnl_f32, dnnl_ab);
    if (status == dnnl_success && shape->bias) {
        dnnl_dims_t sizes = {(dnnl_dim_t)shape->out};
        status = matrix_create(&m.bias, 1, sizes, dnnl_f32, dnnl_a);
    }
    if (status == dnnl_success)
        status = describe_layer(&layer, onednn->engine, m.right, m.plain, m.bias, m.left);
    if (status == dnnl_success)
        status = describe_weight_gradient(&description, onednn->engine, m.right, m.result, m.bias,
                                          m.left, layer);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&product->product, description);
    if (status == dnnl_success)
        status = add_memories(onednn, product, &m, m.right);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (layer)
        dnnl_primitive_desc_destroy(layer);
    matrices_destroy(&m);
    return status;
}

int nc_onednn_product_create(struct nc_onednn *onednn, const struct nc_product_shape *shape,
                             bool reorder, struct nc_onednn_product **out)
{
    struct nc_onednn_product *product = calloc(1, sizeof *product);
    *out = product;
    if (!product)
        return dnnl_out_of_memory;
    product->shape = *shape;
    dnnl_status_t status = shape->kind == NC_PRODUCT_BACKWARD_WEIGHT
                               ? make_weight_gradient(onednn, product)
                               : make_matmul(onednn, product, reorder);
    if (status != dnnl_success) {
        nc_onednn_product_destroy(product);
        *out = NULL;
    }
    return status;
}

void nc_onednn_product_destroy(struct nc_onednn_product *product)
{
    if (!product)
        return;
    dnnl_memory_t memories[] = {product->left,         product->right, product->result,
                                product->plain_weight, product->bias,  product->residual};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (product->product)
        dnnl_primitive_destroy(product->product);
    if (product->reorder)
        dnnl_primitive_destroy(product->reorder);
    free(product);
}

size_t nc_onednn_product_packed(const struct nc_onednn_product *product)
{
    return product->packed_bytes;
}

/* oneDNN's handles are not const; inputs are only read. */
static dnnl_exec_arg_t with(int argument, dnnl_memory_t memory, const void *data,
                            dnnl_stream_t stream)
{
    set_data(memory, data, stream);
    return (dnnl_exec_arg_t){argument, memory};
}

int nc_onednn_product_run(struct nc_onednn *onednn, struct nc_onednn_product *p,
                          const struct nc_product_operands *o)
{
    dnnl_stream_t stream = onednn->stream;
    bool gradient = p->shape.kind == NC_PRODUCT_BACKWARD_WEIGHT;
    const void *right = o->right;
    if (p->reorder) {
        right = o->packed;
        dnnl_exec_arg_t arguments[] = {with(DNNL_ARG_FROM, p->plain_weight, o->right, stream),
                                       with(DNNL_ARG_TO, p->right, right, stream)};
        dnnl_status_t status = dnnl_primitive_execute(p->reorder, stream, 2, arguments);
        if (status != dnnl_success)
            return status;
    }
    dnnl_exec_arg_t arguments[5];
    int count = 0;
    if (gradient) {
        arguments[count++] = with(DNNL_ARG_DIFF_DST, p->left, o->left, stream);
        arguments[count++] = with(DNNL_ARG_SRC, p->right, right, stream);
        arguments[count++] = with(DNNL_ARG_DIFF_WEIGHTS, p->result, o->result, stream);
    } else {
        arguments[count++] = with(DNNL_ARG_SRC, p->left, o->left, stream);
        arguments[count++] = with(DNNL_ARG_WEIGHTS, p->right, right, stream);
        arguments[count++] = with(DNNL_ARG_DST, p->result, o->result, stream);
    }
    if (p->bias && gradient)
        arguments[count++] = with(DNNL_ARG_DIFF_BIAS, p->bias, o->dbias, stream);
    else if (p->bias)
        arguments[count++] = with(DNNL_ARG_BIAS, p->bias, o->bias, stream);
    if (p->residual)
        arguments[count++] = with(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, p->residual,
                                  o->residual, stream);
    dnnl_status_t status = dnnl_primitive_execute(p->product, stream, count, arguments);
    return status == dnnl_success ? dnnl_stream_wait(stream) : status;
}

/* ---- What it makes of this processor ---------------------------------------------- */

bool nc_onednn_multiplies_bf16(void)
{
    /* each set contains the bits of the smaller ones */
    unsigned isa = dnnl_get_effective_cpu_isa(), bf16 = dnnl_cpu_isa_avx512_core_bf16;
    return (isa & bf16) == bf16;
}

/* The name of the kernel that oneDNN picks for a product of two square matrices, as the towers ask
 * for it; "" when it has none. */
static void name_kernel(dnnl_data_type_t type, char name[NC_KERNEL_NAME_SIZE])
{
    enum { SIZE = 512 };
    dnnl_engine_t engine = NULL;
    dnnl_primitive_desc_t description = NULL;
    matrix in = NULL, out = NULL;
    const char *kernel = NULL;

    *name = 0;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
        describe(&in, SIZE, SIZE, type, dnnl_ab) == dnnl_success &&
        describe(&out, SIZE, SIZE, dnnl_f32, dnnl_ab) == dnnl_success &&
        describe_matmul(&description, engine, in, in, NULL, out, NULL) == dnnl_success &&
        dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &kernel) ==
            dnnl_success)
        snprintf(name, NC_KERNEL_NAME_SIZE, "%s", kernel);
    if (description)
        dnnl_primitive_desc_destroy(description);
    matrix_destroy(in);
    matrix_destroy(out);
    if (engine)
        dnnl_engine_destroy(engine);
}

void nc_onednn_describe(struct nc_cpu_support *support)
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(support->onednn, sizeof support->onednn, "%d.%d.%d", version->major, version->minor,
             version->patch);
    support->isa = isa_name(dnnl_get_effective_cpu_isa());
    support->multiplies_bf16 = nc_onednn_multiplies_bf16();
    name_kernel(dnnl_f32, support->fp32_kernel);
    name_kernel(support->multiplies_bf16 ? dnnl_bf16 : dnnl_f32, support->bf16_kernel);
}
