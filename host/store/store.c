/* Reading an embedding store. */
#include "format.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct shard {
    size_t number;
    char *path;
    struct nc_mapping mapping;
    struct nc_shard_header header;
    size_t first_row; /* in the store */
    char *key_text;
};

struct nc_embedding_store {
    char *folder;
    struct nc_embedding_info info;
    char *model_hash, *preprocessing; /* terminated copies, for info */
    struct shard *shards;
    size_t shard_count, rows, row_bytes, skipped;
    const char **keys;             /* [rows] */
    struct nc_string_map *numbers; /* key -> row */
};

/* ---- opening ---- */

static int compare_shards(const void *a, const void *b)
{
    size_t first = ((const struct shard *)a)->number, second = ((const struct shard *)b)->number;
    return (first > second) - (first < second);
}

static int list_shards(struct nc_embedding_store *store)
{
    DIR *directory = opendir(store->folder);
    if (!directory)
        return nc_error(nc_error_kind(errno), "%s: cannot open the embeddings: %s", store->folder,
                        strerror(errno));
    int status = NC_OK;
    size_t capacity = 0, number;
    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory))) {
        if (!nc_shard_number(entry->d_name, &number))
            continue;
        if (store->shard_count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            struct shard *larger = realloc(store->shards, capacity * sizeof *larger);
            if (!larger) {
                status = nc_error(NC_FAILED, "%s: no memory", store->folder);
                break;
            }
            store->shards = larger;
        }
        char *path = nc_path_join(store->folder, entry->d_name);
        if (!path)
            status = nc_error(NC_FAILED, "%s: no memory", store->folder);
        else
            store->shards[store->shard_count++] = (struct shard){.number = number, .path = path};
    }
    closedir(directory);
    if (status == NC_OK && store->shard_count == 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: holds no embeddings; make them with nclip embed --model "
                        "DIR --images PICTURES --out %s",
                        store->folder, store->folder);
    if (status == NC_OK)
        qsort(store->shards, store->shard_count, sizeof *store->shards, compare_shards);
    return status;
}

static int open_shard(struct shard *shard)
{
    int status = nc_file_map(shard->path, &shard->mapping);
    if (status != NC_OK)
        return status;
    const uint8_t *bytes = shard->mapping.data;
    size_t size = shard->mapping.size;
    status = nc_shard_parse_header(shard->path, bytes, size, &shard->header);
    if (status != NC_OK)
        return status;
    uint64_t stated;
    memcpy(&stated, bytes + size - NC_SHARD_CHECKSUM_BYTES, sizeof stated);
    if (XXH3_64bits(bytes, size - NC_SHARD_CHECKSUM_BYTES) != stated)
        return nc_error(NC_BAD_INPUT,
                        "%s: damaged embeddings: the checksum does not fit; remove the "
                        "file and run nclip embed again",
                        shard->path);
    return NC_OK;
}

static bool same_text(const struct nc_shard_text *a, const struct nc_shard_text *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Checks that all shards of a store agree in model, preprocessing, dimension and type. */
static int check_equal(const struct shard *first, const struct shard *shard)
{
    const struct nc_shard_header *a = &first->header, *b = &shard->header;
    const char *what = !same_text(&a->model_hash, &b->model_hash)         ? "models"
                       : !same_text(&a->preprocessing, &b->preprocessing) ? "preprocessing"
                       : a->dimension != b->dimension                     ? "dimensions"
                       : a->type != b->type                               ? "element types"
                       : a->normalized != b->normalized                   ? "normalisation"
                                                                          : NULL;
    if (what)
        return nc_error(NC_BAD_INPUT, "%s and %s: embeddings of different %s in one store",
                        first->path, shard->path, what);
    return NC_OK;
}

static const struct shard *shard_of(const struct nc_embedding_store *store, size_t row)
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

static int index_keys(struct nc_embedding_store *store)
{
    store->keys = malloc((store->rows + 1) * sizeof *store->keys);
    if (!store->keys)
        return nc_error(NC_FAILED, "%s: no memory for %zu keys", store->folder, store->rows);
    int status = nc_string_map_create(&store->numbers);
    for (size_t i = 0; status == NC_OK && i < store->shard_count; i++) {
        struct shard *shard = &store->shards[i];
        const struct nc_shard_header *h = &shard->header;
        const char **keys = store->keys + shard->first_row;
        shard->key_text = malloc((size_t)h->keys_bytes + 1);
        if (!shard->key_text)
            return nc_error(NC_FAILED, "%s: no memory for %zu keys", store->folder, store->rows);
        status = nc_shard_parse_keys(shard->path, shard->mapping.data + h->keys_offset,
                                     (size_t)h->keys_bytes, (size_t)h->rows, shard->key_text, keys);
        for (size_t row = 0; status == NC_OK && row < h->rows; row++) {
            size_t number = shard->first_row + row, present;
            status = nc_string_map_add(store->numbers, keys[row], number, &present);
            if (status == NC_OK && present != number)
                status = nc_error(NC_BAD_INPUT, "%s and %s: both hold \"%s\"; remove one of them",
                                  shard_of(store, present)->path, shard->path, keys[row]);
        }
    }
    return status;
}

static int open_shards(struct nc_embedding_store *store)
{
    int status = NC_OK;
    for (size_t i = 0; status == NC_OK && i < store->shard_count; i++) {
        struct shard *shard = &store->shards[i];
        status = open_shard(shard);
        if (status == NC_OK && i)
            status = check_equal(&store->shards[0], shard);
        shard->first_row = store->rows;
        store->rows += (size_t)shard->header.rows; /* a row has bytes in a file: no overflow */
    }
    if (status != NC_OK)
        return status;
    const struct nc_shard_header *h = &store->shards[0].header;
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
    return NC_OK;
}

int nc_embedding_store_open(const char *folder, struct nc_embedding_store **out)
{
    *out = NULL;
    struct nc_embedding_store *store = calloc(1, sizeof *store);
    struct nc_skipped skipped = {0};
    if (!store || !(store->folder = strdup(folder))) {
        free(store);
        return nc_error(NC_FAILED, "%s: no memory", folder);
    }
    int status = list_shards(store);
    if (status == NC_OK)
        status = open_shards(store);
    if (status == NC_OK)
        status = index_keys(store);
    if (status == NC_OK)
        status = nc_skipped_load(folder, NC_SKIPPED_FILE, &skipped);
    store->skipped = skipped.noted;
    nc_skipped_free(&skipped);
    if (status != NC_OK) {
        nc_embedding_store_close(store);
        return status;
    }
    *out = store;
    return NC_OK;
}

void nc_embedding_store_close(struct nc_embedding_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->shard_count; i++) {
        nc_file_unmap(&store->shards[i].mapping);
        free(store->shards[i].key_text);
        free(store->shards[i].path);
    }
    free(store->shards);
    free(store->keys);
    nc_string_map_destroy(store->numbers);
    free(store->model_hash);
    free(store->preprocessing);
    free(store->folder);
    free(store);
}

/* ---- reading ---- */

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

size_t nc_embedding_store_skipped(const struct nc_embedding_store *store)
{
    return store->skipped;
}

const char *nc_embedding_store_key(const struct nc_embedding_store *store, size_t row)
{
    return store->keys[row];
}

bool nc_embedding_store_find(const struct nc_embedding_store *store, const char *key, size_t *row)
{
    return nc_string_map_find(store->numbers, key, row);
}

const void *nc_embedding_store_row(const struct nc_embedding_store *store, size_t row)
{
    const struct shard *shard = shard_of(store, row);
    return shard->mapping.data + shard->header.rows_offset +
           (row - shard->first_row) * store->row_bytes;
}

void nc_embedding_store_row_float(const struct nc_embedding_store *store, size_t row, float *out)
{
    nc_embedding_store_gather(store, &row, 1, NC_FLOAT32, out);
}

void nc_embedding_store_row_unit(const struct nc_embedding_store *store, size_t row, float *out)
{
    double sum = 0;
    nc_embedding_store_row_float(store, row, out);
    if (store->info.normalized && store->info.type == NC_FLOAT32)
        return;
    for (size_t i = 0; i < store->info.dimension; i++)
        sum += (double)out[i] * (double)out[i];
    float factor = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < store->info.dimension; i++)
        out[i] *= factor;
}

void nc_embedding_store_gather(const struct nc_embedding_store *store, const size_t *rows,
                               size_t count, enum nc_type type, void *out)
{
    size_t out_bytes = store->info.dimension * nc_type_size(type);
    for (size_t i = 0; i < count; i++)
        nc_convert((char *)out + i * out_bytes, type, nc_embedding_store_row(store, rows[i]),
                   store->info.type, store->info.dimension);
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
    for (size_t i = 0; i < store->shard_count && status == NC_OK; i++)
        status = nc_mapping_check(&store->shards[i].mapping);
    return status;
}
