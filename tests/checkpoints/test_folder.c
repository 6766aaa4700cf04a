/* Model folders with one fault each, opened, loaded and saved. */
#include "varied_folder.h"

#include "nclip/checkpoints/exchange.h"
#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = temporary_folder_create();
    return 0;
}

static int teardown(void **state)
{
    temporary_folder_remove(*state);
    return 0;
}

static char *inside(void **state, const char *name)
{
    return nc_path_join(*state, name);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    free(path);
}

static void refuses_to_open(void **state, struct variation how, const char *reason)
{
    char *folder = make_model(state, "refused", how);
    struct nc_model *model;
    assert_int_equal(nc_model_open(folder, &model), NC_BAD_INPUT);
    assert_null(model);
    if (!strstr(nc_error_message(), reason) || !strstr(nc_error_message(), folder))
        fail_msg("expected \"%s\" in: %s", reason, nc_error_message());
    free(folder);
}

static void wrong_tensors_are_named(void **state)
{
    refuses_to_open(state, (struct variation){.missing = "text_projection"},
                    "tensor \"text_projection.weight\" is missing");
    refuses_to_open(state, (struct variation){.missing = "layers.1."},
                    "tensor \"text_model.encoder.layers.1.layer_norm1.weight\" (and 15 more)");
    refuses_to_open(state, (struct variation){.wrong_type = "text_model.final_layer_norm.bias"},
                    "\"text_model.final_layer_norm.bias\" is of type F64");
    refuses_to_open(state, (struct variation){.wrong_shape = "logit_scale"},
                    "\"logit_scale\" has the shape [1], but config.json asks for []");
    refuses_to_open(
        state, (struct variation){.wrong_shape = "vision_model.embeddings.patch_embedding.weight"},
        "has the shape [32, 3, 4, 4, 1], but config.json asks for [32, 3, 4, 4]");
    refuses_to_open(
        state,
        (struct variation){.missing = "e", .extra = "visual.class_embedding", .extra_type = "F32"},
        "the names are OpenAI's");

    struct nc_model *model;
    assert_int_equal(nc_model_open("/nonexistent", &model), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "/nonexistent"));
    assert_int_equal(nc_model_open(*state, &model), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "config.json"));
}

static void unknown_tensors_are_listed(void **state)
{
    const char *const *names;
    char *folder = make_model(
        state, "a", (struct variation){.extra = "text_model.adapter", .extra_type = "U8"});
    struct nc_model *model = open_model(folder);
    assert_int_equal(nc_model_unknown(model, &names), 1);
    assert_string_equal(names[0], "text_model.adapter");
    assert_string_equal(nc_model_folder(model), folder);
    nc_model_close(model);
    free(folder);
    /* Old checkpoints carry these buffers. */
    folder = make_model(
        state, "b",
        (struct variation){.extra = "text_model.embeddings.position_ids", .extra_type = "I64"});
    model = open_model(folder);
    assert_int_equal(nc_model_unknown(model, &names), 0);
    nc_model_close(model);
    free(folder);
}

static float *load_text(const struct nc_model *model)
{
    float *values = malloc(nc_model_table(model)->tower_elements[NC_TOWER_TEXT] * sizeof *values);
    if (nc_model_load(model, NC_TOWER_TEXT, values) != NC_OK)
        fail_msg("%s", nc_error_message());
    return values;
}

static void non_finite_weights_are_named(void **state)
{
    const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < 3; i++) {
        char *folder =
            make_model(state, "broken",
                       (struct variation){.broken = "text_model.encoder.layers.1.mlp.fc2.weight",
                                          .value = bad[i],
                                          .type = (enum nc_type)i});
        struct nc_model *model = open_model(folder);
        float *values = malloc(nc_model_table(model)->tower_elements[0] * sizeof *values);
        assert_int_equal(nc_model_load(model, NC_TOWER_TEXT, values), NC_BAD_INPUT);
        assert_non_null(
            strstr(nc_error_message(), "\"text_model.encoder.layers.1.mlp.fc2.weight\""));
        assert_non_null(strstr(nc_error_message(), "element 639"));
        free(values);
        nc_model_close(model);
        free(folder);
    }
}

static void the_hash_is_the_vision_towers(void **state)
{
    struct nc_model_shape shape;
    const struct variation all[] = {
        {0},
        {.text_shift = 1},
        {.type = NC_BFLOAT16, .vocabulary = 70},
        {.vision_shift = 1},
        {.broken = "visual_projection.weight", .value = 3},
        {.broken = "vision_model.embeddings.class_embedding", .value = 3},
    };
    char hashes[6][17], name[16];
    for (size_t i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%zu", i);
        char *folder = make_model(state, name, all[i]);
        struct nc_model *model = open_model(folder);
        shape = *nc_model_shape(model);
        assert_int_equal(shape.image_size, 8);
        assert_int_equal(nc_model_vision_hash(model, hashes[i]), NC_OK);
        assert_int_equal(strlen(hashes[i]), 16);
        assert_int_equal(strspn(hashes[i], "0123456789abcdef"), 16);
        nc_model_close(model);
        free(folder);
    }
    assert_string_equal(hashes[1], hashes[0]);
    assert_string_equal(hashes[2], hashes[0]);
    for (size_t i = 3; i < 6; i++) {
        for (size_t j = 0; j < i; j++)
            assert_true(j == 1 || j == 2 || strcmp(hashes[i], hashes[j]) != 0);
    }
}

static size_t entries(const char *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static char *read_inside(const char *folder, const char *name)
{
    char *path = nc_path_join(folder, name), *text;
    size_t size;
    if (nc_file_read(path, 1 << 20, &text, &size) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(path);
    return text;
}

static void a_saved_folder_is_complete(void **state)
{
    char *folder = make_model(
        state, "model", (struct variation){.extra = "text_model.adapter", .extra_type = "I64"});
    write_text(folder, "vocab.json", "{\"a\": 0}");
    write_text(folder, "merges.txt", "");
    write_text(folder, "tokenizer_config.json", "{}");
    write_text(folder, "preprocessor_config.json", "{\"size\": 8}");
    write_text(folder, "README.md", "not part of the model");
    struct nc_model *model = open_model(folder);
    float *text = load_text(model);
    char *out = inside(state, "deep/er/out/");
    if (nc_model_save(model, out, text, NC_BFLOAT16) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(entries(out), 6);
    char *copy = read_inside(out, "preprocessor_config.json");
    assert_string_equal(copy, "{\"size\": 8}");
    free(copy);
    struct nc_model *saved = open_model(out);
    const char *const *names;
    assert_int_equal(nc_model_unknown(saved, &names), 1);
    assert_string_equal(names[0], "text_model.adapter");
    nc_model_close(saved);

    struct nc_tensors *file; /* an unknown tensor is copied byte for byte, and aligned */
    assert_int_equal(nc_tensors_open(out, &file), NC_OK);
    const struct nc_tensor *extra = nc_tensors_find(file, "text_model.adapter");
    assert_memory_equal(extra->data, "abcdefghijklmnopqrstuvwx", 24);
    for (size_t i = 0; i < nc_tensors_count(file); i++) {
        const struct nc_tensor *tensor = nc_tensors_at(file, i);
        assert_int_equal((uintptr_t)tensor->data % nc_tensor_type_size(tensor->type_name), 0);
    }
    nc_tensors_close(file);

    /* A folder with content is left alone; an empty one is filled. */
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT32), NC_USAGE);
    assert_non_null(strstr(nc_error_message(), "not empty"));
    free(out);
    out = inside(state, "model/README.md");
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT32), NC_USAGE);
    free(out);
    out = inside(state, "empty");
    assert_int_equal(nc_folder_create(out), NC_OK);
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT32), NC_OK);
    assert_int_equal(entries(out), 6);
    free(out);
    assert_int_equal(entries(*state), 3); /* no staging folder was left */
    free(text);
    nc_model_close(model);
    free(folder);
}

/* A CLIP with a logit_bias, as a sigmoid loss trains it: written, read again, and merged with the one
 * that it comes from, which has none. */
static void a_logit_bias_is_added_and_stays(void **state)
{
    char *folder = make_model(state, "model", (struct variation){0}), *out = inside(state, "tuned");
    char *merged = inside(state, "merged");
    struct nc_model *base = open_model(folder), *model = open_model(folder);
    size_t before = nc_model_table(model)->tower_elements[NC_TOWER_TEXT];
    assert_null(nc_parameter_find(nc_model_table(model), NC_TOWER_TEXT, NC_LOGIT_BIAS, NC_NO_BLOCK));
    for (int again = 0; again < 2; again++) /* the first value stays */
        assert_int_equal(nc_model_add_logit_bias(model, again ? 1 : -10), NC_OK);
    const struct nc_parameter_table *table = nc_model_table(model);
    size_t at = nc_parameter_offset(table, NC_TOWER_TEXT, NC_LOGIT_BIAS, NC_NO_BLOCK);
    assert_true(table->tower_elements[NC_TOWER_TEXT] > before);
    float *text = load_text(model);
    assert_true(text[at] == -10);
    text[at] = -9.5f;
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT32), NC_OK);
    free(text);

    struct nc_model *tuned = open_model(out);
    const char *const *names;
    assert_int_equal(nc_model_unknown(tuned, &names), 0);
    assert_int_equal(nc_model_shape(tuned)->family, NC_FAMILY_CLIP);
    assert_true(nc_model_shape(tuned)->logit_bias);
    text = load_text(tuned);
    assert_true(text[at] == -9.5f);
    free(text);
    if (nc_model_merge(base, tuned, 0.5, NULL, merged) != NC_OK)
        fail_msg("%s", nc_error_message());
    nc_model_close(tuned);
    tuned = open_model(merged);
    text = load_text(tuned);
    assert_true(text[at] == -9.5f);
    free(text);
    nc_model_close(tuned);
    nc_model_close(base);
    nc_model_close(model);
    free(merged);
    free(out);
    free(folder);
}

/* config.json of what is saved from a model with such a config and types. */
static char *saved_config(void **state, const char *config, enum nc_type from, enum nc_type to)
{
    char *folder = make_model(state, "source", (struct variation){.config = config, .type = from});
    char *out = inside(state, "saved");
    assert_int_equal(nc_folder_remove(out), NC_OK);
    struct nc_model *model = open_model(folder);
    float *text = load_text(model);
    if (nc_model_save(model, out, text, to) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(text);
    nc_model_close(model);
    model = open_model(out); /* still a config */
    nc_model_close(model);
    char *saved = read_inside(out, "config.json"), *source = read_inside(folder, "config.json");
    if (from == to)
        assert_string_equal(saved, source);
    if (!strstr(saved, "\"initializer_factor\": 1.0,")) /* a float stays one */
        fail_msg("%s", saved);
    free(source);
    free(out);
    free(folder);
    return saved;
}

static void the_config_names_the_true_type(void **state)
{
    const struct {
        const char *config;
        enum nc_type from, to;
        const char *expected, *absent;
    } cases[] = {
        /* the vision tower is fp32 in all of them */
        {"\"torch_dtype\": \"float16\", ", NC_BFLOAT16, NC_FLOAT32, "\"torch_dtype\": \"float32\"",
         "float16"},
        {"\"dtype\" :\n\"bfloat16\", ", NC_BFLOAT16, NC_FLOAT32, "\"dtype\" :\n\"float32\"",
         "bfloat16"},
        {"\"dtype\": null, ", NC_BFLOAT16, NC_FLOAT32, "\"dtype\": \"float32\"", "null"},
        {"\"torch_dtype\": \"float16\", ", NC_FLOAT16, NC_FLOAT16, "\"torch_dtype\": \"float16\"",
         "float32"},
        /* Mixed: the wider type holds both exactly. */
        {"\"dtype\": \"bfloat16\", ", NC_FLOAT32, NC_FLOAT16, "\"dtype\": \"float32\"", "float16"},
        {"", NC_FLOAT32, NC_FLOAT16, "{\n  \"torch_dtype\": \"float32\",", "float16"},
        {"", NC_FLOAT16, NC_FLOAT32, "{\"model_type\"", "dtype"},
        /* A value is no key, and quotes may be escaped. */
        {"\"note\": \"\\\"dtype\\\": \", \"other\": [\"dtype\", \"torch_dtype\"], "
         "\"dtype\": \"float16\", ",
         NC_FLOAT16, NC_FLOAT32,
         "{\"note\": \"\\\"dtype\\\": \", \"other\": [\"dtype\", \"torch_dtype\"], "
         "\"dtype\": \"float32\", \"model_type\"",
         "float16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *config = saved_config(state, cases[i].config, cases[i].from, cases[i].to);
        if (!strstr(config, cases[i].expected) || strstr(config, cases[i].absent))
            fail_msg("case %zu: %s", i, config);
        free(config);
    }
}

static void values_that_do_not_fit_are_refused(void **state)
{
    char *folder = make_model(state, "model", (struct variation){0}), *out = inside(state, "out");
    struct nc_model *model = open_model(folder);
    float *text = load_text(model);
    text[nc_parameter_offset(nc_model_table(model), NC_TOWER_TEXT, NC_FC1_BIAS, 1) + 4] = 70000;
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT16), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "\"text_model.encoder.layers.1.mlp.fc1.bias\""));
    assert_non_null(strstr(nc_error_message(), "70000 at element 4"));
    assert_int_equal(entries(*state), 1); /* nothing but the model */
    assert_int_equal(nc_model_save(model, out, text, NC_BFLOAT16), NC_OK);
    free(text);
    nc_model_close(model);
    free(out);
    free(folder);
}

/* A limit on the size of files stands for the full disk. */
static void a_full_disk_leaves_nothing(void **state)
{
    char *folder = make_model(state, "model", (struct variation){0}), *out = inside(state, "out");
    struct nc_model *model = open_model(folder);
    float *text = load_text(model);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    small = before;
    small.rlim_cur = 40000;
    setrlimit(RLIMIT_FSIZE, &small);
    int status = nc_model_save(model, out, text, NC_FLOAT32);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "model.safetensors: cannot write"));
    assert_int_equal(entries(*state), 1);
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT32), NC_OK);
    free(text);
    nc_model_close(model);
    free(out);
    free(folder);
}

/* kB of a line of /proc/self/status, or -1. */
static long status_line(const char *key)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    }
    if (file)
        fclose(file);
    return value;
}

/* Sets the high-water mark of resident memory to what is resident now. */
static bool reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return false;
    bool done = fputs("5", file) >= 0;
    return fclose(file) == 0 && done;
}

static void loading_and_saving_need_no_memory_of_their_own(void **state)
{
    /* About 50 MiB a tower: token embeddings here, position embeddings there. */
    char *folder =
        make_model(state, "large", (struct variation){.vocabulary = 400000, .image_size = 2560});
    char *out = inside(state, "out"), hash[17];
    struct nc_model *model = open_model(folder);
    size_t count = nc_model_table(model)->tower_elements[NC_TOWER_TEXT];
    assert_true(count * sizeof(float) > 48 << 20);
    float *text = malloc(count * sizeof *text);
    for (size_t i = 0; i < count; i++)
        text[i] = 1;
    if (!reset_peak()) {
        print_message("SKIPPED: /proc/self/clear_refs cannot be written here\n");
        free(text);
        nc_model_close(model);
        free(out);
        free(folder);
        skip();
    }
    long resident = status_line("VmRSS:"), mapped = status_line("RssFile:");
    assert_int_equal(nc_model_load(model, NC_TOWER_TEXT, text), NC_OK);
    assert_int_equal(nc_model_vision_hash(model, hash), NC_OK);
    assert_int_equal(nc_model_save(model, out, text, NC_FLOAT32), NC_OK);
    long peak = status_line("VmHWM:");
    assert_true(peak > 48 << 10);
    long mapped_after = status_line("RssFile:");
    if (mapped_after - mapped > 512)
        fail_msg("%ld kB of files stay resident, after %ld kB before", mapped_after, mapped);
    if (peak - resident > 16 << 10)
        fail_msg("the peak was %ld kB above the %ld kB of before", peak - resident, resident);
    for (size_t i = 0; i < 400000 * 32; i += 997)
        assert_true(text[i] == value_of(i));
    free(text);
    nc_model_close(model);
    free(out);
    free(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wrong_tensors_are_named),
        TEST(unknown_tensors_are_listed),
        TEST(non_finite_weights_are_named),
        TEST(the_hash_is_the_vision_towers),
        TEST(a_saved_folder_is_complete),
        TEST(a_logit_bias_is_added_and_stays),
        TEST(the_config_names_the_true_type),
        TEST(values_that_do_not_fit_are_refused),
        TEST(a_full_disk_leaves_nothing),
        TEST(loading_and_saving_need_no_memory_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
