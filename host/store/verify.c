/* Reads and checks a whole store. */
#include "index_build.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART = 8 /* blocks that a thread reads in a row */, LEAST_THREADS = 4 };

struct verify {
    const struct nc_embedding_store *store;
    struct nc_embedding_verified *result;
    struct nc_progress *progress;
    atomic_size_t next; /* block */
    size_t first_bad;   /* block; SIZE_MAX: none */
    int status;         /* of it */
    char *message;
};

/* A thread's file and memory. */
struct reader {
    const char *path;
    int file;
    uint8_t *bytes;
    size_t capacity;
};

/* Takes note of what was read, under the name of the block that it was or came behind. */
static void note(struct verify *v, size_t number, uint64_t bytes, int status)
{
#pragma omp critical(verify)
    {
        v->result->bytes += bytes;
        v->result->blocks++;
        if (status != NC_OK) {
            v->result->damaged++;
            nc_progress_message(v->progress, "%s", nc_error_message());
        }
        if (status != NC_OK && (!v->message || number < v->first_bad)) {
            free(v->message);
            v->message = strdup(nc_error_message());
            v->first_bad = number;
            v->status = status;
        }
        nc_progress_update(v->progress, (size_t)(v->result->bytes >> 20), NULL);
    }
}

static int read_block(struct reader *r, const struct nc_embedding_block *block)
{
    if (r->capacity < block->bytes) {
        free(r->bytes);
        r->capacity = 0;
        if (posix_memalign((void **)&r->bytes, NC_EMBEDDING_ALIGNMENT, block->bytes) != 0) {
            r->bytes = NULL;
            return nc_error(NC_FAILED, "%s: no memory for a block of %zu bytes", block->path,
                            block->bytes);
        }
        r->capacity = block->bytes;
    }
    if (r->path != block->path) {
        if (r->file >= 0)
            close(r->file);
        r->file = open(block->path, O_RDONLY | O_CLOEXEC);
        r->path = r->file >= 0 ? block->path : NULL;
        if (r->file < 0)
            return nc_error_read(block->path);
        (void)posix_fadvise(r->file, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    for (size_t have = 0; have < block->bytes;) {
        ssize_t count =
            pread(r->file, r->bytes + have, block->bytes - have, (off_t)(block->offset + have));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return nc_error(NC_FAILED, "%s: cannot read block %zu (%zu bytes from byte %llu): %s",
                            block->path, block->number, block->bytes,
                            (unsigned long long)block->offset, strerror(errno));
        if (count == 0)
            return nc_error(NC_FAILED, "%s: became shorter since the store was opened",
                            block->path);
        have += (size_t)count;
    }
    return nc_embedding_block_check(block, r->bytes);
}

/* Maps them for itself, so that what was read does not stay mapped. */
static int check_keys(const struct nc_shard *shard)
{
    struct nc_shard copy = {.path = shard->path,
                            .rows = shard->rows,
                            .sums = shard->sums,
                            .blocks = shard->blocks,
                            .keys_offset = shard->keys_offset,
                            .keys_bytes = shard->keys_bytes,
                            .state = shard->state};
    int status = nc_shard_map_keys(&copy);
    nc_file_unmap(&copy.mapping);
    return status;
}

static void verify_part(struct verify *v, struct reader *reader, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        struct nc_embedding_block block;
        nc_embedding_store_block(v->store, i, &block);
        const struct nc_shard *shard = nc_store_shard_of(v->store, block.first_row);
        if (shard->old) /* checked at opening */
            continue;
        note(v, i, block.bytes, read_block(reader, &block));
        if (block.number + 1 == shard->blocks)
            note(v, i, shard->keys_bytes, check_keys(shard));
    }
}

static void verify_blocks(struct verify *v)
{
    size_t blocks = v->store->blocks;
    int threads = omp_get_max_threads();
#pragma omp parallel num_threads(threads < LEAST_THREADS ? LEAST_THREADS : threads)
    {
        struct reader reader = {.file = -1};
        size_t first;
        while ((first = atomic_fetch_add(&v->next, PART)) < blocks)
            verify_part(v, &reader, first, first + PART < blocks ? first + PART : blocks);
        if (reader.file >= 0)
            close(reader.file);
        free(reader.bytes);
    }
}

/* The index, or the keys by making it: that finds keys that are there twice. */
static int verify_index(const struct nc_embedding_store *store)
{
    int status = nc_embedding_store_index(store);
    const struct nc_key_index *index = atomic_load(&store->state->index);
    return status == NC_OK && index ? nc_key_index_verify(index) : status;
}

int nc_embedding_store_verify(const struct nc_embedding_store *store,
                              struct nc_embedding_verified *result)
{
    struct verify v = {.store = store, .result = result};
    uint64_t total = 0;
    *result = (struct nc_embedding_verified){0};
    for (size_t i = 0; i < store->shard_count; i++)
        if (!store->shards[i].old)
            total += store->shards[i].rows * store->row_bytes + store->shards[i].keys_bytes;
    double began = nc_seconds();
    v.progress = nc_progress_start("verify", "MiB", 0, (size_t)(total >> 20));
    verify_blocks(&v);
    nc_progress_finish(v.progress);
    result->seconds = nc_seconds() - began;
    int status = nc_embedding_store_check(store); /* else what is wrong may be of two files */
    if (status == NC_OK && result->damaged)
        status = nc_error(v.status, "%s%s", v.message ? v.message : store->folder,
                          result->damaged > 1 ? " (and more: see above)" : "");
    if (status == NC_OK)
        status = verify_index(store);
    free(v.message);
    return status;
}
