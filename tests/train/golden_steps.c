/* A hundred optimizer steps of the quick start's model against PyTorch and transformers in
 * fp32: each loss, gradient norm and logit scale, and a sample of the weights they lead to.
 * Whole batches and micro batches, through the loop's own parts: captions and embeddings from
 * files, the order of each epoch, the schedule, the step. Forty more of CoN-CLIP's loss, and forty
 * with the terms over a picture's own texts, with RMSprop and with SGD, with a list of terms, and of
 * presets, against fp64. Values: make_steps_golden.py. */
#include "../../host/train/step/step.h"
#include "../backends.h"
#include "../support/temporary_folder.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/threads.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after the headers it needs */
#include <cmocka.h>

#define MODEL "../configs/quickstart/model"
#define RECIPE "../configs/quickstart/train.yaml"

enum { MOST_SETTINGS = 40 };

/* PyTorch's own fp32 run is within 1e-5 of fp64 in all of these (make_steps_golden.py). The loss
 * is absolute, the norm relative; a weight's error is relative to its tensor's root mean square. */
static const double LOSS = 1e-4, NORM = 1e-3, SCALE = 1e-5, WEIGHT = 1e-4;

static cJSON *golden;
static char *folder;

/* Errors are reported with their message, not as a bare number. */
static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static const cJSON *list_of(const char *key)
{
    const cJSON *list;
    check(nc_json_array("golden_steps.json", golden, key, &list));
    return list;
}

static char *path_of(const char *name)
{
    char *path = nc_path_join(folder, name);
    assert_non_null(path);
    return path;
}

/* ---- The inputs, as files ---------------------------------------------------------------- */

static void write_captions_to(const char *name, int first, int end)
{
    char *path = path_of(name);
    struct nc_writer *writer;
    const cJSON *caption;
    int number = 0;
    check(nc_writer_create(path, &writer));
    cJSON_ArrayForEach(caption, list_of("captions"))
    {
        char *line = cJSON_PrintUnformatted(caption);
        if (number >= first && number < end)
            check(nc_writer_printf(writer, "%s\n", line));
        cJSON_free(line);
        number++;
    }
    check(nc_writer_commit(writer));
    free(path);
}

/* Where there are two sources: how many captions the first one has. */
static int first_source(void)
{
    const cJSON *first = cJSON_GetObjectItem(golden, "first");
    return first ? first->valueint : 0;
}

static void write_captions(void)
{
    int count = cJSON_GetArraySize(list_of("captions")), first = first_source();
    write_captions_to("captions.jsonl", 0, first ? first : count);
    if (first)
        write_captions_to("more.jsonl", first, count);
}

/* Not normalised: the step is to do that. */
static void write_embeddings(size_t dimension, const char *hash)
{
    char *path = path_of("embeddings");
    const struct nc_embedding_info info = {hash, "none", dimension, NC_FLOAT32, false};
    struct nc_embedding_writer *writer;
    float *row = malloc(dimension * sizeof *row);
    const cJSON *picture, *value;
    int number = 0;
    assert_non_null(row);
    check(nc_embedding_writer_open(path, &info, 0, &writer));
    cJSON_ArrayForEach(picture, list_of("pictures"))
    {
        char key[16];
        size_t at = 0;
        assert_int_equal(cJSON_GetArraySize(picture), dimension);
        cJSON_ArrayForEach(value, picture) row[at++] = (float)value->valuedouble;
        snprintf(key, sizeof key, "%02d.png", number++);
        check(nc_embedding_writer_append(writer, key, row));
    }
    check(nc_embedding_writer_close(writer));
    free(row);
    free(path);
}

static int make_inputs(const char *golden_file)
{
    struct nc_model *model;
    char hash[17];
    folder = temporary_folder_create();
    check(nc_json_load(golden_file, &golden));
    check(nc_model_open(MODEL, &model));
    check(nc_model_vision_hash(model, hash));
    write_captions();
    write_embeddings(nc_model_shape(model)->embedding, hash);
    nc_model_close(model);
    return 0;
}

static int open_steps(void **state)
{
    (void)state;
    return make_inputs("train/golden_steps.json");
}

static int open_con_clip(void **state)
{
    (void)state;
    return make_inputs("train/golden_con_clip.json");
}

static int open_own_terms(void **state)
{
    (void)state;
    return make_inputs("train/golden_own_terms.json");
}

static int open_rmsprop(void **state)
{
    (void)state;
    return make_inputs("train/golden_rmsprop.json");
}

static int open_sgd(void **state)
{
    (void)state;
    return make_inputs("train/golden_sgd.json");
}

static int open_terms(void **state)
{
    (void)state;
    return make_inputs("train/golden_terms.json");
}

static int open_negbench(void **state)
{
    (void)state;
    return make_inputs("train/golden_negbench.json");
}

static int open_semclip(void **state)
{
    (void)state;
    return make_inputs("train/golden_semclip.json");
}

static int open_omni_negclip(void **state)
{
    (void)state;
    return make_inputs("train/golden_omni_negclip.json");
}

static int open_keep(void **state)
{
    (void)state;
    return make_inputs("train/golden_keep.json");
}

static int open_siglip(void **state)
{
    (void)state;
    return make_inputs("train/golden_siglip.json");
}

static int remove_inputs(void **state)
{
    (void)state;
    cJSON_Delete(golden);
    temporary_folder_remove(folder);
    return 0;
}

/* ---- A run --------------------------------------------------------------------------------- */

struct run {
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_config *config;
    bool *trainable;
    struct nc_examples examples;
    struct nc_arena *arena;
    struct nc_step *step;
    float *weights; /* [tower_elements] on the host */
    uint32_t *order;
};

/* The config that the settings go over: the recipe, a preset, or the recipe with a list of terms. */
static int load_config(const char *const *settings, size_t count, struct nc_config **config)
{
    const cJSON *preset = cJSON_GetObjectItem(golden, "preset"), *line;
    if (preset)
        return nc_config_load(preset->valuestring, settings, count, config);
    if (!cJSON_GetObjectItem(golden, "loss"))
        return nc_config_load(RECIPE, settings, count, config);
    char *path = path_of("terms.yaml"), *text;
    size_t size;
    struct nc_writer *writer;
    check(nc_file_read(RECIPE, 1 << 16, &text, &size));
    check(nc_writer_create(path, &writer));
    check(nc_writer_printf(writer, "%sloss:\n", text));
    cJSON_ArrayForEach(line, list_of("loss"))
        check(nc_writer_printf(writer, "  - %s\n", line->valuestring));
    check(nc_writer_commit(writer));
    int status = nc_config_load(path, settings, count, config);
    free(text);
    free(path);
    return status;
}

/* `changes`: settings that go before the golden ones. */
static void open_run(struct run *run, const char *backend, const char *const *changes)
{
    const char *settings[MOST_SETTINGS];
    unsigned count = 0;
    const cJSON *setting;
    memset(run, 0, sizeof *run);
    cJSON_ArrayForEach(setting, list_of("settings")) settings[count++] = setting->valuestring;
    for (; *changes; changes++)
        settings[count++] = *changes;
    assert_true(count <= MOST_SETTINGS);
    check(load_config(settings, count, &run->config));
    check(nc_ops_create(backend, 0, &run->ops));
    check(nc_model_open(MODEL, &run->model));
    struct nc_losses losses;
    nc_losses_of(run->config, &losses);
    if (losses.sigmoid)
        check(nc_model_add_logit_bias(run->model, -10));
    const struct nc_parameter_table *table = nc_model_table(run->model);
    const struct nc_model_shape *shape = nc_model_shape(run->model);
    check(nc_trainable_parse((const char *const *)run->config->trainable,
                             run->config->trainable_count, table, shape, &run->trainable));
    char *captions = path_of("captions.jsonl"), *embeddings = path_of("embeddings");
    char *more = path_of("more.jsonl");
    check(nc_examples_load(run->model, run->config, (const char *const[]){captions, more},
                           first_source() ? 2 : 1, embeddings, &run->examples));
    free(more);
    free(captions);
    free(embeddings);
    assert_int_equal(run->examples.count, cJSON_GetArraySize(list_of("captions")));
    check(nc_arena_create(&run->arena));
    check(nc_step_create(run->ops, shape, table, run->config, run->trainable, &run->examples, NULL,
                         run->arena, &run->step));
    check(nc_arena_commit(run->arena, run->ops));
    run->weights = malloc(table->tower_elements[NC_TOWER_TEXT] * sizeof *run->weights);
    run->order = malloc(run->examples.training_count * sizeof *run->order);
    assert_true(run->weights && run->order);
    check(nc_model_load(run->model, NC_TOWER_TEXT, run->weights));
    check(nc_step_set_parameters(run->step, run->weights));
    check(nc_step_keep_base(run->step, &run->examples));
}

static void close_run(struct run *run)
{
    nc_step_destroy(run->step);
    nc_arena_destroy(run->arena);
    nc_examples_free(&run->examples);
    free(run->trainable);
    free(run->weights);
    free(run->order);
    nc_config_free(run->config);
    nc_model_close(run->model);
    nc_ops_destroy(run->ops);
}

/* The largest differences of a run, and the step or tensor where they are. */
struct differences {
    double loss, norm, scale, weight;
    size_t loss_step, norm_step, scale_step;
    const char *tensor;
};

static void note(double error, size_t step, double *worst, size_t *worst_step)
{
    if (isnan(*worst) || error <= *worst) /* the first NaN stays */
        return;
    *worst = error;
    *worst_step = step;
}

static void assert_batch(const struct run *run, const cJSON *batch, size_t start, size_t count)
{
    const cJSON *number;
    size_t at = start;
    assert_int_equal(cJSON_GetArraySize(batch), count);
    cJSON_ArrayForEach(number, batch) assert_int_equal(run->order[at++], number->valueint);
}

static void take_steps(struct run *run, struct differences *worst)
{
    size_t total = run->examples.training_count, size = (size_t)run->config->batch_size;
    const cJSON *batch = list_of("batches")->child, *loss = list_of("losses")->child;
    const cJSON *norm = list_of("norms")->child, *scale = list_of("scales")->child;
    size_t steps = (size_t)cJSON_GetArraySize(list_of("losses")), step = 0;
    for (uint64_t epoch = 0; epoch < run->config->epochs; epoch++) {
        nc_examples_order(&run->examples, run->config->seed, epoch, run->order);
        for (size_t start = 0; start < total; start += size, step++) {
            size_t count = total - start < size ? total - start : size;
            double rate = nc_learning_rate(run->config, step, steps);
            struct nc_step_result result;
            assert_batch(run, batch, start, count);
            check(nc_step_train(run->step, &run->examples, run->order + start, count, step + 1,
                                rate, &result));
            note(fabs(result.loss - loss->valuedouble), step, &worst->loss, &worst->loss_step);
            note(fabs(result.gradient_norm / norm->valuedouble - 1), step, &worst->norm, &worst->norm_step);
            note(fabs(result.logit_scale - scale->valuedouble), step, &worst->scale, &worst->scale_step);
            batch = batch->next;
            loss = loss->next;
            norm = norm->next;
            scale = scale->next;
        }
    }
    assert_int_equal(step, steps);
}

/* One tensor: its norm, and some of its numbers. */
static double tensor_error(const cJSON *row, const struct nc_parameter *parameter, const float *values)
{
    const cJSON *norm = cJSON_GetObjectItem(row, "norm"), *at = cJSON_GetObjectItem(row, "at");
    const cJSON *value = cJSON_GetObjectItem(row, "value");
    double sum = 0, mean = norm->valuedouble / sqrt((double)parameter->count);
    for (size_t i = 0; i < parameter->count; i++)
        sum += (double)values[i] * values[i];
    double error = fabs(sqrt(sum) / norm->valuedouble - 1);
    for (at = at->child, value = value->child; at; at = at->next, value = value->next) {
        assert_in_range(at->valueint, 0, parameter->count - 1);
        double here = fabs(values[at->valueint] - value->valuedouble) / mean;
        error = isnan(error) || here <= error ? error : here;
    }
    return error;
}

static void compare_weights(struct run *run, struct differences *worst)
{
    const struct nc_parameter_table *table = nc_model_table(run->model);
    size_t compared = 0, expected = 0;
    const cJSON *row;
    check(run->ops->download(run->ops->backend, run->weights, run->step->master,
                             table->tower_elements[NC_TOWER_TEXT] * sizeof *run->weights));
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *parameter = &table->rows[i];
        /* The softmax does not see the keys' bias: its gradient is rounding. */
        if (parameter->tower != NC_TOWER_TEXT || parameter->role == NC_KEY_BIAS)
            continue;
        expected++;
        cJSON_ArrayForEach(row, list_of("weights"))
        {
            if (strcmp(cJSON_GetObjectItem(row, "name")->valuestring, parameter->name) != 0)
                continue;
            double error = tensor_error(row, parameter, run->weights + parameter->offset);
            compared++;
            if (isnan(worst->weight) || error <= worst->weight)
                continue;
            worst->weight = error;
            worst->tensor = parameter->name;
        }
    }
    assert_int_equal(compared, expected);
}

static struct differences differences_of(const char *backend, const char *const *changes)
{
    struct run run;
    struct differences worst = {.tensor = "-"};
    open_run(&run, backend, changes);
    take_steps(&run, &worst);
    compare_weights(&run, &worst);
    printf("%s, %s: loss %.2g (step %zu), norm %.2g (step %zu), scale %.2g (step %zu), weights "
           "%.2g (%s)\n", backend, *changes ? *changes : "as recorded", worst.loss,
           worst.loss_step + 1, worst.norm, worst.norm_step + 1, worst.scale, worst.scale_step + 1,
           worst.weight, worst.tensor);
    close_run(&run);
    worst.tensor = NULL; /* its name went with the model */
    return worst;
}

static void compare_run(const char *const *changes)
{
    for (const char *const *backend = nc_ops_names(); *backend; backend++) {
        if (!backend_opens(*backend))
            continue;
        struct differences worst = differences_of(*backend, changes);
        assert_true(worst.loss < LOSS);
        assert_true(worst.norm < NORM);
        assert_true(worst.scale < SCALE);
        assert_true(worst.weight < WEIGHT);
    }
}

static void test_whole_batches(void **state)
{
    (void)state;
    compare_run((const char *const[]){NULL});
}

static void test_micro_batches(void **state)
{
    (void)state;
    compare_run((const char *const[]){"micro_batch_size=7", NULL});
    compare_run((const char *const[]){"micro_batch_size=16", NULL});
}

static void test_without_shared_prefixes(void **state)
{
    (void)state;
    compare_run((const char *const[]){"share_prefixes=false", NULL});
}

/* The recorded run shows what each setting does: without it, it is missed. */
static void test_every_setting_counts(void **state)
{
    (void)state;
    if (!backend_opens("cpu"))
        return;
    static const char *const others[] = {
        "weight_decay=0", "mask_same_image=false", "contradictions=false", "gradient_clip=0",
        "logit_scale_max=0", "schedule=constant", "warmup_steps=9", "beta1=0.91", "beta2=0.981",
        "epsilon=2e-6"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct differences worst = differences_of("cpu", (const char *const[]){others[i], NULL});
        if (worst.loss < 2 * LOSS || worst.weight < 2 * WEIGHT)
            fail_msg("%s goes unseen", others[i]);
    }
}

static void test_con_clip(void **state)
{
    (void)state;
    compare_run((const char *const[]){NULL});
    compare_run((const char *const[]){"micro_batch_size=7", NULL});
    struct differences worst = differences_of("cpu", (const char *const[]){"loss=clip", NULL});
    assert_true(worst.loss > 2 * LOSS && worst.weight > 2 * WEIGHT);
}

static void test_own_terms(void **state)
{
    (void)state;
    compare_run((const char *const[]){NULL});
    compare_run((const char *const[]){"micro_batch_size=7", NULL});
    compare_run((const char *const[]){"share_prefixes=false", NULL});
    if (!backend_opens("cpu"))
        return;
    static const char *const others[] = {
        "infonce=0.81", "choice=0.45", "hinge_picture=1.9", "hinge_picture_low=-0.03",
        "hinge_picture_high=0.04", "hinge_text=0.6", "hinge_text_low=-0.8", "hinge_text_high=-0.5",
        "preserve=2.5", "hinge_apart=0.2", "hinge_apart_margin=-0.7", "hard_negatives=true"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct differences worst = differences_of("cpu", (const char *const[]){others[i], NULL});
        if (worst.loss < 2 * LOSS || worst.weight < 2 * WEIGHT)
            fail_msg("%s goes unseen", others[i]);
    }
}

static void each_counts(const char *const *others, size_t count)
{
    for (size_t i = 0; i < count && backend_opens("cpu"); i++) {
        struct differences worst = differences_of("cpu", (const char *const[]){others[i], NULL});
        if (worst.loss < 2 * LOSS || worst.weight < 2 * WEIGHT)
            fail_msg("%s goes unseen", others[i]);
    }
}

static void test_rmsprop(void **state)
{
    (void)state;
    static const char *const others[] = {
        "optimizer=adamw", "rmsprop_alpha=0.96", "epsilon=2e-6", "weight_decay=0.09",
        "rate_decay=0.91", "schedule=cosine", "decay_norms_and_biases=true",
        "logit_scale_learning_rate=0", "gradient_clip=0"};
    compare_run((const char *const[]){NULL});
    compare_run((const char *const[]){"micro_batch_size=7", NULL});
    each_counts(others, sizeof others / sizeof *others);
}

static void test_sgd(void **state)
{
    (void)state;
    static const char *const others[] = {"momentum=0.79", "momentum=0", "weight_decay=0.02",
                                         "rate_decay=1", "logit_scale_learning_rate=0"};
    compare_run((const char *const[]){NULL});
    each_counts(others, sizeof others / sizeof *others);
}

static void test_terms(void **state)
{
    (void)state;
    compare_run((const char *const[]){NULL});
    compare_run((const char *const[]){"micro_batch_size=7", NULL});
    compare_run((const char *const[]){"share_prefixes=false", NULL});
}

static void test_preset(void **state)
{
    (void)state;
    compare_run((const char *const[]){NULL});
    compare_run((const char *const[]){"micro_batch_size=7", NULL});
}

int main(int count, char **arguments)
{
    (void)count;
    nc_threads_wait_passively(arguments); /* many short steps: a busy machine would stall them */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_batches),
        cmocka_unit_test(test_micro_batches),
        cmocka_unit_test(test_without_shared_prefixes),
        cmocka_unit_test(test_every_setting_counts),
    };
    const struct CMUnitTest con_clip[] = {cmocka_unit_test(test_con_clip)};
    const struct CMUnitTest own_terms[] = {cmocka_unit_test(test_own_terms)};
    const struct CMUnitTest rmsprop[] = {cmocka_unit_test(test_rmsprop)};
    const struct CMUnitTest sgd[] = {cmocka_unit_test(test_sgd)};
    const struct CMUnitTest terms[] = {cmocka_unit_test(test_terms)};
    const struct CMUnitTest preset[] = {cmocka_unit_test(test_preset)};
    return cmocka_run_group_tests(tests, open_steps, remove_inputs) +
           cmocka_run_group_tests(con_clip, open_con_clip, remove_inputs) +
           cmocka_run_group_tests(own_terms, open_own_terms, remove_inputs) +
           cmocka_run_group_tests(rmsprop, open_rmsprop, remove_inputs) +
           cmocka_run_group_tests(sgd, open_sgd, remove_inputs) +
           cmocka_run_group_tests(terms, open_terms, remove_inputs) +
           cmocka_run_group_tests(preset, open_negbench, remove_inputs) +
           cmocka_run_group_tests(preset, open_semclip, remove_inputs) +
           cmocka_run_group_tests(preset, open_omni_negclip, remove_inputs) +
           cmocka_run_group_tests(preset, open_keep, remove_inputs) +
           cmocka_run_group_tests(preset, open_siglip, remove_inputs);
}
