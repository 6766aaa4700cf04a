/* Makes keys.index: the hashes of all keys, sorted, and the keys that are there twice. */
#include "index_build.h"

#include "index_runs.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BUFFER = 4096 /* entries */, SHOW_FROM = 4000000 /* keys */, STEP = 1 << 16 };

struct build {
    const struct nc_embedding_store *store;
    const char *path;
    struct nc_key_runs *runs;
    struct nc_progress *progress;
    uint64_t rows, fingerprint;
    size_t done; /* keys read, then keys written */
    /* Where it goes: one of them. */
    struct nc_writer *writer;
    int file;
    /* The entries that are being written. */
    struct nc_key_entry buffer[BUFFER];
    size_t filled, hashed; /* of the buffer; entries before `hashed` are in the bucket's sum */
    uint64_t written;
    XXH3_state_t *bucket_hash; /* made by its library: it wants more alignment than calloc gives */
    struct nc_index_bucket *directory;
    size_t bucket;
    unsigned bits;
    /* The rows of the hash at hand. */
    uint64_t hash;
    size_t *same;
    size_t same_count, same_capacity;
};

int nc_store_key(const struct nc_embedding_store *store, size_t row, const char **key)
{
    struct nc_shard *shard = nc_store_shard_of(store, row);
    size_t in_shard = row - shard->first_row, length;
    int status = shard->old ? NC_OK : nc_shard_map_keys(shard);
    if (status != NC_OK)
        *key = NULL;
    else
        *key = shard->old ? shard->old_keys[in_shard]
                          : nc_key_section_key(&shard->keys, in_shard, &length);
    return status;
}

/* ---- reading keys ---- */

static int doubled(const struct nc_embedding_store *store, size_t a, size_t b, const char *key)
{
    return nc_error(NC_BAD_INPUT, "%s and %s: both hold \"%s\"; remove one of them",
                    nc_store_shard_of(store, a)->path, nc_store_shard_of(store, b)->path, key);
}

static void count(struct build *b)
{
    if (++b->done % STEP == 0)
        nc_progress_update(b->progress, b->done, NULL);
}

/* Maps the shard for itself, so that what was read does not stay. */
static int add_shard(struct build *b, const struct nc_shard *shard)
{
    struct nc_shard copy = {.path = shard->path,
                            .rows = shard->rows,
                            .sums = shard->sums,
                            .blocks = shard->blocks,
                            .keys_offset = shard->keys_offset,
                            .keys_bytes = shard->keys_bytes,
                            .state = shard->state};
    int status = nc_shard_map_keys(&copy);
    for (size_t i = 0; i < copy.rows && status == NC_OK; i++) {
        size_t length, old_row, row = shard->first_row + i;
        const char *key = nc_key_section_key(&copy.keys, i, &length);
        if (b->store->old_numbers && nc_string_map_find(b->store->old_numbers, key, &old_row))
            status = doubled(b->store, old_row, row, key);
        else
            status = nc_key_runs_add(b->runs, (struct nc_key_entry){nc_key_hash(key, length), row});
        count(b);
    }
    nc_file_unmap(&copy.mapping);
    return status;
}

static int read_keys(struct build *b, const struct nc_key_index *old)
{
    uint64_t covered = old ? nc_key_index_rows(old) : 0, rows = 0;
    int status = NC_OK;
    if (old)
        status = nc_key_index_verify(old);
    if (old && status == NC_OK)
        status = nc_key_runs_borrow(b->runs, nc_key_index_entries(old), (size_t)covered);
    for (size_t i = 0; i < b->store->shard_count && status == NC_OK; i++) {
        const struct nc_shard *shard = &b->store->shards[i];
        if (!shard->old && rows >= covered)
            status = add_shard(b, shard);
        rows += shard->old ? 0 : shard->rows;
    }
    return status;
}

/* ---- writing entries ---- */

static int put(struct build *b, const void *data, size_t size)
{
    const char *at = data;
    if (b->writer)
        return nc_writer_write(b->writer, data, size);
    while (size) {
        ssize_t done = write(b->file, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return nc_error(NC_FAILED,
                            "%s: cannot write it, nor a temporary file in its place: %s; "
                            "set TMPDIR",
                            b->path, strerror(done < 0 ? errno : ENOSPC));
        at += done;
        size -= (size_t)done;
    }
    return NC_OK;
}

static void add_to_sum(struct build *b)
{
    XXH3_64bits_update(b->bucket_hash, b->buffer + b->hashed,
                       (b->filled - b->hashed) * sizeof *b->buffer);
    b->hashed = b->filled;
}

/* Ends the buckets before `bucket`; most are of entries, some are empty. */
static void end_buckets(struct build *b, size_t bucket)
{
    add_to_sum(b);
    while (b->bucket < bucket) {
        b->directory[b->bucket++] =
            (struct nc_index_bucket){b->written + b->filled, XXH3_64bits_digest(b->bucket_hash)};
        XXH3_64bits_reset(b->bucket_hash);
    }
}

static int put_buffer(struct build *b)
{
    add_to_sum(b);
    int status = put(b, b->buffer, b->filled * sizeof *b->buffer);
    b->written += b->filled;
    b->filled = b->hashed = 0;
    return status;
}

/* Equal hashes are mostly equal keys, which must not be. */
static int compare_same(struct build *b, const struct nc_key_entry *entry)
{
    if (entry->hash != b->hash)
        b->same_count = 0;
    b->hash = entry->hash;
    const char *key, *other;
    int status = b->same_count ? nc_store_key(b->store, (size_t)entry->row, &key) : NC_OK;
    for (size_t i = 0; i < b->same_count && status == NC_OK; i++) {
        status = nc_store_key(b->store, b->same[i], &other);
        if (status == NC_OK && strcmp(key, other) == 0)
            status = doubled(b->store, b->same[i], (size_t)entry->row, key);
    }
    if (b->same_count == b->same_capacity && status == NC_OK) {
        size_t capacity = b->same_capacity ? 2 * b->same_capacity : 16;
        size_t *larger = realloc(b->same, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", b->path);
        b->same = larger;
        b->same_capacity = capacity;
    }
    if (status == NC_OK)
        b->same[b->same_count++] = (size_t)entry->row;
    return status;
}

static int write_entries(struct build *b)
{
    bool more = true;
    b->filled = b->hashed = b->bucket = b->same_count = 0;
    b->written = 0;
    XXH3_64bits_reset(b->bucket_hash);
    int status = nc_key_runs_merge(b->runs);
    while (status == NC_OK) {
        struct nc_key_entry entry;
        status = nc_key_runs_next(b->runs, &entry, &more);
        if (status != NC_OK || !more)
            break;
        status = compare_same(b, &entry);
        if (nc_index_bucket_of(entry.hash, b->bits) != b->bucket)
            end_buckets(b, nc_index_bucket_of(entry.hash, b->bits));
        b->buffer[b->filled++] = entry;
        if (status == NC_OK && b->filled == BUFFER)
            status = put_buffer(b);
        count(b);
    }
    if (status == NC_OK)
        end_buckets(b, (size_t)1 << b->bits);
    return status == NC_OK ? put_buffer(b) : status;
}

static int write_index(struct build *b)
{
    size_t bytes = ((size_t)1 << b->bits) * sizeof *b->directory;
    struct nc_index_tail tail = {
        .magic = NC_INDEX_MAGIC, .fingerprint = b->fingerprint, .rows = b->rows, .bits = b->bits};
    int status = write_entries(b);
    if (status != NC_OK)
        return status;
    XXH3_64bits_reset(b->bucket_hash);
    XXH3_64bits_update(b->bucket_hash, b->directory, bytes);
    XXH3_64bits_update(b->bucket_hash, &tail, sizeof tail - sizeof tail.sum);
    tail.sum = XXH3_64bits_digest(b->bucket_hash);
    status = put(b, b->directory, bytes);
    return status == NC_OK ? put(b, &tail, sizeof tail) : status;
}

/* ---- the file ---- */

static int write_named(struct build *b)
{
    int status = nc_writer_create(b->path, &b->writer);
    if (status != NC_OK)
        return status;
    status = write_index(b);
    if (status == NC_OK)
        status = nc_writer_commit(b->writer);
    else
        nc_writer_abort(b->writer);
    b->writer = NULL;
    return status;
}

static int write_nameless(struct build *b, struct nc_key_index **index)
{
    int status = nc_scratch_open(NULL, &b->file);
    if (status != NC_OK)
        return status;
    status = write_index(b);
    if (status == NC_OK)
        status = nc_key_index_map(b->file, b->path, b->fingerprint, b->rows, index);
    close(b->file);
    return status;
}

int nc_key_index_take(const struct nc_embedding_store *store, struct nc_key_index **index)
{
    *index = NULL;
    char *path = nc_path_join(store->folder, NC_INDEX_FILE);
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", store->folder);
    int status = nc_key_index_open(path, nc_embedding_store_fingerprint(store),
                                   store->rows - store->old_rows, index);
    free(path);
    return status;
}

/* The processes of one run all need the index at once: one makes it. Where the file system has no
 * locks, each does. */
static int wait_for_others(const struct nc_embedding_store *store)
{
    int lock = open(store->shards[0].path, O_RDONLY | O_CLOEXEC);
    while (lock >= 0 && flock(lock, LOCK_EX) != 0 && errno == EINTR)
        ;
    return lock;
}

static int make(struct build *b, const struct nc_key_index *old, bool keep,
                struct nc_key_index **index)
{
    uint64_t taken = old ? nc_key_index_rows(old) : 0;
    b->bits = nc_index_bits(b->rows);
    b->directory = malloc(((size_t)1 << b->bits) * sizeof *b->directory);
    if (!b->directory)
        return nc_error(NC_FAILED, "%s: no memory for an index of %zu keys", b->path,
                        (size_t)b->rows);
    if (b->rows >= SHOW_FROM)
        b->progress = nc_progress_start("index", "keys", 0,
                                        (size_t)(2 * b->rows - taken)); /* read, written */
    int status = nc_key_runs_create(b->store->folder, &b->runs);
    if (status == NC_OK)
        status = read_keys(b, old);
    if (status != NC_OK)
        return status;
    size_t read = b->done;
    status = write_named(b);
    b->done = read;
    if (status == NC_OK)
        return nc_key_index_open(b->path, b->fingerprint, b->rows, index);
    return status == NC_FAILED && !keep ? write_nameless(b, index) : status;
}

int nc_key_index_make(const struct nc_embedding_store *store, const struct nc_key_index *old,
                      bool keep, struct nc_key_index **index)
{
    *index = NULL;
    int lock = wait_for_others(store);
    char *path = nc_path_join(store->folder, NC_INDEX_FILE);
    struct build *b = calloc(1, sizeof *b);
    XXH3_state_t *hash = XXH3_createState();
    int status = NC_OK;
    if (!path || !b || !hash) {
        status = nc_error(NC_FAILED, "%s: no memory", store->folder);
        goto cleanup;
    }
    *b = (struct build){.store = store,
                        .path = path,
                        .rows = store->rows - store->old_rows,
                        .fingerprint = nc_embedding_store_fingerprint(store),
                        .bucket_hash = hash};
    status = nc_key_index_open(path, b->fingerprint, b->rows, index);
    if (status == NC_OK && !*index)
        status = make(b, old, keep, index);
    if (status == NC_OK && !*index)
        status = nc_error(NC_FAILED,
                          "%s: was written, but reads as another; is another process "
                          "writing to the store?",
                          path);
cleanup:
    if (b) {
        nc_progress_finish(b->progress);
        nc_key_runs_destroy(b->runs);
        free(b->directory);
        free(b->same);
    }
    free(b);
    XXH3_freeState(hash);
    free(path);
    if (lock >= 0)
        close(lock);
    return status;
}
