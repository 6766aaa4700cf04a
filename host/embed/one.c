/* One source: what the store lacks of it is embedded, in the source's order. */
#include "one.h"

#include "nclip/pictures/sidecar.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { FLUSH_SECONDS = 300 }; /* what a kill or a power cut may lose on a slow machine */

struct one {
    struct embed_job *job;
    const char *path;
    struct nc_image_source *source;
    size_t *todo, todo_count, next; /* indices in the source; those before `next` are fed */
    double flushed;
    _Atomic size_t embedded, skipped;
    /* the calling thread's */
    struct nc_progress *progress;
    size_t initial;
    struct embed_mark mark;
};

static char *key_of(const struct one *one, size_t index)
{
    const struct nc_embed_options *o = one->job->options;
    return embed_key(one->path, one->source, index, o->keys_by_path, o->key_prefix);
}

/* ---- the pipeline's callbacks ---- */

static int feed(void *context, struct embed_batch *batch, size_t most)
{
    struct one *one = context;
    batch->source = one->source;
    while (batch->count < most && one->next < one->todo_count)
        batch->slots[batch->count++].index = one->todo[one->next++];
    return NC_OK;
}

/* A row that the store's type cannot hold is the picture's failure, not the run's. */
static int append(struct one *one, const char *key, const float *row)
{
    struct nc_embedding_writer *writer = one->job->writer;
    int status = nc_embedding_writer_append(writer, key, row);
    one->embedded += status == NC_OK;
    if (status != NC_BAD_INPUT)
        return status;
    char *reason = strdup(nc_error_message());
    status = reason ? nc_embedding_writer_skip(writer, key, reason)
                    : nc_error(NC_FAILED, "embed: no memory");
    free(reason);
    return status;
}

static int store_slot(struct one *one, const struct embed_slot *slot, const char *key,
                      const float **row)
{
    struct nc_embedding_writer *writer = one->job->writer;
    if (slot->status == NC_BAD_INPUT)
        return nc_embedding_writer_skip(writer, key, slot->reason);
    if (slot->status != NC_OK)
        return nc_error(slot->status, "%s", slot->reason ? slot->reason : "embed: no memory");
    int status =
        slot->damage[0] ? nc_embedding_writer_note_damage(writer, key, slot->damage) : NC_OK;
    if (status == NC_OK)
        status = append(one, key, *row);
    *row += one->job->info.dimension;
    return status;
}

static int store(void *context, struct embed_batch *batch)
{
    struct one *one = context;
    const float *row = batch->features;
    int status = NC_OK;
    for (size_t i = 0; i < batch->count && status == NC_OK; i++) {
        char *key = key_of(one, batch->slots[i].index);
        status = key ? store_slot(one, &batch->slots[i], key, &row)
                     : nc_error(NC_FAILED, "embed: no memory");
        free(key);
    }
    one->skipped = nc_embedding_writer_skipped(one->job->writer);
    if (status == NC_OK && nc_seconds() - one->flushed > FLUSH_SECONDS) {
        status = nc_embedding_writer_flush(one->job->writer);
        one->flushed = nc_seconds();
    }
    return status;
}

static void tell(void *context, const struct nc_embed_stages *stages)
{
    struct one *one = context;
    char note[64];
    embed_note(&one->mark, stages, one->skipped, note, sizeof note);
    nc_progress_update(one->progress, one->initial + stages->pictures, note);
    nc_communicator_tick(one->job->options->ranks);
}

static bool stop(void *context)
{
    (void)context;
    return nc_signals_stop();
}

/* ---- what there is to do ---- */

/* The second picture of one key, as a list may have it, is not new work. */
static int find_work(struct one *one)
{
    size_t total = nc_image_source_count(one->source), first;
    int status = NC_OK;
    one->todo = reallocarray(NULL, total, sizeof *one->todo);
    if (!one->todo)
        return nc_error(NC_FAILED, "embed: no memory for %zu pictures", total);
    for (size_t i = 0; i < total && status == NC_OK; i++) {
        bool has = false;
        char *key = key_of(one, i);
        status = key ? nc_embedding_writer_has(one->job->writer, key, &has)
                     : nc_error(NC_FAILED, "embed: no memory");
        free(key);
        one->job->result->present += has;
        if (!has &&
            nc_image_source_find(one->source, nc_image_source_key(one->source, i), &first) &&
            first == i)
            one->todo[one->todo_count++] = i;
        if (i % 65536 == 65535)
            nc_communicator_tick(one->job->options->ranks);
    }
    one->initial = total - one->todo_count;
    return status;
}

/* ---- captions ---- */

static int write_caption(struct one *one, const struct nc_embedding_store *store, size_t index,
                         struct embed_text *line, struct nc_writer *writer)
{
    char *key = key_of(one, index), *caption = NULL;
    size_t row = NC_EMBEDDING_NONE, first;
    int status =
        key ? nc_embedding_store_find(store, key, &row) : nc_error(NC_FAILED, "embed: no memory");
    bool again =
        !nc_image_source_find(one->source, nc_image_source_key(one->source, index), &first) ||
        first != index;
    if (status == NC_OK && row != NC_EMBEDDING_NONE && !again)
        status = nc_image_source_caption(one->source, index, &caption);
    if (status == NC_OK && caption) {
        line->size = 0;
        status = embed_text_line(line, "image", key, "caption", caption);
        if (status == NC_OK)
            status = nc_writer_write(writer, line->text, line->size);
        one->job->result->captions++;
    }
    free(caption);
    free(key);
    return status;
}

/* Of all pictures of the source that are in the store, whoever embedded them. */
static int write_captions(struct one *one)
{
    const struct nc_embed_options *o = one->job->options;
    struct nc_embedding_store *store = NULL;
    struct nc_writer *writer = NULL;
    struct embed_text line = {0};
    int status = nc_embedding_store_open(o->store, &store);
    if (status == NC_OK)
        status = nc_writer_create(o->also_text, &writer);
    for (size_t i = 0; i < nc_image_source_count(one->source) && status == NC_OK; i++) {
        status = write_caption(one, store, i, &line, writer);
        nc_communicator_tick(o->ranks);
    }
    if (status == NC_OK)
        status = nc_writer_commit(writer);
    else
        nc_writer_abort(writer);
    embed_text_free(&line);
    nc_embedding_store_close(store);
    return status;
}

/* ---- all of it ---- */

/* What is embedded is kept, whatever happened after it: `status` and its message pass through. */
static int close_store(struct embed_job *job, int status)
{
    char *message = status != NC_OK ? strdup(nc_error_message()) : NULL;
    job->result->rows = nc_embedding_writer_count(job->writer);
    job->result->skipped = nc_embedding_writer_skipped(job->writer);
    job->result->damaged = nc_embedding_writer_damaged(job->writer);
    int closed = nc_embedding_writer_close(job->writer);
    job->writer = NULL;
    if (message)
        nc_error(status, "%s", message);
    free(message);
    return status == NC_OK ? closed : status;
}

int embed_one(struct embed_job *job, const char *path)
{
    struct one one = {.job = job, .path = path, .flushed = nc_seconds()};
    const struct nc_embed_options *o = job->options;
    struct embed_work work = {&one, feed, store, NULL, tell, stop};
    job->result->sources = 1;
    int status = o->also_text ? nc_image_source_open_with_captions(path, &one.source)
                              : nc_image_source_open(path, &one.source);
    if (status == NC_OK)
        status = nc_embedding_writer_open(o->store, &job->info, 0, &job->writer);
    if (status == NC_OK)
        status = embed_job_start(job);
    if (status == NC_OK)
        status = find_work(&one);
    if (status == NC_OK) {
        one.progress =
            nc_progress_start("embed", "pictures", one.initial, nc_image_source_count(one.source));
        status = embed_job_run(job, false, &work);
        nc_progress_finish(one.progress);
    }
    if (job->writer)
        status = close_store(job, status);
    job->result->embedded = one.embedded;
    job->result->stopped = nc_signals_stop();
    if (status == NC_OK && o->also_text && !job->result->stopped && job->result->rows)
        status = write_captions(&one);
    nc_image_source_close(one.source);
    free(one.todo);
    return status;
}
