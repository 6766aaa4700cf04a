/* Models written for other programs and read back: every byte, every name, every refusal. */
#include "checkpoints/random_folder.h"
#include "nclip/checkpoints/exchange.h"
#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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

static struct nc_model *open_model(void **state, const char *name)
{
    struct nc_model *model;
    char *folder = inside(state, name);
    if (nc_model_open(folder, &model) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(folder);
    return model;
}

static int export_as(void **state, const char *from, enum nc_format format,
                     const enum nc_type *type, const char *to)
{
    struct nc_model *model = open_model(state, from);
    char *folder = inside(state, to);
    int status = nc_model_export(model, format, type, folder);
    nc_model_close(model);
    free(folder);
    return status;
}

static int import_to(void **state, const char *from, const struct nc_import_options *options,
                     const char *to)
{
    static const struct nc_import_options plain;
    bool has_tokenizer;
    char *path = inside(state, from), *folder = inside(state, to);
    int status = nc_model_import(path, options ? options : &plain, folder, &has_tokenizer);
    free(path);
    free(folder);
    return status;
}

static void done(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void refused(int status, const char *says)
{
    assert_int_equal(status, NC_BAD_INPUT);
    if (!strstr(nc_error_message(), says))
        fail_msg("\"%s\" does not say \"%s\"", nc_error_message(), says);
}

static struct nc_tensors *open_tensors(void **state, const char *name)
{
    struct nc_tensors *file;
    char *path = inside(state, name);
    done(nc_tensors_open(path, &file));
    free(path);
    return file;
}

static void assert_same_tensors(void **state, const char *left, const char *right)
{
    struct nc_tensors *a = open_tensors(state, left), *b = open_tensors(state, right);
    assert_int_equal(nc_tensors_count(a), nc_tensors_count(b));
    for (size_t i = 0; i < nc_tensors_count(a); i++) {
        const struct nc_tensor *one = nc_tensors_at(a, i);
        const struct nc_tensor *other = nc_tensors_find(b, one->name);
        if (!other || other->rank != one->rank || other->bytes != one->bytes ||
            memcmp(other->shape, one->shape, sizeof one->shape) != 0 ||
            strcmp(other->type_name, one->type_name) != 0 ||
            memcmp(other->data, one->data, one->bytes) != 0)
            fail_msg("%s and %s: \"%s\" differs", left, right, one->name);
    }
    nc_tensors_close(a);
    nc_tensors_close(b);
}

static void assert_same_shape(void **state, const char *left, const char *right)
{
    struct nc_model *a = open_model(state, left), *b = open_model(state, right);
    assert_memory_equal(nc_model_shape(a), nc_model_shape(b), sizeof(struct nc_model_shape));
    nc_model_close(a);
    nc_model_close(b);
}

/* ---- there and back ---- */

static void round_trips_keep_every_byte(void **state)
{
    static const enum nc_type types[][2] = {{NC_FLOAT32, NC_FLOAT32},
                                            {NC_FLOAT16, NC_FLOAT16},
                                            {NC_BFLOAT16, NC_BFLOAT16},
                                            {NC_FLOAT32, NC_FLOAT16}};
    static const enum nc_format formats[] = {NC_FORMAT_OPEN_CLIP, NC_FORMAT_OPENAI};
    struct nc_model_shape odd = plain_shape; /* what only open_clip can say */
    odd.text.width = 98;
    odd.text.heads = 2;
    odd.text.mlp = 99; /* 98 x (99.0 / 98) is less than 99 */
    odd.vision.mlp = 231;
    odd.text.activation = odd.vision.activation = NC_GELU;
    odd.text.epsilon = 1e-6f;
    odd.end_token = 48;
    odd.image_size = 15;
    for (size_t t = 0; t < 4; t++) {
        for (size_t f = 0; f < 3; f++) {
            char from[32], there[32], back[32];
            snprintf(from, sizeof from, "from-%zu-%zu", t, f);
            snprintf(there, sizeof there, "there-%zu-%zu", t, f);
            snprintf(back, sizeof back, "back-%zu-%zu", t, f);
            char *folder = inside(state, from);
            random_folder_write(folder, f < 2 ? &plain_shape : &odd, types[t][0], types[t][1], 1);
            free(folder);
            done(export_as(state, from, f < 2 ? formats[f] : NC_FORMAT_OPEN_CLIP, NULL, there));
            done(import_to(state, there, NULL, back));
            assert_same_tensors(state, from, back);
            struct nc_model *a = open_model(state, from), *b = open_model(state, back);
            struct nc_model_shape one = *nc_model_shape(a), other = *nc_model_shape(b);
            if (f == 1) { /* OpenAI's form says the largest id, which is the same token */
                assert_int_equal(other.end_rule, NC_END_ARGMAX);
                one.end_rule = other.end_rule;
                one.end_token = other.end_token;
            }
            assert_memory_equal(&one, &other, sizeof one);
            nc_model_close(a);
            nc_model_close(b);
        }
    }
}

/* A CLIP that a sigmoid loss trained: open_clip's models may have a logit_bias, OpenAI's not. */
static void a_logit_bias_goes_along(void **state)
{
    struct nc_model_shape shape = plain_shape;
    shape.logit_bias = true;
    char *folder = inside(state, "from"), *original = inside(state, "plain/model.safetensors");
    char *plain = inside(state, "plain"), *grafted = inside(state, "grafted");
    random_folder_write(folder, &shape, NC_FLOAT32, NC_FLOAT32, 2);
    done(export_as(state, "from", NC_FORMAT_OPEN_CLIP, NULL, "there"));
    done(import_to(state, "there", NULL, "back"));
    assert_same_tensors(state, "from", "back");
    assert_same_shape(state, "from", "back");
    char *path = inside(state, "there/open_clip_config.json"), *config;
    size_t size;
    assert_int_equal(nc_file_read(path, 1 << 20, &config, &size), NC_OK);
    assert_non_null(strstr(config, "\"init_logit_bias\": -10,"));
    free(config);
    free(path);

    done(export_as(state, "from", NC_FORMAT_OPENAI, NULL, "openai"));
    struct nc_tensors *file = open_tensors(state, "openai");
    assert_null(nc_tensors_find(file, "logit_bias"));
    assert_non_null(nc_tensors_find(file, "logit_scale"));
    nc_tensors_close(file);

    /* Into the checkpoint that it comes from, which has none. */
    random_folder_write(plain, &plain_shape, NC_FLOAT32, NC_FLOAT32, 1);
    struct nc_model *model = open_model(state, "from");
    done(nc_model_graft(model, NC_FORMAT_HF, original, NULL, grafted));
    nc_model_close(model);
    model = open_model(state, "grafted");
    assert_false(nc_model_shape(model)->logit_bias);
    nc_model_close(model);
    free(grafted);
    free(plain);
    free(original);
    free(folder);
}

/* OpenAI's form is made of the Hugging Face one by the definition, element by element. */
static void the_openai_form_is_what_the_table_says(void **state)
{
    char *folder = inside(state, "from");
    random_folder_write(folder, &plain_shape, NC_FLOAT32, NC_FLOAT32, 2);
    free(folder);
    done(export_as(state, "from", NC_FORMAT_OPENAI, NULL, "there"));
    struct nc_model *model = open_model(state, "from");
    struct nc_tensors *a = open_tensors(state, "from"), *b = open_tensors(state, "there");
    const struct nc_parameter_table *table = nc_model_table(model);
    size_t tensors = 3; /* the facts */
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        tensors += row->openai_slice <= 0;
        const float *one = (const float *)(const void *)nc_tensors_find(a, row->name)->data;
        const struct nc_tensor *tensor = nc_tensors_find(b, row->openai_name);
        assert_non_null(tensor);
        const float *other = (const float *)(const void *)tensor->data;
        if (row->openai_slice > 0)
            other += (size_t)row->openai_slice * row->count;
        assert_int_equal(tensor->count, row->openai_slice >= 0 ? 3 * row->count : row->count);
        for (size_t k = 0; k < row->count; k++) {
            size_t at =
                row->openai_transposed ? k % row->shape[1] * row->shape[0] + k / row->shape[1] : k;
            if (other[at] != one[k])
                fail_msg("%s: element %zu", row->name, k);
        }
        if (row->openai_transposed) {
            assert_int_equal(tensor->shape[0], row->shape[1]);
            assert_int_equal(tensor->shape[1], row->shape[0]);
        }
    }
    assert_int_equal(nc_tensors_count(b), tensors);
    int64_t resolution;
    memcpy(&resolution, nc_tensors_find(b, "input_resolution")->data, sizeof resolution);
    assert_int_equal(resolution, 12);
    nc_tensors_close(a);
    nc_tensors_close(b);
    nc_model_close(model);
}

static void another_type_is_rounded_once(void **state)
{
    static const enum nc_type half = NC_FLOAT16, full = NC_FLOAT32;
    char *folder = inside(state, "from");
    random_folder_write(folder, &plain_shape, NC_FLOAT32, NC_BFLOAT16, 3);
    free(folder);
    /* The values are exact in all types, so all of these agree. */
    done(export_as(state, "from", NC_FORMAT_OPEN_CLIP, &half, "oc-half"));
    struct nc_import_options options = {.type = &full};
    done(import_to(state, "oc-half", &options, "full"));
    done(export_as(state, "from", NC_FORMAT_HF, &full, "hf-full"));
    assert_same_tensors(state, "full", "hf-full");
    assert_same_shape(state, "full", "from");
    char *config = inside(state, "full/config.json");
    cJSON *root;
    done(nc_json_load(config, &root));
    const char *dtype = NULL;
    done(nc_json_string(config, root, "torch_dtype", &dtype));
    assert_string_equal(dtype, "float32");
    cJSON_Delete(root);
    free(config);
}

static void the_text_tower_goes_alone(void **state)
{
    char *folder = inside(state, "from");
    random_folder_write(folder, &plain_shape, NC_FLOAT16, NC_FLOAT32, 4);
    free(folder);
    static const struct {
        enum nc_format format;
        const char *to, *architecture;
        bool projection;
    } cases[] = {{NC_FORMAT_HF_TEXT, "text", "CLIPTextModel", false},
                 {NC_FORMAT_HF_TEXT_PROJECTION, "projected", "CLIPTextModelWithProjection", true}};
    struct nc_tensors *from = open_tensors(state, "from");
    for (size_t i = 0; i < 2; i++) {
        done(export_as(state, "from", cases[i].format, NULL, cases[i].to));
        struct nc_tensors *file = open_tensors(state, cases[i].to);
        size_t expected = 2 + 2 * 16 + 2 + (size_t)cases[i].projection;
        assert_int_equal(nc_tensors_count(file), expected);
        for (size_t k = 0; k < expected; k++) {
            const struct nc_tensor *tensor = nc_tensors_at(file, k);
            const struct nc_tensor *source = nc_tensors_find(from, tensor->name);
            assert_non_null(source);
            assert_string_equal(tensor->type_name, "F16");
            assert_memory_equal(tensor->data, source->data, source->bytes);
        }
        assert_int_equal(nc_tensors_find(file, "text_projection.weight") != NULL,
                         cases[i].projection);
        nc_tensors_close(file);
        char name[64];
        snprintf(name, sizeof name, "%s/config.json", cases[i].to);
        char *config = inside(state, name), *text;
        size_t size;
        done(nc_file_read(config, 1 << 20, &text, &size));
        assert_non_null(strstr(text, cases[i].architecture));
        assert_non_null(strstr(text, "\"torch_dtype\": \"float16\""));
        assert_non_null(strstr(text, "\"eos_token_id\": 49"));
        assert_non_null(strstr(text, "\"bos_token_id\": null")); /* 49406 is beyond 50 tokens */
        assert_non_null(strstr(text, "\"projection_dim\": 24"));
        free(text);
        free(config);
    }
    nc_tensors_close(from);
}

/* ---- what a format cannot say ---- */

static void refuses_what_a_format_cannot_say(void **state)
{
    static const char *const says[] = {"2 heads",  "mlp is 255", "is gelu",           "epsilon is",
                                       "token 48", "patches",    "activations differ"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        struct nc_model_shape shape = plain_shape;
        char from[16], there[16];
        snprintf(from, sizeof from, "from-%zu", i);
        snprintf(there, sizeof there, "there-%zu", i);
        if (i == 0)
            shape.text.heads = 2;
        else if (i == 1)
            shape.text.mlp = 255;
        else if (i == 2)
            shape.text.activation = shape.vision.activation = NC_GELU;
        else if (i == 3)
            shape.vision.epsilon = 1e-6f;
        else if (i == 4)
            shape.end_token = 48;
        else if (i == 5)
            shape.image_size = 14;
        else
            shape.text.activation = NC_GELU;
        char *folder = inside(state, from), *to = inside(state, there);
        random_folder_write(folder, &shape, NC_FLOAT32, NC_FLOAT32, 5);
        refused(export_as(state, from, i < 6 ? NC_FORMAT_OPENAI : NC_FORMAT_OPEN_CLIP, NULL, there),
                says[i]);
        assert_false(nc_folder_exists(to));
        free(folder);
        free(to);
    }
}

static void query_key_and_value_must_share_a_type(void **state)
{
    char *folder = inside(state, "from"), *path = inside(state, "from/model.safetensors");
    random_folder_write(folder, &plain_shape, NC_FLOAT32, NC_FLOAT32, 6);
    /* The same file with one key in bf16. */
    struct nc_tensors *file = open_tensors(state, "from");
    static const char odd[] = "text_model.encoder.layers.1.self_attn.k_proj.weight";
    struct nc_safetensors_writer *writer;
    char *mixed = inside(state, "mixed");
    done(nc_safetensors_writer_create(mixed, "pt", &writer));
    for (int pass = 0; pass < 4; pass++) { /* declare, then write; the narrow one last */
        for (size_t i = 0; i < nc_tensors_count(file); i++) {
            const struct nc_tensor *t = nc_tensors_at(file, i);
            bool narrow = strcmp(t->name, odd) == 0;
            if (narrow != (pass % 2 == 1))
                continue;
            if (pass < 2)
                done(nc_safetensors_writer_declare(writer, t->name, narrow ? "BF16" : "F32",
                                                   t->rank, t->shape));
            else
                done(nc_safetensors_writer_data(writer, t->data, narrow ? t->bytes / 2 : t->bytes));
        }
    }
    done(nc_safetensors_writer_commit(writer));
    nc_tensors_close(file);
    assert_int_equal(rename(mixed, path), 0);
    refused(export_as(state, "from", NC_FORMAT_OPENAI, NULL, "there"), "have different types");
    free(folder);
    free(path);
    free(mixed);
}

/* ---- merging ---- */

static void merge_lies_between(void **state)
{
    char *base = inside(state, "base"), *tuned = inside(state, "tuned");
    random_folder_write(base, &plain_shape, NC_FLOAT16, NC_FLOAT32, 7);
    random_folder_write(tuned, &plain_shape, NC_FLOAT32, NC_FLOAT32, 8);
    struct nc_model *a = open_model(state, "base"), *b = open_model(state, "tuned");
    static const struct {
        double alpha;
        const char *to;
    } cases[] = {{0, "zero"}, {0.25, "quarter"}, {1, "one"}};
    for (size_t i = 0; i < 3; i++) {
        char *to = inside(state, cases[i].to);
        done(nc_model_merge(a, b, cases[i].alpha, NULL, to));
        free(to);
        struct nc_model *c = open_model(state, cases[i].to);
        for (int tower = 0; tower < 2; tower++) {
            size_t count = nc_model_table(a)->tower_elements[tower];
            float *x = malloc(count * 4), *y = malloc(count * 4), *z = malloc(count * 4);
            done(nc_model_load(a, tower, x));
            done(nc_model_load(b, tower, y));
            done(nc_model_load(c, tower, z));
            for (size_t k = 0; k < count; k++) {
                double expected =
                    (1 - cases[i].alpha) * (double)x[k] + cases[i].alpha * (double)y[k];
                assert_true(z[k] == (float)expected);
            }
            free(x);
            free(y);
            free(z);
        }
        nc_model_close(c);
    }
    nc_model_close(a);
    nc_model_close(b);
    free(base);
    free(tuned);
}

/* Adding a zero times the other would make -0 a +0. */
static void merge_keeps_the_bits_at_both_ends(void **state)
{
    char *base = inside(state, "base"), *tuned = inside(state, "tuned");
    random_folder_write(base, &plain_shape, NC_FLOAT32, NC_FLOAT32, 12);
    random_folder_write(tuned, &plain_shape, NC_FLOAT32, NC_FLOAT32, 13);
    struct nc_model *a = open_model(state, "base"), *b = open_model(state, "tuned");
    size_t count = nc_model_table(a)->tower_elements[NC_TOWER_TEXT];
    float *text = malloc(count * sizeof *text);
    for (int i = 0; i < 2; i++) { /* in either one there are zeros of both signs */
        char *from = inside(state, i ? "zeros-tuned" : "zeros-base");
        done(nc_model_load(i ? b : a, NC_TOWER_TEXT, text));
        for (size_t k = 0; k < count; k += 3)
            text[k] = k % 2 ? -0.0f : 0.0f;
        done(nc_model_save(i ? b : a, from, text, NC_FLOAT32));
        struct nc_model *zeros = open_model(state, i ? "zeros-tuned" : "zeros-base");
        char *to = inside(state, i ? "one" : "zero");
        done(i ? nc_model_merge(a, zeros, 1, NULL, to) : nc_model_merge(zeros, b, 0, NULL, to));
        assert_same_tensors(state, i ? "zeros-tuned" : "zeros-base", i ? "one" : "zero");
        nc_model_close(zeros);
        free(from);
        free(to);
    }
    free(text);
    nc_model_close(a);
    nc_model_close(b);
    free(base);
    free(tuned);
}

static void merge_copies_what_is_the_same(void **state)
{
    char *base = inside(state, "base"), *tuned = inside(state, "tuned"), *to = inside(state, "to");
    random_folder_write(base, &plain_shape, NC_FLOAT32, NC_BFLOAT16, 9);
    random_folder_write(tuned, &plain_shape, NC_FLOAT32, NC_BFLOAT16, 9);
    struct nc_model *a = open_model(state, "base"), *b = open_model(state, "tuned");
    done(nc_model_merge(a, b, 0.3, NULL, to));
    assert_same_tensors(state, "base", "to");
    char hash[2][17];
    struct nc_model *c = open_model(state, "to");
    done(nc_model_vision_hash(a, hash[0]));
    done(nc_model_vision_hash(c, hash[1]));
    assert_string_equal(hash[0], hash[1]); /* embeddings stay valid */
    nc_model_close(a);
    nc_model_close(b);
    nc_model_close(c);
    free(base);
    free(tuned);
    free(to);
}

static void merge_refuses_models_of_two_kinds(void **state)
{
    static const char *const says[] = {"token_embedding.weight\" has the shape", "blocks",
                                       "activation", "end of text"};
    char *base = inside(state, "base"), *to = inside(state, "to");
    random_folder_write(base, &plain_shape, NC_FLOAT32, NC_FLOAT32, 10);
    struct nc_model *a = open_model(state, "base");
    for (size_t i = 0; i < 4; i++) {
        struct nc_model_shape shape = plain_shape;
        if (i == 0)
            shape.vocabulary = 51;
        else if (i == 1)
            shape.vision.layers = 2;
        else if (i == 2)
            shape.vision.activation = NC_GELU;
        else
            shape.end_token = 48;
        char name[16];
        snprintf(name, sizeof name, "tuned-%zu", i);
        char *tuned = inside(state, name);
        random_folder_write(tuned, &shape, NC_FLOAT32, NC_FLOAT32, 11);
        struct nc_model *b = open_model(state, name);
        refused(nc_model_merge(a, b, 0.5, NULL, to), says[i]);
        assert_int_equal(nc_model_merge(a, a, NAN, NULL, to), NC_USAGE);
        assert_int_equal(nc_model_merge(a, a, 1.5, NULL, to), NC_USAGE);
        assert_false(nc_folder_exists(to));
        nc_model_close(b);
        free(tuned);
    }
    nc_model_close(a);
    free(base);
    free(to);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(round_trips_keep_every_byte),
        TEST(a_logit_bias_goes_along),
        TEST(the_openai_form_is_what_the_table_says),
        TEST(another_type_is_rounded_once),
        TEST(the_text_tower_goes_alone),
        TEST(refuses_what_a_format_cannot_say),
        TEST(query_key_and_value_must_share_a_type),
        TEST(merge_lies_between),
        TEST(merge_keeps_the_bits_at_both_ends),
        TEST(merge_copies_what_is_the_same),
        TEST(merge_refuses_models_of_two_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
