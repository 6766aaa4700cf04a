/* A CLIP model's shape: the sizes of its two towers. */
#ifndef NCLIP_MODEL_SHAPE_H
#define NCLIP_MODEL_SHAPE_H

#include "nclip/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which token's features stand for the caption. */
enum nc_end_rule {
    NC_END_ARGMAX, /* eos_token_id == 2 in the config: the largest id, first occurrence */
    NC_END_FIRST,  /* otherwise: the first token equal to eos_token_id */
};

struct nc_tower_shape {
    size_t width;  /* hidden_size */
    size_t layers; /* num_hidden_layers */
    size_t heads;  /* num_attention_heads; width / heads is the head size */
    size_t mlp;    /* intermediate_size */
    enum nc_activation activation;
    float epsilon; /* layer_norm_eps */
};

struct nc_model_shape {
    struct nc_tower_shape text;
    struct nc_tower_shape vision; /* no layers: the model has no vision tower, and what is said of
                                     pictures here means nothing */
    size_t embedding; /* projection_dim: what both towers project to */
    /* text */
    size_t vocabulary; /* vocab_size */
    size_t context;    /* max_position_embeddings */
    enum nc_end_rule end_rule;
    int32_t end_token;
    int32_t start_token, pad_token; /* bos_token_id, pad_token_id: kept for other programs; -1: none */
    /* vision */
    size_t image_size; /* pixels a side */
    size_t patch_size;
    size_t channels; /* 3 */
    float logit_scale_initial;
};

static inline bool nc_shape_has_vision(const struct nc_model_shape *shape)
{
    return shape->vision.layers > 0;
}

/* Tokens of a picture: one class token and the patches. */
static inline size_t nc_vision_tokens(const struct nc_model_shape *shape)
{
    size_t side = shape->image_size / shape->patch_size;
    return side * side + 1;
}

enum { NC_MOST_LAYERS = 1024 };

/* NC_BAD_INPUT, naming `where` and the key of config.json, unless every size is one that nclip
 * reads, so that no product of them overflows, and the towers' widths fall into heads that it
 * computes. For shapes from wherever: what is written must be read again. */
int nc_model_shape_check(const char *where, const struct nc_model_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
