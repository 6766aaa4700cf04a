/* Families of models: whose config.json says what, and whose parameters have which names. All that
 * differs between them is a row here and a description in the shape; towers know no family. */
#ifndef NCLIP_MODEL_FAMILY_H
#define NCLIP_MODEL_FAMILY_H

#include "nclip/model/shape.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nc_family {
    const char *model_type;  /* of config.json with both towers; NULL: there is none */
    const char *text_type;   /* of config.json, or its text_config, for the text tower */
    const char *vision_type; /* of vision_config */
    const char *classes[3];  /* in transformers: both towers, the text tower, that with projection */
    bool has_vision;         /* its vision tower is CLIP's own, which nclip computes */
    bool argmax_is_two;      /* an eos_token_id of 2 stands for the largest id */
    bool pads_by_tokenizer;  /* pad_token_id of its configs means nothing */
    bool scalars_in_arrays;  /* logit_scale is [1], not a scalar */
    bool end_rules[NC_END_RULES];      /* that its config can say */
    struct nc_model_shape defaults;    /* of missing keys; mask and biases are facts */
    const char *embedding_key;         /* the key that has the dimension of text features */
    const char *projection, *projection_bias; /* names of these parameters */
};

/* By enum nc_family_name. */
extern const struct nc_family nc_families[NC_FAMILIES];

/* The first family whose config can say the shape. */
enum nc_family_name nc_family_for(const struct nc_model_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
