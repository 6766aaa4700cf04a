/* Finds the keys that a store has more than once. */
#include "index_build.h"
#include "index_runs.h"

#include "nclip/store/parts.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

struct nc_embedding_shard nc_embedding_store_shard(const struct nc_embedding_store *store,
                                                   size_t row)
{
    const struct nc_shard *shard = nc_store_shard_of(store, row);
    return (struct nc_embedding_shard){shard->number, shard->first_row, shard->rows};
}

/* The rows of one hash whose keys differ. */
struct same {
    uint64_t hash;
    size_t *rows;
    size_t count, capacity;
};

/* Of shards of version 1, keys are found in memory; among themselves they do not repeat. */
static int add_shard(const struct nc_embedding_store *store, const struct nc_shard *shard,
                     struct nc_key_runs *runs)
{
    struct nc_shard copy = {.path = shard->path,
                            .rows = shard->rows,
                            .sums = shard->sums,
                            .blocks = shard->blocks,
                            .keys_offset = shard->keys_offset,
                            .keys_bytes = shard->keys_bytes,
                            .state = shard->state};
    int status = shard->old ? NC_OK : nc_shard_map_keys(&copy);
    for (size_t i = 0; i < shard->rows && status == NC_OK; i++) {
        size_t length;
        const char *key =
            shard->old ? shard->old_keys[i] : nc_key_section_key(&copy.keys, i, &length);
        struct nc_key_entry entry = {nc_key_hash(key, strlen(key)), shard->first_row + i};
        status = nc_key_runs_add(runs, entry);
    }
    nc_file_unmap(&copy.mapping);
    return status == NC_OK ? NC_OK : nc_error_prefix(status, "%s", store->folder);
}

static int compare(const struct nc_embedding_store *store, struct same *same,
                   const struct nc_key_entry *entry,
                   int (*tell)(void *context, size_t first, size_t row), void *context)
{
    if (entry->hash != same->hash)
        same->count = 0;
    same->hash = entry->hash;
    const char *key, *other;
    int status = same->count ? nc_embedding_store_key(store, (size_t)entry->row, &key) : NC_OK;
    for (size_t i = 0; i < same->count && status == NC_OK; i++) {
        status = nc_embedding_store_key(store, same->rows[i], &other);
        if (status == NC_OK && strcmp(key, other) == 0)
            return tell(context, same->rows[i], (size_t)entry->row);
    }
    if (status == NC_OK && same->count == same->capacity) {
        size_t capacity = same->capacity ? 2 * same->capacity : 16;
        size_t *larger = reallocarray(same->rows, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", store->folder);
        same->rows = larger;
        same->capacity = capacity;
    }
    if (status == NC_OK)
        same->rows[same->count++] = (size_t)entry->row;
    return status;
}

int nc_embedding_store_doubles(const struct nc_embedding_store *store,
                               int (*tell)(void *context, size_t first, size_t row), void *context)
{
    struct nc_key_runs *runs;
    struct same same = {0};
    struct nc_key_entry entry;
    bool more = true;
    int status = nc_key_runs_create(store->folder, &runs);
    for (size_t i = 0; i < store->shard_count && status == NC_OK; i++)
        status = add_shard(store, &store->shards[i], runs);
    if (status == NC_OK)
        status = nc_key_runs_merge(runs);
    while (status == NC_OK) {
        status = nc_key_runs_next(runs, &entry, &more);
        if (status != NC_OK || !more)
            break;
        status = compare(store, &same, &entry, tell, context);
    }
    free(same.rows);
    nc_key_runs_destroy(runs);
    return status;
}
