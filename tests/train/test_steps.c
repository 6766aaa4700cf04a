/* Steps that share a backend: one after the other, and side by side. Each must end with the bits
 * that it has alone, although their recordings look alike (ops.h, "Recordings"). And what a step
 * that is collected later says of a token that does not exist. */
#include "../../host/train/step/step.h"
#include "../backends.h"
#include "../support/temporary_folder.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after the headers it needs */
#include <cmocka.h>

#define MODEL "../configs/quickstart/model"
#define RECIPE "../configs/quickstart/train.yaml"

enum { PICTURES = 8, STEPS = 5 };

static char *folder;
static struct nc_model *model;

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

/* ---- The inputs, as files ------------------------------------------------------------------ */

static int make_inputs(void **state)
{
    (void)state;
    char hash[17], key[16];
    folder = temporary_folder_create();
    check(nc_model_open(MODEL, &model));
    check(nc_model_vision_hash(model, hash));
    size_t dimension = nc_model_shape(model)->embedding;
    char *captions = nc_path_join(folder, "captions.jsonl"), *store = nc_path_join(folder, "store");
    float *row = malloc(dimension * sizeof *row);
    struct nc_writer *writer;
    struct nc_embedding_writer *embeddings;
    const struct nc_embedding_info info = {hash, "none", dimension, NC_FLOAT32, false};
    assert_true(captions && store && row);
    check(nc_writer_create(captions, &writer));
    check(nc_embedding_writer_open(store, &info, 0, &embeddings));
    for (size_t i = 0; i < PICTURES; i++) { /* every third one has a contradiction */
        snprintf(key, sizeof key, "%zu.png", i);
        check(nc_writer_printf(writer,
                               "{\"image\": \"%s\", \"caption\": \"%s shape\"%s, \"absence\": "
                               "\"a shape, no %s\", \"distractor\": \"%zu.png\"%s}\n", key,
                               i % 2 ? "not a red" : "no blue",
                               i % 3 ? "" : ", \"contradiction\": \"a shape that is red\"",
                               i % 2 ? "circle" : "green triangle", (i + 3) % PICTURES,
                               i % 3 == 1 ? "" : ", \"choices\": [\"a red shape\", \"blue\"]"));
        for (size_t k = 0; k < dimension; k++)
            row[k] = (float)((i * 7 + k * 3) % 11) - 5;
        check(nc_embedding_writer_append(embeddings, key, row));
    }
    check(nc_writer_commit(writer));
    check(nc_embedding_writer_close(embeddings));
    free(row);
    free(captions);
    free(store);
    return 0;
}

static int remove_inputs(void **state)
{
    (void)state;
    nc_model_close(model);
    temporary_folder_remove(folder);
    return 0;
}

/* ---- A run ----------------------------------------------------------------------------------- */

struct run {
    struct nc_ops *ops;
    struct nc_config *config;
    bool *trainable;
    struct nc_examples examples;
    struct nc_arena *arena;
    struct nc_step *step;
    uint32_t list[PICTURES];
    double losses[STEPS];
};

/* `setting`: key=value, or the name of a file of a whole config. */
static void open_run(struct run *run, struct nc_ops *ops, const char *setting)
{
    bool whole = !strchr(setting, '=');
    const char *settings[] = {"batch_size=8", "validation_fraction=0", "mask_same_image=false",
                              setting};
    const struct nc_parameter_table *table = nc_model_table(model);
    const struct nc_model_shape *shape = nc_model_shape(model);
    char *captions = nc_path_join(folder, "captions.jsonl"), *store = nc_path_join(folder, "store");
    size_t count = table->tower_elements[NC_TOWER_TEXT];
    float *weights = malloc(count * sizeof *weights);
    *run = (struct run){.ops = ops};
    assert_true(captions && store && weights);
    check(nc_config_load(whole ? setting : RECIPE, settings,
                         sizeof settings / sizeof *settings - whole, &run->config));
    check(nc_trainable_parse((const char *const *)run->config->trainable,
                             run->config->trainable_count, table, shape, &run->trainable));
    check(nc_examples_load(model, run->config, (const char *const[]){captions}, 1, store,
                           &run->examples));
    assert_int_equal(run->examples.count, PICTURES);
    for (uint32_t i = 0; i < PICTURES; i++)
        run->list[i] = i;
    check(nc_arena_create(&run->arena));
    check(nc_step_create(ops, shape, table, run->config, run->trainable, &run->examples, NULL,
                         run->arena, &run->step));
    check(nc_arena_commit(run->arena, ops));
    check(nc_model_load(model, NC_TOWER_TEXT, weights));
    check(nc_step_set_parameters(run->step, weights));
    free(weights);
    free(captions);
    free(store);
}

static void take_step(struct run *run, size_t step)
{
    struct nc_step_result result;
    check(nc_step_train(run->step, &run->examples, run->list, PICTURES, step + 1, 1e-3, &result));
    run->losses[step] = result.loss;
}

static void close_run(struct run *run)
{
    nc_step_destroy(run->step);
    nc_arena_destroy(run->arena);
    nc_examples_free(&run->examples);
    free(run->trainable);
    nc_config_free(run->config);
}

static void take_all(struct run *run, struct nc_ops *ops, const char *setting)
{
    open_run(run, ops, setting);
    for (size_t step = 0; step < STEPS; step++)
        take_step(run, step);
    close_run(run);
}

/* ---- The tests ------------------------------------------------------------------------------- */

/* They differ in numbers that a recording holds by value. */
static const char *const settings[] = {"gradient_clip=0.5", "gradient_clip=0.1"};

static void assert_same(const struct run *run, const struct run *alone)
{
    for (size_t step = 0; step < STEPS; step++)
        if (memcmp(&run->losses[step], &alone->losses[step], sizeof(double)) != 0)
            fail_msg("%s: step %zu has a loss of %.9g instead of %.9g", run->ops->name, step + 1,
                     run->losses[step], alone->losses[step]);
}

static void share_a_backend(const char *backend)
{
    struct nc_ops *ops;
    struct run alone[2], run[2];
    for (size_t i = 0; i < 2; i++) {
        check(nc_ops_create(backend, 0, &ops));
        take_all(&alone[i], ops, settings[i]);
        nc_ops_destroy(ops);
    }
    assert_true(alone[0].losses[STEPS - 1] != alone[1].losses[STEPS - 1]);
    check(nc_ops_create(backend, 0, &ops));
    for (size_t i = 0; i < 2; i++) {
        take_all(&run[i], ops, settings[i]);
        assert_same(&run[i], &alone[i]);
    }
    for (size_t i = 0; i < 2; i++)
        open_run(&run[i], ops, settings[i]);
    for (size_t step = 0; step < STEPS; step++)
        for (size_t i = 0; i < 2; i++)
            take_step(&run[i], step);
    for (size_t i = 0; i < 2; i++) {
        assert_same(&run[i], &alone[i]);
        close_run(&run[i]);
    }
    nc_ops_destroy(ops);
}

static void steps_share_a_backend(void **state)
{
    (void)state;
    for (const char *const *backend = nc_ops_names(); *backend; backend++)
        if (backend_opens(*backend))
            share_a_backend(*backend);
}

static void meet_a_wrong_token(const char *backend)
{
    struct nc_ops *ops;
    struct run run;
    struct nc_step_result result;
    check(nc_ops_create(backend, 0, &ops));
    open_run(&run, ops, "share_prefixes=false"); /* as many rows whatever the token */
    for (size_t step = 0; step < 3; step++)      /* the third one replays */
        take_step(&run, step);
    run.examples.tokens[1] = 1 << 20;
    int status = nc_step_train(run.step, &run.examples, run.list, PICTURES, 4, 1e-3, &result);
    assert_int_equal(status, NC_FAILED);
    if (!strstr(nc_error_message(), "token 1048576"))
        fail_msg("%s: %s", backend, nc_error_message());
    close_run(&run);
    nc_ops_destroy(ops);
}

static void a_wrong_token_is_said(void **state)
{
    (void)state;
    for (const char *const *backend = nc_ops_names(); *backend; backend++)
        if (backend_opens(*backend))
            meet_a_wrong_token(*backend);
}

/* ---- A plan that is too small --------------------------------------------------------------- */

static void plan(struct run *run, size_t count, size_t margin, const struct nc_step_need *least)
{
    const struct nc_step_sample sample = {.examples = &run->examples, .list = run->list,
                                          .count = count, .batch = PICTURES, .margin = margin,
                                          .least = least};
    check(nc_arena_create(&run->arena));
    check(nc_step_create_sampled(run->ops, nc_model_shape(model), nc_model_table(model),
                                 run->config, run->trainable, &sample, NULL, run->arena,
                                 &run->step));
    check(nc_arena_commit(run->arena, run->ops));
}

/* The step that does not fit is made anew, and goes on with the same bits. */
static void outgrow(struct run *run)
{
    bool fits;
    struct nc_step_state state;
    struct nc_step_need need = run->step->need;
    check(nc_step_fits(run->step, &run->examples, run->list, 2, &fits));
    assert_true(fits);
    check(nc_step_fits(run->step, &run->examples, run->list, PICTURES, &fits));
    assert_false(fits);
    check(nc_step_take_state(run->step, &state));
    nc_step_destroy(run->step);
    nc_arena_destroy(run->arena);
    plan(run, PICTURES, 10, &need);
    check(nc_step_put_state(run->step, &state));
    nc_step_state_free(&state);
    check(nc_step_fits(run->step, &run->examples, run->list, PICTURES, &fits));
    assert_true(fits);
    check(nc_step_fits(run->step, &run->examples, run->list, 2, &fits));
    assert_true(fits);
}

/* A step with two examples, then steps with all. */
static void take_growing(struct run *run, struct nc_ops *ops, const char *setting, bool small)
{
    struct nc_step_result result;
    open_run(run, ops, setting);
    if (small) {
        struct nc_step_state state;
        check(nc_step_take_state(run->step, &state));
        nc_step_destroy(run->step);
        nc_arena_destroy(run->arena);
        plan(run, 2, 0, NULL);
        check(nc_step_put_state(run->step, &state));
        nc_step_state_free(&state);
    }
    check(nc_step_train(run->step, &run->examples, run->list, 2, 1, 1e-3, &result));
    run->losses[0] = result.loss;
    if (small)
        outgrow(run);
    for (size_t step = 1; step < STEPS; step++)
        take_step(run, step);
    close_run(run);
}

static void grow(const char *backend)
{
    static const char *const kinds[] = {"share_prefixes=true", "share_prefixes=false",
                                        "micro_batch_size=3", "precision=bf16",
                                        "optimizer=rmsprop", "optimizer=sgd"};
    struct nc_ops *ops;
    struct run whole, grown;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        check(nc_ops_create(backend, 0, &ops));
        take_growing(&whole, ops, kinds[i], false);
        take_growing(&grown, ops, kinds[i], true);
        assert_same(&grown, &whole);
        nc_ops_destroy(ops);
    }
}

static void steps_outgrow_their_plan(void **state)
{
    (void)state;
    for (const char *const *backend = nc_ops_names(); *backend; backend++)
        if (backend_opens(*backend))
            grow(*backend);
}

/* ---- Terms ------------------------------------------------------------------------------------ */

/* Texts that lie apart, a picture with several true texts, and own texts of three roles. */
static const char list[] = "precision: fp32\nschedule: constant\nwarmup_steps: 0\ntrainable: [all]\nloss:\n"
                           "  - {term: infonce, texts: [caption, absence], rows: [1, 0.5], hard: choices, "
                           "pictures: [image, distractor], columns: [1, 0]}\n"
                           "  - {term: choice, texts: [contradiction], weight: 0.5}\n"
                           "  - {term: choice, texts: [choices], weight: 0.25}\n"
                           "  - {term: unlike, texts: [absence]}\n  - {term: keep}\n";

static void terms_agree(void **state)
{
    (void)state;
    struct run first = {0};
    const char *named = NULL;
    char *path = nc_path_join(folder, "list.yaml");
    assert_non_null(path);
    check(nc_file_write(path, list, sizeof list - 1));
    for (const char *const *backend = nc_ops_names(); *backend; backend++) {
        struct nc_ops *ops;
        struct run run;
        if (!backend_opens(*backend))
            continue;
        check(nc_ops_create(*backend, 0, &ops));
        open_run(&run, ops, path);
        check(nc_step_keep_base(run.step, &run.examples));
        for (size_t step = 0; step < STEPS; step++)
            take_step(&run, step);
        close_run(&run);
        nc_ops_destroy(ops);
        assert_true(run.losses[STEPS - 1] < run.losses[0]);
        for (size_t step = 0; step < STEPS && named; step++)
            if (!(fabs(run.losses[step] - first.losses[step]) < 1e-4 * first.losses[step]))
                fail_msg("%s: step %zu has a loss of %.9g, %s of %.9g", *backend, step + 1,
                         run.losses[step], named, first.losses[step]);
        first = named ? first : run;
        named = named ? named : *backend;
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_outgrow_their_plan),
        cmocka_unit_test(steps_share_a_backend),
        cmocka_unit_test(a_wrong_token_is_said),
        cmocka_unit_test(terms_agree),
    };
    return cmocka_run_group_tests(tests, make_inputs, remove_inputs);
}
