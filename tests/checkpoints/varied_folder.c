/* Writes the smallest CLIP folder, with the fault that a test asks for. */
#include "varied_folder.h"

#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is(const char *name, const char *other)
{
    return other && strcmp(name, other) == 0;
}

float value_of(size_t i)
{
    return (float)((int)(i % 61) - 30) / 16;
}

static void write_tensor(struct nc_safetensors_writer *writer, const struct nc_parameter *row,
                         const struct variation *how)
{
    size_t element = is(row->name, how->wrong_type) ? 8
                     : row->tower == NC_TOWER_TEXT  ? nc_type_size(how->type)
                                                    : 4;
    float *values = malloc(row->count * sizeof *values);
    uint8_t *bytes = calloc(row->count, 8);
    float shift = row->tower == NC_TOWER_TEXT ? how->text_shift : how->vision_shift;
    for (size_t i = 0; i < row->count; i++)
        values[i] = value_of(i + row->offset) + shift;
    if (is(row->name, how->broken))
        values[row->count - 1] = how->value;
    nc_convert(bytes, row->tower == NC_TOWER_TEXT ? how->type : NC_FLOAT32, values, NC_FLOAT32,
               row->count);
    assert_int_equal(nc_safetensors_writer_data(writer, bytes, row->count * element), NC_OK);
    free(bytes);
    free(values);
}

char *make_model(void **state, const char *name, struct variation how)
{
    char *folder = nc_path_join(*state, name), *weights = nc_path_join(folder, "model.safetensors");
    char *config = nc_path_join(folder, "config.json");
    char text[1024];
    assert_int_equal(nc_folder_create(folder), NC_OK);
    snprintf(text, sizeof text,
             "{%s\"model_type\": \"clip\", \"projection_dim\": 8, \"initializer_factor\": 1.0,\n"
             "\"text_config\": {\"hidden_size\": 32, \"intermediate_size\": 20, "
             "\"num_hidden_layers\": 2, \"num_attention_heads\": 1, \"vocab_size\": %zu, "
             "\"eos_token_id\": 49, \"max_position_embeddings\": 9},\n"
             "\"vision_config\": {\"hidden_size\": 32, \"intermediate_size\": 12, "
             "\"num_hidden_layers\": 1, \"num_attention_heads\": 1, \"image_size\": %zu, "
             "\"patch_size\": 4}}\n",
             how.config ? how.config : "", how.vocabulary ? how.vocabulary : 50,
             how.image_size ? how.image_size : 8);
    assert_int_equal(nc_file_write(config, text, strlen(text)), NC_OK);

    struct nc_model_shape shape;
    struct nc_parameter_table table;
    struct nc_safetensors_writer *writer;
    assert_int_equal(nc_model_shape_read(config, &shape), NC_OK);
    assert_int_equal(nc_parameter_table_create(&shape, &table), NC_OK);
    assert_int_equal(nc_safetensors_writer_create(weights, "pt", &writer), NC_OK);
    const size_t three = 3;
    /* Eight bytes an element first, then four, then two: so do all writers. */
    for (size_t pass = 8; pass; pass /= 2) {
        if (how.extra && nc_tensor_type_size(how.extra_type) == pass)
            nc_safetensors_writer_declare(writer, how.extra, how.extra_type, 1, &three);
        for (size_t i = 0; i < table.count; i++) {
            const struct nc_parameter *row = &table.rows[i];
            size_t dimensions[8] = {0};
            memcpy(dimensions, row->shape, sizeof row->shape);
            dimensions[row->rank] = 1;
            enum nc_type type = row->tower == NC_TOWER_TEXT ? how.type : NC_FLOAT32;
            const char *type_name =
                is(row->name, how.wrong_type) ? "F64" : nc_tensor_type_name(type);
            if (nc_tensor_type_size(type_name) != pass ||
                (how.missing && strstr(row->name, how.missing)))
                continue;
            assert_int_equal(nc_safetensors_writer_declare(
                                 writer, row->name, type_name,
                                 row->rank + is(row->name, how.wrong_shape), dimensions),
                             NC_OK);
        }
    }
    for (size_t pass = 8; pass; pass /= 2) {
        if (how.extra && nc_tensor_type_size(how.extra_type) == pass)
            assert_int_equal(
                nc_safetensors_writer_data(writer, "abcdefghijklmnopqrstuvwx", 3 * pass), NC_OK);
        for (size_t i = 0; i < table.count; i++) {
            const struct nc_parameter *row = &table.rows[i];
            size_t size = is(row->name, how.wrong_type) ? 8
                          : row->tower == NC_TOWER_TEXT ? nc_type_size(how.type)
                                                        : 4;
            if (size == pass && !(how.missing && strstr(row->name, how.missing)))
                write_tensor(writer, row, &how);
        }
    }
    assert_int_equal(nc_safetensors_writer_commit(writer), NC_OK);
    nc_parameter_table_destroy(&table);
    free(config);
    free(weights);
    return folder;
}

struct nc_model *open_model(const char *folder)
{
    struct nc_model *model;
    if (nc_model_open(folder, &model) != NC_OK)
        fail_msg("%s", nc_error_message());
    return model;
}
