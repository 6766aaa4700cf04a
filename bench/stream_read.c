/* Reads a cold store, by dd and by block readers (stream_read.h). */
#include "stream_read.h"

#include "../host/train/examples/random.h"
#include "nclip/store/block_reader.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WINDOW = 48 }; /* blocks of a reader on their way or being given back */

extern char **environ;

/* ---- Files --------------------------------------------------------------------------------- */

static int each_file(const struct stream_data *d, int (*use)(const char *path, void *context),
                     void *context)
{
    const char *last = "";
    int status = NC_OK;
    for (size_t b = 0; b < nc_embedding_store_blocks(d->store) && status == NC_OK; b++) {
        struct nc_embedding_block block;
        nc_embedding_store_block(d->store, b, &block);
        if (strcmp(block.path, last) != 0)
            status = use(block.path, context);
        last = block.path;
    }
    return status;
}

/* What the page cache has of it is forgotten. */
static int forget(const char *path, void *context)
{
    (void)context;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return nc_error_read(path);
    (void)fsync(file);
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    return NC_OK;
}

static int read_by_dd(const char *path, void *context)
{
    struct stream_rate *rate = context;
    struct stat about;
    char input[4096];
    snprintf(input, sizeof input, "if=%s", path);
    char *arguments[] = {"dd", input, "of=/dev/null", "bs=4M", "iflag=direct", "status=none", NULL};
    pid_t process;
    int code;
    if (stat(path, &about) != 0)
        return nc_error_read(path);
    if (posix_spawnp(&process, "dd", NULL, NULL, arguments, environ) != 0 ||
        waitpid(process, &code, 0) != process || code != 0)
        return nc_error(NC_FAILED, "%s: dd cannot read it with direct I/O", path);
    rate->bytes += (uint64_t)about.st_size;
    return NC_OK;
}

int stream_read_sequential(const struct stream_data *d, struct stream_rate *rate)
{
    *rate = (struct stream_rate){0};
    int status = each_file(d, forget, NULL);
    double begun = nc_seconds();
    if (status == NC_OK)
        status = each_file(d, read_by_dd, rate);
    rate->seconds = nc_seconds() - begun;
    return status;
}

/* ---- Blocks --------------------------------------------------------------------------------- */

struct reading {
    const struct stream_data *data;
    const uint32_t *order;
    size_t first, step, count; /* blocks first, first + step, ... of count */
    uint64_t bytes;
    int status;
    char *message;
    const char *name;
};

static int read_part(struct reading *r)
{
    struct nc_block_reader *reader = NULL;
    struct nc_block_read reads[WINDOW], *done;
    struct nc_embedding_block block;
    size_t room = 0, at = r->first, used = 0;
    for (size_t b = 0; b < r->count; b++) {
        nc_embedding_store_block(r->data->store, b, &block);
        size_t own = nc_block_room(block.offset, block.bytes);
        room = own > room ? own : room;
    }
    char *memory = aligned_alloc(NC_BLOCK_ALIGNMENT, room * WINDOW);
    int status = memory ? nc_block_reader_create(0, &reader)
                        : nc_error(NC_FAILED, "bench: no memory");
    done = NULL;
    while (status == NC_OK) {
        struct nc_block_read *next = used < WINDOW ? &reads[used] : done;
        if (at < r->count && next) {
            nc_embedding_store_block(r->data->store, r->order[at], &block);
            *next = (struct nc_block_read){.path = block.path, .offset = block.offset,
                                           .bytes = block.bytes, .has_sum = block.has_sum,
                                           .sum = block.sum, .part = "rows", .block = block.number,
                                           .room = memory + room * (size_t)(next - reads)};
            nc_block_reader_start(reader, next);
            r->bytes += block.bytes;
            used += used < WINDOW;
            done = NULL;
            at += r->step;
            continue;
        }
        status = nc_block_reader_next(reader, &done);
        if (!done)
            break;
    }
    if (reader)
        r->name = nc_block_reader_name(reader);
    nc_block_reader_destroy(reader);
    free(memory);
    return status;
}

static void *run_part(void *context)
{
    struct reading *r = context;
    r->status = read_part(r);
    r->message = r->status == NC_OK ? NULL : strdup(nc_error_message());
    return NULL;
}

int stream_read_blocks(const struct stream_data *d, size_t readers, struct stream_rate *rate,
                       const char **name)
{
    size_t count = nc_embedding_store_blocks(d->store), started = 0;
    uint32_t *order = malloc(count * sizeof *order);
    struct reading *parts = calloc(readers, sizeof *parts);
    pthread_t *threads = calloc(readers, sizeof *threads);
    int status = order && parts && threads ? each_file(d, forget, NULL)
                                           : nc_error(NC_FAILED, "bench: no memory");
    *rate = (struct stream_rate){0};
    if (status == NC_OK) {
        uint64_t state = nc_random_stream(5, readers, 0);
        for (size_t i = 0; i < count; i++)
            order[i] = (uint32_t)i;
        nc_random_shuffle(&state, order, count);
    }
    double begun = nc_seconds();
    for (; status == NC_OK && started < readers; started++) {
        parts[started] = (struct reading){.data = d, .order = order, .first = started,
                                          .step = readers, .count = count};
        if (pthread_create(&threads[started], NULL, run_part, &parts[started]) != 0) {
            status = nc_error(NC_FAILED, "bench: no thread can be started");
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        rate->bytes += parts[i].bytes;
        *name = parts[i].name;
        if (status == NC_OK && parts[i].status != NC_OK)
            status = nc_error(parts[i].status, "%s", parts[i].message ? parts[i].message : "bench");
        free(parts[i].message);
    }
    rate->seconds = nc_seconds() - begun;
    free(order);
    free(parts);
    free(threads);
    return status;
}
