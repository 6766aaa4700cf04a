/* The one table of a model's parameters: names, shapes, and places in the towers' buffers. */
#ifndef NCLIP_MODEL_PARAMETERS_H
#define NCLIP_MODEL_PARAMETERS_H

#include "nclip/model/shape.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum nc_tower {
    NC_TOWER_TEXT,   /* the text tower, text_projection, logit_scale and logit_bias */
    NC_TOWER_VISION, /* the vision tower and visual_projection */
};

/* What a parameter is to the model. Those with a block index stand once a block. */
enum nc_role {
    /* text */
    NC_TOKEN_EMBEDDING,      /* [vocabulary, width] */
    NC_POSITION_EMBEDDING,   /* [context, width]; vision: [tokens, width] */
    /* blocks, both towers, in this order: query, key and value lie end to end,
     * so that one product makes all three */
    NC_LN1_WEIGHT, NC_LN1_BIAS,
    NC_QUERY_WEIGHT, NC_KEY_WEIGHT, NC_VALUE_WEIGHT, /* [width, width] each: [3 width, width] */
    NC_QUERY_BIAS, NC_KEY_BIAS, NC_VALUE_BIAS,       /* [width] each */
    NC_OUT_WEIGHT, NC_OUT_BIAS,                      /* [width, width], [width] */
    NC_LN2_WEIGHT, NC_LN2_BIAS,
    NC_FC1_WEIGHT, NC_FC1_BIAS,                      /* [mlp, width], [mlp] */
    NC_FC2_WEIGHT, NC_FC2_BIAS,                      /* [width, mlp], [width] */
    /* heads */
    NC_FINAL_LN_WEIGHT, NC_FINAL_LN_BIAS, /* text final_layer_norm; vision post_layernorm */
    NC_PROJECTION,                        /* [embedding, width] */
    NC_PROJECTION_BIAS,                   /* text only: [embedding]; not of all models */
    NC_LOGIT_SCALE,                       /* one number, the logarithm */
    NC_LOGIT_BIAS,                        /* one number; not of all models */
    /* vision only */
    NC_CLASS_EMBEDDING, /* [width] */
    NC_PATCH_EMBEDDING, /* [width, channels, patch, patch] */
    NC_PRE_LN_WEIGHT, NC_PRE_LN_BIAS,
    NC_ROLES,
};

enum { NC_NO_BLOCK = -1 };

/* One row of the table. Loading, saving, freezing, the optimizer, the gradient
 * buckets and `nclip info` all read it; no second list of parameters exists. */
struct nc_parameter {
    char name[96];        /* in the family's Hugging Face model (nclip/model/family.h) */
    char openai_name[96]; /* in OpenAI's (and open_clip's) state dict; nclip/checkpoints/exchange.h */
    int openai_slice;     /* -1: the whole tensor; 0, 1, 2: query, key, value third of in_proj */
    bool openai_transposed; /* OpenAI keeps projections as [width, embedding]; those with a bias not */
    enum nc_tower tower;
    enum nc_role role;
    int block; /* or NC_NO_BLOCK */
    size_t rank;
    size_t shape[4];
    size_t count;  /* product of shape */
    size_t offset; /* in elements, in the tower's buffer; multiple of 16 except inside
                      the query-key-value group, which is contiguous */
};

struct nc_parameter_table {
    struct nc_parameter *rows; /* text tower first, each in buffer order */
    size_t count;
    size_t tower_elements[2]; /* elements of each tower's buffer, padding included */
};

/* NC_BAD_INPUT when a product overflows. The caller destroys the table. */
int nc_parameter_table_create(const struct nc_model_shape *shape, struct nc_parameter_table *table);
void nc_parameter_table_destroy(struct nc_parameter_table *table);

/* The row of a role, or NULL when the model has none. */
const struct nc_parameter *nc_parameter_find(const struct nc_parameter_table *table,
                                             enum nc_tower tower, enum nc_role role, int block);

/* Offset of a role's first element; the role must exist. */
size_t nc_parameter_offset(const struct nc_parameter_table *table, enum nc_tower tower,
                           enum nc_role role, int block);

#ifdef __cplusplus
}
#endif
#endif
