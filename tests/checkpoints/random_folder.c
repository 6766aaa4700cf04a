/* Writes a Hugging Face folder with random weights. */
#include "random_folder.h"

#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct nc_model_shape plain_shape = {
    .text = {.width = 64,
             .layers = 2,
             .heads = 1,
             .mlp = 256,
             .activation = NC_QUICK_GELU,
             .epsilon = 1e-5f},
    .vision = {.width = 128,
               .layers = 3,
               .heads = 2,
               .mlp = 512,
               .activation = NC_QUICK_GELU,
               .epsilon = 1e-5f},
    .embedding = 24,
    .vocabulary = 50,
    .context = 12,
    .end_rule = NC_END_FIRST,
    .end_token = 49,
    .image_size = 12,
    .patch_size = 4,
    .channels = 3,
};

static void write_tower(FILE *out, const char *name, const struct nc_tower_shape *tower)
{
    fprintf(out,
            "  \"%s\": {\"hidden_size\": %zu, \"num_hidden_layers\": %zu, \"num_attention_heads\": "
            "%zu, \"intermediate_size\": %zu, \"hidden_act\": \"%s\", \"layer_norm_eps\": %g,\n",
            name, tower->width, tower->layers, tower->heads, tower->mlp,
            tower->activation == NC_GELU ? "gelu" : "quick_gelu", (double)tower->epsilon);
}

static void write_config(const char *folder, const struct nc_model_shape *shape)
{
    char *path = nc_path_join(folder, "config.json");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "{\n  \"model_type\": \"clip\", \"projection_dim\": %zu,\n", shape->embedding);
    write_tower(out, "text_config", &shape->text);
    fprintf(out,
            "    \"vocab_size\": %zu, \"max_position_embeddings\": %zu, \"eos_token_id\": %d},\n",
            shape->vocabulary, shape->context, (int)shape->end_token);
    write_tower(out, "vision_config", &shape->vision);
    fprintf(out, "    \"image_size\": %zu, \"patch_size\": %zu}\n}\n", shape->image_size,
            shape->patch_size);
    assert_int_equal(fclose(out), 0);
    free(path);
}

/* Eight bits of fraction, so that bf16 holds it as well. */
static float value_of(unsigned seed, size_t i)
{
    uint32_t mixed = (uint32_t)(i + 1) * 2654435761u ^ seed * 40503u;
    return (float)((int)(mixed >> 13 & 127) - 63) / 128;
}

void random_folder_write(const char *folder, const struct nc_model_shape *shape, enum nc_type text,
                         enum nc_type vision, unsigned seed)
{
    struct nc_parameter_table table;
    struct nc_safetensors_writer *writer;
    assert_int_equal(nc_folder_create(folder), NC_OK);
    write_config(folder, shape);
    char *path = nc_path_join(folder, "model.safetensors");
    assert_int_equal(nc_parameter_table_create(shape, &table), NC_OK);
    assert_int_equal(nc_safetensors_writer_create(path, "pt", &writer), NC_OK);
    const enum nc_type types[2] = {text, vision};
    for (size_t i = 0; i < table.count; i++)
        assert_int_equal(
            nc_safetensors_writer_declare(writer, table.rows[i].name,
                                          nc_tensor_type_name(types[table.rows[i].tower]),
                                          table.rows[i].rank, table.rows[i].shape),
            NC_OK);
    for (size_t i = 0; i < table.count; i++) {
        const struct nc_parameter *row = &table.rows[i];
        enum nc_type type = types[row->tower];
        float *values = malloc(row->count * sizeof *values);
        uint8_t *bytes = malloc(row->count * 4);
        for (size_t k = 0; k < row->count; k++)
            values[k] = value_of(seed, row->offset + k);
        nc_convert(bytes, type, values, NC_FLOAT32, row->count);
        assert_int_equal(nc_safetensors_writer_data(writer, bytes, row->count * nc_type_size(type)),
                         NC_OK);
        free(values);
        free(bytes);
    }
    assert_int_equal(nc_safetensors_writer_commit(writer), NC_OK);
    nc_parameter_table_destroy(&table);
    free(path);
}
