/* Opens captions or a prepared set, and hands out batches (source.h). */
#include "source.h"

#include "examples/pool.h"
#include "examples/whole.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/process.h"
#include "nclip/tokenizer/tokenizer.h"

#include <stdlib.h>

enum { SAMPLE = 64 }; /* batches, to plan memory by */

/* ---- The pool ------------------------------------------------------------------------------ */

/* Least that is tried where nearly all memory is taken. */
#define LEAST_POOL ((uint64_t)64 << 20)

/* What the run had that goes on; 0: it is a new one. */
static int pool_of_run(const struct nc_train_options *options, uint64_t *bytes)
{
    char *path = nc_path_join(options->run_folder, "config.yaml");
    struct nc_config *saved = NULL;
    int status = path ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    if (status == NC_OK && options->resume && nc_file_exists(path))
        status = nc_config_load(path, NULL, 0, &saved);
    if (saved)
        *bytes = saved->pool_bytes;
    nc_config_free(saved);
    free(path);
    return status;
}

/* *before: what the run had that goes on, or 0. */
static int resolve_pool(const struct nc_train_options *options, struct nc_config *config,
                        struct nc_communicator *ranks, uint64_t *before)
{
    uint64_t bytes[2] = {config->pool_bytes, 0};
    int status = NC_OK;
    if (!ranks || ranks->rank == 0)
        status = pool_of_run(options, &bytes[1]);
    if (!bytes[0])
        bytes[0] = bytes[1];
    if (status == NC_OK && !bytes[0]) {
        bytes[0] = nc_process_free_bytes() / 4;
        bytes[0] = bytes[0] < LEAST_POOL ? LEAST_POOL : bytes[0];
    }
    if (status == NC_OK && ranks)
        status = nc_communicator_share(ranks, bytes, sizeof bytes);
    config->pool_bytes = bytes[0];
    *before = bytes[1];
    return status;
}

static uint64_t set_bytes(const struct nc_source *source)
{
    uint64_t bytes = 0;
    struct nc_losses losses;
    nc_losses_of(source->config, &losses);
    for (size_t b = 0; b < nc_set_blocks(source->set); b++)
        bytes += nc_pool_block_bytes(source->set, source->store, losses.roles, b);
    return bytes;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static int open_store(const struct nc_train_options *options, struct nc_source *source)
{
    const char *path = options->embeddings ? options->embeddings : nc_set_info(source->set)->store;
    if (!options->embeddings && !nc_folder_exists(path))
        return nc_error(NC_BAD_INPUT,
                        "%s: the store of the set %s is not there; --embeddings names it where it "
                        "has moved",
                        path, options->examples);
    return nc_embedding_store_open(path, &source->store);
}

static int expect(const struct nc_train_options *options, const struct nc_model *model,
                  const struct nc_source *source)
{
    char hash[17];
    const struct nc_model_shape *shape = nc_model_shape(model);
    struct nc_tokenizer *tokenizer = NULL;
    int status = nc_model_vision_hash(model, hash);
    if (status == NC_OK)
        status = nc_tokenizer_load(nc_model_folder(model), NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status == NC_OK)
        status = nc_embedding_store_expect(source->store, hash, shape->embedding);
    const struct nc_set_info has = {
        .store = nc_embedding_store_folder(source->store),
        .store_fingerprint = nc_embedding_store_fingerprint(source->store), .model_hash = hash,
        .dimension = shape->embedding, .vocabulary = shape->vocabulary, .context = shape->context,
        .tokenizer = tokenizer ? nc_tokenizer_fingerprint(tokenizer) : 0};
    nc_tokenizer_destroy(tokenizer);
    if (status == NC_OK)
        status = nc_set_expect(source->set, &has);
    if (status == NC_OK && nc_set_blocks(source->set) != nc_embedding_store_blocks(source->store))
        status = nc_error(NC_BAD_INPUT,
                          "%s: has %zu blocks and its store %zu: it was prepared for another store",
                          options->examples, nc_set_blocks(source->set),
                          nc_embedding_store_blocks(source->store));
    return status;
}

static int open_set(const struct nc_train_options *options, struct nc_config *config,
                    const struct nc_model *model, struct nc_communicator *ranks,
                    struct nc_source *source)
{
    uint64_t before = 0;
    int status = nc_set_open(options->examples, &source->set);
    if (status == NC_OK)
        status = open_store(options, source);
    if (status == NC_OK)
        status = expect(options, model, source);
    if (status == NC_OK)
        status = resolve_pool(options, config, ranks, &before);
    if (status != NC_OK)
        return status;
    if (set_bytes(source) <= config->pool_bytes) {
        struct nc_embedding_store *store = source->store;
        source->store = NULL; /* goes over to the examples */
        return nc_examples_from_set(source->set, store, config, &source->held);
    }
    if (before && before != config->pool_bytes)
        return nc_error(NC_BAD_INPUT,
                        "%s: pool_bytes is %llu, and was %llu when the run began: the order of a set "
                        "that is streamed depends on it; leave it out, and the run goes on with its "
                        "own",
                        options->run_folder, (unsigned long long)config->pool_bytes,
                        (unsigned long long)before);
    status = nc_feed_create(source->set, source->store, config, ranks ? ranks->rank : 0,
                            ranks ? ranks->size : 1, &source->feed);
    if (status == NC_OK)
        nc_feed_watch(source->feed, ranks);
    return status;
}

/* Whether some example has a text of the role. */
static bool has_role(const struct nc_source *source, int role)
{
    size_t count = 0;
    if (source->feed)
        return nc_set_info(source->set)->roles & 1u << role;
    for (size_t i = 0; i < source->held.count && !count; i++)
        (void)nc_examples_text(&source->held, role, (uint32_t)i, &count);
    return count > 0;
}

/* A term over texts of a role would train nothing without one. */
static int check_roles(const struct nc_train_options *options, const struct nc_source *source)
{
    const char *data = options->examples ? options->examples : options->captions[0];
    struct nc_losses losses;
    nc_losses_of(source->config, &losses);
    if (losses.keeps && source->feed)
        return nc_error(NC_BAD_INPUT,
                        "%s: preserve keeps the features of all captions, and this set is streamed; "
                        "a pool_bytes that holds the set lets it be kept", data);
    for (size_t i = 0; i < losses.term_count; i++) {
        const struct nc_loss_term *term = &losses.terms[i];
        bool own = !nc_term_is_grid(term) && term->texts;
        if (own && !has_role(source, (int)term->text[0]))
            return nc_error(NC_BAD_INPUT, "%s: %s is made of texts of the role %s, and no caption has "
                            "one", data, nc_term_name(term->kind), nc_text_role_name(term->text[0]));
    }
    return NC_OK;
}

int nc_source_open(const struct nc_train_options *options, struct nc_config *config,
                   const struct nc_model *model, struct nc_communicator *ranks,
                   struct nc_source *source)
{
    *source = (struct nc_source){.config = config};
    if (options->examples && config->source_count)
        return nc_error(NC_USAGE, "train: sources draws from several files of --captions, and --examples is "
                        "a set; leave sources empty");
    int status = options->examples
                     ? open_set(options, config, model, ranks, source)
                     : nc_examples_load(model, config, options->captions, options->caption_count,
                                        options->embeddings, &source->held);
    if (status == NC_OK && source->feed) {
        source->examples = nc_feed_examples(source->feed);
        source->training_count = nc_feed_training_count(source->feed);
        source->validation_count = nc_feed_validation_count(source->feed);
        source->fingerprint = nc_feed_fingerprint(source->feed);
    } else if (status == NC_OK) {
        source->examples = &source->held;
        source->training_count = source->held.training_count;
        source->validation_count = source->held.validation_count;
        source->fingerprint = source->held.fingerprint;
        source->order = malloc((source->training_count + 1) * sizeof *source->order);
        status = source->order ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    }
    if (status == NC_OK)
        status = check_roles(options, source);
    if (status != NC_OK)
        nc_source_close(source);
    return status;
}

void nc_source_close(struct nc_source *source)
{
    nc_feed_destroy(source->feed);
    nc_examples_free(&source->held);
    nc_embedding_store_close(source->store);
    nc_set_close(source->set);
    free(source->order);
    *source = (struct nc_source){0};
}

static void report_held(const struct nc_config *config, const struct nc_examples *e, FILE *out)
{
    fprintf(out, "%zu captions: %zu to train on, %zu held out", e->captions_in_file,
            e->training_count, e->validation_count);
    if (e->without_embedding)
        fprintf(out, "; %zu left out, their pictures are not in the store", e->without_embedding);
    if (e->without_roles) {
        struct nc_losses losses;
        char needs[200];
        nc_losses_of(config, &losses);
        fprintf(out, "; %zu left out, without %s", e->without_roles,
                nc_losses_needs(&losses, needs, sizeof needs));
    }
    if (e->skipped_too_long)
        fprintf(out, "; %zu left out, too long", e->skipped_too_long);
    if (e->malformed)
        fprintf(out, "; %zu left out, not readable", e->malformed);
    if (e->truncated)
        fprintf(out, "; %zu truncated, of which %zu lost their negation word", e->truncated,
                e->negation_lost);
    fprintf(out, "\n");
}

void nc_source_report(const struct nc_source *source, const struct nc_model_shape *shape, FILE *out)
{
    if (nc_shape_is_padded(shape))
        fprintf(out, "this text tower reads padding: every caption takes all %zu places, and packing "
                     "saves nothing\n", shape->context);
    if (!source->feed) {
        report_held(source->config, &source->held, out);
        return;
    }
    fprintf(out, "%llu examples: %llu to train on, %llu held out; streamed through a pool of "
                 "%.2f GiB, read by %s\n",
            (unsigned long long)nc_set_info(source->set)->examples,
            (unsigned long long)source->training_count,
            (unsigned long long)source->validation_count,
            (double)source->config->pool_bytes / 0x1p30, nc_feed_report(source->feed).reader);
}

/* ---- Batches ------------------------------------------------------------------------------- */

int nc_source_start(struct nc_source *source, uint64_t epoch, uint64_t position)
{
    return source->feed ? nc_feed_start(source->feed, epoch, position) : NC_OK;
}

void nc_source_begin_epoch(struct nc_source *source, uint64_t epoch)
{
    if (!source->feed)
        nc_examples_order(&source->held, source->config->seed, epoch, source->order);
}

int nc_source_sample(struct nc_source *source, uint64_t epoch, const uint32_t **list,
                     size_t *count)
{
    uint64_t most = SAMPLE * source->config->batch_size;
    if (source->feed)
        return nc_feed_sample(source->feed, list, count);
    nc_source_begin_epoch(source, epoch);
    *list = source->order;
    *count = (size_t)(source->training_count < most ? source->training_count : most);
    return NC_OK;
}

int nc_source_take(struct nc_source *source, uint64_t position, size_t count,
                   const uint32_t **list)
{
    if (source->feed)
        return nc_feed_take(source->feed, position, count, list);
    *list = (source->validating ? source->held.validation : source->order) + position;
    return NC_OK;
}

void nc_source_done(struct nc_source *source, uint64_t position)
{
    if (source->feed)
        nc_feed_done(source->feed, position);
}

void nc_source_begin_validation(struct nc_source *source)
{
    source->validating = true;
    if (source->feed)
        nc_feed_turn(source->feed);
}

void nc_source_end_epoch(struct nc_source *source)
{
    source->validating = false;
    if (source->feed)
        nc_feed_turn(source->feed);
}

void nc_source_tell_waiting(struct nc_source *source, struct nc_progress *progress, double seconds)
{
    if (!source->feed || source->told_waiting)
        return;
    struct nc_feed_report report = nc_feed_report(source->feed);
    double megabytes = (double)report.bytes / 1e6;
    if (report.waited < 1 || report.waited < 0.01 * seconds || !(report.reading > 0))
        return;
    source->told_waiting = true;
    nc_progress_message(progress,
                        "the steps wait for the disk: they need %.1f MB/s, and it brings %.1f MB/s "
                        "(read by %s)",
                        megabytes / (seconds - report.waited), megabytes / report.reading,
                        report.reader);
}

int nc_source_sum_reading(const struct nc_source *source, struct nc_communicator *ranks,
                          double *waited, double *bytes)
{
    struct nc_feed_report report = nc_feed_report(source->feed);
    double sums[] = {report.waited, (double)report.bytes};
    int status = ranks ? nc_communicator_sum(ranks, sums, 2) : NC_OK;
    *waited = sums[0] / (double)(ranks ? ranks->size : 1);
    *bytes = sums[1];
    return status;
}

int nc_source_check(const struct nc_source *source)
{
    return nc_embedding_store_check(source->feed ? source->store : source->held.store);
}
