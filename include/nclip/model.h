/* A CLIP model: its shape, the one table of its parameters, and its folder on disk.
 *
 * The folder is Hugging Face's: config.json, model.safetensors (or sharded:
 * model.safetensors.index.json), tokenizer files, preprocessor_config.json.
 * Tensors are fp32, fp16 or bf16 in the file and fp32 in memory.
 */
#ifndef NCLIP_MODEL_H
#define NCLIP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "nclip/types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum nc_activation {
    NC_QUICK_GELU, /* x * sigmoid(1.702 x): OpenAI's checkpoints */
    NC_GELU,       /* x * Phi(x), with erf */
};

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
    struct nc_tower_shape vision;
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

/* Tokens of a picture: one class token and the patches. */
static inline size_t nc_vision_tokens(const struct nc_model_shape *shape)
{
    size_t side = shape->image_size / shape->patch_size;
    return side * side + 1;
}

/* Reads config.json. Missing keys take the defaults of transformers' CLIPConfig;
 * `text_config_dict` and `vision_config_dict` of old files go before `text_config`
 * and `vision_config`, as there. Values that cannot be, or that nclip does not
 * compute (hidden_act other than quick_gelu and gelu, heads outside 32 .. 128), are
 * NC_BAD_INPUT and named. */
int nc_model_shape_read(const char *config_path, struct nc_model_shape *shape);

enum nc_tower {
    NC_TOWER_TEXT,   /* the text tower, text_projection and logit_scale */
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
    NC_LOGIT_SCALE,                       /* one number, the logarithm */
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
    char name[96];        /* in a Hugging Face CLIPModel */
    char openai_name[96]; /* in OpenAI's (and open_clip's) state dict; include/nclip/exchange.h */
    int openai_slice;     /* -1: the whole tensor; 0, 1, 2: query, key, value third of in_proj */
    bool openai_transposed; /* OpenAI keeps projections as [width, embedding] */
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

/* A model folder, opened: shape, table, and where each tensor lies. Opening reads
 * headers only. Every tensor that the table names must be there with the right
 * shape: a missing one is NC_BAD_INPUT, and the message names it (and how many
 * more). Tensors that no row names are listed in nc_model_unknown, except the
 * position_ids buffers that old checkpoints carry. */
struct nc_model;
int nc_model_open(const char *folder, struct nc_model **model);
void nc_model_close(struct nc_model *model);

const char *nc_model_folder(const struct nc_model *model);
const struct nc_model_shape *nc_model_shape(const struct nc_model *model);
const struct nc_parameter_table *nc_model_table(const struct nc_model *model);
size_t nc_model_unknown(const struct nc_model *model, const char *const **names);
/* The type most parameters of the tower have in the file. */
enum nc_type nc_model_file_type(const struct nc_model *model, enum nc_tower tower);

/* The logarithm that cosines are multiplied by the exponential of, as the file has it. */
float nc_model_logit_scale(const struct nc_model *model);

/* Fills a tower's buffer (tower_elements floats; padding is zeroed). Refuses
 * a non-finite value by naming its tensor. */
int nc_model_load(const struct nc_model *model, enum nc_tower tower, float *parameters);

/* A fingerprint of what makes an image embedding: the vision tower's parameters
 * as they lie in the file, and its shape. 16 hex digits. Two folders with the
 * same vision tower agree, whatever their text tower. Reads the whole tower once. */
int nc_model_vision_hash(const struct nc_model *model, char hash[17]);

/* Writes a complete Hugging Face folder at `folder` (which must not exist, or be
 * empty; NC_USAGE otherwise). It is staged beside it, as "<folder>.partial-<pid>",
 * and appears by rename when complete; a failure leaves nothing behind.
 *   model.safetensors  one file, tensors in the source's order (wider types first, when
 *                      types mix); the text tower's come from `text_parameters` as
 *                      `type`, all others are copied byte for byte
 *   config.json        copied; its dtype follows when the text tower's type changed
 *                      (fp32 when the towers then differ: it holds both exactly)
 *   tokenizer and preprocessor files are copied where there are any.
 * Memory: a few MiB. A value that is not finite as `type` is NC_FAILED and names
 * its tensor. */
int nc_model_save(const struct nc_model *model, const char *folder, const float *text_parameters,
                  enum nc_type type);

/* `nclip info MODEL`: what is in it, for people (or one JSON object); with
 * `parameters` each row of the table too. Reads the vision tower, for its hash, and
 * merge.json, where nc_model_merge() wrote one. */
int nc_model_describe(const struct nc_model *model, FILE *out, bool json, bool parameters);

#ifdef __cplusplus
}
#endif
#endif
