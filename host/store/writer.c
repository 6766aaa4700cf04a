/* Writing an embedding store, shard by shard. */
#include "format.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct nc_embedding_writer {
    char *folder;
    bool made_folder;
    int lock; /* descriptor of the folder, locked */
    struct nc_embedding_info info;
    char *model_hash, *preprocessing; /* owned copies, for info */
    size_t shard_rows, row_bytes;
    struct nc_embedding_store *before; /* what an earlier run wrote; NULL when nothing */
    size_t next_shard;
    char **keys; /* [count], owned: the keys of this run */
    size_t count, capacity;
    struct nc_string_map *numbers; /* key -> place in keys */
    size_t flushed;                /* of `count`; the rest is in `rows` */
    uint8_t *rows;                 /* [shard_rows, dimension] */
    struct nc_skipped skipped, damaged;
    bool skipped_changed, damaged_changed;
};

/* ---- opening ---- */

/* Called with the folder locked: removes the partial files of a killed run, and finds the number
 * of the next shard. */
static int scan_folder(struct nc_embedding_writer *w, bool *has_shards)
{
    *has_shards = false;
    DIR *directory = opendir(w->folder);
    if (!directory)
        return nc_error(NC_FAILED, "%s: cannot read the folder: %s", w->folder, strerror(errno));
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        const char *name = entry->d_name;
        bool ours = strncmp(name, "shard-", 6) == 0 || strncmp(name, NC_SKIPPED_FILE ".", 14) == 0 ||
                    strncmp(name, NC_DAMAGED_FILE ".", 14) == 0;
        size_t number;
        if (ours && strstr(name, ".partial-")) {
            (void)unlinkat(dirfd(directory), name, 0);
        } else if (nc_shard_number(name, &number)) {
            *has_shards = true;
            if (number >= w->next_shard)
                w->next_shard = number + 1;
        }
    }
    closedir(directory);
    return NC_OK;
}

static int check_info(const struct nc_embedding_writer *w)
{
    const struct nc_embedding_info *old = nc_embedding_store_info(w->before), *new = &w->info;
    const char *advice = "give another --out, or remove the old embeddings";
    if (strcmp(old->model_hash, new->model_hash) != 0)
        return nc_error(NC_BAD_INPUT, "%s: embeddings of another model (%s, not %s); %s", w->folder,
                        old->model_hash, new->model_hash, advice);
    if (strcmp(old->preprocessing, new->preprocessing) != 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: pictures were preprocessed differently (\"%s\", not "
                        "\"%s\"); %s",
                        w->folder, old->preprocessing, new->preprocessing, advice);
    if (old->dimension != new->dimension)
        return nc_error(NC_BAD_INPUT, "%s: embeddings with %zu columns, not %zu; %s", w->folder,
                        old->dimension, new->dimension, advice);
    if (old->type != new->type)
        return nc_error(NC_BAD_INPUT, "%s: embeddings in %s, not %s; %s", w->folder,
                        nc_type_name(old->type), nc_type_name(new->type), advice);
    if (old->normalized != new->normalized)
        return nc_error(NC_BAD_INPUT, "%s: embeddings are %snormalised, these are %s; %s",
                        w->folder, old->normalized ? "" : "not ", new->normalized ? "so" : "not",
                        advice);
    return NC_OK;
}

static int start(struct nc_embedding_writer *w, const struct nc_embedding_info *info)
{
    size_t texts = strlen(info->model_hash) + strlen(info->preprocessing);
    if (info->dimension == 0 || info->dimension > NC_EMBEDDING_MAX_DIMENSION ||
        texts > NC_SHARD_HEADER_LIMIT / 2)
        return nc_error(NC_BAD_INPUT,
                        "%s: cannot hold embeddings with %zu columns, a model's name "
                        "and preprocessing of %zu bytes",
                        w->folder, info->dimension, texts);
    w->info = *info;
    w->info.model_hash = w->model_hash = strdup(info->model_hash);
    w->info.preprocessing = w->preprocessing = strdup(info->preprocessing);
    w->row_bytes = info->dimension * nc_type_size(info->type);
    w->rows =
        w->shard_rows <= SIZE_MAX / w->row_bytes ? malloc(w->shard_rows * w->row_bytes) : NULL;
    if (!w->model_hash || !w->preprocessing || !w->rows)
        return nc_error(NC_FAILED, "%s: no memory for %zu rows", w->folder, w->shard_rows);

    bool has_shards;
    int status = nc_string_map_create(&w->numbers);
    bool missing = !nc_folder_exists(w->folder);
    if (status == NC_OK)
        status = nc_folder_create(w->folder);
    if (status == NC_OK)
        status = nc_folder_lock(w->folder, "writing embeddings", &w->lock);
    w->made_folder = status == NC_OK && missing; /* behind the lock: else it is another's */
    if (status == NC_OK)
        status = scan_folder(w, &has_shards);
    if (status == NC_OK && has_shards) {
        status = nc_embedding_store_open(w->folder, &w->before);
        if (status == NC_OK)
            status = check_info(w);
    }
    if (status == NC_OK)
        status = nc_skipped_load(w->folder, NC_SKIPPED_FILE, &w->skipped);
    if (status == NC_OK)
        status = nc_skipped_load(w->folder, NC_DAMAGED_FILE, &w->damaged);
    return status;
}

int nc_embedding_writer_open(const char *folder, const struct nc_embedding_info *info,
                             size_t shard_rows, struct nc_embedding_writer **out)
{
    *out = NULL;
    struct nc_embedding_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->folder = strdup(folder))) {
        free(w);
        return nc_error(NC_FAILED, "%s: no memory", folder);
    }
    w->lock = -1;
    w->shard_rows = shard_rows ? shard_rows : NC_EMBEDDING_SHARD_ROWS;
    int status = start(w, info);
    if (status != NC_OK) {
        nc_embedding_writer_abandon(w);
        return status;
    }
    *out = w;
    return NC_OK;
}

/* ---- rows ---- */

size_t nc_embedding_writer_count(const struct nc_embedding_writer *w)
{
    return w->count + (w->before ? nc_embedding_store_count(w->before) : 0);
}

bool nc_embedding_writer_has(const struct nc_embedding_writer *w, const char *key)
{
    size_t number;
    return nc_string_map_find(w->numbers, key, &number) ||
           (w->before && nc_embedding_store_find(w->before, key, &number));
}

/* Infinity and NaN have all bits of the exponent set. */
static bool all_finite(const void *row, enum nc_type type, size_t count)
{
    bool finite = true;
    if (type == NC_FLOAT32) {
        for (size_t i = 0; i < count; i++)
            finite &= (bool)isfinite(((const float *)row)[i]);
    } else {
        uint16_t exponent = type == NC_BFLOAT16 ? 0x7f80 : 0x7c00;
        for (size_t i = 0; i < count; i++)
            finite &= (((const uint16_t *)row)[i] & exponent) != exponent;
    }
    return finite;
}

static int add_key(struct nc_embedding_writer *w, const char *key)
{
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 1024;
        char **larger = realloc(w->keys, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory for %zu keys", w->folder, capacity);
        w->keys = larger;
        w->capacity = capacity;
    }
    char *copy = strdup(key);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory for %zu keys", w->folder, w->count + 1);
    size_t present;
    int status = nc_string_map_add(w->numbers, copy, w->count, &present);
    if (status == NC_OK)
        w->keys[w->count++] = copy;
    else
        free(copy);
    return status;
}

int nc_embedding_writer_append(struct nc_embedding_writer *w, const char *key, const float *row)
{
    size_t length = strlen(key);
    if (length == 0 || length > NC_EMBEDDING_MAX_KEY)
        return nc_error(NC_BAD_INPUT, "%s: a key of %zu bytes (1 to %d are allowed)", w->folder,
                        length, NC_EMBEDDING_MAX_KEY);
    if (nc_embedding_writer_has(w, key))
        return nc_error(NC_BAD_INPUT, "%s: holds an embedding of \"%s\" already", w->folder, key);
    int status = NC_OK;
    if (w->count - w->flushed == w->shard_rows) /* an earlier flush failed */
        status = nc_embedding_writer_flush(w);
    if (status != NC_OK)
        return status;

    uint8_t *place = w->rows + (w->count - w->flushed) * w->row_bytes;
    nc_convert(place, w->info.type, row, NC_FLOAT32, w->info.dimension);
    if (!all_finite(place, w->info.type, w->info.dimension))
        return nc_error(NC_BAD_INPUT, "%s: the embedding of \"%s\" is not finite in %s", w->folder,
                        key, nc_type_name(w->info.type));
    status = add_key(w, key);
    if (status != NC_OK)
        return status;
    w->skipped_changed |= nc_skipped_take_back(&w->skipped, key);
    return w->count - w->flushed == w->shard_rows ? nc_embedding_writer_flush(w) : NC_OK;
}

int nc_embedding_writer_skip(struct nc_embedding_writer *w, const char *key, const char *reason)
{
    int status = nc_skipped_note(&w->skipped, key, reason);
    if (status == NC_OK)
        w->skipped_changed = true;
    return status;
}

int nc_embedding_writer_note_damage(struct nc_embedding_writer *w, const char *key,
                                    const char *damage)
{
    int status = nc_skipped_note(&w->damaged, key, damage);
    if (status == NC_OK)
        w->damaged_changed = true;
    return status;
}

size_t nc_embedding_writer_damaged(const struct nc_embedding_writer *w)
{
    return w->damaged.noted;
}

size_t nc_embedding_writer_skipped(const struct nc_embedding_writer *w)
{
    return w->skipped.noted;
}

/* ---- shards ---- */

static bool pack_keys(char *const *keys, size_t count, msgpack_sbuffer *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    int failed = msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count && !failed; i++) {
        size_t length = strlen(keys[i]);
        failed =
            msgpack_pack_str(&packer, length) | msgpack_pack_str_body(&packer, keys[i], length);
    }
    return !failed;
}

/* The size of a header depends on the offsets in it, which depend on its size; one
 * page more than the texts need settles that. */
static bool pack_header(const struct nc_embedding_writer *w, size_t rows, size_t keys_bytes,
                        msgpack_sbuffer *out, struct nc_shard_header *header)
{
    size_t hash_size = strlen(w->model_hash), preprocessing_size = strlen(w->preprocessing);
    size_t at_most = hash_size + preprocessing_size + 512;
    uint64_t offset =
        (at_most + NC_EMBEDDING_ALIGNMENT - 1) / NC_EMBEDDING_ALIGNMENT * NC_EMBEDDING_ALIGNMENT;
    *header = (struct nc_shard_header){
        .model_hash = {w->model_hash, hash_size},
        .preprocessing = {w->preprocessing, preprocessing_size},
        .type = w->info.type,
        .normalized = w->info.normalized,
        .dimension = w->info.dimension,
        .rows = rows,
        .rows_offset = offset,
        .keys_offset = offset + rows * w->row_bytes,
        .keys_bytes = keys_bytes,
    };
    return nc_shard_pack_header(header, out) && out->size <= offset;
}

/* Writes and adds to the checksum. */
static int put(struct nc_writer *writer, XXH3_state_t *hash, const void *data, size_t size)
{
    XXH3_64bits_update(hash, data, size);
    return nc_writer_write(writer, data, size);
}

static int write_shard(struct nc_embedding_writer *w, const char *path)
{
    static const uint8_t zeros[NC_EMBEDDING_ALIGNMENT];
    size_t rows = w->count - w->flushed;
    struct nc_shard_header header = {0};
    struct nc_writer *writer = NULL;
    msgpack_sbuffer packed, keys;
    msgpack_sbuffer_init(&packed);
    msgpack_sbuffer_init(&keys);
    XXH3_state_t *hash = XXH3_createState();
    int status = NC_OK;
    if (!hash || !pack_keys(w->keys + w->flushed, rows, &keys) ||
        !pack_header(w, rows, keys.size, &packed, &header))
        status = nc_error(NC_FAILED, "%s: no memory for %zu keys", path, rows);
    if (status == NC_OK)
        status = nc_writer_create(path, &writer);
    if (status == NC_OK) {
        XXH3_64bits_reset(hash);
        status = put(writer, hash, packed.data, packed.size);
    }
    for (size_t left = header.rows_offset - packed.size; status == NC_OK && left;) {
        size_t part = left < sizeof zeros ? left : sizeof zeros;
        status = put(writer, hash, zeros, part);
        left -= part;
    }
    if (status == NC_OK)
        status = put(writer, hash, w->rows, rows * w->row_bytes);
    if (status == NC_OK)
        status = put(writer, hash, keys.data, keys.size);
    if (status == NC_OK) {
        uint64_t checksum = XXH3_64bits_digest(hash);
        status = nc_writer_write(writer, &checksum, sizeof checksum);
    }
    if (status == NC_OK)
        status = nc_writer_commit(writer);
    else
        nc_writer_abort(writer);
    XXH3_freeState(hash);
    msgpack_sbuffer_destroy(&packed);
    msgpack_sbuffer_destroy(&keys);
    return status;
}

int nc_embedding_writer_flush(struct nc_embedding_writer *w)
{
    int status = NC_OK;
    if (w->count > w->flushed) {
        char *path;
        if (asprintf(&path, "%s/shard-%06zu.embeddings", w->folder, w->next_shard) < 0)
            return nc_error(NC_FAILED, "%s: no memory", w->folder);
        status = write_shard(w, path);
        free(path);
        if (status != NC_OK)
            return status;
        w->flushed = w->count;
        w->next_shard++;
    }
    if (w->skipped_changed) {
        status = nc_skipped_save(w->folder, NC_SKIPPED_FILE, &w->skipped);
        w->skipped_changed = status != NC_OK;
    }
    if (status == NC_OK && w->damaged_changed) {
        status = nc_skipped_save(w->folder, NC_DAMAGED_FILE, &w->damaged);
        w->damaged_changed = status != NC_OK;
    }
    return status;
}

int nc_embedding_writer_close(struct nc_embedding_writer *w)
{
    int status = nc_embedding_writer_flush(w);
    nc_embedding_writer_abandon(w);
    return status;
}

void nc_embedding_writer_abandon(struct nc_embedding_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->count; i++)
        free(w->keys[i]);
    free(w->keys);
    nc_string_map_destroy(w->numbers);
    nc_skipped_free(&w->skipped);
    nc_skipped_free(&w->damaged);
    nc_embedding_store_close(w->before);
    if (w->made_folder)
        (void)rmdir(w->folder); /* goes only where nothing was written */
    if (w->lock >= 0)
        close(w->lock);
    free(w->rows);
    free(w->model_hash);
    free(w->preprocessing);
    free(w->folder);
    free(w);
}
