/* Opens an embedding store: the heads of its shards, and the keys of those of version 1. */
#include "shard.h"

#include "index.h"
#include "nclip/support/error.h"
#include "notes.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Shards whose heads are read at once: a shared file system answers each question late, but many
 * together. Fewer shards than PARALLEL_FROM are read without a thread. */
enum { READERS = 16, PARALLEL_FROM = 64 };

int nc_store_create(const char *folder, const struct nc_embedding_info *info,
                    struct nc_embedding_store **out)
{
    struct nc_embedding_store *store = calloc(1, sizeof *store);
    *out = NULL;
    if (store) {
        store->state = calloc(1, sizeof *store->state);
        store->folder = strdup(folder);
    }
    if (store && store->state) {
        pthread_mutex_init(&store->state->lock, NULL);
        atomic_store(&store->state->found, NC_EMBEDDING_NONE);
    }
    if (store && info) {
        store->info = *info;
        store->info.model_hash = store->model_hash = strdup(info->model_hash);
        store->info.preprocessing = store->preprocessing = strdup(info->preprocessing);
        store->row_bytes = info->dimension * nc_type_size(info->type);
        store->block_rows = nc_embedding_block_rows(store->row_bytes);
    }
    if (!store || !store->state || !store->folder ||
        (info && (!store->model_hash || !store->preprocessing))) {
        nc_embedding_store_close(store);
        return nc_error(NC_FAILED, "%s: no memory", folder);
    }
    *out = store;
    return NC_OK;
}

/* ---- many heads at once ---- */

/* What the heads say of the rows is of the store only in the first one. */
static int take_info(struct nc_embedding_store *store, const struct nc_shard_header *h)
{
    store->model_hash = strndup(h->model_hash.data, h->model_hash.size);
    store->preprocessing = strndup(h->preprocessing.data, h->preprocessing.size);
    if (!store->model_hash || !store->preprocessing)
        return nc_error(NC_FAILED, "%s: no memory", store->folder);
    store->info = (struct nc_embedding_info){
        .model_hash = store->model_hash,
        .preprocessing = store->preprocessing,
        .dimension = (size_t)h->dimension,
        .type = h->type,
        .normalized = h->normalized,
    };
    store->row_bytes = store->info.dimension * nc_type_size(h->type);
    store->block_rows = nc_embedding_block_rows(store->row_bytes);
    return NC_OK;
}

/* A shard with all in it but its place is given its place. */
static void place(struct nc_embedding_store *store, struct nc_shard *shard)
{
    shard->first_row = store->rows;
    shard->first_block = store->blocks;
    store->rows += shard->rows; /* a row has bytes in a file: no overflow */
    store->blocks += shard->blocks;
    store->old_shards += shard->old;
    store->old_rows += shard->old ? shard->rows : 0;
}

static int open_one(struct nc_embedding_store *store, struct nc_shard *shard, const char *first)
{
    struct nc_shard_header header;
    uint8_t *head;
    int status = nc_shard_open(shard, store->folder, &header, &head);
    if (status == NC_OK)
        status = store->model_hash ? nc_shard_compare(first, &store->info, shard->path, &header)
                                   : take_info(store, &header);
    free(head);
    return status;
}

/* The shard as it was listed: after a failure it can be opened again. */
static void forget(struct nc_shard *shard)
{
    char *path = shard->path;
    size_t number = shard->number;
    shard->path = NULL;
    nc_shard_close(shard);
    *shard = (struct nc_shard){.number = number, .path = path};
}

static int open_shards(struct nc_embedding_store *store)
{
    size_t count = store->shard_count, failed = count;
    const char *first = store->shards[0].path;
    int status = open_one(store, &store->shards[0], first);
    if (status != NC_OK)
        return status;
        /* A message is its thread's: the first shard that failed is opened once more, in this one.
         */
#pragma omp parallel for schedule(dynamic, 4) num_threads(READERS) if (count >= PARALLEL_FROM)     \
    reduction(min                                                                                  \
              : failed)
    for (size_t i = 1; i < count; i++) {
        if (i > failed || open_one(store, &store->shards[i], first) == NC_OK)
            continue;
        forget(&store->shards[i]);
        failed = i;
    }
    if (failed < count)
        status = open_one(store, &store->shards[failed], first);
    if (status == NC_OK && failed < count)
        status = nc_error(NC_FAILED, "%s: could not be read at first, and then it could; run again",
                          store->shards[failed].path);
    for (size_t i = 0; i < count && status == NC_OK; i++)
        place(store, &store->shards[i]);
    return status;
}

static int index_old_keys(struct nc_embedding_store *store)
{
    int status = store->old_shards ? nc_string_map_create(&store->old_numbers) : NC_OK;
    for (size_t i = 0; status == NC_OK && i < store->shard_count; i++) {
        struct nc_shard *shard = &store->shards[i];
        for (size_t row = 0; shard->old && status == NC_OK && row < shard->rows; row++) {
            size_t number = shard->first_row + row, present;
            status = nc_string_map_add(store->old_numbers, shard->old_keys[row], number, &present);
            if (status == NC_OK && present != number)
                status = nc_error(NC_BAD_INPUT, "%s and %s: both hold \"%s\"; remove one of them",
                                  nc_store_shard_of(store, present)->path, shard->path,
                                  shard->old_keys[row]);
        }
    }
    return status;
}

int nc_embedding_store_open(const char *folder, struct nc_embedding_store **out)
{
    struct nc_embedding_store *store;
    *out = NULL;
    int status = nc_store_create(folder, NULL, &store);
    if (status != NC_OK)
        return status;
    status = nc_shards_list(folder, &store->shards, &store->shard_count);
    if (status == NC_OK && store->shard_count == 0)
        status = nc_error(NC_BAD_INPUT,
                          "%s: holds no embeddings; make them with nclip embed --model "
                          "DIR --images PICTURES --out %s",
                          folder, folder);
    store->shard_capacity = store->shard_count;
    if (status == NC_OK)
        status = open_shards(store);
    if (status == NC_OK)
        status = index_old_keys(store);
    if (status != NC_OK) {
        nc_embedding_store_close(store);
        return status;
    }
    *out = store;
    return NC_OK;
}

int nc_store_add(struct nc_embedding_store *store, const char *path, size_t number)
{
    if (store->shard_count == store->shard_capacity) {
        size_t capacity = store->shard_capacity ? 2 * store->shard_capacity : 16;
        struct nc_shard *larger = realloc(store->shards, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory for %zu shards", store->folder, capacity);
        store->shards = larger;
        store->shard_capacity = capacity;
    }
    struct nc_shard shard = {.number = number, .path = strdup(path)};
    int status = shard.path ? open_one(store, &shard, store->folder)
                            : nc_error(NC_FAILED, "%s: no memory", path);
    if (status != NC_OK) {
        nc_shard_close(&shard);
        return status;
    }
    place(store, &shard);
    store->shards[store->shard_count++] = shard;
    return NC_OK;
}

void nc_embedding_store_close(struct nc_embedding_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->shard_count; i++)
        nc_shard_close(&store->shards[i]);
    free(store->shards);
    nc_string_map_destroy(store->old_numbers);
    if (store->state) {
        nc_key_index_close(atomic_load(&store->state->index));
        pthread_mutex_destroy(&store->state->lock);
    }
    free(store->state);
    free(store->model_hash);
    free(store->preprocessing);
    free(store->folder);
    free(store);
}

/* ---- what it is ---- */

struct nc_shard *nc_store_shard_of(const struct nc_embedding_store *store, size_t row)
{
    size_t low = 0, high = store->shard_count; /* the last shard that starts at or before row */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (store->shards[middle].first_row <= row)
            low = middle;
        else
            high = middle;
    }
    return &store->shards[low];
}

const char *nc_embedding_store_folder(const struct nc_embedding_store *store)
{
    return store->folder;
}

const struct nc_embedding_info *nc_embedding_store_info(const struct nc_embedding_store *store)
{
    return &store->info;
}

size_t nc_embedding_store_count(const struct nc_embedding_store *store)
{
    return store->rows;
}

size_t nc_embedding_store_shards(const struct nc_embedding_store *store)
{
    return store->shard_count;
}

size_t nc_embedding_store_old_shards(const struct nc_embedding_store *store)
{
    return store->old_shards;
}

uint64_t nc_embedding_store_fingerprint(const struct nc_embedding_store *store)
{
    XXH3_state_t hash;
    XXH3_INITSTATE(&hash);
    XXH3_64bits_reset(&hash);
    for (size_t i = 0; i < store->shard_count; i++)
        XXH3_64bits_update(&hash, &store->shards[i].sum, sizeof store->shards[i].sum);
    return XXH3_64bits_digest(&hash);
}

int nc_embedding_store_skipped(const struct nc_embedding_store *store, size_t *count)
{
    struct nc_skipped skipped = {0};
    int status = nc_skipped_load(store->folder, NC_SKIPPED_FILE, &skipped);
    *count = skipped.noted;
    nc_skipped_free(&skipped);
    return status;
}

int nc_embedding_store_expect(const struct nc_embedding_store *store, const char *model_hash,
                              size_t dimension)
{
    const struct nc_embedding_info *info = &store->info;
    if (model_hash && strcmp(model_hash, info->model_hash) != 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: embeddings of another model (%s, with %zu columns; the "
                        "model at hand is %s, with %zu); make the right ones with nclip embed "
                        "--model DIR --images PICTURES --out STORE",
                        store->folder, info->model_hash, info->dimension, model_hash, dimension);
    if (dimension != info->dimension)
        return nc_error(NC_BAD_INPUT,
                        "%s: embeddings with %zu columns, but the model at hand has "
                        "%zu; make the right ones with nclip embed --model DIR --images PICTURES "
                        "--out STORE",
                        store->folder, info->dimension, dimension);
    return NC_OK;
}

int nc_embedding_store_check(const struct nc_embedding_store *store)
{
    int status = NC_OK;
    pthread_mutex_lock(&store->state->lock);
    for (size_t i = 0; i < store->shard_count && status == NC_OK; i++)
        status = nc_shard_check(&store->shards[i]);
    pthread_mutex_unlock(&store->state->lock);
    return status;
}
