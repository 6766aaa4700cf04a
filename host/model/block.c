/* A transformer block's forward pass, for both towers. */
#include "block.h"

#include "nclip/support/error.h"

const void *nc_weight(const struct nc_weights *weights, enum nc_type type, size_t offset)
{
    return type == NC_FLOAT32 ? (const void *)(weights->master + offset)
                              : (const void *)(weights->shadow + offset);
}

static const nc_bfloat16 *rounded_bias(const struct nc_weights *weights, enum nc_type type,
                                       size_t offset)
{
    return type == NC_BFLOAT16 ? weights->shadow + offset : NULL;
}

struct nc_block_offsets nc_block_offsets(const struct nc_parameter_table *table,
                                         enum nc_tower tower, int block)
{
    return (struct nc_block_offsets){
        .ln1_weight = nc_parameter_offset(table, tower, NC_LN1_WEIGHT, block),
        .ln1_bias = nc_parameter_offset(table, tower, NC_LN1_BIAS, block),
        .qkv_weight = nc_parameter_offset(table, tower, NC_QUERY_WEIGHT, block),
        .qkv_bias = nc_parameter_offset(table, tower, NC_QUERY_BIAS, block),
        .out_weight = nc_parameter_offset(table, tower, NC_OUT_WEIGHT, block),
        .out_bias = nc_parameter_offset(table, tower, NC_OUT_BIAS, block),
        .ln2_weight = nc_parameter_offset(table, tower, NC_LN2_WEIGHT, block),
        .ln2_bias = nc_parameter_offset(table, tower, NC_LN2_BIAS, block),
        .fc1_weight = nc_parameter_offset(table, tower, NC_FC1_WEIGHT, block),
        .fc1_bias = nc_parameter_offset(table, tower, NC_FC1_BIAS, block),
        .fc2_weight = nc_parameter_offset(table, tower, NC_FC2_WEIGHT, block),
        .fc2_bias = nc_parameter_offset(table, tower, NC_FC2_BIAS, block),
    };
}

int nc_block_attention_input(struct nc_ops *ops, const struct nc_tower_shape *shape,
                             const struct nc_weights *weights, enum nc_type type,
                             const struct nc_block_offsets *offsets, size_t rows,
                             const struct nc_block_buffers *b)
{
    size_t width = shape->width;
    struct nc_layernorm norm = {.rows = rows, .width = width, .x = b->x,
                                .weight = weights->master + offsets->ln1_weight,
                                .bias = weights->master + offsets->ln1_bias,
                                .epsilon = shape->epsilon, .y_type = type, .y = b->normed,
                                .mean = b->ln1_mean, .rstd = b->ln1_rstd};
    int status = ops->layernorm_forward(ops->backend, &norm);
    if (status != NC_OK)
        return status;
    struct nc_linear qkv = {.type = type, .rows = rows, .in = width, .out = 3 * width,
                            .x = b->normed, .weight = nc_weight(weights, type, offsets->qkv_weight),
                            .bias = weights->master + offsets->qkv_bias,
                            .bias_bf16 = rounded_bias(weights, type, offsets->qkv_bias),
                            .y = b->qkv, .y_type = type};
    return ops->linear(ops->backend, &qkv);
}

int nc_block_output(struct nc_ops *ops, const struct nc_tower_shape *shape,
                    const struct nc_weights *weights, enum nc_type type,
                    const struct nc_block_offsets *offsets, size_t rows, const float *residual,
                    const struct nc_block_buffers *b)
{
    size_t width = shape->width, mlp = shape->mlp;
    struct nc_linear out = {.type = type,
                            .rows = rows,
                            .in = width,
                            .out = width,
                            .x = b->attended,
                            .weight = nc_weight(weights, type, offsets->out_weight),
                            .bias = weights->master + offsets->out_bias,
                            .residual = residual,
                            .y = b->middle,
                            .y_type = NC_FLOAT32};
    int status = ops->linear(ops->backend, &out);
    if (status != NC_OK)
        return status;
    struct nc_layernorm norm = {.rows = rows, .width = width, .x = b->middle,
                                .weight = weights->master + offsets->ln2_weight,
                                .bias = weights->master + offsets->ln2_bias,
                                .epsilon = shape->epsilon, .y_type = type, .y = b->middle_normed,
                                .mean = b->ln2_mean, .rstd = b->ln2_rstd};
    status = ops->layernorm_forward(ops->backend, &norm);
    if (status != NC_OK)
        return status;
    bool ride = !b->activated;
    struct nc_linear fc1 = {.type = type, .rows = rows, .in = width, .out = mlp, .x = b->middle_normed,
                            .weight = nc_weight(weights, type, offsets->fc1_weight),
                            .bias = weights->master + offsets->fc1_bias,
                            .bias_bf16 = rounded_bias(weights, type, offsets->fc1_bias),
                            .activate = ride,
                            .activation = shape->activation, .y = b->fc1, .y_type = type};
    status = ops->linear(ops->backend, &fc1);
    if (status != NC_OK)
        return status;
    if (!ride) {
        struct nc_activation_forward activation = {.activation = shape->activation, .type = type,
                                                   .rows = rows, .width = mlp, .x = b->fc1,
                                                   .y = b->activated};
        status = ops->activation_forward(ops->backend, &activation);
        if (status != NC_OK)
            return status;
    }
    struct nc_linear fc2 = {.type = type, .rows = rows, .in = mlp, .out = width,
                            .x = ride ? b->fc1 : b->activated,
                            .weight = nc_weight(weights, type, offsets->fc2_weight),
                            .bias = weights->master + offsets->fc2_bias, .residual = b->middle,
                            .y = b->y, .y_type = NC_FLOAT32};
    return ops->linear(ops->backend, &fc2);
}
