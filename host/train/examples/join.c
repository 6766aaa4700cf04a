/* The first pass of preparing a set: captions are read, tokenized and joined to their pictures'
 * rows. A batch is cut into slices that any thread takes; what they make is put into the spill in
 * the captions' order, so that the number of threads changes nothing. */
#include "prepare.h"

#include "nclip/captions/records.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"
#include "texts.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE = 256 }; /* captions */
static const double SAVE = 5; /* seconds between two states */

/* What becomes of a run of captions. */
struct slice {
    char *records;
    size_t used, capacity;
    struct prepare_counts counts;
    int status;
    char *message;
};

/* What a thread needs. */
struct worker {
    struct nc_caption_parser parser;
    struct nc_tokens tokens;
    int32_t *ids; /* of all texts of an example */
    size_t id_count, id_capacity;
    uint16_t *lengths;
    size_t texts, text_capacity;
};

struct job {
    struct prepare *p;
    struct nc_caption_stream *stream;
    struct nc_caption_batch batches[2]; /* one is joined while the next is read */
    struct worker *workers;
    size_t worker_count;
    struct slice *slices;
    size_t slice_count;
    size_t blocks, buckets;
    struct nc_progress *progress;
};

/* ---- one caption ---- */

/* Counts something that is left out; the first one is shown to people. `where`: NULL where `what`
 * says it. */
static void leave_out(struct slice *slice, enum prepare_reason reason, const char *where,
                      const char *what)
{
    struct prepare_left_out *left = &slice->counts.left_out[reason];
    if (left->count++)
        return;
    size_t length = (size_t)snprintf(left->first, sizeof left->first, "%s%s%s", where ? where : "",
                                    where ? ": " : "", what);
    if (length < sizeof left->first)
        return;
    length = sizeof left->first - 1;
    while (length && ((unsigned char)left->first[length] & 0xc0) == 0x80)
        length--; /* no half of a character at the end */
    if (length && (unsigned char)left->first[length - 1] >= 0xc0)
        length--;
    left->first[length] = 0;
}

/* `array` with room for `needed` items, moved if need be; NULL without memory. */
static void *grow(void *array, size_t *capacity, size_t needed, size_t item)
{
    if (needed <= *capacity)
        return array;
    size_t larger = 2 * *capacity > needed ? 2 * *capacity : needed + 1024;
    void *moved = reallocarray(array, larger, item);
    if (moved)
        *capacity = larger;
    return moved;
}

static int no_memory(void)
{
    return nc_error(NC_FAILED, "prepare: no memory");
}

/* Adds one text of the example at hand; *kept: it is not too long. */
static int add_text(const struct prepare *p, struct worker *w, const char *text, bool *kept)
{
    size_t count;
    int status = nc_text_encode(p->tokenizer, p->shape, p->options->too_long, text, &w->tokens,
                                &count);
    *kept = count > 0;
    if (status != NC_OK)
        return nc_error_prefix(status, "%s", w->parser.where);
    if (!count)
        return NC_OK;
    int32_t *ids = grow(w->ids, &w->id_capacity, w->id_count + count, sizeof *ids);
    w->ids = ids ? ids : w->ids;
    uint16_t *lengths = grow(w->lengths, &w->text_capacity, w->texts + 1, sizeof *lengths);
    w->lengths = lengths ? lengths : w->lengths;
    if (!ids || !lengths)
        return no_memory();
    memcpy(w->ids + w->id_count, w->tokens.ids, count * sizeof *w->ids);
    w->id_count += count;
    w->lengths[w->texts++] = (uint16_t)count;
    return NC_OK;
}

static int add_role(const struct prepare *p, struct worker *w, struct slice *slice,
                    enum nc_text_role role, const char *text, struct spill_record *record)
{
    bool kept;
    if (!text)
        return NC_OK;
    int status = add_text(p, w, text, &kept);
    if (status != NC_OK)
        return status;
    if (kept)
        record->counts[role]++;
    else
        leave_out(slice, PREPARE_TOO_LONG + role, w->parser.where, text);
    return NC_OK;
}

/* The record, its lengths and its ids go behind those of the slice. */
static int put_record(const struct prepare *p, const struct worker *w, struct slice *slice,
                      struct spill_record *record)
{
    size_t lengths = w->texts * sizeof *w->lengths, ids = w->id_count * p->info.id_bytes;
    size_t bytes = (sizeof *record + lengths + ids + 7) / 8 * 8;
    char *records = grow(slice->records, &slice->capacity, slice->used + bytes, 1);
    if (!records)
        return no_memory();
    slice->records = records;
    char *at = records + slice->used;
    record->bytes = (uint32_t)bytes;
    record->texts = (uint16_t)w->texts;
    record->tokens = (uint32_t)w->id_count;
    memset(at + bytes - 8, 0, 8);
    memcpy(at, record, sizeof *record);
    memcpy(at += sizeof *record, w->lengths, lengths);
    at += lengths;
    if (p->info.id_bytes == 4) {
        memcpy(at, w->ids, ids);
    } else {
        uint16_t *narrow = (uint16_t *)at;
        for (size_t i = 0; i < w->id_count; i++)
            narrow[i] = (uint16_t)w->ids[i];
    }
    slice->used += bytes;
    return NC_OK;
}

static void count_example(const struct worker *w, const struct spill_record *record,
                          struct prepare_counts *counts)
{
    counts->examples++;
    counts->texts += w->texts;
    counts->tokens += w->id_count;
    counts->distractors += record->distractor != NC_SET_NO_ROW;
    for (size_t i = 0; i < w->texts; i++)
        if (w->lengths[i] > counts->longest_text)
            counts->longest_text = w->lengths[i];
    if (w->id_count > counts->longest_example)
        counts->longest_example = w->id_count;
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
        if (record->counts[role])
            counts->roles |= 1u << role;
}

static int find_distractor(const struct prepare *p, const char *key, const struct worker *w,
                           struct slice *slice, struct spill_record *record)
{
    size_t row;
    if (!key)
        return NC_OK;
    int status = nc_embedding_store_find(p->store, key, &row);
    if (status == NC_OK && row == NC_EMBEDDING_NONE)
        leave_out(slice, PREPARE_DISTRACTOR_MISSING, w->parser.where, key);
    else if (status == NC_OK)
        record->distractor = row;
    return status;
}

static int join_one(const struct job *job, const struct nc_caption_batch *batch, size_t i,
                    struct worker *w, struct slice *slice)
{
    const struct prepare *p = job->p;
    struct nc_caption_record caption;
    struct spill_record record = {.ordinal = batch->first + i, .distractor = NC_SET_NO_ROW};
    size_t row = 0;
    bool kept;
    int status = nc_caption_batch_read(batch, i, &w->parser, &caption);
    if (status == NC_BAD_INPUT && p->options->skip_malformed) {
        leave_out(slice, PREPARE_MALFORMED, NULL, nc_error_message());
        return NC_OK;
    }
    if (status == NC_OK)
        status = nc_embedding_store_find(p->store, caption.image, &row);
    if (status != NC_OK)
        return status;
    if (row == NC_EMBEDDING_NONE) {
        leave_out(slice, PREPARE_PICTURE_MISSING, w->parser.where, caption.image);
        return NC_OK;
    }
    record.row = row;
    record.bucket =
        (uint16_t)(nc_embedding_store_block_of(p->store, row) * job->buckets / job->blocks);
    w->texts = w->id_count = 0;
    status = add_text(p, w, caption.caption, &kept);
    if (status != NC_OK)
        return status;
    if (!kept) {
        leave_out(slice, PREPARE_TOO_LONG + NC_TEXT_CAPTION, w->parser.where, caption.caption);
        return NC_OK;
    }
    record.counts[NC_TEXT_CAPTION] = 1;
    slice->counts.truncated += w->tokens.truncated;
    slice->counts.negation_lost += w->tokens.negation_lost;
    status = add_role(p, w, slice, NC_TEXT_CONTRADICTION, caption.contradiction, &record);
    if (status == NC_OK)
        status = add_role(p, w, slice, NC_TEXT_ABSENCE, caption.absence, &record);
    if (status == NC_OK)
        status = add_role(p, w, slice, NC_TEXT_PARAPHRASE, caption.paraphrase, &record);
    for (size_t c = 0; c < caption.choice_count && status == NC_OK; c++)
        status = add_role(p, w, slice, NC_TEXT_CHOICES, caption.choices[c], &record);
    if (status == NC_OK)
        status = find_distractor(p, caption.distractor, w, slice, &record);
    if (status == NC_OK)
        status = put_record(p, w, slice, &record);
    if (status == NC_OK)
        count_example(w, &record, &slice->counts);
    return status;
}

/* ---- a batch ---- */

static void join_slice(struct job *job, const struct nc_caption_batch *batch, size_t number)
{
    struct worker *worker = &job->workers[omp_get_thread_num()];
    struct slice *slice = &job->slices[number];
    size_t first = number * SLICE;
    size_t end = first + SLICE < batch->count ? first + SLICE : batch->count;
    slice->used = 0;
    slice->status = NC_OK;
    slice->counts = (struct prepare_counts){0};
    for (size_t i = first; i < end && slice->status == NC_OK; i++)
        slice->status = join_one(job, batch, i, worker, slice);
    if (slice->status != NC_OK)
        slice->message = strdup(nc_error_message()); /* messages belong to their thread */
}

static void add_counts(struct prepare_counts *sum, const struct prepare_counts *more)
{
    sum->examples += more->examples;
    sum->texts += more->texts;
    sum->tokens += more->tokens;
    sum->distractors += more->distractors;
    sum->truncated += more->truncated;
    sum->negation_lost += more->negation_lost;
    sum->roles |= more->roles;
    if (more->longest_text > sum->longest_text)
        sum->longest_text = more->longest_text;
    if (more->longest_example > sum->longest_example)
        sum->longest_example = more->longest_example;
    for (size_t i = 0; i < PREPARE_REASONS; i++) {
        if (!sum->left_out[i].count)
            memcpy(sum->left_out[i].first, more->left_out[i].first,
                   sizeof sum->left_out[i].first);
        sum->left_out[i].count += more->left_out[i].count;
    }
}

static int reserve_slices(struct job *job, size_t count)
{
    if (count <= job->slice_count)
        return NC_OK;
    struct slice *larger = reallocarray(job->slices, count, sizeof *larger);
    if (!larger)
        return no_memory();
    memset(larger + job->slice_count, 0, (count - job->slice_count) * sizeof *larger);
    job->slices = larger;
    job->slice_count = count;
    return NC_OK;
}

/* What the slices made, in their order. When one failed, nothing of the batch is taken, so that the
 * state stays one from which a later call goes on. */
static int collect(struct job *job, size_t slices)
{
    struct prepare *p = job->p;
    int status = NC_OK;
    for (size_t i = 0; i < slices; i++) {
        struct slice *slice = &job->slices[i];
        if (status == NC_OK && slice->status != NC_OK)
            status = nc_error(slice->status, "%s",
                              slice->message ? slice->message : "prepare: no memory");
        free(slice->message);
        slice->message = NULL;
    }
    for (size_t i = 0; i < slices && status == NC_OK; i++) {
        status = spill_append(p->spill, job->slices[i].records, job->slices[i].used);
        add_counts(&p->state.counts, &job->slices[i].counts);
    }
    return status;
}

/* Joins one batch while the next is read. */
static int join_batch(struct job *job, const struct nc_caption_batch *batch,
                      struct nc_caption_batch *next)
{
    size_t slices = (batch->count + SLICE - 1) / SLICE;
    int status = reserve_slices(job, slices), read = NC_OK;
    char *message = NULL;
    if (status != NC_OK)
        return status;
#pragma omp parallel num_threads((int)job->worker_count)
    {
#pragma omp single nowait
        {
            read = nc_caption_stream_next(job->stream, next);
            if (read != NC_OK)
                message = strdup(nc_error_message());
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < slices; i++)
            join_slice(job, batch, i);
    }
    status = collect(job, slices);
    if (status == NC_OK) {
        job->p->state.records = batch->first + batch->count;
        job->p->state.hash = batch->hash;
        job->p->result->captions += batch->count;
        if (read != NC_OK)
            status = nc_error(read, "%s", message ? message : "prepare: no memory");
    }
    free(message);
    return status;
}

/* ---- the pass ---- */

static void show(const struct job *job, const struct nc_caption_batch *batch)
{
    const struct prepare_counts *counts = &job->p->state.counts;
    char note[96];
    uint64_t left_out = job->p->state.records - counts->examples;
    int used = snprintf(note, sizeof note, "%llu captions",
                        (unsigned long long)job->p->state.records);
    if (left_out && used > 0 && (size_t)used < sizeof note)
        snprintf(note + used, sizeof note - (size_t)used, ", %llu left out",
                 (unsigned long long)left_out);
    nc_progress_update(job->progress, (size_t)(batch->position >> 10), note);
}

/* Passes over what an earlier call joined, which must be what it was. */
static int pass_over(struct job *job, struct nc_caption_batch *batch)
{
    const struct prepare_state *state = &job->p->state;
    int status = NC_OK;
    uint64_t passed = 0;
    while (status == NC_OK && passed < state->records && !nc_signals_stop()) {
        status = nc_caption_stream_next(job->stream, batch);
        if (status == NC_OK && !batch->count)
            break;
        passed = batch->first + batch->count;
        nc_progress_update(job->progress, (size_t)(batch->position >> 10), "was done before");
    }
    if (status == NC_OK && !nc_signals_stop() && state->records &&
        (passed != state->records || batch->hash != state->hash))
        status = nc_error(NC_BAD_INPUT,
                          "%s: the captions are not those with which the set was begun: they were "
                          "changed since; remove the folder, or give another --out",
                          job->p->options->out);
    return status;
}

static int stopped(const struct prepare *p)
{
    return nc_error(NC_FAILED, "stopped by a signal after %llu captions; the same command goes on",
                    (unsigned long long)p->state.records);
}

/* Captions that are wrong can be mended: what was joined before them stays. */
static int keep(struct prepare *p, int status)
{
    char *message = strdup(nc_error_message());
    int saved = prepare_save(p);
    if (saved == NC_OK && message)
        nc_error(status, "%s", message);
    free(message);
    return saved == NC_OK ? status : saved;
}

static int run(struct job *job)
{
    struct prepare *p = job->p;
    int status = pass_over(job, &job->batches[0]);
    if (status == NC_OK && !nc_signals_stop())
        status = nc_caption_stream_next(job->stream, &job->batches[0]);
    double save = p->options->save_seconds > 0 ? p->options->save_seconds : SAVE;
    for (unsigned at = 0; status == NC_OK && job->batches[at].count; at ^= 1) {
        if (nc_signals_stop())
            break;
        status = join_batch(job, &job->batches[at], &job->batches[at ^ 1]);
        if (status == NC_OK)
            show(job, &job->batches[at]);
        if (status == NC_OK && nc_seconds() - p->saved > save) {
            status = nc_embedding_store_check(p->store);
            if (status == NC_OK)
                status = prepare_save(p);
        }
    }
    if (status == NC_OK && nc_signals_stop()) {
        status = prepare_save(p);
        return status == NC_OK ? stopped(p) : status;
    }
    return status == NC_BAD_INPUT && p->result->captions ? keep(p, status) : status;
}

int prepare_join(struct prepare *p)
{
    struct job job = {.p = p, .worker_count = (size_t)omp_get_max_threads()};
    job.blocks = nc_embedding_store_blocks(p->store);
    job.buckets = job.blocks < SPILL_BUCKETS ? job.blocks : SPILL_BUCKETS;
    job.workers = calloc(job.worker_count, sizeof *job.workers);
    int status = job.workers ? NC_OK : no_memory();
    if (status == NC_OK)
        status = nc_caption_stream_open(p->options->captions, p->options->caption_count,
                                        &job.stream);
    if (status == NC_OK && !p->options->quiet)
        job.progress = nc_progress_start("prepare 1/2", "KiB", 0,
                                         (size_t)(nc_caption_stream_bytes(job.stream) >> 10));
    if (status == NC_OK)
        status = run(&job);
    nc_progress_finish(job.progress);
    for (size_t i = 0; job.workers && i < job.worker_count; i++) {
        nc_caption_parser_free(&job.workers[i].parser);
        nc_tokens_free(&job.workers[i].tokens);
        free(job.workers[i].ids);
        free(job.workers[i].lengths);
    }
    for (size_t i = 0; i < job.slice_count; i++)
        free(job.slices[i].records);
    free(job.slices);
    free(job.workers);
    nc_caption_batch_free(&job.batches[0]);
    nc_caption_batch_free(&job.batches[1]);
    nc_caption_stream_close(job.stream);
    return status;
}
