/* Reads a model's shape from config.json, with the defaults of transformers' CLIPConfig. */
#include "folder.h"

#include "nclip/formats/json.h"
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

    double epsilon = 1e-5;
    status = nc_json_optional_number(where, section, "layer_norm_eps", &epsilon);
    if (status != NC_OK)
        return status;
    if (!(epsilon > 0 && epsilon < 1))
        return nc_error(NC_BAD_INPUT,
                        "%s: \"layer_norm_eps\" is %g; expected a small number above "
                        "0",
                        where, epsilon);
    tower->epsilon = (float)epsilon;

    const char *activation = "quick_gelu";
    status = nc_json_optional_string(where, section, "hidden_act", &activation);
    if (status != NC_OK)
        return status;
    if (strcmp(activation, "quick_gelu") == 0)
        tower->activation = NC_QUICK_GELU;
    else if (strcmp(activation, "gelu") == 0)
        tower->activation = NC_GELU;
    else
        return nc_error(NC_BAD_INPUT,
                        "%s: \"hidden_act\" is \"%.40s\"; nclip computes quick_gelu "
                        "and gelu",
                        where, activation);
    return NC_OK;
}

/* Start and pad token do not matter to the arithmetic: an id outside the vocabulary counts as
 * none. */
static int32_t other_token(const cJSON *section, const char *key, int32_t value, size_t vocabulary)
{
    const cJSON *item = nc_json_member(section, key);
    if (item && !cJSON_IsNumber(item))
        return -1;
    double number = item ? item->valuedouble : value;
    return number >= 0 && number < (double)vocabulary && number < INT32_MAX ? (int32_t)number : -1;
}

static int read_text(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    size_t end_token = 49407;
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
    shape->end_rule = end_token == 2 ? NC_END_ARGMAX : NC_END_FIRST;
    shape->end_token = end_token < INT32_MAX ? (int32_t)end_token : INT32_MAX; /* no token */
    shape->start_token = other_token(section, "bos_token_id", 49406, shape->vocabulary);
    shape->pad_token = other_token(section, "pad_token_id", 1, shape->vocabulary);
    return NC_OK;
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

/* What the two towers have in common. */
static int read_both(const char *path, const cJSON *root, struct nc_model_shape *shape)
{
    double logit_scale = 2.6592;
    int status = nc_json_optional_size(path, root, "projection_dim", &shape->embedding);
    if (status == NC_OK)
        status = nc_json_optional_number(path, root, "logit_scale_init_value", &logit_scale);
    if (status == NC_OK && !(logit_scale >= -100 && logit_scale <= 100))
        status = nc_error(NC_BAD_INPUT,
                          "%s: \"logit_scale_init_value\" is %g; expected a logarithm", path,
                          logit_scale);
    shape->logit_scale_initial = (float)logit_scale;
    return status;
}

/* A CLIPTextModelWithProjection: the text tower's keys stand at the top. */
static int read_text_alone(const char *path, const cJSON *root, struct nc_model_shape *shape)
{
    int status = read_both(path, root, shape);
    if (status == NC_OK)
        status = read_text(path, root, shape);
    shape->vision = (struct nc_tower_shape){0};
    return status == NC_OK ? nc_model_shape_check(path, shape) : status;
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
    /* The defaults of transformers' CLIPTextConfig, CLIPVisionConfig and CLIPConfig. */
    *shape = (struct nc_model_shape){
        .text = {512, 12, 8, 2048, NC_QUICK_GELU, 1e-5f},
        .vision = {768, 12, 12, 3072, NC_QUICK_GELU, 1e-5f},
        .embedding = 512,
        .vocabulary = 49408,
        .context = 77,
        .image_size = 224,
        .patch_size = 32,
        .channels = 3,
    };
    char where[PATH_MAX + 32];
    const cJSON *section;
    const char *model_type = "clip";
    cJSON *root;
    int status = nc_json_load(config_path, &root);
    if (status != NC_OK)
        return status;
    if (!cJSON_IsObject(root)) {
        status = nc_error(NC_BAD_INPUT, "%s: not a JSON object", config_path);
        goto cleanup;
    }
    status = nc_json_optional_string(config_path, root, "model_type", &model_type);
    if (status != NC_OK)
        goto cleanup;
    if (strcmp(model_type, "clip_text_model") == 0) {
        status = read_text_alone(config_path, root, shape);
        goto cleanup;
    }
    if (strcmp(model_type, "clip") != 0) {
        status = nc_error(NC_BAD_INPUT, "%s: \"model_type\" is \"%.40s\"; nclip reads \"clip\"",
                          config_path, model_type);
        goto cleanup;
    }
    status = read_both(config_path, root, shape);
    if (status == NC_OK)
        status = find_section(config_path, root, "text_config", "text_config_dict", &section);
    if (status != NC_OK)
        goto cleanup;
    snprintf(where, sizeof where, "%s: text_config", config_path);
    status = read_text(where, section, shape);
    if (status == NC_OK)
        status = find_section(config_path, root, "vision_config", "vision_config_dict", &section);
    if (status != NC_OK)
        goto cleanup;
    snprintf(where, sizeof where, "%s: vision_config", config_path);
    status = read_vision(where, section, shape);
    if (status == NC_OK)
        status = nc_model_shape_check(config_path, shape);
cleanup:
    cJSON_Delete(root);
    return status;
}
