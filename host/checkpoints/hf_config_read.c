/* Reads a model's shape from config.json, with the defaults of its family in transformers. */
#include "folder.h"

#include "nclip/formats/json.h"
#include "nclip/model/family.h"
#include "nclip/support/error.h"

#include <limits.h>
#include <string.h>

/* The object that describes a tower, or NULL for one that is all defaults.
 * transformers' CLIPConfig completes `text_config_dict`, which old checkpoints
 * carry, with the defaults and lets the result replace all of `text_config`. */
static int find_section(const char *path, const cJSON *root, const char *key, const char *old_key,
                        const cJSON **section)
{
    *section = nc_json_member(root, old_key);
    if (!*section || cJSON_IsNull(*section)) {
        old_key = key;
        *section = nc_json_member(root, key);
    }
    if (cJSON_IsNull(*section))
        *section = NULL;
    if (*section && !cJSON_IsObject(*section))
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not an object", path, old_key);
    return NC_OK;
}

static int read_tower(const char *where, const cJSON *section, struct nc_tower_shape *tower)
{
    int status = nc_json_optional_size(where, section, "hidden_size", &tower->width);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "num_hidden_layers", &tower->layers);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "num_attention_heads", &tower->heads);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "intermediate_size", &tower->mlp);
    if (status != NC_OK)
        return status;

    double epsilon = (double)tower->epsilon;
    status = nc_json_optional_number(where, section, "layer_norm_eps", &epsilon);
    if (status != NC_OK)
        return status;
    if (!(epsilon > 0 && epsilon < 1))
        return nc_error(NC_BAD_INPUT,
                        "%s: \"layer_norm_eps\" is %g; expected a small number above "
                        "0",
                        where, epsilon);
    tower->epsilon = (float)epsilon;

    const char *activation = nc_activation_names[tower->activation];
    status = nc_json_optional_string(where, section, "hidden_act", &activation);
    for (int i = 0; i < NC_ACTIVATIONS && status == NC_OK; i++) {
        if (strcmp(activation, nc_activation_names[i]) == 0) {
            tower->activation = (enum nc_activation)i;
            return NC_OK;
        }
    }
    return status != NC_OK ? status
                           : nc_error(NC_BAD_INPUT,
                                      "%s: \"hidden_act\" is \"%.40s\"; nclip computes quick_gelu, "
                                      "gelu and gelu_pytorch_tanh",
                                      where, activation);
}

/* A start or pad token outside the vocabulary counts as none. */
static int32_t other_token(const cJSON *section, const char *key, int32_t value, size_t vocabulary)
{
    const cJSON *item = nc_json_member(section, key);
    if (item && !cJSON_IsNumber(item))
        return -1;
    double number = item ? item->valuedouble : value;
    return number >= 0 && number < (double)vocabulary && number < INT32_MAX ? (int32_t)number : -1;
}

/* One of `count` names. */
static int read_name(const char *where, const cJSON *section, const char *key,
                     const char *const *names, int count, int *value)
{
    const char *name = names[*value];
    int status = nc_json_optional_string(where, section, key, &name);
    for (int i = 0; i < count && status == NC_OK; i++) {
        if (strcmp(name, names[i]) == 0) {
            *value = i;
            return NC_OK;
        }
    }
    return status != NC_OK ? status
                           : nc_error(NC_BAD_INPUT, "%s: \"%s\" is \"%.40s\", which is none of its "
                                                    "values", where, key, name);
}

/* Our own form says what transformers' families imply by their names. */
static int read_own(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    int mask = shape->mask, end_rule = shape->end_rule;
    int status = read_name(where, section, "mask", nc_mask_names, NC_MASKS, &mask);
    if (status == NC_OK)
        status = read_name(where, section, "pooling", nc_end_rule_names, NC_END_RULES, &end_rule);
    shape->mask = (enum nc_text_mask)mask;
    shape->end_rule = (enum nc_end_rule)end_rule;
    shape->projection_bias = cJSON_IsTrue(nc_json_member(section, "projection_bias"));
    shape->logit_bias = cJSON_IsTrue(nc_json_member(section, "logit_bias"));
    return status;
}

static int read_text(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    const struct nc_family *family = &nc_families[shape->family];
    size_t end_token = (size_t)shape->end_token;
    int status = read_tower(where, section, &shape->text);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "vocab_size", &shape->vocabulary);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "max_position_embeddings", &shape->context);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "eos_token_id", &end_token);
    if (status != NC_OK)
        return status;
    /* An eos_token_id of 2 stands for the older convention (transformers, pull request 24773). */
    bool argmax = family->argmax_is_two && end_token == 2;
    if (family->end_rules[NC_END_FIRST])
        shape->end_rule = argmax ? NC_END_ARGMAX : NC_END_FIRST;
    shape->end_token = end_token < INT32_MAX ? (int32_t)end_token : INT32_MAX; /* no token */
    shape->start_token = other_token(section, "bos_token_id", shape->start_token, shape->vocabulary);
    shape->pad_token = other_token(section, "pad_token_id", shape->pad_token, shape->vocabulary);
    return shape->family == NC_FAMILY_OTHER ? read_own(where, section, shape) : NC_OK;
}

static int read_vision(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    int status = read_tower(where, section, &shape->vision);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "image_size", &shape->image_size);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "patch_size", &shape->patch_size);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "num_channels", &shape->channels);
    return status;
}

/* What the two towers have in common. `section`: what tells the dimension of features. */
static int read_both(const char *path, const cJSON *root, const cJSON *section,
                     struct nc_model_shape *shape)
{
    const struct nc_family *family = &nc_families[shape->family];
    double logit_scale = (double)shape->logit_scale_initial;
    const cJSON *size = nc_json_member(section, family->embedding_key);
    bool own = family->scalars_in_arrays; /* SigLIP's features are as wide as the tower, unless ... */
    if (own)
        shape->embedding = shape->text.width;
    int status = own && cJSON_IsNull(size)
                     ? NC_OK
                     : nc_json_optional_size(path, section, family->embedding_key,
                                             &shape->embedding);
    if (status == NC_OK)
        status = nc_json_optional_number(path, root, "logit_scale_init_value", &logit_scale);
    if (status == NC_OK && !(logit_scale >= -100 && logit_scale <= 100))
        status = nc_error(NC_BAD_INPUT,
                          "%s: \"logit_scale_init_value\" is %g; expected a logarithm", path,
                          logit_scale);
    shape->logit_scale_initial = (float)logit_scale;
    return status;
}

/* A text model with projection: the text tower's keys stand at the top. */
static int read_text_alone(const char *path, const cJSON *root, struct nc_model_shape *shape)
{
    int status = read_text(path, root, shape);
    if (status == NC_OK)
        status = read_both(path, root, root, shape);
    shape->vision = (struct nc_tower_shape){0};
    return status;
}

static int read_model(const char *path, const cJSON *root, struct nc_model_shape *shape)
{
    char where[PATH_MAX + 32];
    const cJSON *section;
    bool of_text = nc_families[shape->family].scalars_in_arrays; /* features are described there */
    int status = find_section(path, root, "text_config", "text_config_dict", &section);
    snprintf(where, sizeof where, "%s: text_config", path);
    if (status == NC_OK)
        status = read_text(where, section, shape);
    if (status == NC_OK)
        status = read_both(path, root, of_text ? section : root, shape);
    if (status != NC_OK || !nc_families[shape->family].has_vision)
        return status;
    status = find_section(path, root, "vision_config", "vision_config_dict", &section);
    snprintf(where, sizeof where, "%s: vision_config", path);
    return status == NC_OK ? read_vision(where, section, shape) : status;
}

/* The family whose model_type it is, and whether it is the text tower's alone. A config without one
 * is CLIP's. */
static int find_family(const char *path, const cJSON *root, const struct nc_family **family,
                       bool *text_alone)
{
    const char *type = nc_families[NC_FAMILY_CLIP].model_type;
    int status = nc_json_optional_string(path, root, "model_type", &type);
    for (int i = 0; i < NC_FAMILIES && status == NC_OK; i++) {
        *family = &nc_families[i];
        *text_alone = strcmp(type, (*family)->text_type) == 0;
        if (*text_alone || ((*family)->model_type && strcmp(type, (*family)->model_type) == 0))
            return NC_OK;
    }
    return status != NC_OK ? status
                           : nc_error(NC_BAD_INPUT,
                                      "%s: \"model_type\" is \"%.40s\"; nclip reads clip, "
                                      "metaclip_2, siglip, siglip2, and their text models",
                                      path, type);
}

int nc_hf_embeddings_read(const char *config_path, char hash[17])
{
    cJSON *root;
    const char *text = "";
    hash[0] = 0;
    int status = nc_json_load(config_path, &root);
    if (status != NC_OK)
        return status;
    status = nc_json_optional_string(config_path, root, NC_EMBEDDINGS_KEY, &text);
    if (status == NC_OK && *text &&
        (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16))
        status = nc_error(NC_BAD_INPUT, "%s: \"" NC_EMBEDDINGS_KEY "\" is no fingerprint of 16 "
                          "hex digits", config_path);
    if (status == NC_OK)
        snprintf(hash, 17, "%s", text);
    cJSON_Delete(root);
    return status;
}

int nc_model_shape_read(const char *config_path, struct nc_model_shape *shape)
{
    const struct nc_family *family;
    bool text_alone;
    cJSON *root;
    *shape = (struct nc_model_shape){0};
    int status = nc_json_load(config_path, &root);
    if (status != NC_OK)
        return status;
    if (!cJSON_IsObject(root))
        status = nc_error(NC_BAD_INPUT, "%s: not a JSON object", config_path);
    if (status == NC_OK)
        status = find_family(config_path, root, &family, &text_alone);
    if (status == NC_OK) {
        *shape = family->defaults;
        status = text_alone ? read_text_alone(config_path, root, shape)
                            : read_model(config_path, root, shape);
    }
    if (status == NC_OK)
        status = nc_model_shape_check(config_path, shape);
    cJSON_Delete(root);
    return status;
}
