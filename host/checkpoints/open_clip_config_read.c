/* Reads open_clip_config.json. Source: open_clip 3.3, model.py (CLIPVisionCfg, CLIPTextCfg), transform.py
 * (PreprocessCfg), factory.py (create_model). */
#include "exchange.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { LARGEST = 1 << 28 }; /* of any size; the tensors are the real limit */

static bool listed(const char *key, const char *const *keys)
{
    while (*keys && strcmp(key, *keys) != 0)
        keys++;
    return *keys != NULL;
}

/* A key that is neither read nor without meaning outside training makes another model, unless
 * it is switched off. */
static int check_keys(const char *where, const cJSON *section, const char *const *read,
                      const char *const *idle)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, section)
    {
        bool off = cJSON_IsNull(item) || cJSON_IsFalse(item) ||
                   ((cJSON_IsObject(item) || cJSON_IsArray(item)) && !item->child);
        if (!off && !listed(item->string, read) && !listed(item->string, idle))
            return nc_error(NC_BAD_INPUT,
                            "%s: \"%.60s\" makes it another model than a plain CLIP, which nclip "
                            "does not read",
                            where, item->string);
    }
    return NC_OK;
}

/* A string that must be absent, null or `value`. */
static int only_string(const char *where, const cJSON *section, const char *key, const char *value)
{
    const char *text = value;
    int status = nc_json_optional_string(where, section, key, &text);
    if (status == NC_OK && strcmp(text, value) != 0)
        status = nc_error(NC_BAD_INPUT, "%s: \"%s\" is \"%.40s\"; nclip reads \"%s\"", where, key,
                          text, value);
    return status;
}

static int read_size(const char *where, const cJSON *section, const char *key, size_t *value)
{
    const cJSON *item = nc_json_member(section, key);
    if (cJSON_IsArray(item) && strcmp(key, "layers") == 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"layers\" is a list, so this is a ResNet; nclip reads vision "
                        "transformers",
                        where);
    if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2 &&
        cJSON_Compare(item->child, item->child->next, true) && cJSON_IsNumber(item->child) &&
        item->child->valuedouble >= 1 && item->child->valuedouble <= LARGEST) {
        *value = (size_t)item->child->valuedouble; /* [224, 224] */
        return NC_OK;
    }
    int status = nc_json_optional_size(where, section, key, value);
    if (status == NC_OK && (*value < 1 || *value > LARGEST))
        status =
            nc_error(NC_BAD_INPUT, "%s: \"%s\" is %zu, which no model has", where, key, *value);
    return status;
}

/* {"approximate": "tanh"}, which makes GELU another activation. */
static int read_activation(const char *where, const cJSON *section, struct nc_tower_shape *tower)
{
    static const char *const known[] = {"approximate", NULL}, *const none[] = {NULL};
    const cJSON *arguments = nc_json_member(section, "act_kwargs");
    const char *approximate = "none";
    tower->activation = NC_GELU;
    if (!arguments || cJSON_IsNull(arguments))
        return NC_OK;
    int status = check_keys(where, arguments, known, none);
    if (status == NC_OK)
        status = nc_json_optional_string(where, arguments, "approximate", &approximate);
    if (status == NC_OK && strcmp(approximate, "tanh") == 0)
        tower->activation = NC_GELU_TANH;
    else if (status == NC_OK && strcmp(approximate, "none") != 0)
        status = nc_error(NC_BAD_INPUT, "%s: \"approximate\" is \"%.40s\"; nclip reads none and tanh",
                          where, approximate);
    return status;
}

static int read_tower(const char *where, const cJSON *section, struct nc_tower_shape *tower)
{
    double ratio = 4, epsilon = 1e-5;
    int status = read_activation(where, section, tower);
    if (status == NC_OK)
        status = read_size(where, section, "layers", &tower->layers);
    if (status == NC_OK)
        status = read_size(where, section, "width", &tower->width);
    if (status == NC_OK)
        status = nc_json_optional_number(where, section, "mlp_ratio", &ratio);
    if (status != NC_OK)
        return status;
    double mlp = (double)tower->width * ratio;
    if (!(mlp >= 1 && mlp <= LARGEST))
        return nc_error(NC_BAD_INPUT, "%s: \"mlp_ratio\" is %g, which no model has", where, ratio);
    tower->mlp = (size_t)mlp;
    const cJSON *norm = nc_json_member(section, "norm_kwargs");
    if (norm && !cJSON_IsNull(norm)) {
        static const char *const eps[] = {"eps", NULL}, *const none[] = {NULL};
        status = check_keys(where, norm, eps, none);
        if (status == NC_OK)
            status = nc_json_optional_number(where, norm, "eps", &epsilon);
    }
    if (status == NC_OK && !(epsilon > 0 && epsilon < 1))
        status = nc_error(NC_BAD_INPUT, "%s: \"eps\" is %g; expected a small number above 0", where,
                          epsilon);
    tower->epsilon = (float)epsilon;
    return status;
}

static int read_vision(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    static const char *const read[] = {"image_size",     "layers",     "width",     "head_width",
                                       "mlp_ratio",      "patch_size", "pool_type", "norm_kwargs",
                                       "pos_embed_type", "act_kwargs", NULL};
    static const char *const idle[] = {
        "patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "timm_pool",
        "timm_proj",     "timm_drop",           "output_tokens",     NULL};
    size_t head = 64;
    int status = check_keys(where, section, read, idle);
    if (status == NC_OK)
        status = only_string(where, section, "pool_type", "tok");
    if (status == NC_OK)
        status = only_string(where, section, "pos_embed_type", "learnable");
    if (status == NC_OK)
        status = read_tower(where, section, &shape->vision);
    if (status == NC_OK)
        status = read_size(where, section, "head_width", &head);
    if (status == NC_OK)
        status = read_size(where, section, "image_size", &shape->image_size);
    if (status == NC_OK)
        status = read_size(where, section, "patch_size", &shape->patch_size);
    if (status == NC_OK && (shape->vision.width % head || shape->patch_size > shape->image_size))
        status = nc_error(NC_BAD_INPUT,
                          "%s: a width of %zu in heads of %zu, a picture of %zu in patches of %zu: "
                          "this cannot be",
                          where, shape->vision.width, head, shape->image_size, shape->patch_size);
    if (status == NC_OK)
        shape->vision.heads = shape->vision.width / head;
    return status;
}

/* Where features are read, and what is seen on the way. */
static int read_pooling(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    static const char *const pools[] = {"argmax", "eos", "last"}; /* by enum nc_end_rule */
    const char *pool = NULL;
    size_t end = 2, pad = 0, rule = 0; /* CLIPTextCfg's */
    bool unmasked = false;
    int status = nc_json_optional_string(where, section, "pool_type", &pool);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "eos_id", &end);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "pad_id", &pad);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, section, "no_causal_mask", &unmasked);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, section, "proj_bias", &shape->projection_bias);
    if (status != NC_OK)
        return status;
    while (pool && rule < 3 && strcmp(pool, pools[rule]) != 0)
        rule++;
    if (rule == 3)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"pool_type\" is \"%.40s\"; nclip reads argmax, eos and last", where,
                        pool);
    if (rule == NC_END_FIRST && end >= shape->vocabulary)
        return nc_error(NC_BAD_INPUT, "%s: \"eos_id\" is %zu, which ends no caption", where, end);
    bool clips = !pool && !unmasked && shape->vocabulary == NC_CLIP_VOCABULARY;
    shape->mask = unmasked ? NC_MASK_NONE : NC_MASK_CAUSAL;
    shape->end_rule = clips ? NC_END_FIRST : (enum nc_end_rule)rule;
    shape->end_token = rule == NC_END_FIRST ? (int32_t)end : clips ? NC_CLIP_END : 2;
    if (nc_shape_is_padded(shape))
        shape->pad_token = pad < shape->vocabulary ? (int32_t)pad : 0;
    return NC_OK;
}

static int read_text(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    static const char *const read[] = {
        "context_length", "vocab_size", "width",     "heads",    "layers",         "mlp_ratio",
        "pool_type",      "eos_id",     "norm_kwargs", "proj_type", "no_causal_mask", "proj_bias",
        "act_kwargs",     "pad_id",     "text_arch",   NULL};
    static const char *const idle[] = {
        "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "hf_proj_type",
        "hf_model_pretrained", "hf_pooler_type", "output_tokens", "final_ln_after_pool", "bos_id",
        "tokenizer_type", NULL};
    if (cJSON_IsString(nc_json_member(section, "hf_model_name")))
        return nc_error(
            NC_BAD_INPUT, "%s: the text tower is \"%.60s\"; nclip reads CLIP's own text tower only",
            where, nc_json_member(section, "hf_model_name")->valuestring);
    int status = check_keys(where, section, read, idle);
    if (status == NC_OK)
        status = only_string(where, section, "proj_type", "linear");
    if (status == NC_OK) /* of open_clip after 3.3 */
        status = only_string(where, section, "text_arch", "clip");
    if (status == NC_OK)
        status = read_tower(where, section, &shape->text);
    if (status == NC_OK)
        status = read_size(where, section, "heads", &shape->text.heads);
    if (status == NC_OK)
        status = read_size(where, section, "context_length", &shape->context);
    if (status == NC_OK)
        status = read_size(where, section, "vocab_size", &shape->vocabulary);
    return status == NC_OK ? read_pooling(where, section, shape) : status;
}

static int read_color(const char *where, const cJSON *section, const char *key, float colors[3])
{
    const cJSON *item = nc_json_member(section, key);
    if (!item || cJSON_IsNull(item))
        return NC_OK;
    for (int i = 0; i < 3; i++) {
        const cJSON *number = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, i) : item;
        if (!cJSON_IsNumber(number) || !isfinite((float)number->valuedouble))
            return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not three numbers", where, key);
        colors[i] = (float)number->valuedouble;
    }
    return NC_OK;
}

static int read_preprocess(const char *where, const cJSON *section, size_t size,
                           struct nc_preprocess *preprocess)
{
    const char *interpolation = "bicubic", *mode = "shortest";
    nc_preprocess_default(size, preprocess);
    int status = read_color(where, section, "mean", preprocess->image_mean);
    if (status == NC_OK)
        status = read_color(where, section, "std", preprocess->image_std);
    if (status == NC_OK)
        status = nc_json_optional_string(where, section, "interpolation", &interpolation);
    if (status == NC_OK)
        status = nc_json_optional_string(where, section, "resize_mode", &mode);
    if (status != NC_OK)
        return status;
    bool bilinear = strcmp(interpolation, "bilinear") == 0, squash = strcmp(mode, "squash") == 0;
    if ((!bilinear && strcmp(interpolation, "bicubic") != 0) ||
        (!squash && strcmp(mode, "shortest") != 0))
        return nc_error(NC_BAD_INPUT,
                        "%s: pictures resized by \"%.40s\", \"%.40s\"; nclip reads bicubic and "
                        "bilinear, shortest and squash",
                        where, interpolation, mode);
    preprocess->resample = bilinear ? NC_RESAMPLE_BILINEAR : NC_RESAMPLE_BICUBIC;
    if (squash) {
        preprocess->shortest_edge = 0;
        preprocess->resize_width = preprocess->resize_height = size;
    }
    return NC_OK;
}

static int read_model(const char *path, const cJSON *model, bool text_only,
                      struct nc_model_shape *shape)
{
    static const char *const read[] = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", NULL};
    static const char *const idle[] = {"init_logit_scale", "init_logit_bias",
                                       "nonscalar_logit_scale", "custom_text", NULL};
    char where[PATH_MAX + 32];
    const cJSON *vision = NULL, *text;
    bool quick = false;
    int status = text_only ? NC_OK : nc_json_object(path, model, "vision_cfg", &vision);
    if (status == NC_OK)
        status = nc_json_object(path, model, "text_cfg", &text);
    if (status == NC_OK)
        status = check_keys(path, model, read, idle);
    if (status == NC_OK)
        status = read_size(path, model, "embed_dim", &shape->embedding);
    if (status == NC_OK)
        status = nc_json_optional_bool(path, model, "quick_gelu", &quick);
    snprintf(where, sizeof where, "%s: vision_cfg", path);
    if (status == NC_OK && !text_only)
        status = read_vision(where, vision, shape);
    snprintf(where, sizeof where, "%s: text_cfg", path);
    if (status == NC_OK)
        status = read_text(where, text, shape);
    if (quick)
        shape->text.activation = shape->vision.activation = NC_QUICK_GELU;
    return status;
}

int nc_open_clip_config_read(const char *path, bool text_only, struct nc_model_shape *shape,
                             struct nc_preprocess *preprocess)
{
    int32_t start = shape->start_token, pad = shape->pad_token;
    *shape = (struct nc_model_shape){/* CLIPVisionCfg's and CLIPTextCfg's defaults */
                                     .text = {.width = 512, .layers = 12, .heads = 8},
                                     .vision = {.width = 768, .layers = 12},
                                     .embedding = 512,
                                     .vocabulary = NC_CLIP_VOCABULARY,
                                     .context = 77,
                                     .start_token = start,
                                     .pad_token = pad,
                                     .image_size = 224,
                                     .patch_size = 16,
                                     .channels = 3,
                                     .logit_scale_initial = 2.6592f};
    cJSON *root;
    int status = nc_json_load(path, &root);
    if (status != NC_OK)
        return status;
    const cJSON *model = nc_json_member(root, "model_cfg");
    status = read_model(path, model ? model : root, text_only, shape);
    if (text_only)
        shape->vision = (struct nc_tower_shape){0};
    else if (status == NC_OK)
        status = read_preprocess(path, nc_json_member(root, "preprocess_cfg"),
                                 shape->image_size, preprocess);
    cJSON_Delete(root);
    return status;
}
