/* An external merge sort of entries of keys. */
#include "index_runs.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RUN = 1 << 20,          /* entries that are sorted in memory: 16 MiB, and as much beside them */
    MERGE_BYTES = 16 << 20, /* the buffers of all runs together */
    LEAST_BUFFER = 256,     /* entries of one */
    MOST_BUFFER = 64 << 10,
};

struct run {
    const struct nc_key_entry *borrowed; /* or NULL: in the file */
    size_t count;
    off_t offset; /* in the file */
    /* of the merge */
    size_t taken;                  /* entries given out */
    const struct nc_key_entry *at; /* the next one */
    size_t there;                  /* entries from `at` on that are in memory */
    struct nc_key_entry *buffer;   /* part of nc_key_runs.buffers */
};

struct nc_key_runs {
    char *folder;
    int file; /* -1: nothing had to be put there */
    off_t file_end;
    struct nc_key_entry *entries, *other; /* [RUN], of the run that is being filled */
    size_t filled;
    struct run *runs;
    size_t count, capacity;
    struct nc_key_entry *buffers;
    size_t buffer_entries;
    size_t *heap; /* runs that have entries, the smallest first */
    size_t heap_count;
};

int nc_scratch_open(const char *folder, int *file)
{
    const char *temporary = getenv("TMPDIR");
    const char *const folders[] = {folder, temporary && *temporary ? temporary : "/tmp"};
    int cause = 0;
    *file = -1;
    for (size_t i = folder ? 0 : 1; i < 2 && *file < 0; i++) {
        *file = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (*file >= 0)
            break;
        char *path = nc_path_join(folders[i], "nclip-keys-XXXXXX"); /* not all know O_TMPFILE */
        *file = path ? mkostemp(path, O_CLOEXEC) : -1;
        cause = path ? errno : ENOMEM;
        if (*file >= 0)
            (void)unlink(path);
        free(path);
    }
    return *file >= 0
               ? NC_OK
               : nc_error(NC_FAILED, "%s: cannot make a temporary file for keys: %s; set TMPDIR",
                          folders[1], strerror(cause));
}

int nc_key_runs_create(const char *folder, struct nc_key_runs **out)
{
    *out = NULL;
    struct nc_key_runs *r = calloc(1, sizeof *r);
    if (!r)
        return nc_error(NC_FAILED, "%s: no memory to sort keys", folder);
    r->file = -1;
    r->folder = strdup(folder);
    r->entries = malloc(RUN * sizeof *r->entries);
    r->other = malloc(RUN * sizeof *r->other);
    if (!r->folder || !r->entries || !r->other) {
        nc_key_runs_destroy(r);
        return nc_error(NC_FAILED, "%s: no memory to sort keys", folder);
    }
    *out = r;
    return NC_OK;
}

void nc_key_runs_destroy(struct nc_key_runs *r)
{
    if (!r)
        return;
    if (r->file >= 0)
        close(r->file);
    free(r->folder);
    free(r->entries);
    free(r->other);
    free(r->runs);
    free(r->buffers);
    free(r->heap);
    free(r);
}

/* ---- runs ---- */

static int add_run(struct nc_key_runs *r, struct run run)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 16;
        struct run *larger = realloc(r->runs, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory to sort keys", r->folder);
        r->runs = larger;
        r->capacity = capacity;
    }
    r->runs[r->count++] = run;
    return NC_OK;
}

/* By hash, a byte at a time from the lowest: keeps the order of rows where hashes are equal. */
static void sort(struct nc_key_runs *r)
{
    size_t counts[8][256] = {{0}};
    for (size_t i = 0; i < r->filled; i++)
        for (unsigned byte = 0; byte < 8; byte++)
            counts[byte][r->entries[i].hash >> 8 * byte & 255]++;
    for (unsigned byte = 0; byte < 8; byte++) {
        size_t place[256], sum = 0;
        for (size_t value = 0; value < 256; value++) {
            place[value] = sum;
            sum += counts[byte][value];
        }
        for (size_t i = 0; i < r->filled; i++)
            r->other[place[r->entries[i].hash >> 8 * byte & 255]++] = r->entries[i];
        struct nc_key_entry *sorted = r->other;
        r->other = r->entries;
        r->entries = sorted;
    }
}

static int write_whole(struct nc_key_runs *r, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t count = pwrite(r->file, at, size, r->file_end);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return nc_error(NC_FAILED, "%s: cannot write the temporary file of keys: %s", r->folder,
                            strerror(count < 0 ? errno : ENOSPC));
        at += count;
        size -= (size_t)count;
        r->file_end += count;
    }
    return NC_OK;
}

static int put_run(struct nc_key_runs *r)
{
    int status = r->file < 0 ? nc_scratch_open(r->folder, &r->file) : NC_OK;
    struct run run = {.count = r->filled, .offset = r->file_end};
    sort(r);
    if (status == NC_OK)
        status = write_whole(r, r->entries, r->filled * sizeof *r->entries);
    if (status == NC_OK)
        status = add_run(r, run);
    r->filled = 0;
    return status;
}

int nc_key_runs_add(struct nc_key_runs *r, struct nc_key_entry entry)
{
    int status = r->filled == RUN ? put_run(r) : NC_OK;
    if (status == NC_OK)
        r->entries[r->filled++] = entry;
    return status;
}

int nc_key_runs_borrow(struct nc_key_runs *r, const struct nc_key_entry *entries, size_t count)
{
    return count ? add_run(r, (struct run){.borrowed = entries, .count = count}) : NC_OK;
}

/* ---- the merge ---- */

static bool less(const struct nc_key_runs *r, size_t a, size_t b)
{
    const struct nc_key_entry *first = r->runs[a].at, *second = r->runs[b].at;
    return first->hash != second->hash ? first->hash < second->hash : first->row < second->row;
}

static void sift(struct nc_key_runs *r, size_t at)
{
    size_t run = r->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= r->heap_count)
            break;
        if (child + 1 < r->heap_count && less(r, r->heap[child + 1], r->heap[child]))
            child++;
        if (!less(r, r->heap[child], run))
            break;
        r->heap[at] = r->heap[child];
        at = child;
    }
    r->heap[at] = run;
}

/* The next part of a run, which has more. */
static int refill(struct nc_key_runs *r, struct run *run)
{
    size_t left = run->count - run->taken;
    if (run->borrowed) {
        run->at = run->borrowed + run->taken;
        run->there = left;
        return NC_OK;
    }
    size_t entries = left < r->buffer_entries ? left : r->buffer_entries;
    size_t bytes = entries * sizeof *run->buffer, have = 0;
    off_t from = run->offset + (off_t)(run->taken * sizeof *run->buffer);
    while (have < bytes) {
        ssize_t count =
            pread(r->file, (char *)run->buffer + have, bytes - have, from + (off_t)have);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return nc_error(NC_FAILED, "%s: cannot read the temporary file of keys: %s", r->folder,
                            strerror(count < 0 ? errno : EIO));
        have += (size_t)count;
    }
    run->at = run->buffer;
    run->there = entries;
    return NC_OK;
}

int nc_key_runs_merge(struct nc_key_runs *r)
{
    int status = NC_OK;
    if (r->filled && r->file >= 0) {
        status = put_run(r);
    } else if (r->filled) { /* all of them fit into memory */
        sort(r);
        status = nc_key_runs_borrow(r, r->entries, r->filled);
        r->filled = 0;
    }
    if (status == NC_OK && r->file >= 0) {
        free(r->entries);
        r->entries = NULL;
    }
    free(r->other);
    r->other = NULL;
    if (status == NC_OK && !r->heap) {
        size_t share = MERGE_BYTES / sizeof *r->buffers / (r->count + 1);
        r->buffer_entries = share < LEAST_BUFFER  ? LEAST_BUFFER
                            : share > MOST_BUFFER ? MOST_BUFFER
                                                  : share;
        r->buffers =
            r->file >= 0 ? malloc((r->count + 1) * r->buffer_entries * sizeof *r->buffers) : NULL;
        r->heap = malloc((r->count + 1) * sizeof *r->heap);
        if (!r->heap || (r->file >= 0 && !r->buffers))
            status =
                nc_error(NC_FAILED, "%s: no memory to merge %zu runs of keys", r->folder, r->count);
    }
    r->heap_count = 0;
    for (size_t i = 0; i < r->count && status == NC_OK; i++) {
        struct run *run = &r->runs[i];
        run->taken = 0;
        run->buffer = r->buffers ? r->buffers + i * r->buffer_entries : NULL;
        status = refill(r, run);
        r->heap[r->heap_count++] = i;
    }
    for (size_t i = r->heap_count / 2; i-- > 0 && status == NC_OK;)
        sift(r, i);
    return status;
}

int nc_key_runs_next(struct nc_key_runs *r, struct nc_key_entry *entry, bool *more)
{
    *more = r->heap_count > 0;
    if (!*more)
        return NC_OK;
    struct run *run = &r->runs[r->heap[0]];
    *entry = *run->at++;
    run->taken++;
    int status = NC_OK;
    if (--run->there == 0 && run->taken < run->count)
        status = refill(r, run);
    else if (run->there == 0)
        r->heap[0] = r->heap[--r->heap_count];
    if (status == NC_OK && r->heap_count)
        sift(r, 0);
    return status;
}
