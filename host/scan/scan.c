/* The threads of a scan. Each takes a file that no other thread is reading: of a file of lines it
 * reads the next block, any other file it reads whole. One thread at a time reads a file, but
 * several count its blocks, so that a single large file keeps all cores busy. Files that were begun
 * are finished before new ones are opened. */
#include "parts.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 1024, MEBI = 1 << 20, WORTH_SHOWING = 16 /* MiB */ };

struct scan {
    const struct nc_scan_options *options;
    struct scan_files files;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t first, next; /* files before `first` are done; from `next` on none is open */
    /* The failure of the first file that has one, by its number. */
    int status;
    size_t failed;
    char *message;
    struct nc_progress *progress;
    uint64_t consumed, total;
};

struct worker {
    struct scan *scan;
    struct scan_tally tally;
    struct scan_work work;
    pthread_t thread;
    bool started;
};

/* With the lock held. */
static void tell(struct scan *scan, struct scan_file *file)
{
    uint64_t consumed = nc_byte_stream_consumed(file->stream);
    scan->consumed += consumed - file->consumed;
    file->consumed = consumed;
    size_t done = (size_t)(scan->consumed / MEBI);
    if (!scan->progress && scan->options->progress && done >= WORTH_SHOWING)
        scan->progress = nc_progress_start("scan", "MiB", done, (size_t)(scan->total / MEBI));
    nc_progress_update(scan->progress, done, NULL);
}

static void moved(void *context, struct scan_file *file)
{
    struct scan *scan = context;
    pthread_mutex_lock(&scan->lock);
    tell(scan, file);
    pthread_mutex_unlock(&scan->lock);
}

/* With the lock held: a file whose turn it is, or NULL when nothing is left to begin. */
static struct scan_file *take_file(struct scan *scan, size_t *index)
{
    for (;;) {
        bool busy = false;
        size_t end = scan->status == NC_OK ? scan->files.count : scan->failed;
        while (scan->first < scan->next && scan->files.items[scan->first].ended)
            scan->first++;
        for (size_t i = scan->first; i < scan->next && i < end; i++) {
            struct scan_file *file = &scan->files.items[i];
            busy |= file->busy && scan_file_in_blocks(file);
            if (!file->busy && !file->ended) {
                *index = i;
                return file;
            }
        }
        if (scan->next < end) {
            *index = scan->next++;
            return &scan->files.items[*index];
        }
        if (!busy)
            return NULL;
        pthread_cond_wait(&scan->changed, &scan->lock);
    }
}

/* With the lock held. */
static void fail(struct scan *scan, size_t index, int status)
{
    if (scan->status != NC_OK && scan->failed <= index)
        return;
    free(scan->message);
    scan->message = strdup(nc_error_message());
    scan->status = status;
    scan->failed = index;
}

/* Reads what there is to read now; *ended: there is nothing more. */
static int read_file(struct worker *worker, struct scan_file *file, size_t index, bool *ended)
{
    const struct scan_watch watch = {moved, worker->scan};
    int status = file->stream ? NC_OK : scan_file_open(file, worker->scan->options);
    *ended = true;
    if (status != NC_OK)
        return status;
    if (scan_file_in_blocks(file)) {
        status = scan_lines_read(file, worker->scan->options, &worker->work);
        *ended = status != NC_OK || worker->work.block.last;
        return status;
    }
    return file->format == NC_SCAN_JSON ? scan_objects_count(file, index, &worker->tally, &watch)
                                        : scan_samples_count(file, index, &worker->tally, &watch);
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct scan *scan = worker->scan;
    struct scan_file *file;
    size_t index;
    pthread_mutex_lock(&scan->lock);
    while ((file = take_file(scan, &index))) {
        file->busy = true;
        pthread_mutex_unlock(&scan->lock);
        worker->work.block.size = 0;
        bool ended;
        int status = read_file(worker, file, index, &ended);
        pthread_mutex_lock(&scan->lock);
        file->busy = false;
        if (file->stream)
            tell(scan, file);
        if (status != NC_OK)
            fail(scan, index, status);
        file->ended = ended;
        if (ended)
            scan_file_close(file);
        pthread_cond_broadcast(&scan->changed);
        if (status != NC_OK || !worker->work.block.size)
            continue;
        pthread_mutex_unlock(&scan->lock);
        status = scan_lines_count(file, index, &worker->work, &worker->tally);
        pthread_mutex_lock(&scan->lock);
        if (status != NC_OK)
            fail(scan, index, status);
    }
    pthread_mutex_unlock(&scan->lock);
    return NULL;
}

/* ---- Putting it together ------------------------------------------------------------------ */

static int by_place(const void *a, const void *b)
{
    const struct scan_sample *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static const char *name_of(const struct scan *scan, size_t file)
{
    const char *path = scan->files.items[file].path;
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

/* The result's strings: names of files, which the examples share. */
struct owned {
    char **names;
    size_t count;
};

static int fill_examples(const struct scan *scan, struct scan_tally *tally,
                         struct nc_scan_result *result)
{
    struct owned *owned = calloc(1, sizeof *owned);
    result->owned = owned;
    result->examples = calloc(tally->sample_count + 1, sizeof *result->examples);
    if (owned)
        owned->names = calloc(tally->sample_count + 1, sizeof *owned->names);
    if (!owned || !owned->names || !result->examples)
        return nc_error(NC_FAILED, "scan: no memory for the examples");
    if (tally->sample_count)
        qsort(tally->samples, tally->sample_count, sizeof *tally->samples, by_place);
    for (size_t i = 0; i < tally->sample_count; i++) {
        struct scan_sample *sample = &tally->samples[i];
        if (!i || sample->file != tally->samples[i - 1].file) {
            owned->names[owned->count] = strdup(name_of(scan, sample->file));
            if (!owned->names[owned->count])
                return nc_error(NC_FAILED, "scan: no memory for the examples");
            owned->count++;
        }
        result->examples[result->example_count++] = (struct nc_scan_example){
            sample->text, sample->length, owned->names[owned->count - 1], sample->offset};
        sample->text = NULL;
    }
    return NC_OK;
}

static int fill_result(const struct scan *scan, struct scan_tally *tally,
                       struct nc_scan_result *result)
{
    if (!tally->captions)
        return nc_error(NC_BAD_INPUT, "%s%s: no caption in it%s%s",
                        scan->files.count > 1 ? "the files, beginning with " : "", name_of(scan, 0),
                        tally->unread_reason ? "; the first of its records: " : "",
                        tally->unread_reason ? tally->unread_reason : "");
    result->captions = tally->captions;
    result->negated = tally->negated;
    result->denials = tally->denials;
    result->unread = tally->unread;
    result->bytes = tally->bytes;
    result->files = scan->files.count;
    result->by_word = tally->by_word;
    tally->by_word = NULL;
    result->denials_by_word = tally->denials_by_word;
    tally->denials_by_word = NULL;
    if (tally->unread_reason)
        snprintf(result->unread_first, sizeof result->unread_first, "%.400s byte %llu: %s",
                 name_of(scan, tally->unread_file), (unsigned long long)tally->unread_offset,
                 tally->unread_reason);
    return fill_examples(scan, tally, result);
}

static size_t thread_count(const struct nc_scan_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = options->threads ? options->threads : cores > 0 ? (size_t)cores : 1;
    return threads < MOST_THREADS ? threads : MOST_THREADS;
}

int nc_scan(const char *const *paths, size_t count, const struct nc_scan_options *options,
            struct nc_scan_result *result)
{
    struct scan scan = {.options = options};
    size_t threads = thread_count(options), made = 0;
    *result = (struct nc_scan_result){0};
    int status = scan_files_find(paths, count, options, &scan.files);
    if (status != NC_OK)
        return status;
    pthread_mutex_init(&scan.lock, NULL);
    pthread_cond_init(&scan.changed, NULL);
    for (size_t i = 0; i < scan.files.count; i++)
        scan.total += scan.files.items[i].size;

    struct worker *workers = calloc(threads, sizeof *workers);
    if (!workers)
        status = nc_error(NC_FAILED, "scan: no memory for %zu threads", threads);
    for (; status == NC_OK && made < threads; made++) {
        workers[made].scan = &scan;
        status = scan_tally_create(options, &workers[made].tally);
    }
    /* The first worker is this thread; fewer threads than wanted are no failure. */
    for (size_t i = 1; status == NC_OK && i < made; i++)
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    if (status == NC_OK)
        work(&workers[0]);
    for (size_t i = 1; i < made; i++)
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
    nc_progress_finish(scan.progress);

    if (status == NC_OK && scan.status != NC_OK)
        status = nc_error(scan.status, "%s", scan.message ? scan.message : "scan: no memory");
    for (size_t i = 1; i < made && status == NC_OK; i++)
        status = scan_tally_merge(&workers[0].tally, &workers[i].tally);
    if (status == NC_OK)
        status = fill_result(&scan, &workers[0].tally, result);
    for (size_t i = 0; i < made; i++) {
        scan_tally_free(&workers[i].tally);
        scan_work_free(&workers[i].work);
    }
    free(workers);
    free(scan.message);
    scan_files_free(&scan.files);
    pthread_cond_destroy(&scan.changed);
    pthread_mutex_destroy(&scan.lock);
    if (status != NC_OK)
        nc_scan_result_free(result);
    return status;
}

void nc_scan_result_free(struct nc_scan_result *result)
{
    struct owned *owned = result->owned;
    for (size_t i = 0; i < result->example_count; i++)
        free(result->examples[i].text);
    for (size_t i = 0; owned && i < owned->count; i++)
        free(owned->names[i]);
    if (owned)
        free(owned->names);
    free(owned);
    free(result->examples);
    free(result->by_word);
    free(result->denials_by_word);
    *result = (struct nc_scan_result){0};
}
