/* open_clip_config.json. Source: open_clip 3.3, model.py (CLIPVisionCfg, CLIPTextCfg), transform.py
 * (PreprocessCfg), factory.py (create_model). */
#include "exchange.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

/* Failed writes are remembered by the writer until commit. */

/* What Python's int(width * ratio) turns back into `mlp`. */
static double mlp_ratio(const struct nc_tower_shape *tower)
{
    double ratio = (double)tower->mlp / (double)tower->width;
    while ((size_t)((double)tower->width * ratio) < tower->mlp)
        ratio = nextafter(ratio, INFINITY);
    return ratio;
}

static void write_tower(struct nc_writer *writer, const struct nc_tower_shape *tower)
{
    char text[NC_NUMBER_SIZE];
    (void)nc_writer_printf(writer, "      \"layers\": %zu,\n      \"width\": %zu,\n", tower->layers,
                           tower->width);
    if (tower->mlp != 4 * tower->width)
        (void)nc_writer_printf(writer, "      \"mlp_ratio\": %s,\n",
                               nc_number_text(mlp_ratio(tower), text));
    if (tower->epsilon != 1e-5f)
        (void)nc_writer_printf(writer, "      \"norm_kwargs\": {\"eps\": %s},\n",
                               nc_float_text(tower->epsilon, text));
}

static void write_text(struct nc_writer *writer, const struct nc_model_shape *shape,
                       bool own_tokenizer)
{
    (void)nc_writer_printf(writer, "    \"text_cfg\": {\n");
    write_tower(writer, &shape->text);
    (void)nc_writer_printf(writer,
                           "      \"heads\": %zu,\n      \"context_length\": %zu,\n"
                           "      \"vocab_size\": %zu",
                           shape->text.heads, shape->context, shape->vocabulary);
    if (shape->end_rule == NC_END_ARGMAX)
        (void)nc_writer_printf(writer, ",\n      \"pool_type\": \"argmax\"");
    else if (shape->vocabulary != NC_CLIP_VOCABULARY || shape->end_token != NC_CLIP_END)
        (void)nc_writer_printf(writer, ",\n      \"pool_type\": \"eos\",\n      \"eos_id\": %d",
                               (int)shape->end_token);
    if (own_tokenizer) /* of a local folder, open_clip asks only whether it is named at all */
        (void)nc_writer_printf(writer, ",\n      \"hf_tokenizer_name\": \".\"");
    (void)nc_writer_printf(writer, "\n    }\n  },\n");
}

static void write_colors(struct nc_writer *writer, const char *key, const float colors[3])
{
    char text[3][NC_NUMBER_SIZE];
    for (int i = 0; i < 3; i++)
        nc_float_text(colors[i], text[i]);
    (void)nc_writer_printf(writer, "    \"%s\": [%s, %s, %s],\n", key, text[0], text[1], text[2]);
}

/* "shortest" or "squash"; NULL for preprocessing that open_clip does not have. */
static const char *resize_mode(const struct nc_preprocess *p, size_t size)
{
    bool plain = p->do_resize && p->do_rescale && p->rescale_factor == 1.0 / 255 &&
                 p->do_normalize && p->resample != NC_RESAMPLE_LANCZOS;
    bool crop = p->do_center_crop && p->crop_width == size && p->crop_height == size;
    if (plain && crop && p->shortest_edge == size)
        return "shortest";
    if (plain && (crop || !p->do_center_crop) && !p->shortest_edge && p->resize_width == size &&
        p->resize_height == size)
        return "squash";
    return NULL;
}

int nc_open_clip_config_write(const char *where, const char *path,
                              const struct nc_model_shape *shape,
                              const struct nc_preprocess *preprocess, bool own_tokenizer)
{
    const char *mode = resize_mode(preprocess, shape->image_size);
    if (shape->text.activation != shape->vision.activation)
        return nc_error(NC_BAD_INPUT,
                        "%s: the towers' activations differ, which an open_clip model cannot say",
                        where);
    if (!mode)
        return nc_error(NC_BAD_INPUT,
                        "%s: its preprocessing of pictures is none that open_clip has (shortest "
                        "edge or squashed to %zu, bicubic or bilinear, normalised)",
                        where, shape->image_size);
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    (void)nc_writer_printf(writer,
                           "{\n  \"model_cfg\": {\n    \"embed_dim\": %zu,\n"
                           "    \"quick_gelu\": %s,\n    \"vision_cfg\": {\n",
                           shape->embedding,
                           shape->text.activation == NC_QUICK_GELU ? "true" : "false");
    write_tower(writer, &shape->vision);
    (void)nc_writer_printf(writer,
                           "      \"head_width\": %zu,\n      \"image_size\": %zu,\n"
                           "      \"patch_size\": %zu\n    },\n",
                           shape->vision.width / shape->vision.heads, shape->image_size,
                           shape->patch_size);
    write_text(writer, shape, own_tokenizer);
    (void)nc_writer_printf(writer, "  \"preprocess_cfg\": {\n");
    write_colors(writer, "mean", preprocess->image_mean);
    write_colors(writer, "std", preprocess->image_std);
    (void)nc_writer_printf(
        writer, "    \"interpolation\": \"%s\",\n    \"resize_mode\": \"%s\"\n  }\n}\n",
        preprocess->resample == NC_RESAMPLE_BICUBIC ? "bicubic" : "bilinear", mode);
    return nc_writer_commit(writer);
}

/* ---- reading ---- */

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

static int read_tower(const char *where, const cJSON *section, struct nc_tower_shape *tower)
{
    double ratio = 4, epsilon = 1e-5;
    int status = read_size(where, section, "layers", &tower->layers);
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
                                       "pos_embed_type", NULL};
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

static int read_text(const char *where, const cJSON *section, struct nc_model_shape *shape)
{
    static const char *const read[] = {"context_length", "vocab_size", "width",     "heads",
                                       "layers",         "mlp_ratio",  "pool_type", "eos_id",
                                       "norm_kwargs",    "proj_type",  NULL};
    static const char *const idle[] = {
        "hf_tokenizer_name",   "tokenizer_mode", "pad_id",        "hf_proj_type",
        "hf_model_pretrained", "hf_pooler_type", "output_tokens", NULL};
    const char *pool = NULL;
    size_t end = 2;
    if (cJSON_IsString(nc_json_member(section, "hf_model_name")))
        return nc_error(
            NC_BAD_INPUT, "%s: the text tower is \"%.60s\"; nclip reads CLIP's own text tower only",
            where, nc_json_member(section, "hf_model_name")->valuestring);
    int status = check_keys(where, section, read, idle);
    if (status == NC_OK)
        status = only_string(where, section, "proj_type", "linear");
    if (status == NC_OK)
        status = read_tower(where, section, &shape->text);
    if (status == NC_OK)
        status = read_size(where, section, "heads", &shape->text.heads);
    if (status == NC_OK)
        status = read_size(where, section, "context_length", &shape->context);
    if (status == NC_OK)
        status = read_size(where, section, "vocab_size", &shape->vocabulary);
    if (status == NC_OK)
        status = nc_json_optional_string(where, section, "pool_type", &pool);
    if (status == NC_OK)
        status = nc_json_optional_size(where, section, "eos_id", &end);
    if (status != NC_OK)
        return status;
    if (pool && strcmp(pool, "argmax") != 0 && strcmp(pool, "eos") != 0)
        return nc_error(NC_BAD_INPUT, "%s: \"pool_type\" is \"%.40s\"; nclip reads argmax and eos",
                        where, pool);
    bool eos = pool && strcmp(pool, "eos") == 0;
    if (eos && (end == 2 || end >= shape->vocabulary))
        return nc_error(NC_BAD_INPUT, "%s: \"eos_id\" is %zu, which ends no caption", where, end);
    bool first = eos || (!pool && shape->vocabulary == NC_CLIP_VOCABULARY);
    shape->end_rule = first ? NC_END_FIRST : NC_END_ARGMAX;
    shape->end_token = eos ? (int32_t)end : first ? NC_CLIP_END : 2;
    return NC_OK;
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
    static const char *const idle[] = {"init_logit_scale", "custom_text", NULL};
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
    shape->text.activation = shape->vision.activation = quick ? NC_QUICK_GELU : NC_GELU;
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
