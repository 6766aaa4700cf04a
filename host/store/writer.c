/* Writing an embedding store, shard by shard. */
#include "finite.h"
#include "index_build.h"
#include "key_table.h"
#include "notes.h"
#include "shard_write.h"

#include "nclip/store/parts.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    struct nc_embedding_store *before;  /* what an earlier run wrote */
    struct nc_embedding_store *written; /* the shards of this run */
    size_t next_shard;
    struct nc_key_table *table; /* of this run's keys; their rows count from its first one */
    /* The rows that are not written yet. */
    size_t count;
    uint8_t *rows;      /* [shard_rows, dimension] */
    uint64_t *key_ends; /* [count] */
    char *key_text;
    size_t ends_capacity, text_bytes, text_capacity;
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
        bool ours = strncmp(name, "shard-", 6) == 0 ||
                    strncmp(name, NC_SKIPPED_FILE ".", 14) == 0 ||
                    strncmp(name, NC_DAMAGED_FILE ".", 14) == 0 ||
                    strncmp(name, NC_INDEX_FILE ".", sizeof NC_INDEX_FILE) == 0;
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
    int status = nc_key_table_create(&w->table);
    bool missing = !nc_folder_exists(w->folder);
    if (status == NC_OK)
        status = nc_folder_create(w->folder);
    if (status == NC_OK)
        status = nc_folder_lock(w->folder, "writing embeddings", &w->lock);
    w->made_folder = status == NC_OK && missing; /* behind the lock: else it is another's */
    if (status == NC_OK)
        status = scan_folder(w, &has_shards);
    if (status == NC_OK && has_shards)
        status = nc_embedding_store_open(w->folder, &w->before);
    else if (status == NC_OK)
        status = nc_store_create(w->folder, &w->info, &w->before);
    if (status == NC_OK && has_shards)
        status = check_info(w);
    if (status == NC_OK)
        status = nc_store_create(w->folder, &w->info, &w->written);
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
    return nc_embedding_store_count(w->before) + nc_embedding_store_count(w->written) + w->count;
}

/* Whether `row` of this run has the key: one that is not written yet, or read from its shard. */
static int is_of_row(const struct nc_embedding_writer *w, size_t row, const char *key, bool *same)
{
    size_t written = nc_embedding_store_count(w->written);
    const char *other = NULL;
    *same = false;
    if (row >= written + w->count) /* of a link that failed */
        return NC_OK;
    if (row < written) {
        int status = nc_embedding_store_key(w->written, row, &other);
        if (status != NC_OK)
            return status;
    } else {
        row -= written;
        other = w->key_text + (row ? w->key_ends[row - 1] : 0);
    }
    *same = strcmp(key, other) == 0;
    return NC_OK;
}

int nc_embedding_writer_has(struct nc_embedding_writer *w, const char *key, bool *has)
{
    uint64_t hash = nc_key_hash(key, strlen(key));
    size_t at = 0, row;
    int status = NC_OK;
    *has = false;
    while (status == NC_OK && !*has && nc_key_table_next(w->table, hash, &at, &row))
        status = is_of_row(w, row, key, has);
    if (status == NC_OK && !*has) {
        status = nc_embedding_store_find(w->before, key, &row);
        *has = row != NC_EMBEDDING_NONE;
    }
    return status;
}

/* Room for a key more. */
static int grow(struct nc_embedding_writer *w, size_t length)
{
    size_t ends = w->ends_capacity, text = w->text_capacity;
    if (w->count == ends)
        ends = ends ? 2 * ends : 1024;
    while (text - w->text_bytes < length + 1)
        text = text ? 2 * text : 1 << 16;
    uint64_t *larger =
        ends == w->ends_capacity ? w->key_ends : realloc(w->key_ends, ends * sizeof *larger);
    if (larger) {
        w->key_ends = larger;
        w->ends_capacity = ends;
    }
    char *longer = text == w->text_capacity ? w->key_text : realloc(w->key_text, text);
    if (longer) {
        w->key_text = longer;
        w->text_capacity = text;
    }
    return larger && longer ? NC_OK
                            : nc_error(NC_FAILED, "%s: no memory for %zu keys", w->folder, ends);
}

static int check_key(struct nc_embedding_writer *w, const char *key)
{
    size_t length = strlen(key);
    if (length == 0 || length > NC_EMBEDDING_MAX_KEY)
        return nc_error(NC_BAD_INPUT, "%s: a key of %zu bytes (1 to %d are allowed)", w->folder,
                        length, NC_EMBEDDING_MAX_KEY);
    bool has;
    int status = nc_embedding_writer_has(w, key, &has);
    if (status == NC_OK && has)
        status = nc_error(NC_BAD_INPUT, "%s: holds an embedding of \"%s\" already", w->folder, key);
    return status;
}

static int add_key(struct nc_embedding_writer *w, const char *key)
{
    size_t length = strlen(key);
    int status = grow(w, length);
    if (status == NC_OK)
        status = nc_key_table_add(w->table, nc_key_hash(key, length),
                                  nc_embedding_store_count(w->written) + w->count);
    if (status != NC_OK)
        return status;
    memcpy(w->key_text + w->text_bytes, key, length + 1);
    w->text_bytes += length + 1;
    w->key_ends[w->count++] = w->text_bytes;
    return NC_OK;
}

int nc_embedding_writer_append(struct nc_embedding_writer *w, const char *key, const float *row)
{
    int status = check_key(w, key);
    if (status == NC_OK && w->count == w->shard_rows) /* an earlier flush failed */
        status = nc_embedding_writer_flush(w);
    if (status != NC_OK)
        return status;

    uint8_t *place = w->rows + w->count * w->row_bytes;
    nc_convert(place, w->info.type, row, NC_FLOAT32, w->info.dimension);
    if (!nc_all_finite(place, w->info.type, w->info.dimension))
        return nc_error(NC_BAD_INPUT, "%s: the embedding of \"%s\" is not finite in %s", w->folder,
                        key, nc_type_name(w->info.type));
    status = add_key(w, key);
    if (status != NC_OK)
        return status;
    w->skipped_changed |= nc_skipped_take_back(&w->skipped, key);
    return w->count == w->shard_rows ? nc_embedding_writer_flush(w) : NC_OK;
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

/* Writes the rows at hand, or those of a link, as one shard. */
static int write_shard(struct nc_embedding_writer *w, struct nc_shard_content *content)
{
    char *path = nc_embedding_shard_path(w->folder, w->next_shard);
    uint64_t bytes;
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", w->folder);
    content->info = &w->info;
    content->rows = w->count;
    content->key_ends = w->key_ends;
    content->key_text = w->key_text;
    content->key_text_bytes = w->text_bytes;
    int status = nc_shard_write(path, content, &bytes);
    if (status == NC_OK) {
        status = nc_store_add(w->written, path, w->next_shard);
        if (status != NC_OK)
            (void)unlink(path); /* its rows are still in memory */
    }
    if (status == NC_OK) {
        w->next_shard++;
        w->count = w->text_bytes = 0;
    }
    free(path);
    return status;
}

int nc_embedding_writer_flush(struct nc_embedding_writer *w)
{
    int status = NC_OK;
    if (w->count)
        status = write_shard(w, &(struct nc_shard_content){.row_data = w->rows});
    if (status == NC_OK && w->skipped_changed) {
        status = nc_skipped_save(w->folder, NC_SKIPPED_FILE, &w->skipped);
        w->skipped_changed = status != NC_OK;
    }
    if (status == NC_OK && w->damaged_changed) {
        status = nc_skipped_save(w->folder, NC_DAMAGED_FILE, &w->damaged);
        w->damaged_changed = status != NC_OK;
    }
    return status;
}

/* The sums of the blocks of linked rows, which are read for it; all must be finite. */
static int sum_rows(const struct nc_embedding_writer *w, const char *path, const uint8_t *rows,
                    size_t count, const char *const *keys, uint64_t *sums)
{
    size_t block = nc_embedding_block_rows(w->row_bytes);
    for (size_t first = 0, i = 0; first < count; first += block, i++) {
        size_t part = count - first < block ? count - first : block;
        sums[i] = XXH3_64bits(rows + first * w->row_bytes, part * w->row_bytes);
        for (size_t row = first; row < first + part; row++)
            if (!nc_all_finite(rows + row * w->row_bytes, w->info.type, w->info.dimension))
                return nc_error(NC_BAD_INPUT, "%s: row %zu (\"%s\") is not finite", path, row,
                                keys[row]);
    }
    return NC_OK;
}

int nc_embedding_writer_link(struct nc_embedding_writer *w, const char *rows_file, uint64_t offset,
                             size_t count, const char *const *keys)
{
    struct nc_mapping mapping = {0};
    uint64_t *sums = NULL;
    int status = nc_embedding_writer_flush(w);
    if (status != NC_OK || !count)
        return status;
    char *path = nc_path_join(w->folder, rows_file);
    sums = malloc((count / nc_embedding_block_rows(w->row_bytes) + 1) * sizeof *sums);
    if (!path || !sums)
        status = nc_error(NC_FAILED, "%s: no memory", w->folder);
    if (status == NC_OK)
        status = nc_file_map(path, &mapping);
    if (status == NC_OK && (offset % nc_type_size(w->info.type) || offset > mapping.size ||
                            count > (mapping.size - offset) / w->row_bytes))
        status =
            nc_error(NC_BAD_INPUT, "%s: has %zu bytes, too few for %zu rows of %zu from %llu on",
                     path, mapping.size, count, w->row_bytes, (unsigned long long)offset);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        status = check_key(w, keys[i]);
        if (status == NC_OK)
            status = add_key(w, keys[i]);
    }
    if (status == NC_OK)
        status = sum_rows(w, path, mapping.data + offset, count, keys, sums);
    if (status == NC_OK)
        status = nc_mapping_check(&mapping);
    if (status == NC_OK)
        status = write_shard(w, &(struct nc_shard_content){.block_sums = sums,
                                                           .rows_file = rows_file,
                                                           .rows_offset = offset,
                                                           .rows_file_bytes = mapping.size});
    for (size_t i = 0; i < count && status == NC_OK; i++)
        w->skipped_changed |= nc_skipped_take_back(&w->skipped, keys[i]);
    w->count = w->text_bytes = 0; /* also where it failed: its rows are not in memory */
    nc_file_unmap(&mapping);
    free(sums);
    free(path);
    return status;
}

/* The index that was there and the new keys become the index of all. */
static int write_index(struct nc_embedding_writer *w)
{
    struct nc_key_index *old = atomic_exchange(&w->before->state->index, NULL), *index = NULL;
    int status = old ? NC_OK : nc_key_index_take(w->before, &old);
    for (size_t i = 0; i < w->written->shard_count && status == NC_OK; i++)
        status = nc_store_add(w->before, w->written->shards[i].path, w->written->shards[i].number);
    bool current = old && !w->written->shard_count;
    if (status == NC_OK && !current && w->before->rows > w->before->old_rows)
        status = nc_key_index_make(w->before, old, true, &index);
    nc_key_index_close(old);
    nc_key_index_close(index);
    return status;
}

int nc_embedding_writer_close(struct nc_embedding_writer *w)
{
    int status = nc_embedding_writer_flush(w);
    if (status == NC_OK)
        status = write_index(w);
    nc_embedding_writer_abandon(w);
    return status;
}

void nc_embedding_writer_abandon(struct nc_embedding_writer *w)
{
    if (!w)
        return;
    nc_key_table_destroy(w->table);
    free(w->key_ends);
    free(w->key_text);
    nc_skipped_free(&w->skipped);
    nc_skipped_free(&w->damaged);
    nc_embedding_store_close(w->before);
    nc_embedding_store_close(w->written);
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
