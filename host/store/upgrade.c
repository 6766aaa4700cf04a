/* Writes shards of version 1 anew as version 2: one at a time, each by rename, so that the store is
 * whole at every moment and a killed upgrade goes on where it was. */
#include "notes.h"
#include "shard.h"
#include "shard_write.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct upgrade {
    const char *folder, *out; /* `out` may be the folder */
    struct nc_embedding_info info;
    char *model_hash, *preprocessing; /* of the first shard, for info */
    char *first;                      /* its path */
    struct nc_embedding_upgraded *result;
};

/* All shards must belong together, as in a store that is opened. */
static int take_info(struct upgrade *u, const struct nc_shard *shard,
                     const struct nc_shard_header *h)
{
    if (u->first)
        return nc_shard_compare(u->first, &u->info, shard->path, h);
    u->first = strdup(shard->path);
    u->model_hash = strndup(h->model_hash.data, h->model_hash.size);
    u->preprocessing = strndup(h->preprocessing.data, h->preprocessing.size);
    u->info = (struct nc_embedding_info){u->model_hash, u->preprocessing, (size_t)h->dimension,
                                         h->type, h->normalized};
    return u->first && u->model_hash && u->preprocessing
               ? NC_OK
               : nc_error(NC_FAILED, "%s: no memory", u->folder);
}

/* The keys as version 2 has them. */
static int take_keys(const struct nc_shard *shard, const struct nc_key_section *section,
                     uint64_t **ends, char **text, size_t *bytes)
{
    size_t length;
    *bytes = 0;
    for (size_t i = 0; shard->old && i < shard->rows; i++)
        *bytes += strlen(shard->old_keys[i]) + 1;
    if (!shard->old)
        *bytes = (size_t)shard->keys_bytes - shard->rows * sizeof **ends;
    *ends = malloc((shard->rows + 1) * sizeof **ends);
    *text = malloc(*bytes + 1);
    if (!*ends || !*text)
        return nc_error(NC_FAILED, "%s: no memory for %zu keys", shard->path, shard->rows);
    for (size_t i = 0, at = 0; i < shard->rows; i++) {
        const char *key = shard->old ? shard->old_keys[i] : nc_key_section_key(section, i, &length);
        if (shard->old)
            length = strlen(key);
        memcpy(*text + at, key, length + 1);
        (*ends)[i] = at += length + 1;
    }
    return NC_OK;
}

/* Whether `path` is this shard, written by an upgrade that was killed: heads hold the sums of all.
 */
static int is_done(const char *path, const struct nc_shard_content *content, bool *done)
{
    uint8_t *wanted = NULL, *there = NULL;
    struct nc_shard_header header;
    struct nc_shard shard = {.path = strdup(path)};
    size_t size;
    *done = false;
    int status = shard.path ? nc_shard_make_head(path, content, &wanted, &size, &header)
                            : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK)
        status = nc_shard_open(&shard, "", &header, &there);
    if (status == NC_OK) {
        uint64_t sum;
        memcpy(&sum, wanted + size - sizeof sum, sizeof sum);
        *done = !shard.old && shard.sum == sum;
        if (!*done)
            status =
                nc_error(NC_BAD_INPUT,
                         "%s: is there already and of other embeddings; give another --out", path);
    }
    nc_shard_close(&shard);
    free(wanted);
    free(there);
    return status;
}

static int write_content(struct upgrade *u, const char *path,
                         const struct nc_shard_content *content)
{
    uint64_t bytes;
    bool done = false;
    int status = NC_OK;
    if (u->out != u->folder && nc_file_exists(path))
        status = is_done(path, content, &done);
    if (status != NC_OK || done)
        return status;
    status = nc_shard_write(path, content, &bytes);
    if (status == NC_OK) {
        u->result->written++;
        u->result->bytes += bytes;
    }
    return status;
}

/* Every block of a shard of version 2 is checked before it is copied. */
static int check_blocks(const struct upgrade *u, struct nc_shard *shard)
{
    struct nc_embedding_block block = {.path = shard->rows_path ? shard->rows_path : shard->path,
                                       .has_sum = true};
    size_t row_bytes = u->info.dimension * nc_type_size(u->info.type);
    size_t left = shard->rows * row_bytes, whole = nc_embedding_block_rows(row_bytes) * row_bytes;
    int status = nc_shard_map_rows(shard);
    for (size_t i = 0; i < shard->blocks && status == NC_OK; i++) {
        block.offset = shard->rows_offset + i * whole;
        block.bytes = left < whole ? left : whole;
        block.number = i;
        block.sum = shard->sums[i];
        status = nc_embedding_block_check(&block, shard->row_bytes + i * whole);
        left -= block.bytes;
    }
    return status;
}

static int upgrade_shard(struct upgrade *u, struct nc_shard *shard)
{
    struct nc_shard_header header;
    uint8_t *head = NULL;
    uint64_t *ends = NULL;
    char *text = NULL, *path = NULL;
    size_t text_bytes;
    const char *slash = strrchr(shard->path, '/');
    int status = nc_shard_open(shard, u->folder, &header, &head);
    if (status == NC_OK)
        status = take_info(u, shard, &header);
    bool current = status == NC_OK && !shard->old && u->out == u->folder;
    if (status != NC_OK || current)
        goto cleanup;
    if (!shard->old)
        status = check_blocks(u, shard);
    if (status == NC_OK && !shard->old)
        status = nc_shard_map_keys(shard);
    if (status == NC_OK)
        status = take_keys(shard, &shard->keys, &ends, &text, &text_bytes);
    if (status == NC_OK && !(path = nc_path_join(u->out, slash ? slash + 1 : shard->path)))
        status = nc_error(NC_FAILED, "%s: no memory", u->out);
    if (status == NC_OK)
        status = write_content(u, path,
                               &(struct nc_shard_content){
                                   .info = &u->info,
                                   .rows = shard->rows,
                                   .row_data = shard->row_bytes,
                                   .key_ends = ends,
                                   .key_text = text,
                                   .key_text_bytes = text_bytes,
                               });
    /* What is mapped must have been what was written. */
    if (status == NC_OK && u->out != u->folder)
        status = nc_shard_check(shard);
cleanup:
    free(head);
    free(ends);
    free(text);
    free(path);
    return status;
}

static int copy_notes(const struct upgrade *u, const char *name)
{
    struct nc_skipped notes;
    int status = nc_skipped_load(u->folder, name, &notes);
    if (status == NC_OK && notes.noted)
        status = nc_skipped_save(u->out, name, &notes);
    nc_skipped_free(&notes);
    return status;
}

/* A shard in `out` that `folder` does not have is of another store. */
static int check_out(const struct upgrade *u, const struct nc_shard *shards, size_t count)
{
    struct nc_shard *there;
    size_t there_count;
    int status = nc_shards_list(u->out, &there, &there_count);
    for (size_t i = 0, k = 0; i < there_count; i++) {
        while (k < count && shards[k].number < there[i].number)
            k++;
        if (status == NC_OK && (k == count || shards[k].number != there[i].number))
            status = nc_error(NC_BAD_INPUT,
                              "%s: is there already and of other embeddings; give another --out",
                              there[i].path);
        free(there[i].path);
    }
    free(there);
    return status;
}

static int upgrade_all(struct upgrade *u, struct nc_shard *shards, size_t count)
{
    int status = u->out == u->folder ? NC_OK : check_out(u, shards, count);
    struct nc_progress *progress =
        status == NC_OK ? nc_progress_start("upgrade", "shards", 0, count) : NULL;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        struct nc_shard shard = {.number = shards[i].number, .path = shards[i].path};
        shards[i].path = NULL;
        status = upgrade_shard(u, &shard);
        nc_shard_close(&shard);
        nc_progress_update(progress, i + 1, NULL);
    }
    nc_progress_finish(progress);
    if (status == NC_OK && u->out != u->folder)
        status = copy_notes(u, NC_SKIPPED_FILE);
    if (status == NC_OK && u->out != u->folder)
        status = copy_notes(u, NC_DAMAGED_FILE);
    return status;
}

int nc_embedding_store_upgrade(const char *folder, const char *out,
                               struct nc_embedding_upgraded *result)
{
    struct upgrade u = {.folder = folder, .out = out ? out : folder, .result = result};
    struct nc_embedding_store *store = NULL;
    struct nc_shard *shards = NULL;
    size_t count = 0;
    int lock = -1;
    *result = (struct nc_embedding_upgraded){0};
    int status = nc_shards_list(folder, &shards, &count);
    if (status == NC_OK && !count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no embeddings", folder);
    if (status == NC_OK && out)
        status = nc_folder_create(out);
    if (status == NC_OK)
        status = nc_folder_lock(u.out, "writing embeddings", &lock);
    result->shards = count;
    if (status == NC_OK)
        status = upgrade_all(&u, shards, count);
    if (status == NC_OK)
        status = nc_embedding_store_open(u.out, &store);
    if (status == NC_OK)
        status = nc_embedding_store_index(store);
    nc_embedding_store_close(store);
    for (size_t i = 0; i < count; i++)
        free(shards[i].path);
    free(shards);
    if (lock >= 0)
        close(lock);
    free(u.first);
    free(u.model_hash);
    free(u.preprocessing);
    return status;
}
