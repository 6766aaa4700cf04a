/* From a key to its row, and from a row to its key. */
#include "index_build.h"

#include "nclip/support/error.h"

#include <string.h>

int nc_embedding_store_key(const struct nc_embedding_store *store, size_t row, const char **key)
{
    const struct nc_shard *shard = nc_store_shard_of(store, row);
    if (shard->old || atomic_load_explicit(&shard->keys_checked, memory_order_acquire))
        return nc_store_key(store, row, key);
    pthread_mutex_lock(&store->state->lock);
    int status = nc_store_key(store, row, key);
    pthread_mutex_unlock(&store->state->lock);
    return status;
}

int nc_embedding_store_index(const struct nc_embedding_store *store)
{
    if (store->rows == store->old_rows || atomic_load(&store->state->index))
        return NC_OK;
    pthread_mutex_lock(&store->state->lock);
    struct nc_key_index *index = atomic_load(&store->state->index);
    int status = NC_OK;
    if (!index) {
        status = nc_key_index_take(store, &index);
        if (status == NC_OK && !index)
            status = nc_key_index_make(store, NULL, false, &index);
        atomic_store(&store->state->index, index);
    }
    pthread_mutex_unlock(&store->state->lock);
    return status;
}

static int look_up(const struct nc_embedding_store *store, const char *key, size_t *row)
{
    const struct nc_key_entry *entries;
    size_t count;
    int status = nc_embedding_store_index(store);
    if (status == NC_OK)
        status = nc_key_index_find(atomic_load(&store->state->index), nc_key_hash(key, strlen(key)),
                                   &entries, &count);
    for (size_t i = 0; status == NC_OK && i < count; i++) {
        const char *other;
        if (entries[i].row >= store->rows) /* a lie whose sums fit */
            continue;
        status = nc_embedding_store_key(store, (size_t)entries[i].row, &other);
        if (status == NC_OK && strcmp(key, other) == 0) {
            *row = (size_t)entries[i].row;
            break;
        }
    }
    return status;
}

int nc_embedding_store_find(const struct nc_embedding_store *store, const char *key, size_t *row)
{
    *row = NC_EMBEDDING_NONE;
    if (!store->rows)
        return NC_OK;
    if (store->old_numbers && nc_string_map_find(store->old_numbers, key, row))
        return NC_OK;
    *row = NC_EMBEDDING_NONE;
    if (store->rows == store->old_rows)
        return NC_OK;
    const char *other;
    size_t next = atomic_load_explicit(&store->state->found, memory_order_relaxed) + 1;
    int status = next < store->rows ? nc_embedding_store_key(store, next, &other) : NC_OK;
    if (status == NC_OK && next < store->rows && strcmp(key, other) == 0)
        *row = next;
    else if (status == NC_OK)
        status = look_up(store, key, row);
    if (*row != NC_EMBEDDING_NONE)
        atomic_store_explicit(&store->state->found, *row, memory_order_relaxed);
    return status;
}
