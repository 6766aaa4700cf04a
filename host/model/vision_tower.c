/* The vision tower, forward only.
 *
 * The host cuts the patches, and one product embeds them. The embedded patches of the batch then
 * serve as the table of tokens for the embedding operation of the text tower, with the class
 * embedding as the last row, so that the same operation adds the positions. */
#include "block.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

struct nc_vision_tower {
    struct nc_ops *ops;
    const struct nc_model_shape *shape;
    const struct nc_parameter_table *table;
    enum nc_type type;
    size_t pictures; /* capacity */
    struct nc_block_offsets *offsets;
    float *patches_host; /* [pictures * patches, channels patch patch] */
    int32_t *index_host; /* [pictures * tokens] scratch for the three index lists */
    float *patches_fp32; /* the same in the backend's memory */
    void *patches;       /* as T; patches_fp32 itself in fp32 */
    float *patch_table;  /* [pictures * patches + 1, width]; last row: class embedding */
    int32_t *token, *position, *class_row;
    struct nc_block_buffers b;
    float *class_x; /* [pictures, width] */
    void *class_normed;
    float *projected;
};

static size_t patch_count(const struct nc_model_shape *shape)
{
    return nc_vision_tokens(shape) - 1;
}

static size_t patch_values(const struct nc_model_shape *shape)
{
    return shape->channels * shape->patch_size * shape->patch_size;
}

int nc_vision_tower_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                           const struct nc_parameter_table *table, enum nc_type type,
                           size_t pictures, struct nc_arena *arena, struct nc_vision_tower **out)
{
    *out = NULL;
    const struct nc_tower_shape *vision = &shape->vision;
    size_t patches = pictures * patch_count(shape), tokens = pictures * nc_vision_tokens(shape);
    size_t values = patch_values(shape), width = vision->width, t = nc_type_size(type);
    int supported = ops->attention_supported(ops->backend, type, vision->heads, width / vision->heads);
    if (supported != NC_OK)
        return nc_error_prefix(supported, "vision tower");
    struct nc_vision_tower *tower = calloc(1, sizeof *tower);
    if (tower) {
        tower->offsets = calloc(vision->layers, sizeof *tower->offsets);
        tower->patches_host = malloc(patches * values * sizeof(float));
        tower->index_host = malloc(tokens * sizeof(int32_t));
    }
    if (!tower || !tower->offsets || !tower->patches_host || !tower->index_host) {
        nc_vision_tower_destroy(tower);
        return nc_error(NC_FAILED, "vision tower: no memory for %zu pictures", pictures);
    }
    tower->ops = ops;
    tower->shape = shape;
    tower->table = table;
    tower->type = type;
    tower->pictures = pictures;
    for (size_t block = 0; block < vision->layers; block++)
        tower->offsets[block] = nc_block_offsets(table, NC_TOWER_VISION, (int)block);

    struct {
        size_t bytes;
        void *slot;
    } slots[] = {
        {patches * values * 4, &tower->patches_fp32},
        {type == NC_FLOAT32 ? 0 : patches * values * t, &tower->patches},
        {(patches + 1) * width * 4, &tower->patch_table},
        {tokens * 4, &tower->token},
        {tokens * 4, &tower->position},
        {pictures * 4, &tower->class_row},
        {tokens * width * 4, &tower->b.x},
        {tokens * width * t, &tower->b.normed},
        {tokens * 3 * width * t, &tower->b.qkv},
        {tokens * width * t, &tower->b.attended},
        {tokens * vision->mlp * t, &tower->b.fc1},
        {pictures * width * 4, &tower->class_x},
        {pictures * width * t, &tower->class_normed},
        {pictures * shape->embedding * 4, &tower->projected},
    };
    int status = NC_OK;
    for (size_t i = 0; i < sizeof slots / sizeof *slots && status == NC_OK; i++)
        if (slots[i].bytes)
            status = nc_arena_reserve(arena, "vision tower", slots[i].bytes, slots[i].slot);
    if (status != NC_OK) {
        nc_vision_tower_destroy(tower);
        return status;
    }
    *out = tower;
    return NC_OK;
}

void nc_vision_tower_destroy(struct nc_vision_tower *tower)
{
    if (!tower)
        return;
    free(tower->offsets);
    free(tower->patches_host);
    free(tower->index_host);
    free(tower);
}

/* pixels [pictures, channels, size, size] to [pictures * patches, channels patch patch]:
 * each row in the order of the convolution's weight. A margin that no whole patch
 * covers is left out, as the convolution leaves it out. */
static void cut_patches(const struct nc_model_shape *shape, const float *pixels, size_t pictures,
                        float *out)
{
    size_t size = shape->image_size, patch = shape->patch_size, side = size / patch;
    size_t channels = shape->channels, values = patch_values(shape);
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t picture = 0; picture < pictures; picture++)
        for (size_t row = 0; row < side; row++)
            for (size_t column = 0; column < side; column++) {
                float *to = out + (picture * side * side + row * side + column) * values;
                for (size_t c = 0; c < channels; c++)
                    for (size_t y = 0; y < patch; y++)
                        memcpy(to + (c * patch + y) * patch,
                               pixels + ((picture * channels + c) * size + row * patch + y) * size +
                                   column * patch,
                               patch * sizeof *to);
            }
}

static int upload_indices(struct nc_vision_tower *tower, size_t pictures)
{
    struct nc_ops *ops = tower->ops;
    size_t patches = patch_count(tower->shape), tokens = patches + 1;
    int32_t *index = tower->index_host;
    for (size_t i = 0; i < pictures * tokens; i++)
        index[i] = i % tokens ? (int32_t)(i / tokens * patches + i % tokens - 1)
                              : (int32_t)(pictures * patches);
    int status = ops->upload(ops->backend, tower->token, index, pictures * tokens * sizeof *index);
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    for (size_t i = 0; i < pictures * tokens; i++)
        index[i] = (int32_t)(i % tokens);
    if (status == NC_OK)
        status =
            ops->upload(ops->backend, tower->position, index, pictures * tokens * sizeof *index);
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    for (size_t i = 0; i < pictures; i++)
        index[i] = (int32_t)(i * tokens);
    if (status == NC_OK)
        status = ops->upload(ops->backend, tower->class_row, index, pictures * sizeof *index);
    return status == NC_OK ? ops->synchronize(ops->backend) : status;
}

/* Pixels to the first block's input. */
static int embed(struct nc_vision_tower *tower, const struct nc_weights *weights,
                 const float *pixels, size_t pictures)
{
    struct nc_ops *ops = tower->ops;
    const struct nc_model_shape *shape = tower->shape;
    const struct nc_parameter_table *table = tower->table;
    size_t patches = pictures * patch_count(shape), tokens = pictures * nc_vision_tokens(shape);
    size_t values = patch_values(shape), width = shape->vision.width;
    size_t patch_weight =
        nc_parameter_offset(table, NC_TOWER_VISION, NC_PATCH_EMBEDDING, NC_NO_BLOCK);
    size_t class_embedding =
        nc_parameter_offset(table, NC_TOWER_VISION, NC_CLASS_EMBEDDING, NC_NO_BLOCK);
    size_t position_table =
        nc_parameter_offset(table, NC_TOWER_VISION, NC_POSITION_EMBEDDING, NC_NO_BLOCK);
    size_t norm_weight = nc_parameter_offset(table, NC_TOWER_VISION, NC_PRE_LN_WEIGHT, NC_NO_BLOCK);
    size_t norm_bias = nc_parameter_offset(table, NC_TOWER_VISION, NC_PRE_LN_BIAS, NC_NO_BLOCK);

    cut_patches(shape, pixels, pictures, tower->patches_host);
    int status = ops->upload(ops->backend, tower->patches_fp32, tower->patches_host,
                             patches * values * sizeof(float));
    if (status == NC_OK && tower->type != NC_FLOAT32)
        status = ops->convert(ops->backend, tower->patches, tower->type, tower->patches_fp32,
                              NC_FLOAT32, patches * values);
    if (status == NC_OK)
        status = upload_indices(tower, pictures);
    if (status != NC_OK)
        return status;
    struct nc_linear linear = {
        .type = tower->type, .rows = patches, .in = values, .out = width,
        .x = tower->type == NC_FLOAT32 ? tower->patches_fp32 : tower->patches,
        .weight = nc_weight(weights, tower->type, patch_weight), .y = tower->patch_table,
        .y_type = NC_FLOAT32};
    status = ops->linear(ops->backend, &linear);
    if (status == NC_OK)
        status = ops->copy(ops->backend, tower->patch_table + patches * width,
                           weights->master + class_embedding, width * sizeof(float));
    if (status != NC_OK)
        return status;
    struct nc_embedding embedding = {.rows = tokens, .width = width, .vocabulary = patches + 1,
                                     .context = nc_vision_tokens(shape), .token = tower->token,
                                     .position = tower->position, .token_table = tower->patch_table,
                                     .position_table = weights->master + position_table,
                                     .x = tower->b.x};
    status = ops->embedding_forward(ops->backend, &embedding);
    if (status != NC_OK)
        return status;
    struct nc_layernorm norm = {.rows = tokens, .width = width, .x = tower->b.x,
                                .weight = weights->master + norm_weight,
                                .bias = weights->master + norm_bias,
                                .epsilon = shape->vision.epsilon, .y_type = NC_FLOAT32,
                                .y = tower->b.x};
    return ops->layernorm_forward(ops->backend, &norm);
}

static int project(struct nc_vision_tower *tower, const struct nc_weights *weights, size_t pictures,
                   bool raw, float *features)
{
    struct nc_ops *ops = tower->ops;
    const struct nc_model_shape *shape = tower->shape;
    const struct nc_parameter_table *table = tower->table;
    size_t width = shape->vision.width;
    size_t norm_weight =
        nc_parameter_offset(table, NC_TOWER_VISION, NC_FINAL_LN_WEIGHT, NC_NO_BLOCK);
    size_t norm_bias = nc_parameter_offset(table, NC_TOWER_VISION, NC_FINAL_LN_BIAS, NC_NO_BLOCK);
    size_t projection = nc_parameter_offset(table, NC_TOWER_VISION, NC_PROJECTION, NC_NO_BLOCK);
    struct nc_gather gather = {.count = pictures, .width = width,
                               .rows = pictures * nc_vision_tokens(shape), .row = tower->class_row,
                               .x = tower->b.x, .y = tower->class_x};
    int status = ops->gather(ops->backend, &gather);
    if (status != NC_OK)
        return status;
    struct nc_layernorm norm = {.rows = pictures, .width = width, .x = tower->class_x,
                                .weight = weights->master + norm_weight,
                                .bias = weights->master + norm_bias,
                                .epsilon = shape->vision.epsilon, .y_type = tower->type,
                                .y = tower->class_normed};
    status = ops->layernorm_forward(ops->backend, &norm);
    if (status != NC_OK)
        return status;
    struct nc_linear linear = {.type = tower->type, .rows = pictures, .in = width,
                               .out = shape->embedding, .x = tower->class_normed,
                               .weight = nc_weight(weights, tower->type, projection),
                               .y = raw ? features : tower->projected, .y_type = NC_FLOAT32};
    status = ops->linear(ops->backend, &linear);
    if (status != NC_OK || raw)
        return status;
    struct nc_normalize normalize = {.rows = pictures, .width = shape->embedding,
                                     .x = tower->projected, .y = features};
    return ops->normalize_forward(ops->backend, &normalize);
}

int nc_vision_tower_forward(struct nc_vision_tower *tower, const struct nc_weights *weights,
                            const float *pixels, size_t pictures, bool raw, float *features)
{
    struct nc_ops *ops = tower->ops;
    const struct nc_tower_shape *shape = &tower->shape->vision;
    if (pictures > tower->pictures)
        return nc_error(NC_FAILED, "vision tower: %zu pictures are more than the %zu planned",
                        pictures, tower->pictures);
    if (!pictures)
        return NC_OK;
    size_t tokens = nc_vision_tokens(tower->shape);
    int status = embed(tower, weights, pixels, pictures);
    struct nc_block_buffers b = tower->b;
    b.middle_normed = b.normed;
    b.middle = b.x; /* nothing is kept: the residual stream is updated in place */
    b.y = b.x;
    for (size_t block = 0; block < shape->layers && status == NC_OK; block++) {
        const struct nc_block_offsets *offsets = &tower->offsets[block];
        status = nc_block_attention_input(ops, shape, weights, tower->type, offsets,
                                          pictures * tokens, &b);
        if (status != NC_OK)
            break;
        struct nc_attention_full attention = {.type = tower->type, .pictures = pictures,
                                              .tokens = tokens, .heads = shape->heads,
                                              .head_size = shape->width / shape->heads,
                                              .qkv = b.qkv, .out = b.attended};
        status = ops->attention_full(ops->backend, &attention);
        if (status == NC_OK)
            status = nc_block_output(ops, shape, weights, tower->type, offsets, pictures * tokens,
                                     b.x, &b);
    }
    return status == NC_OK ? project(tower, weights, pictures, raw, features) : status;
}
