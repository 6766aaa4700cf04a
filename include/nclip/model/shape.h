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
    NC_END_ARGMAX, /* the largest id, first occurrence; CLIP's configs say it by an eos_token_id of 2 */
    NC_END_FIRST,  /* the first token equal to end_token; where that is pad_token and the caption
                      has none, the first place of padding */
    NC_END_LAST,   /* the last place of the context, whatever stands there */
    NC_END_RULES,
};

/* Which tokens a token sees. */
enum nc_text_mask {
    NC_MASK_CAUSAL,  /* itself and those before it */
    NC_MASK_NONE,    /* all of the context, padding too: a caption has its whole context */
    NC_MASK_PADDING, /* all of its caption, not the padding */
    NC_MASKS,
};

/* Whose names and configs the model has (nclip/model/family.h): a row of a table, which towers do
 * not look at. */
enum nc_family_name {
    NC_FAMILY_CLIP,
    NC_FAMILY_METACLIP_2,
    NC_FAMILY_SIGLIP,
    NC_FAMILY_SIGLIP_2,
    NC_FAMILY_OTHER, /* what no family of transformers' can say, in a form of our own */
    NC_FAMILIES,
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
    enum nc_family_name family;
    /* text */
    size_t vocabulary; /* vocab_size */
    size_t context;    /* max_position_embeddings */
    enum nc_text_mask mask;
    enum nc_end_rule end_rule;
    int32_t end_token;
    int32_t start_token; /* bos_token_id: kept for other programs; -1: none */
    int32_t pad_token;   /* pad_token_id; -1: none. Where padding is seen, what captions are filled
                            up with */
    bool projection_bias;
    bool logit_bias; /* added to all similarities: of a sigmoid loss. SigLIP's families have one, any
                        other may */
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

/* Whether every caption takes its whole context: padding is seen, or read. Laying captions end to end
 * then saves nothing. */
static inline bool nc_shape_is_padded(const struct nc_model_shape *shape)
{
    return shape->mask == NC_MASK_NONE || shape->end_rule == NC_END_LAST;
}

/* Tokens of a picture: one class token and the patches. */
static inline size_t nc_vision_tokens(const struct nc_model_shape *shape)
{
    size_t side = shape->image_size / shape->patch_size;
    return side * side + 1;
}

enum { NC_MOST_LAYERS = 1024 };

/* As hidden_act of config.json has it: "quick_gelu", "gelu", "gelu_pytorch_tanh". */
extern const char *const nc_activation_names[NC_ACTIVATIONS];

/* "argmax", "first", "last"; "causal", "none", "padding". */
extern const char *const nc_end_rule_names[NC_END_RULES];
extern const char *const nc_mask_names[NC_MASKS];

/* NC_BAD_INPUT, naming `where` and the key of config.json, unless every size is one that nclip
 * reads, so that no product of them overflows, and the towers' widths fall into heads that it
 * computes. For shapes from wherever: what is written must be read again. */
int nc_model_shape_check(const char *where, const struct nc_model_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
