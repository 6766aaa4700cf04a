/* Carries out reads of blocks: workers open the files, start the reads and check what has come; with
 * io_uring one thread more waits for the kernel (nclip/store/block_reader.h). */
#include "nclip/store/block_reader.h"

#include "block_files.h"
#include "block_ring.h"
#include "nclip/support/error.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { DEPTH_RING = 32, DEPTH_THREADS = 8, MOST_DEPTH = 256, CHECKERS = 2, GRAIN = 64 };

struct list {
    struct nc_block_read *first, **end;
};

struct nc_block_reader {
    size_t depth, worker_count;
    pthread_t *workers, reaper;
    struct nc_block_ring *ring; /* NULL: the workers read */
    pthread_mutex_t lock;
    pthread_cond_t work, done_grew;
    struct list waiting, arrived, done;
    size_t under_way; /* in the ring */
    size_t pending;
    uint64_t bytes;
    bool closing;
    struct nc_block_files files;
};

static void push(struct list *list, struct nc_block_read *read)
{
    read->next = NULL;
    *list->end = read;
    list->end = &read->next;
}

static struct nc_block_read *pop(struct list *list)
{
    struct nc_block_read *read = list->first;
    if (read && !(list->first = read->next))
        list->end = &list->first;
    return read;
}

/* ---- One read -------------------------------------------------------------------------- */

static size_t skipped(const struct nc_block_read *read)
{
    return (size_t)(read->offset % NC_BLOCK_ALIGNMENT);
}

size_t nc_block_room(uint64_t offset, size_t bytes)
{
    size_t all = (size_t)(offset % NC_BLOCK_ALIGNMENT) + bytes;
    return (all + NC_BLOCK_ALIGNMENT - 1) / NC_BLOCK_ALIGNMENT * NC_BLOCK_ALIGNMENT;
}

/* From the aligned start on, as far as `from` is there already: bytes so far or -errno. */
static long read_on(int descriptor, const struct nc_block_read *read, size_t from, size_t end)
{
    uint64_t start = read->offset - skipped(read);
    while (from < end) {
        ssize_t got = pread(descriptor, (char *)read->room + from, end - from,
                            (off_t)(start + from));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        from += (size_t)got;
        if (from % NC_BLOCK_ALIGNMENT) /* the end; a direct read could not go on from here */
            break;
    }
    return (long)from;
}

/* What has come is looked at; what is missing is read through the page cache. */
static int finish(struct nc_block_reader *reader, struct nc_block_read *read)
{
    size_t skip = skipped(read), wanted = skip + read->bytes;
    char *room = read->room;
    if (read->got == -EINVAL || read->got == -EAGAIN || read->got == -EOPNOTSUPP)
        read->got = 0; /* what could not be read past the page cache is read through it */
    int descriptor;
    if (read->got >= 0 && (size_t)read->got < wanted) {
        int status = nc_block_files_buffered(&reader->files, read->file, &descriptor);
        if (status != NC_OK)
            return status;
        read->got = read_on(descriptor, read, (size_t)read->got, wanted);
        if (read->got > 0 && (size_t)read->got < wanted)
            read->got = read_on(descriptor, read, (size_t)read->got, wanted);
    }
    if (read->got < 0)
        return nc_error(nc_error_kind((int)-read->got), "%s: block %zu (%s) cannot be read: %s",
                        read->path, read->block, read->part, strerror((int)-read->got));
    if ((size_t)read->got < wanted)
        return nc_error(NC_BAD_INPUT,
                        "%s: block %zu (%s) should be the %zu bytes from byte %llu on, but the "
                        "file ends at byte %llu: it was cut short",
                        read->path, read->block, read->part, read->bytes,
                        (unsigned long long)read->offset,
                        (unsigned long long)(read->offset - skip + (size_t)read->got));
    if (skip % GRAIN)
        memmove(room, room + skip, read->bytes);
    read->data = skip % GRAIN ? room : room + skip;
    if (read->has_sum && XXH3_64bits(read->data, read->bytes) != read->sum)
        return nc_error(NC_BAD_INPUT,
                        "%s: block %zu (%s) is damaged: its bytes have another checksum",
                        read->path, read->block, read->part);
    return NC_OK;
}

/* Messages belong to their thread: it is carried over. */
static void note(struct nc_block_read *read, int status)
{
    read->status = status;
    read->message = status == NC_OK ? NULL : strdup(nc_error_message());
}

/* With the lock; hands it over. */
static void hand_over(struct nc_block_reader *reader, struct nc_block_read *read)
{
    if (read->got > 0)
        __atomic_fetch_add(&reader->bytes, (uint64_t)read->got, __ATOMIC_RELAXED);
    push(&reader->done, read);
    pthread_cond_signal(&reader->done_grew);
}

/* ---- Workers --------------------------------------------------------------------------- */

/* Without the lock. Whether the read is over; else the ring has it. */
static bool begin(struct nc_block_reader *reader, struct nc_block_read *read)
{
    size_t bytes = nc_block_room(read->offset, read->bytes);
    read->got = 0;
    int status = nc_block_files_take(&reader->files, read->path, &read->file);
    if (status != NC_OK) {
        note(read, status);
        return true;
    }
    if (reader->ring && read->file->direct >= 0 && bytes <= INT_MAX) {
        pthread_mutex_lock(&reader->lock);
        reader->under_way++;
        int failed = nc_block_ring_read(reader->ring, read->file->direct, read->room,
                                        (unsigned)bytes, read->offset - skipped(read), read);
        reader->under_way -= failed != 0;
        pthread_mutex_unlock(&reader->lock);
        if (!failed)
            return false;
    } else if (read->file->direct >= 0) {
        read->got = read_on(read->file->direct, read, 0, bytes);
    }
    note(read, finish(reader, read));
    nc_block_files_give(&reader->files, read->file);
    return true;
}

static void *work(void *context)
{
    struct nc_block_reader *reader = context;
    pthread_mutex_lock(&reader->lock);
    for (;;) {
        struct nc_block_read *read = pop(&reader->arrived);
        bool arrived = read != NULL;
        if (!read && reader->under_way < reader->depth)
            read = pop(&reader->waiting);
        if (!read && reader->closing && !reader->under_way)
            break;
        if (!read) {
            pthread_cond_wait(&reader->work, &reader->lock);
            continue;
        }
        pthread_mutex_unlock(&reader->lock);
        bool over = true;
        if (arrived) {
            note(read, finish(reader, read));
            nc_block_files_give(&reader->files, read->file);
        } else {
            over = begin(reader, read);
        }
        pthread_mutex_lock(&reader->lock);
        if (over)
            hand_over(reader, read);
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

static void *reap(void *context)
{
    struct nc_block_reader *reader = context;
    for (;;) {
        void *data;
        long got = nc_block_ring_wait(reader->ring, &data);
        struct nc_block_read *read = data;
        pthread_mutex_lock(&reader->lock);
        if (read) {
            read->got = got;
            reader->under_way--;
            push(&reader->arrived, read);
        }
        bool end = !read && reader->closing;
        pthread_cond_broadcast(&reader->work); /* also those that wait for the ring to be empty */
        pthread_mutex_unlock(&reader->lock);
        if (end)
            return NULL;
    }
}

/* ---- The reader ------------------------------------------------------------------------ */

static int choose(struct nc_block_reader *reader, size_t depth)
{
    const char *forced = getenv("NCLIP_READER");
    bool threads = forced && strcmp(forced, "threads") == 0;
    bool uring = forced && strcmp(forced, "uring") == 0;
    if (forced && *forced && !threads && !uring)
        return nc_error(NC_USAGE, "NCLIP_READER is \"%s\": it must be uring or threads", forced);
    depth = depth < MOST_DEPTH ? depth : MOST_DEPTH;
    if (!threads)
        reader->ring = nc_block_ring_create(depth ? depth : DEPTH_RING);
    if (uring && !reader->ring)
        return nc_error(NC_USAGE, "NCLIP_READER is \"uring\", but this %s io_uring",
#ifdef NCLIP_URING
                        "kernel does not grant"
#else
                        "program was built without liburing, that is without"
#endif
        );
    reader->depth = depth ? depth : reader->ring ? DEPTH_RING : DEPTH_THREADS;
    return NC_OK;
}

int nc_block_reader_create(size_t depth, struct nc_block_reader **out)
{
    *out = NULL;
    struct nc_block_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return nc_error(NC_FAILED, "block reader: no memory");
    struct list *lists[] = {&reader->waiting, &reader->arrived, &reader->done};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        lists[i]->end = &lists[i]->first;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->work, NULL);
    pthread_cond_init(&reader->done_grew, NULL);
    int status = choose(reader, depth);
    size_t workers = reader->ring ? CHECKERS : reader->depth;
    if (status == NC_OK)
        status = nc_block_files_create(reader->depth + workers, &reader->files);
    if (status == NC_OK && !(reader->workers = calloc(workers, sizeof *reader->workers)))
        status = nc_error(NC_FAILED, "block reader: no memory");
    if (status == NC_OK && reader->ring && pthread_create(&reader->reaper, NULL, reap, reader) != 0) {
        nc_block_ring_destroy(reader->ring);
        reader->ring = NULL;
        status = nc_error(NC_FAILED, "block reader: no thread can be started");
    }
    for (; status == NC_OK && reader->worker_count < workers; reader->worker_count++)
        if (pthread_create(&reader->workers[reader->worker_count], NULL, work, reader) != 0)
            break;
    if (status == NC_OK && !reader->worker_count)
        status = nc_error(NC_FAILED, "block reader: no thread can be started");
    if (status != NC_OK) {
        nc_block_reader_destroy(reader);
        return status;
    }
    *out = reader;
    return NC_OK;
}

const char *nc_block_reader_name(const struct nc_block_reader *reader)
{
    return reader->ring ? "io_uring" : "threads";
}

void nc_block_reader_start(struct nc_block_reader *reader, struct nc_block_read *read)
{
    read->status = NC_OK;
    read->message = NULL;
    read->data = NULL;
    read->got = 0;
    pthread_mutex_lock(&reader->lock);
    reader->pending++;
    push(&reader->waiting, read);
    pthread_cond_signal(&reader->work);
    pthread_mutex_unlock(&reader->lock);
}

int nc_block_reader_next(struct nc_block_reader *reader, struct nc_block_read **out)
{
    pthread_mutex_lock(&reader->lock);
    struct nc_block_read *read = NULL;
    while (reader->pending && !(read = pop(&reader->done)))
        pthread_cond_wait(&reader->done_grew, &reader->lock);
    reader->pending -= read != NULL;
    pthread_mutex_unlock(&reader->lock);
    *out = read;
    if (!read || read->status == NC_OK)
        return NC_OK;
    int status = nc_error(read->status, "%s",
                          read->message ? read->message : "block reader: no memory");
    free(read->message);
    read->message = NULL;
    return status;
}

size_t nc_block_reader_pending(const struct nc_block_reader *reader)
{
    return reader->pending;
}

uint64_t nc_block_reader_bytes(const struct nc_block_reader *reader)
{
    return __atomic_load_n(&reader->bytes, __ATOMIC_RELAXED);
}

void nc_block_reader_destroy(struct nc_block_reader *reader)
{
    if (!reader)
        return;
    pthread_mutex_lock(&reader->lock);
    reader->closing = true;
    while (pop(&reader->waiting))
        ;
    pthread_cond_broadcast(&reader->work);
    pthread_mutex_unlock(&reader->lock);
    for (size_t i = 0; i < reader->worker_count; i++)
        pthread_join(reader->workers[i], NULL);
    if (reader->ring) {
        (void)nc_block_ring_wake(reader->ring);
        pthread_join(reader->reaper, NULL);
    }
    for (struct nc_block_read *read; (read = pop(&reader->done));)
        free(read->message);
    nc_block_ring_destroy(reader->ring);
    nc_block_files_destroy(&reader->files);
    pthread_cond_destroy(&reader->work);
    pthread_cond_destroy(&reader->done_grew);
    pthread_mutex_destroy(&reader->lock);
    free(reader->workers);
    free(reader);
}
