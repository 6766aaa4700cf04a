/* A training run: opens its inputs, steps through its epochs, validates, saves and resumes. */
#include "nclip/train/train.h"

#include "checkpoint.h"
#include "metrics.h"
#include "source.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/process.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* Examples of a set, in all epochs, whose batches are all looked at before the first step: seconds. */
enum { LOOKED_AT = 1000000 };

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
    struct nc_communicator *ranks; /* for the memory of ops; NULL: alone */
    bool first;                    /* the rank that writes and speaks */
    struct nc_model *model;
    struct nc_config resolved; /* options->config, with what was found out: pool_bytes */
    struct nc_source source;
    bool *trainable;
    struct nc_arena *arena;
    struct nc_step *step;
    struct nc_metrics *metrics;
    struct nc_progress *progress;
    char *config_text;
    int lock; /* on the run folder, or -1 */
    bool made_folder; /* by this call */
    uint64_t batches; /* of an epoch */
    struct nc_position at; /* of the steps that are collected; drained before it is saved */
    struct submitted submitted[NC_STEPS_IN_FLIGHT];
    double last_loss, last_collected; /* loss, time */
    double captions_done; /* in this call */
    double started;
    bool stopped; /* by a signal */
    bool sampled; /* not all batches were looked at: one may not fit */
    bool told_outgrown; /* it is said once */
};

/* ---- Ranks ------------------------------------------------------------------------------- */

/* Whether any rank has been told to stop: all hear of it at the same step. */
static int told_to_stop(const struct run *run, bool *stop)
{
    double told = nc_signals_stop();
    int status = run->ranks ? nc_communicator_sum(run->ranks, &told, 1) : NC_OK;
    *stop = told > 0;
    if (*stop)
        nc_signals_pass_on();
    return status;
}

/* Every rank must have read what rank 0 has. */
static int compare_inputs(const struct run *run)
{
    if (!run->ranks)
        return NC_OK;
    const uint64_t own[2] = {run->source.fingerprint,
                             XXH64(run->config_text, strlen(run->config_text), 0)};
    uint64_t first[2] = {own[0], own[1]};
    int status = nc_communicator_share(run->ranks, first, sizeof first);
    if (status == NC_OK && (first[0] != own[0] || first[1] != own[1]))
        status = nc_error(NC_BAD_INPUT, "its %s are not those of rank 0 on another host",
                          first[0] != own[0] ? "captions or embeddings" : "config's values");
    return status;
}

static int join(struct run *run)
{
    struct nc_communicator *base = run->options->ranks;
    if (!base)
        return NC_OK;
    nc_communicator_set_timeout(base, run->config->rank_timeout);
    base->deterministic = run->config->deterministic;
    int status = nc_communicator_for(base, run->ops, &run->ranks);
    if (status == NC_OK)
        run->ranks->deterministic = run->config->deterministic;
    if (status == NC_OK && !run->options->quiet)
        fprintf(stderr, "%zu ranks over %s\n", run->ranks->size, run->ranks->name);
    return status;
}

/* ---- Opening ----------------------------------------------------------------------------- */

/* A sigmoid loss has a bias, which begins at -10 (Zhai et al. 2023). */
static int add_bias(struct run *run)
{
    struct nc_losses losses;
    nc_losses_of(run->config, &losses);
    return losses.sigmoid ? nc_model_add_logit_bias(run->model, -10) : NC_OK;
}

static int open_inputs(struct run *run)
{
    const struct nc_train_options *o = run->options;
    int status = nc_ops_create(o->device, o->device_number, &run->ops);
    if (status == NC_OK)
        status = join(run);
    if (status == NC_OK)
        status = nc_model_open(o->model_folder, &run->model);
    if (status == NC_OK)
        status = add_bias(run);
    if (status == NC_OK)
        status = nc_trainable_parse((const char *const *)run->config->trainable,
                                    run->config->trainable_count, nc_model_table(run->model),
                                    nc_model_shape(run->model), &run->trainable);
    if (status == NC_OK)
        status = nc_source_open(o, &run->resolved, run->model, run->ranks, &run->source);
    if (status == NC_OK)
        status = nc_config_text(run->config, &run->config_text);
    if (status == NC_OK)
        status = compare_inputs(run);
    if (status != NC_OK)
        return status;
    uint64_t count = run->source.training_count, batch = run->config->batch_size;
    run->batches = run->config->drop_last ? count / batch : (count + batch - 1) / batch;
    if (!run->batches)
        return nc_error(NC_BAD_INPUT,
                        "train: %llu captions do not fill one batch of %llu, and drop_last "
                        "leaves a partial one out",
                        (unsigned long long)count, (unsigned long long)batch);
    return NC_OK;
}

/* From all batches of the run; of a stream, from those that come first. `least`: of a step that one
 * of them did not fit into, which takes its place; or NULL. */
static int create_step(struct run *run, const uint32_t *list, size_t count,
                       const struct nc_step_need *least)
{
    const struct nc_model_shape *shape = nc_model_shape(run->model);
    const struct nc_parameter_table *table = nc_model_table(run->model);
    const struct nc_source *source = &run->source;
    uint64_t largest = source->training_count > source->validation_count
                           ? source->training_count : source->validation_count;
    struct nc_step_sample sample = {
        .examples = source->examples, .list = list, .count = count, .margin = 15, .least = least,
        .batch = (size_t)(run->config->batch_size < largest ? run->config->batch_size : largest)};
    int status = nc_arena_create(&run->arena);
    if (status == NC_OK)
        status = run->sampled
                     ? nc_step_create_sampled(run->ops, shape, table, run->config, run->trainable,
                                              &sample, run->ranks, run->arena, &run->step)
                     : nc_step_create(run->ops, shape, table, run->config, run->trainable,
                                      source->examples, run->ranks, run->arena, &run->step);
    return status == NC_OK ? nc_arena_commit(run->arena, run->ops) : status;
}

static int plan_memory(struct run *run, struct nc_train_result *result)
{
    const uint32_t *list = NULL;
    size_t count = 0;
    uint64_t all = run->source.training_count * run->config->epochs;
    run->sampled = run->source.feed || (run->options->examples && all > LOOKED_AT);
    int status = run->sampled
                     ? nc_source_sample(&run->source, run->at.epoch, &list, &count) : NC_OK;
    if (status == NC_OK)
        status = create_step(run, list, count, NULL);
    if (status != NC_OK)
        return status;
    result->planned_bytes = nc_arena_bytes(run->arena) + run->ops->own_bytes;
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
    return status;
}

/* Whether there is a checkpoint to go on from. */
static int open_folder(struct run *run, bool *there)
{
    const char *folder = run->options->run_folder;
    char *last = nc_path_join(folder, "last");
    int status = last ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    /* What a kill left half-published is recovered before it is asked for. */
    bool missing = status == NC_OK && !run->options->resume && !nc_folder_exists(folder);
    if (status == NC_OK && !run->options->resume)
        status = nc_folder_create(folder);
    if (status == NC_OK && nc_folder_exists(folder)) {
        status = nc_folder_lock(folder, "training", &run->lock);
        /* Behind the lock: another process may have made it, and its run is not ours to remove. */
        run->made_folder = status == NC_OK && missing && nc_folder_is_empty(folder);
        if (status == NC_OK)
            status = nc_checkpoint_recover(folder);
    }
    *there = status == NC_OK && nc_folder_exists(last);
    if (status == NC_OK && *there && !run->options->resume)
        status = nc_error(NC_BAD_INPUT,
                          "%s: holds a run already; --resume continues it, or choose another --out",
                          folder);
    if (status == NC_OK && !*there && run->options->resume)
        status = nc_error(NC_BAD_INPUT,
                          "%s: nothing to resume: it holds no checkpoint (last/); the same command "
                          "without --resume begins a run there",
                          folder);
    if (status == NC_OK)
        status = nc_checkpoint_clear(folder);
    free(last);
    return status;
}

/* Where the run begins, and reading from there on. */
static int find_place(struct run *run, bool *there)
{
    int status = run->first ? open_folder(run, there) : NC_OK;
    run->at = (struct nc_position){.best_validation_loss = INFINITY};
    if (status == NC_OK && run->first && *there)
        status = nc_checkpoint_position(run->options->run_folder, run->source.fingerprint,
                                        run->config_text, &run->at);
    if (status == NC_OK && run->ranks)
        status = nc_communicator_share(run->ranks, there, sizeof *there);
    if (status == NC_OK && run->ranks)
        status = nc_communicator_share(run->ranks, &run->at, sizeof run->at);
    return status == NC_OK ? nc_source_start(&run->source, run->at.epoch,
                                             run->at.batch * run->config->batch_size)
                           : status;
}

static int start(struct run *run, bool there)
{
    const char *folder = run->options->run_folder;
    char *config = nc_path_join(folder, "config.yaml");
    int status = config ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    if (status == NC_OK && (!there || run->step->losses.keeps))
        status = load_base(run);
    if (status == NC_OK)
        status = nc_step_keep_base(run->step, run->source.examples);
    if (status == NC_OK && there)
        status = nc_checkpoint_load(folder, run->step, run->source.fingerprint, run->config_text,
                                    &run->at);
    if (!run->first) {
        free(config);
        return status;
    }
    /* A kill after an epoch's last/ may have come before its best/. */
    bool epoch_saved = there && !run->at.batch && run->at.epoch;
    if (status == NC_OK && epoch_saved &&
        (!run->source.validation_count || run->at.best_epoch == run->at.epoch))
        status = nc_checkpoint_promote(folder);
    if (status == NC_OK)
        status = nc_config_write(run->config, config);
    if (status == NC_OK)
        status = nc_metrics_open(folder, run->at.step, &run->metrics);
    free(config);
    return status;
}

/* ---- The loop ------------------------------------------------------------------------------ */

static int save(struct run *run)
{
    int status = run->first ? nc_metrics_flush(run->metrics) : NC_OK;
    /* Weights that were trained on other rows than those of the start are not kept. */
    if (status == NC_OK)
        status = nc_source_check(&run->source);
    return status == NC_OK ? nc_checkpoint_save(run->options->run_folder, run->model, run->step,
                                                run->source.fingerprint, run->config_text,
                                                &run->at)
                           : status;
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
    nc_source_done(&run->source, at->batch * run->config->batch_size);
    if (run->first)
        nc_source_tell_waiting(&run->source, run->progress, now - run->started);
    at->epoch_loss += result.loss;
    if (!run->first)
        return NC_OK;
    struct nc_metric values[] = {{"epoch", (double)s->epoch},
                                 {"loss", result.loss},
                                 {"logit_scale", result.logit_scale},
                                 {"learning_rate", s->rate},
                                 {"gradient_norm", result.gradient_norm},
                                 {"captions_per_second", (double)s->captions / seconds}};
    status =
        nc_metrics_write(run->metrics, "train", at->step, values, sizeof values / sizeof *values);
    char note[96];
    snprintf(note, sizeof note, "epoch %llu/%llu  loss %.4f", (unsigned long long)s->epoch,
             (unsigned long long)run->config->epochs, result.loss);
    nc_progress_update(run->progress, s->done, note);
    return status;
}

/* The step is made anew, with room for a batch that it has none for: the same bits. */
static int outgrow(struct run *run, const uint32_t *list, size_t count)
{
    struct nc_step_state state = {0};
    int status = NC_OK;
    while (status == NC_OK && nc_step_pending(run->step))
        status = collect(run);
    if (status == NC_OK)
        status = nc_step_take_state(run->step, &state);
    if (status == NC_OK) {
        struct nc_step_need need = run->step->need;
        nc_step_destroy(run->step);
        nc_arena_destroy(run->arena);
        run->step = NULL;
        run->arena = NULL;
        status = create_step(run, list, count, &need);
    }
    if (status == NC_OK)
        status = nc_step_put_state(run->step, &state);
    nc_step_state_free(&state);
    if (status == NC_OK && !run->told_outgrown)
        nc_progress_message(run->progress,
                            "a batch was larger than those that memory was planned for: planned "
                            "anew, %.2f MiB", (double)nc_arena_bytes(run->arena) / 0x1p20);
    run->told_outgrown = true;
    return status;
}

/* Examples of the epoch, or of the validation, that the step has room for. */
static int take(struct run *run, uint64_t position, size_t count, const uint32_t **list)
{
    bool fits = true;
    int status = nc_source_take(&run->source, position, count, list);
    if (status == NC_OK && run->sampled)
        status = nc_step_fits(run->step, run->source.examples, *list, count, &fits);
    return status == NC_OK && !fits ? outgrow(run, *list, count) : status;
}

static size_t batch_size_at(const struct run *run, uint64_t total, uint64_t start)
{
    uint64_t size = run->config->batch_size;
    return (size_t)(total - start < size ? total - start : size);
}

static int submit(struct run *run, uint64_t number, uint64_t batch)
{
    const struct nc_source *source = &run->source;
    uint64_t start = batch * run->config->batch_size, epoch = run->at.epoch;
    size_t count = batch_size_at(run, source->training_count, start);
    double rate = nc_learning_rate(run->config, number - 1, run->batches * run->config->epochs);
    const uint32_t *list;
    int status = take(run, start, count, &list);
    if (status != NC_OK)
        return status;
    run->submitted[number % NC_STEPS_IN_FLIGHT] = (struct submitted){
        number, epoch + 1, count, (size_t)(epoch * source->training_count + start + count), rate};
    return nc_step_submit(run->step, source->examples, list, count, number, rate);
}

/* The rest of the epoch, or up to a signal. A backend with queues computes one step while the
 * next is laid out; nothing is in flight when this returns. */
static int train_batches(struct run *run, bool *stop)
{
    size_t ahead = run->ops->host_memory ? 0 : NC_STEPS_IN_FLIGHT - 1;
    uint64_t number = run->at.step, batch = run->at.batch;
    int status = told_to_stop(run, stop);
    run->last_collected = nc_seconds();
    while (status == NC_OK && batch < run->batches && !*stop) {
        status = submit(run, ++number, batch++);
        while (status == NC_OK && nc_step_pending(run->step) > ahead)
            status = collect(run);
        if (status == NC_OK)
            status = told_to_stop(run, stop);
    }
    while (status == NC_OK && nc_step_pending(run->step))
        status = collect(run);
    return status;
}

/* The mean loss of the held-out captions, each batch weighted by its captions. */
static int validate(struct run *run, double *mean)
{
    uint64_t total = run->source.validation_count;
    const uint32_t *list;
    double sum = 0, loss;
    nc_source_begin_validation(&run->source);
    for (uint64_t start = 0; start < total; start += run->config->batch_size) {
        size_t count = batch_size_at(run, total, start);
        int status = take(run, start, count, &list);
        if (status == NC_OK)
            status = nc_step_evaluate(run->step, run->source.examples, list, count, &loss);
        if (status != NC_OK)
            return status;
        nc_source_done(&run->source, start + count);
        sum += loss * (double)count;
    }
    *mean = sum / (double)total;
    return NC_OK;
}

/* A line of the epoch's validation, and of its reading where it was streamed. */
static int note_epoch(struct run *run, uint64_t epoch, double validation_loss)
{
    struct nc_metric values[4] = {{"epoch", (double)epoch}};
    size_t count = 1;
    int status = NC_OK;
    if (run->source.validation_count)
        values[count++] = (struct nc_metric){"validation_loss", validation_loss};
    if (run->source.feed) {
        double waited, bytes;
        status = nc_source_sum_reading(&run->source, run->ranks, &waited, &bytes);
        values[count++] = (struct nc_metric){"waited_seconds", waited};
        values[count++] = (struct nc_metric){"read_bytes", bytes};
    }
    return status == NC_OK && run->first && count > 1
               ? nc_metrics_write(run->metrics, "validation", run->at.step, values, count)
               : status;
}

/* The end of an epoch: validation, both checkpoints. */
static int end_epoch(struct run *run)
{
    struct nc_position *at = &run->at;
    double train_loss = at->epoch_loss / (double)run->batches, validation_loss = NAN;
    bool validates = run->source.validation_count > 0;
    bool best = !validates; /* without validation the last is the best */
    uint64_t epoch = at->epoch + 1;
    int status = validates ? validate(run, &validation_loss) : NC_OK;
    if (status == NC_OK && validates && !isfinite(validation_loss))
        status = nc_error(NC_FAILED, "epoch %llu: the validation loss is not finite",
                          (unsigned long long)epoch);
    if (status != NC_OK)
        return status;
    if (validates && validation_loss < at->best_validation_loss) {
        best = true;
        at->best_validation_loss = validation_loss;
        at->best_epoch = epoch;
    }
    nc_source_end_epoch(&run->source);
    status = note_epoch(run, epoch, validation_loss);
    if (status != NC_OK)
        return status;
    if (validates)
        nc_progress_message(run->progress, "epoch %llu: loss %.4f, validation loss %.4f%s",
                            (unsigned long long)epoch, train_loss, validation_loss,
                            best ? ", the best so far" : "");
    else
        nc_progress_message(run->progress, "epoch %llu: loss %.4f", (unsigned long long)epoch,
                            train_loss);
    at->epoch++;
    at->batch = 0;
    at->epoch_loss = 0;
    status = save(run);
    return status == NC_OK && best && run->first ? nc_checkpoint_promote(run->options->run_folder)
                                                 : status;
}

static int stopped(struct run *run)
{
    int status = save(run);
    if (status != NC_OK)
        return status;
    run->stopped = true;
    return nc_error(NC_FAILED,
                    "stopped by a signal after step %llu; the checkpoint is in %s/last, and "
                    "the same command with --resume goes on",
                    (unsigned long long)run->at.step, run->options->run_folder);
}

static int loop(struct run *run)
{
    while (run->at.epoch < run->config->epochs) {
        nc_source_begin_epoch(&run->source, run->at.epoch);
        bool stop = false;
        int status = train_batches(run, &stop);
        if (status == NC_OK && stop)
            return stopped(run);
        if (status == NC_OK)
            status = end_epoch(run);
        if (status == NC_OK)
            status = told_to_stop(run, &stop);
        if (status != NC_OK)
            return status;
        if (stop && run->at.epoch < run->config->epochs)
            return stopped(run);
    }
    return run->first ? nc_metrics_flush(run->metrics) : NC_OK;
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
    result->streamed = run->source.feed != NULL;
}

/* Nothing was trained. The message stays that of what failed. */
static void leave_no_folder(const struct run *run)
{
    char *message = strdup(nc_error_message());
    if (message && nc_folder_remove(run->options->run_folder) != NC_OK)
        (void)nc_error(NC_FAILED, "%s", message);
    free(message);
}

int nc_train(const struct nc_train_options *options, struct nc_train_result *result)
{
    struct run run = {.options = options, .resolved = *options->config, .lock = -1,
                      .first = !options->ranks || options->ranks->rank == 0};
    bool there = false;
    double bytes = 0;
    run.config = &run.resolved;
    *result = (struct nc_train_result){0};
    nc_signals_catch();
    int status = open_inputs(&run);
    if (status == NC_OK && !options->quiet)
        nc_source_report(&run.source, nc_model_shape(run.model), stderr);
    if (status == NC_OK)
        status = find_place(&run, &there);
    if (status == NC_OK)
        status = plan_memory(&run, result);
    if (status == NC_OK)
        status = start(&run, there);
    if (status == NC_OK) {
        uint64_t count = run.source.training_count, total = count * run.config->epochs;
        uint64_t done = count * run.at.epoch + run.at.batch * run.config->batch_size;
        if (!options->quiet)
            run.progress = nc_progress_start("train", "captions", (size_t)done, (size_t)total);
        run.started = nc_seconds();
        status = loop(&run);
        nc_progress_finish(run.progress);
        fill_result(&run, result);
    }
    if (status == NC_OK && run.source.feed)
        status = nc_source_sum_reading(&run.source, run.ranks, &result->waited_seconds, &bytes);
    result->read_bytes = (uint64_t)bytes;
    result->stopped = run.stopped;
    nc_metrics_close(run.metrics);
    if (run.made_folder && status != NC_OK && !run.stopped && !run.at.step)
        leave_no_folder(&run);
    if (run.lock >= 0)
        close(run.lock);
    nc_step_destroy(run.step);
    nc_arena_destroy(run.arena);
    nc_source_close(&run.source);
    free(run.config_text);
    free(run.trainable);
    nc_model_close(run.model);
    if ((status == NC_OK || run.stopped) && run.ranks != options->ranks)
        nc_communicator_destroy(run.ranks);
    nc_ops_destroy(run.ops);
    nc_signals_release();
    return status;
}
