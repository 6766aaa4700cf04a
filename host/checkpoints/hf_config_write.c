/* Writes config.json as transformers reads it. */
#include "exchange.h"
#include "nclip/model/family.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"
#include "staging.h"

/* Failed writes are remembered by the writer until commit. */

static const char *token_text(int32_t token, char text[NC_NUMBER_SIZE])
{
    return token < 0 ? "null" : nc_number_text(token, text);
}

static void write_tower(struct nc_writer *writer, const char *indent,
                        const struct nc_tower_shape *tower)
{
    char epsilon[NC_NUMBER_SIZE];
    (void)nc_writer_printf(writer,
                           "%s\"hidden_size\": %zu,\n%s\"num_hidden_layers\": %zu,\n"
                           "%s\"num_attention_heads\": %zu,\n%s\"intermediate_size\": %zu,\n"
                           "%s\"hidden_act\": \"%s\",\n%s\"layer_norm_eps\": %s,\n",
                           indent, tower->width, indent, tower->layers, indent, tower->heads,
                           indent, tower->mlp, indent,
                           nc_activation_names[tower->activation], indent,
                           nc_float_text(tower->epsilon, epsilon));
}

static void write_text(struct nc_writer *writer, const char *indent,
                       const struct nc_model_shape *shape)
{
    char start[NC_NUMBER_SIZE], pad[NC_NUMBER_SIZE];
    const struct nc_family *family = &nc_families[shape->family];
    (void)nc_writer_printf(writer, "%s\"model_type\": \"%s\",\n", indent, family->text_type);
    write_tower(writer, indent, &shape->text);
    (void)nc_writer_printf(writer,
                           "%s\"vocab_size\": %zu,\n%s\"max_position_embeddings\": %zu,\n"
                           "%s\"bos_token_id\": %s,\n%s\"eos_token_id\": %d,\n"
                           "%s\"pad_token_id\": %s,\n%s\"%s\": %zu",
                           indent, shape->vocabulary, indent, shape->context, indent,
                           token_text(shape->start_token, start), indent, (int)shape->end_token,
                           indent, token_text(shape->pad_token, pad), indent, family->embedding_key,
                           shape->embedding);
    if (shape->family == NC_FAMILY_OTHER)
        (void)nc_writer_printf(writer,
                               ",\n%s\"mask\": \"%s\",\n%s\"pooling\": \"%s\",\n"
                               "%s\"projection_bias\": %s,\n%s\"logit_bias\": %s",
                               indent, nc_mask_names[shape->mask], indent,
                               nc_end_rule_names[shape->end_rule], indent,
                               shape->projection_bias ? "true" : "false", indent,
                               shape->logit_bias ? "true" : "false");
}

static void write_both(struct nc_writer *writer, const struct nc_model_shape *shape)
{
    char scale[NC_NUMBER_SIZE];
    (void)nc_writer_printf(writer,
                           "  \"model_type\": \"%s\",\n  \"projection_dim\": %zu,\n"
                           "  \"logit_scale_init_value\": %s,\n  \"text_config\": {\n",
                           nc_families[shape->family].model_type, shape->embedding,
                           nc_float_text(shape->logit_scale_initial, scale));
    write_text(writer, "    ", shape);
    (void)nc_writer_printf(writer, "\n  },\n  \"vision_config\": {\n"
                                   "    \"model_type\": \"%s\",\n",
                           nc_families[shape->family].vision_type);
    write_tower(writer, "    ", &shape->vision);
    (void)nc_writer_printf(writer,
                           "    \"image_size\": %zu,\n    \"patch_size\": %zu,\n"
                           "    \"num_channels\": %zu,\n    \"projection_dim\": %zu\n  }",
                           shape->image_size, shape->patch_size, shape->channels, shape->embedding);
}

int nc_hf_config_write(const char *path, const struct nc_model_shape *shape, enum nc_format format,
                       enum nc_type type, const char *embeddings)
{
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    (void)nc_writer_printf(writer,
                           "{\n  \"architectures\": [\"%s\"],\n  \"torch_dtype\": \"%s\",\n",
                           nc_families[shape->family].classes[format],
                           nc_torch_type_name(type));
    if (format == NC_FORMAT_HF)
        write_both(writer, shape);
    else
        write_text(writer, "  ", shape);
    if (embeddings)
        (void)nc_writer_printf(writer, ",\n  \"" NC_EMBEDDINGS_KEY "\": \"%s\"", embeddings);
    (void)nc_writer_printf(writer, "\n}\n");
    return nc_writer_commit(writer);
}
