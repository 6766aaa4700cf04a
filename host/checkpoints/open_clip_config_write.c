/* Writes open_clip_config.json. Source: open_clip 3.3, model.py (CLIPVisionCfg, CLIPTextCfg), transform.py
 * (PreprocessCfg), factory.py (create_model). */
#include "exchange.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"

#include <math.h>

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
    if (tower->activation == NC_GELU_TANH)
        (void)nc_writer_printf(writer, "      \"act_kwargs\": {\"approximate\": \"tanh\"},\n");
}

static void write_text(struct nc_writer *writer, const struct nc_model_shape *shape,
                       bool own_tokenizer, enum nc_text_cleaning cleaning)
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
    if (own_tokenizer && cleaning > NC_TEXT_WHITESPACE) /* its default */
        (void)nc_writer_printf(writer, ",\n      \"tokenizer_kwargs\": {\"clean\": \"%s\"}",
                               nc_text_cleaning_names[cleaning]);
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
                              const struct nc_preprocess *preprocess, bool own_tokenizer,
                              enum nc_text_cleaning cleaning)
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
                           "    \"quick_gelu\": %s,\n%s    \"vision_cfg\": {\n",
                           shape->embedding,
                           shape->text.activation == NC_QUICK_GELU ? "true" : "false",
                           shape->logit_bias ? "    \"init_logit_bias\": -10,\n" : "");
    write_tower(writer, &shape->vision);
    (void)nc_writer_printf(writer,
                           "      \"head_width\": %zu,\n      \"image_size\": %zu,\n"
                           "      \"patch_size\": %zu\n    },\n",
                           shape->vision.width / shape->vision.heads, shape->image_size,
                           shape->patch_size);
    write_text(writer, shape, own_tokenizer, cleaning);
    (void)nc_writer_printf(writer, "  \"preprocess_cfg\": {\n");
    write_colors(writer, "mean", preprocess->image_mean);
    write_colors(writer, "std", preprocess->image_std);
    (void)nc_writer_printf(
        writer, "    \"interpolation\": \"%s\",\n    \"resize_mode\": \"%s\"\n  }\n}\n",
        preprocess->resample == NC_RESAMPLE_BICUBIC ? "bicubic" : "bilinear", mode);
    return nc_writer_commit(writer);
}
