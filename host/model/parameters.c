/* Builds the table of parameters from a model's shape. */
#include "nclip/model/parameters.h"

#include "nclip/model/family.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One kind of tensor. Sizes are given by what they stand for, so that this one
 * list describes every CLIP. */
enum dimension { NONE, ONE, WIDTH, MLP, EMBEDDING, VOCABULARY, POSITIONS, CHANNELS, PATCH };

struct kind {
    enum nc_role role;
    const char *name;        /* behind the block's prefix, where there is one */
    const char *openai_name; /* the same in OpenAI's state dict */
    enum dimension shape[4];
};

static const struct kind text_head[] = {
    {NC_TOKEN_EMBEDDING,
     "text_model.embeddings.token_embedding.weight",
     "token_embedding.weight",
     {VOCABULARY, WIDTH}},
    {NC_POSITION_EMBEDDING,
     "text_model.embeddings.position_embedding.weight",
     "positional_embedding",
     {POSITIONS, WIDTH}},
};

static const struct kind text_tail[] = {
    {NC_FINAL_LN_WEIGHT, "text_model.final_layer_norm.weight", "ln_final.weight", {WIDTH}},
    {NC_FINAL_LN_BIAS, "text_model.final_layer_norm.bias", "ln_final.bias", {WIDTH}},
    {NC_PROJECTION, "text_projection.weight", "text_projection", {EMBEDDING, WIDTH}},
    {NC_PROJECTION_BIAS, "text_projection.bias", "text_projection.bias", {EMBEDDING}},
    {NC_LOGIT_SCALE, "logit_scale", "logit_scale", {ONE}},
    {NC_LOGIT_BIAS, "logit_bias", "logit_bias", {ONE}},
};

static const struct kind vision_head[] = {
    {NC_CLASS_EMBEDDING,
     "vision_model.embeddings.class_embedding",
     "visual.class_embedding",
     {WIDTH}},
    {NC_PATCH_EMBEDDING,
     "vision_model.embeddings.patch_embedding.weight",
     "visual.conv1.weight",
     {WIDTH, CHANNELS, PATCH, PATCH}},
    {NC_POSITION_EMBEDDING,
     "vision_model.embeddings.position_embedding.weight",
     "visual.positional_embedding",
     {POSITIONS, WIDTH}},
    /* The missing letter is part of the checkpoints' name. */
    {NC_PRE_LN_WEIGHT, "vision_model.pre_layrnorm.weight", "visual.ln_pre.weight", {WIDTH}},
    {NC_PRE_LN_BIAS, "vision_model.pre_layrnorm.bias", "visual.ln_pre.bias", {WIDTH}},
};

static const struct kind vision_tail[] = {
    {NC_FINAL_LN_WEIGHT, "vision_model.post_layernorm.weight", "visual.ln_post.weight", {WIDTH}},
    {NC_FINAL_LN_BIAS, "vision_model.post_layernorm.bias", "visual.ln_post.bias", {WIDTH}},
    {NC_PROJECTION, "visual_projection.weight", "visual.proj", {EMBEDDING, WIDTH}},
};

static const struct kind block[] = {
    {NC_LN1_WEIGHT, "layer_norm1.weight", "ln_1.weight", {WIDTH}},
    {NC_LN1_BIAS, "layer_norm1.bias", "ln_1.bias", {WIDTH}},
    {NC_QUERY_WEIGHT, "self_attn.q_proj.weight", "attn.in_proj_weight", {WIDTH, WIDTH}},
    {NC_KEY_WEIGHT, "self_attn.k_proj.weight", "attn.in_proj_weight", {WIDTH, WIDTH}},
    {NC_VALUE_WEIGHT, "self_attn.v_proj.weight", "attn.in_proj_weight", {WIDTH, WIDTH}},
    {NC_QUERY_BIAS, "self_attn.q_proj.bias", "attn.in_proj_bias", {WIDTH}},
    {NC_KEY_BIAS, "self_attn.k_proj.bias", "attn.in_proj_bias", {WIDTH}},
    {NC_VALUE_BIAS, "self_attn.v_proj.bias", "attn.in_proj_bias", {WIDTH}},
    {NC_OUT_WEIGHT, "self_attn.out_proj.weight", "attn.out_proj.weight", {WIDTH, WIDTH}},
    {NC_OUT_BIAS, "self_attn.out_proj.bias", "attn.out_proj.bias", {WIDTH}},
    {NC_LN2_WEIGHT, "layer_norm2.weight", "ln_2.weight", {WIDTH}},
    {NC_LN2_BIAS, "layer_norm2.bias", "ln_2.bias", {WIDTH}},
    {NC_FC1_WEIGHT, "mlp.fc1.weight", "mlp.c_fc.weight", {MLP, WIDTH}},
    {NC_FC1_BIAS, "mlp.fc1.bias", "mlp.c_fc.bias", {MLP}},
    {NC_FC2_WEIGHT, "mlp.fc2.weight", "mlp.c_proj.weight", {WIDTH, MLP}},
    {NC_FC2_BIAS, "mlp.fc2.bias", "mlp.c_proj.bias", {WIDTH}},
};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
enum { GROUP_ALIGNMENT = 16 }; /* elements: 64 bytes of fp32 */

static const struct nc_tower_shape *tower_shape(const struct nc_model_shape *shape,
                                                enum nc_tower tower)
{
    return tower == NC_TOWER_TEXT ? &shape->text : &shape->vision;
}

static size_t dimension_size(const struct nc_model_shape *shape, enum nc_tower tower,
                             enum dimension dimension)
{
    switch (dimension) {
    case NONE:
        break;
    case ONE:
        return 1;
    case WIDTH:
        return tower_shape(shape, tower)->width;
    case MLP:
        return tower_shape(shape, tower)->mlp;
    case EMBEDDING:
        return shape->embedding;
    case VOCABULARY:
        return shape->vocabulary;
    case POSITIONS:
        return tower == NC_TOWER_TEXT ? shape->context : nc_vision_tokens(shape);
    case CHANNELS:
        return shape->channels;
    case PATCH:
        return shape->patch_size;
    }
    return 0;
}

/* 0, 1, 2 for query, key, value, whose tensors are one in OpenAI's checkpoints and
 * lie end to end here; -1 for all others. */
static int third_of_attention(enum nc_role role)
{
    if (role >= NC_QUERY_WEIGHT && role <= NC_VALUE_WEIGHT)
        return (int)role - NC_QUERY_WEIGHT;
    if (role >= NC_QUERY_BIAS && role <= NC_VALUE_BIAS)
        return (int)role - NC_QUERY_BIAS;
    return -1;
}

/* Not every model has all of the list. */
static bool is_there(const struct nc_model_shape *shape, enum nc_role role)
{
    return role == NC_PROJECTION_BIAS ? shape->projection_bias
           : role == NC_LOGIT_BIAS    ? shape->logit_bias
                                      : true;
}

/* The name of a text tower's parameter outside of the blocks. */
static const char *name_in_family(const struct nc_family *family, const struct kind *kind)
{
    return kind->role == NC_PROJECTION        ? family->projection
           : kind->role == NC_PROJECTION_BIAS ? family->projection_bias
                                              : kind->name;
}

static int add_row(struct nc_parameter_table *table, const struct nc_model_shape *shape,
                   enum nc_tower tower, const struct kind *kind, int block_index)
{
    struct nc_parameter *row = &table->rows[table->count];
    const struct nc_family *family = &nc_families[shape->family];
    bool text = tower == NC_TOWER_TEXT, linear = text && shape->projection_bias;
    if (!is_there(shape, kind->role))
        return NC_OK;
    const char *tower_name = tower == NC_TOWER_TEXT ? "text_model" : "vision_model";
    const char *openai_tower = tower == NC_TOWER_TEXT ? "" : "visual.";
    *row = (struct nc_parameter){
        .openai_slice = third_of_attention(kind->role),
        .openai_transposed = kind->role == NC_PROJECTION && !linear,
        .tower = tower,
        .role = kind->role,
        .block = block_index,
        .count = 1,
    };
    if (block_index == NC_NO_BLOCK) {
        snprintf(row->name, sizeof row->name, "%s",
                 text ? name_in_family(family, kind) : kind->name);
        snprintf(row->openai_name, sizeof row->openai_name, "%s%s", kind->openai_name,
                 kind->role == NC_PROJECTION && linear ? ".weight" : "");
    } else {
        snprintf(row->name, sizeof row->name, "%s.encoder.layers.%d.%s", tower_name, block_index,
                 kind->name);
        snprintf(row->openai_name, sizeof row->openai_name, "%stransformer.resblocks.%d.%s",
                 openai_tower, block_index, kind->openai_name);
    }
    for (size_t i = 0; i < LENGTH(kind->shape) && kind->shape[i] != NONE; i++) {
        if (kind->shape[i] == ONE && !family->scalars_in_arrays)
            continue;
        size_t size = dimension_size(shape, tower, kind->shape[i]);
        row->shape[row->rank++] = size;
        if (__builtin_mul_overflow(row->count, size, &row->count))
            return nc_error(NC_BAD_INPUT, "%s: too many elements for this machine", row->name);
    }

    size_t *elements = &table->tower_elements[tower];
    size_t limit = SIZE_MAX / 8 - GROUP_ALIGNMENT; /* bytes of any copy must not overflow */
    if (row->openai_slice < 1) /* key lies directly behind query, value behind key */
        *elements = (*elements + GROUP_ALIGNMENT - 1) / GROUP_ALIGNMENT * GROUP_ALIGNMENT;
    row->offset = *elements;
    if (row->count > limit || *elements > limit - row->count)
        return nc_error(NC_BAD_INPUT, "%s: too many elements for this machine", row->name);
    *elements += row->count;
    table->count++;
    return NC_OK;
}

static int add_rows(struct nc_parameter_table *table, const struct nc_model_shape *shape,
                    enum nc_tower tower, const struct kind *kinds, size_t count, int block_index)
{
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = add_row(table, shape, tower, &kinds[i], block_index);
    return status;
}

int nc_parameter_table_create(const struct nc_model_shape *shape, struct nc_parameter_table *table)
{
    *table = (struct nc_parameter_table){0};
    size_t layers;
    size_t outside =
        LENGTH(text_head) + LENGTH(text_tail) + LENGTH(vision_head) + LENGTH(vision_tail);
    if (__builtin_add_overflow(shape->text.layers, shape->vision.layers, &layers) ||
        layers > INT16_MAX)
        return nc_error(NC_BAD_INPUT, "a model of %zu and %zu blocks is beyond what nclip reads",
                        shape->text.layers, shape->vision.layers);
    table->rows = calloc(outside + layers * LENGTH(block), sizeof *table->rows);
    if (!table->rows)
        return nc_error(NC_FAILED, "no memory for the table of parameters");

    int status = NC_OK;
    for (int tower = NC_TOWER_TEXT; tower <= NC_TOWER_VISION && status == NC_OK; tower++) {
        bool text = tower == NC_TOWER_TEXT;
        if (!text && !nc_shape_has_vision(shape))
            continue;
        status = add_rows(table, shape, tower, text ? text_head : vision_head,
                          text ? LENGTH(text_head) : LENGTH(vision_head), NC_NO_BLOCK);
        for (size_t i = 0; i < tower_shape(shape, tower)->layers && status == NC_OK; i++)
            status = add_rows(table, shape, tower, block, LENGTH(block), (int)i);
        if (status == NC_OK)
            status = add_rows(table, shape, tower, text ? text_tail : vision_tail,
                              text ? LENGTH(text_tail) : LENGTH(vision_tail), NC_NO_BLOCK);
        size_t *elements = &table->tower_elements[tower];
        *elements = (*elements + GROUP_ALIGNMENT - 1) / GROUP_ALIGNMENT * GROUP_ALIGNMENT;
    }
    if (status != NC_OK)
        nc_parameter_table_destroy(table);
    return status;
}

void nc_parameter_table_destroy(struct nc_parameter_table *table)
{
    free(table->rows);
    *table = (struct nc_parameter_table){0};
}

const struct nc_parameter *nc_parameter_find(const struct nc_parameter_table *table,
                                             enum nc_tower tower, enum nc_role role,
                                             int block_index)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower == tower && row->role == role && row->block == block_index)
            return row;
    }
    return NULL;
}

size_t nc_parameter_offset(const struct nc_parameter_table *table, enum nc_tower tower,
                           enum nc_role role, int block_index)
{
    return nc_parameter_find(table, tower, role, block_index)->offset;
}
