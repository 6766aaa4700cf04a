/* Model folders against transformers: names, shapes, values, configs. */
#include "nclip/checkpoints/folder.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static const char *const folders[] = {"fp32", "fp16", "sharded-bf16"};
static const enum nc_type stored[] = {NC_FLOAT32, NC_FLOAT16, NC_BFLOAT16};
enum { FOLDERS = 3 };

static struct nc_model *open_golden(const char *name)
{
    char path[100];
    struct nc_model *model;
    snprintf(path, sizeof path, "checkpoints/golden_model/%s", name);
    if (nc_model_open(path, &model) != NC_OK)
        fail_msg("%s", nc_error_message());
    return model;
}

static float *load(const struct nc_model *model, enum nc_tower tower)
{
    size_t count = nc_model_table(model)->tower_elements[tower];
    float *values = malloc(count * sizeof *values);
    memset(values, 0xee, count * sizeof *values);
    if (nc_model_load(model, tower, values) != NC_OK)
        fail_msg("%s", nc_error_message());
    return values;
}

static const struct nc_parameter *find_name(const struct nc_model *model, const char *name)
{
    const struct nc_parameter_table *table = nc_model_table(model);
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    }
    fail_msg("no parameter is named %s", name);
    return NULL;
}

static void loaded_values_equal_those_of_transformers(void **state)
{
    (void)state;
    struct nc_model *models[FOLDERS];
    float *values[FOLDERS][2];
    for (size_t i = 0; i < FOLDERS; i++) {
        const char *const *unknown;
        models[i] = open_golden(folders[i]);
        assert_int_equal(nc_model_unknown(models[i], &unknown), 0);
        for (int tower = 0; tower < 2; tower++) {
            values[i][tower] = load(models[i], tower);
            assert_int_equal(nc_model_file_type(models[i], tower), stored[i]);
        }
    }
    FILE *file = fopen("checkpoints/golden_model_tensors.txt", "r");
    assert_non_null(file);
    char folder[32], name[128];
    size_t elements, lines = 0;
    unsigned crc;
    while (fscanf(file, "%31s %127s %zu %x", folder, name, &elements, &crc) == 4) {
        size_t i = 0;
        while (strcmp(folders[i], folder) != 0)
            i++;
        const struct nc_parameter *row = find_name(models[i], name);
        assert_int_equal(row->count, elements);
        const float *data = values[i][row->tower] + row->offset;
        if (crc32(0, (const Bytef *)data, (uInt)(row->count * sizeof *data)) != crc)
            fail_msg("%s: %s differs", folder, name);
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, FOLDERS * nc_model_table(models[0])->count);
    for (size_t i = 0; i < FOLDERS; i++) {
        free(values[i][0]);
        free(values[i][1]);
        nc_model_close(models[i]);
    }
}

static void padding_is_zero(void **state)
{
    (void)state;
    struct nc_model *model = open_golden("fp32");
    const struct nc_parameter_table *table = nc_model_table(model);
    for (int tower = 0; tower < 2; tower++) {
        float *values = load(model, tower);
        size_t end = 0, padding = 0;
        for (size_t i = 0; i <= table->count; i++) {
            const struct nc_parameter *row = i < table->count ? &table->rows[i] : NULL;
            if (row && (int)row->tower != tower)
                continue;
            for (; end < (row ? row->offset : table->tower_elements[tower]); end++) {
                assert_true(values[end] == 0);
                padding++;
            }
            end += row ? row->count : 0;
        }
        assert_true(padding > 0);
        free(values);
    }
    nc_model_close(model);
}

static void names_and_shapes_equal_those_of_transformers_and_open_clip(void **state)
{
    (void)state;
    /* The model of golden_parameters.txt: that of the folders, but for what open_clip fixes. */
    struct nc_model *model = open_golden("fp32");
    struct nc_model_shape shape = *nc_model_shape(model);
    nc_model_close(model);
    shape.text.mlp = 4 * shape.text.width;
    shape.vision.mlp = 4 * shape.vision.width;
    shape.image_size = 12;
    struct nc_parameter_table table;
    assert_int_equal(nc_parameter_table_create(&shape, &table), NC_OK);

    FILE *file = fopen("checkpoints/golden_parameters.txt", "r");
    assert_non_null(file);
    char name[128], sizes[64], openai[128];
    int slice, transposed;
    size_t lines = 0;
    while (fscanf(file, "%127s %63s %127s %d %d", name, sizes, openai, &slice, &transposed) == 5) {
        const struct nc_parameter *row = NULL;
        for (size_t i = 0; i < table.count; i++) {
            if (strcmp(table.rows[i].name, name) == 0)
                row = &table.rows[i];
        }
        if (!row)
            fail_msg("%s is missing", name);
        char text[64] = "1";
        for (size_t i = 0, used = 0; i < row->rank; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%zu", i ? "x" : "",
                                     row->shape[i]);
        assert_string_equal(text, sizes);
        assert_string_equal(row->openai_name, openai);
        assert_int_equal(row->openai_slice, slice);
        assert_int_equal(row->openai_transposed, transposed);
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, table.count);
    nc_parameter_table_destroy(&table);
}

static size_t whole(const cJSON *object, const char *key)
{
    size_t value = SIZE_MAX;
    assert_int_equal(nc_json_size("golden", object, key, &value), NC_OK);
    return value;
}

static void compare_tower(const cJSON *expected, const struct nc_tower_shape *tower)
{
    const char *activation = NULL;
    double epsilon = 0;
    assert_int_equal(tower->width, whole(expected, "hidden_size"));
    assert_int_equal(tower->layers, whole(expected, "num_hidden_layers"));
    assert_int_equal(tower->heads, whole(expected, "num_attention_heads"));
    assert_int_equal(tower->mlp, whole(expected, "intermediate_size"));
    assert_int_equal(nc_json_string("golden", expected, "hidden_act", &activation), NC_OK);
    assert_string_equal(tower->activation == NC_GELU ? "gelu" : "quick_gelu", activation);
    assert_int_equal(nc_json_number("golden", expected, "layer_norm_eps", &epsilon), NC_OK);
    assert_true(tower->epsilon == (float)epsilon);
}

static void configs_mean_what_transformers_reads(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    char *path = nc_path_join(folder, "config.json");
    cJSON *cases;
    assert_int_equal(nc_json_load("checkpoints/golden_model_configs.json", &cases), NC_OK);
    assert_true(cJSON_GetArraySize(cases) >= 7);
    for (const cJSON *item = cases->child; item; item = item->next) {
        const cJSON *config, *expected, *text, *vision;
        assert_int_equal(nc_json_object("golden", item, "config", &config), NC_OK);
        assert_int_equal(nc_json_object("golden", item, "expected", &expected), NC_OK);
        assert_int_equal(nc_json_object("golden", expected, "text", &text), NC_OK);
        assert_int_equal(nc_json_object("golden", expected, "vision", &vision), NC_OK);
        char *written = cJSON_Print(config);
        assert_int_equal(nc_file_write(path, written, strlen(written)), NC_OK);
        cJSON_free(written);

        struct nc_model_shape shape;
        if (nc_model_shape_read(path, &shape) != NC_OK)
            fail_msg("%s", nc_error_message());
        compare_tower(text, &shape.text);
        compare_tower(vision, &shape.vision);
        assert_int_equal(shape.vocabulary, whole(text, "vocab_size"));
        assert_int_equal(shape.context, whole(text, "max_position_embeddings"));
        assert_int_equal(shape.end_token, whole(text, "eos_token_id"));
        assert_int_equal(shape.end_rule, shape.end_token == 2 ? NC_END_ARGMAX : NC_END_FIRST);
        assert_int_equal(shape.image_size, whole(vision, "image_size"));
        assert_int_equal(shape.patch_size, whole(vision, "patch_size"));
        assert_int_equal(shape.channels, whole(vision, "num_channels"));
        assert_int_equal(shape.embedding, whole(expected, "projection_dim"));
        double logit_scale;
        assert_int_equal(nc_json_number("golden", expected, "logit_scale_init_value", &logit_scale),
                         NC_OK);
        assert_true(shape.logit_scale_initial == (float)logit_scale);
    }
    cJSON_Delete(cases);
    free(path);
    temporary_folder_remove(folder);
}

static void same_file(const char *left_folder, const char *right_folder, const char *name)
{
    char *paths[2] = {nc_path_join(left_folder, name), nc_path_join(right_folder, name)};
    char *data[2];
    size_t sizes[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(nc_file_read(paths[i], 1 << 24, &data[i], &sizes[i]), NC_OK);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(data[0], data[1], sizes[0]);
    for (int i = 0; i < 2; i++) {
        free(data[i]);
        free(paths[i]);
    }
}

/* What is saved holds the text tower rounded to the asked type, and the vision
 * tower's bytes. With NCLIP_SAVE_TO the folders stay there, for the script's --check. */
static void saved_folders_load_again(void **state)
{
    (void)state;
    const char *keep = getenv("NCLIP_SAVE_TO");
    char *parent = keep ? strdup(keep) : temporary_folder_create();
    for (size_t i = 0; i < FOLDERS; i++) {
        struct nc_model *model = open_golden(folders[i]);
        const struct nc_parameter_table *table = nc_model_table(model);
        float *text = load(model, NC_TOWER_TEXT), *vision = load(model, NC_TOWER_VISION);
        char hash[17];
        assert_int_equal(nc_model_vision_hash(model, hash), NC_OK);
        for (int type = NC_FLOAT32; type <= NC_FLOAT16; type++) {
            char path[300];
            snprintf(path, sizeof path, "%s/%s-%s", parent, folders[i], nc_type_name(type));
            if (nc_model_save(model, path, text, type) != NC_OK)
                fail_msg("%s", nc_error_message());
            struct nc_model *saved;
            if (nc_model_open(path, &saved) != NC_OK)
                fail_msg("%s", nc_error_message());
            assert_int_equal(nc_model_file_type(saved, NC_TOWER_TEXT), type);
            assert_int_equal(nc_model_file_type(saved, NC_TOWER_VISION), stored[i]);
            char saved_hash[17];
            assert_int_equal(nc_model_vision_hash(saved, saved_hash), NC_OK);
            assert_string_equal(saved_hash, hash);
            float *again = load(saved, NC_TOWER_TEXT);
            size_t count = table->tower_elements[NC_TOWER_TEXT];
            uint16_t *rounded = malloc(count * sizeof(float));
            nc_convert(rounded, type, text, NC_FLOAT32, count);
            float *expected = malloc(count * sizeof *expected);
            nc_convert(expected, NC_FLOAT32, rounded, type, count);
            assert_memory_equal(again, expected, count * sizeof *expected);
            free(expected);
            free(rounded);
            free(again);
            again = load(saved, NC_TOWER_VISION);
            assert_memory_equal(again, vision, table->tower_elements[NC_TOWER_VISION] * 4);
            free(again);
            nc_model_close(saved);
            /* Where nothing changes, the files are those of transformers, byte for byte. */
            if (type == (int)stored[i]) {
                same_file(nc_model_folder(model), path, "config.json");
                if (strncmp(folders[i], "sharded", 7) != 0)
                    same_file(nc_model_folder(model), path, "model.safetensors");
            }
        }
        free(text);
        free(vision);
        nc_model_close(model);
    }
    if (keep)
        free(parent);
    else
        temporary_folder_remove(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loaded_values_equal_those_of_transformers),
        cmocka_unit_test(padding_is_zero),
        cmocka_unit_test(names_and_shapes_equal_those_of_transformers_and_open_clip),
        cmocka_unit_test(configs_mean_what_transformers_reads),
        cmocka_unit_test(saved_folders_load_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
