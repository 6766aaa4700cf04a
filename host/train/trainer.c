#include "nclip/train.h"

#include "checkpoint.h"
#include "nclip/error.h"
#include "nclip/files.h"
#include "nclip/metrics.h"
#include "nclip/process.h"
#include "nclip/progress.h"
#include "nclip/signals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is known of a step before its results. */
struct submitted {
    uint64_t step, epoch; /* both from 1 */
    size_t captions, done; /* of the step, of the run behind it */
    double rate;
};

/* A run, from opening the files to the last checkpoint. */
struct run {
    const struct nc_train_options *options;
    const struct nc_config *config;
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_examples examples;
    bool *trainable;
    struct nc_arena *arena;
    struct nc_step *step;
    struct nc_metrics *metrics;
    struct nc_progress *progress;
    char *config_text;
    int lock; /* on the run folder, or -1 */
    uint32_t *order; /* [training_count] this epoch's */
    uint64_t batches; /* of an epoch */
    struct nc_position at; /* of the steps that are collected; drained before it is saved */
    struct submitted submitted[NC_STEPS_IN_FLIGHT];
    double last_loss, last_collected; /* loss, time */
    double captions_done; /* in this call */
    double started;
};

/* ---- Opening ----------------------------------------------------------------------------- */

static void report_examples(const struct run *run)
{
    const struct nc_examples *e = &run->examples;
    fprintf(stderr, "%zu captions: %zu to train on, %zu held out", e->captions_in_file,
            e->training_count, e->validation_count);
    if (e->without_embedding)
        fprintf(stderr, "; %zu left out, their pictures are not in the store", e->without_embedding);
    if (e->skipped_too_long)
        fprintf(stderr, "; %zu left out, too long", e->skipped_too_long);
    if (e->truncated)
        fprintf(stderr, "; %zu truncated, of which %zu lost their negation word", e->truncated,
                e->negation_lost);
    fprintf(stderr, "\n");
}

static int open_inputs(struct run *run)
{
    const struct nc_train_options *o = run->options;
    int status = nc_ops_create(o->device, o->device_number, &run->ops);
    if (status == NC_OK)
        status = nc_model_open(o->model_folder, &run->model);
    if (status == NC_OK)
        status = nc_trainable_parse((const char *const *)run->config->trainable,
                                    run->config->trainable_count, nc_model_table(run->model),
                                    nc_model_shape(run->model), &run->trainable);
    if (status == NC_OK)
        status = nc_examples_load(run->model, run->config, o->captions, o->embeddings, &run->examples);
    if (status == NC_OK)
        status = nc_config_text(run->config, &run->config_text);
    if (status != NC_OK)
        return status;
    size_t count = run->examples.training_count, batch = (size_t)run->config->batch_size;
    run->batches = run->config->drop_last ? count / batch : (count + batch - 1) / batch;
    if (!run->batches)
        return nc_error(NC_BAD_INPUT, "train: %zu captions do not fill one batch of %zu, and drop_last "
                        "leaves a partial one out", count, batch);
    run->order = malloc(count * sizeof *run->order);
    return run->order ? NC_OK : nc_error(NC_FAILED, "train: no memory");
}

static int plan_memory(struct run *run, struct nc_train_result *result)
{
    int status = nc_arena_create(&run->arena);
    if (status == NC_OK)
        status = nc_step_create(run->ops, nc_model_shape(run->model), nc_model_table(run->model),
                                run->config, run->trainable, &run->examples, run->arena, &run->step);
    if (status == NC_OK)
        status = nc_arena_commit(run->arena, run->ops);
    if (status != NC_OK)
        return status;
    result->planned_bytes = nc_arena_bytes(run->arena);
    if (!run->options->quiet) {
        nc_trainable_print(nc_model_table(run->model), run->trainable, stderr);
        fprintf(stderr, "\n");
        nc_arena_print(run->arena, stderr);
        fprintf(stderr, "\n");
    }
    return NC_OK;
}

static int load_base(struct run *run)
{
    float *host = malloc(nc_model_table(run->model)->tower_elements[NC_TOWER_TEXT] * sizeof *host);
    if (!host)
        return nc_error(NC_FAILED, "train: no memory");
    int status = nc_model_load(run->model, NC_TOWER_TEXT, host);
    if (status == NC_OK)
        status = nc_step_set_parameters(run->step, host);
    free(host);
    run->at = (struct nc_position){.best_validation_loss = INFINITY};
    return status;
}

static int start(struct run *run)
{
    const char *folder = run->options->run_folder;
    char *last = nc_path_join(folder, "last"), *config = nc_path_join(folder, "config.yaml");
    int status = last && config ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    bool there = status == NC_OK && nc_folder_exists(last);
    if (status == NC_OK && there && !run->options->resume)
        status = nc_error(NC_BAD_INPUT, "%s: holds a run already; --resume continues it, or choose another --out",
                          folder);
    if (status == NC_OK)
        status = nc_folder_create(folder);
    if (status == NC_OK)
        status = nc_folder_lock(folder, "training", &run->lock);
    if (status == NC_OK)
        status = nc_checkpoint_clear(folder);
    if (status == NC_OK)
        status = there ? nc_checkpoint_load(folder, run->step, &run->examples, run->config_text, &run->at)
                       : load_base(run);
    /* A kill after an epoch's last/ may have come before its best/. */
    bool epoch_saved = there && !run->at.batch && run->at.epoch;
    if (status == NC_OK && epoch_saved &&
        (!run->examples.validation_count || run->at.best_epoch == run->at.epoch))
        status = nc_checkpoint_promote(folder);
    if (status == NC_OK)
        status = nc_config_write(run->config, config);
    if (status == NC_OK)
        status = nc_metrics_open(folder, run->at.step, &run->metrics);
    free(last);
    free(config);
    return status;
}

/* ---- The loop ------------------------------------------------------------------------------ */

static int save(struct run *run)
{
    int status = nc_metrics_flush(run->metrics);
    return status == NC_OK ? nc_checkpoint_save(run->options->run_folder, run->model, run->step,
                                                &run->examples, run->config_text, &run->at)
                           : status;
}

static size_t batch_size_at(const struct run *run, size_t total, uint64_t batch)
{
    size_t size = (size_t)run->config->batch_size, start = (size_t)batch * size;
    return total - start < size ? total - start : size;
}

static int submit(struct run *run, uint64_t number, uint64_t batch)
{
    const struct nc_position *at = &run->at;
    size_t start = (size_t)(batch * run->config->batch_size);
    size_t count = batch_size_at(run, run->examples.training_count, batch);
    double rate = nc_learning_rate(run->config, number - 1, run->batches * run->config->epochs);
    run->submitted[number % NC_STEPS_IN_FLIGHT] = (struct submitted){
        number, at->epoch + 1, count,
        (size_t)at->epoch * run->examples.training_count + start + count, rate};
    return nc_step_submit(run->step, &run->examples, run->order + start, count, number, rate);
}

static int collect(struct run *run)
{
    struct nc_position *at = &run->at;
    struct nc_step_result result;
    int status = nc_step_collect(run->step, &result);
    if (status != NC_OK)
        return status;
    double now = nc_seconds(), seconds = now - run->last_collected;
    const struct submitted *s = &run->submitted[++at->step % NC_STEPS_IN_FLIGHT];
    run->last_collected = now;
    run->last_loss = result.loss;
    run->captions_done += (double)s->captions;
    at->batch++;
    at->epoch_loss += result.loss;
    struct nc_metric values[] = {{"epoch", (double)s->epoch},
                                 {"loss", result.loss},
                                 {"logit_scale", result.logit_scale},
                                 {"learning_rate", s->rate},
                                 {"gradient_norm", result.gradient_norm},
                                 {"captions_per_second", (double)s->captions / seconds}};
    status = nc_metrics_write(run->metrics, "train", at->step, values, sizeof values / sizeof *values);
    char note[96];
    snprintf(note, sizeof note, "epoch %llu/%llu  loss %.4f", (unsigned long long)s->epoch,
             (unsigned long long)run->config->epochs, result.loss);
    nc_progress_update(run->progress, s->done, note);
    return status;
}

/* The rest of the epoch, or up to a signal. A backend with queues computes one step while the
 * next is laid out; nothing is in flight when this returns. */
static int train_batches(struct run *run)
{
    size_t ahead = run->ops->host_memory ? 0 : NC_STEPS_IN_FLIGHT - 1;
    uint64_t number = run->at.step, batch = run->at.batch;
    int status = NC_OK;
    run->last_collected = nc_seconds();
    while (status == NC_OK && batch < run->batches && !nc_signals_stop()) {
        status = submit(run, ++number, batch++);
        while (status == NC_OK && nc_step_pending(run->step) > ahead)
            status = collect(run);
    }
    while (status == NC_OK && nc_step_pending(run->step))
        status = collect(run);
    return status;
}

/* The mean loss of the held-out captions, each batch weighted by its captions. */
static int validate(struct run *run, double *mean)
{
    size_t total = run->examples.validation_count, size = (size_t)run->config->batch_size;
    double sum = 0, loss;
    for (size_t start = 0; start < total; start += size) {
        size_t count = total - start < size ? total - start : size;
        int status = nc_step_evaluate(run->step, &run->examples, run->examples.validation + start,
                                      count, &loss);
        if (status != NC_OK)
            return status;
        sum += loss * (double)count;
    }
    *mean = sum / (double)total;
    return NC_OK;
}

/* The end of an epoch: validation, both checkpoints. */
static int end_epoch(struct run *run)
{
    struct nc_position *at = &run->at;
    double train_loss = at->epoch_loss / (double)run->batches, validation_loss = NAN;
    bool best = !run->examples.validation_count; /* without validation the last is the best */
    uint64_t epoch = at->epoch + 1;
    if (run->examples.validation_count) {
        int status = validate(run, &validation_loss);
        if (status != NC_OK)
            return status;
        if (!isfinite(validation_loss))
            return nc_error(NC_FAILED, "epoch %llu: the validation loss is not finite",
                            (unsigned long long)epoch);
        best = validation_loss < at->best_validation_loss;
        if (best) {
            at->best_validation_loss = validation_loss;
            at->best_epoch = epoch;
        }
        struct nc_metric values[] = {{"epoch", (double)epoch}, {"validation_loss", validation_loss}};
        status = nc_metrics_write(run->metrics, "validation", at->step, values, 2);
        if (status != NC_OK)
            return status;
    }
    if (run->examples.validation_count)
        nc_progress_message(run->progress, "epoch %llu: loss %.4f, validation loss %.4f%s",
                            (unsigned long long)epoch, train_loss, validation_loss,
                            best ? ", the best so far" : "");
    else
        nc_progress_message(run->progress, "epoch %llu: loss %.4f", (unsigned long long)epoch, train_loss);
    at->epoch++;
    at->batch = 0;
    at->epoch_loss = 0;
    int status = save(run);
    return status == NC_OK && best ? nc_checkpoint_promote(run->options->run_folder) : status;
}

static int stopped(struct run *run)
{
    int status = save(run);
    if (status != NC_OK)
        return status;
    return nc_error(NC_FAILED, "stopped by a signal after step %llu; the checkpoint is in %s/last, and "
                    "the same command with --resume goes on", (unsigned long long)run->at.step,
                    run->options->run_folder);
}

static int loop(struct run *run)
{
    while (run->at.epoch < run->config->epochs) {
        nc_examples_order(&run->examples, run->config->seed, run->at.epoch, run->order);
        int status = train_batches(run);
        if (status == NC_OK && nc_signals_stop())
            return stopped(run);
        if (status == NC_OK)
            status = end_epoch(run);
        if (status != NC_OK)
            return status;
        if (nc_signals_stop() && run->at.epoch < run->config->epochs)
            return stopped(run);
    }
    return nc_metrics_flush(run->metrics);
}

static void fill_result(const struct run *run, struct nc_train_result *result)
{
    result->steps = run->at.step;
    result->last_loss = run->last_loss;
    result->epochs = run->at.epoch;
    result->best_epoch = run->at.best_epoch;
    result->best_validation_loss = run->at.best_validation_loss;
    result->seconds = nc_seconds() - run->started;
    result->captions_per_second = run->captions_done / result->seconds;
    result->peak_bytes = nc_process_peak_bytes();
}

int nc_train(const struct nc_train_options *options, struct nc_train_result *result)
{
    struct run run = {.options = options, .config = options->config, .lock = -1};
    *result = (struct nc_train_result){0};
    nc_signals_catch();
    int status = open_inputs(&run);
    if (status == NC_OK && !options->quiet)
        report_examples(&run);
    if (status == NC_OK)
        status = plan_memory(&run, result);
    if (status == NC_OK)
        status = start(&run);
    if (status == NC_OK) {
        size_t total = run.examples.training_count * (size_t)run.config->epochs;
        size_t done = run.examples.training_count * (size_t)run.at.epoch +
                      (size_t)(run.at.batch * run.config->batch_size);
        if (!options->quiet)
            run.progress = nc_progress_start("train", "captions", done, total);
        run.started = nc_seconds();
        status = loop(&run);
        nc_progress_finish(run.progress);
        fill_result(&run, result);
    }
    nc_metrics_close(run.metrics);
    if (run.lock >= 0)
        close(run.lock);
    nc_step_destroy(run.step);
    nc_arena_destroy(run.arena);
    nc_examples_free(&run.examples);
    free(run.order);
    free(run.config_text);
    free(run.trainable);
    nc_model_close(run.model);
    nc_ops_destroy(run.ops);
    nc_signals_release();
    return status;
}
