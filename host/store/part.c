/* One shard in the making, of a store that many write. */
#include "finite.h"
#include "shard_write.h"

#include "nclip/store/parts.h"
#include "nclip/support/error.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

struct nc_embedding_part {
    struct nc_embedding_info info;
    size_t row_bytes, count, most;
    uint8_t *rows;      /* [most, dimension] */
    uint64_t *key_ends; /* [most] */
    char *key_text;
    size_t text_bytes, text_capacity;
};

int nc_embedding_part_create(const struct nc_embedding_info *info, size_t most,
                             struct nc_embedding_part **out)
{
    *out = NULL;
    struct nc_embedding_part *part = calloc(1, sizeof *part);
    if (part) {
        *part = (struct nc_embedding_part){
            .info = *info, .most = most, .row_bytes = info->dimension * nc_type_size(info->type)};
        part->rows = reallocarray(NULL, most, part->row_bytes);
        part->key_ends = reallocarray(NULL, most, sizeof *part->key_ends);
    }
    if (!part || !part->rows || !part->key_ends) {
        nc_embedding_part_destroy(part);
        return nc_error(NC_FAILED, "embeddings: no memory for %zu rows", most);
    }
    *out = part;
    return NC_OK;
}

void nc_embedding_part_destroy(struct nc_embedding_part *part)
{
    if (!part)
        return;
    free(part->rows);
    free(part->key_ends);
    free(part->key_text);
    free(part);
}

static int add_key(struct nc_embedding_part *part, const char *key)
{
    size_t length = strlen(key);
    if (length == 0 || length > NC_EMBEDDING_MAX_KEY)
        return nc_error(NC_BAD_INPUT, "a key of %zu bytes (1 to %d are allowed)", length,
                        NC_EMBEDDING_MAX_KEY);
    if (part->count == part->most)
        return nc_error(NC_FAILED, "embeddings: more than the %zu rows of a shard", part->most);
    size_t capacity = part->text_capacity;
    while (capacity - part->text_bytes < length + 1)
        capacity = capacity ? 2 * capacity : 1 << 16;
    if (capacity != part->text_capacity) {
        char *longer = realloc(part->key_text, capacity);
        if (!longer)
            return nc_error(NC_FAILED, "embeddings: no memory for %zu bytes of keys", capacity);
        part->key_text = longer;
        part->text_capacity = capacity;
    }
    memcpy(part->key_text + part->text_bytes, key, length + 1);
    part->text_bytes += length + 1;
    part->key_ends[part->count++] = part->text_bytes;
    return NC_OK;
}

int nc_embedding_part_add(struct nc_embedding_part *part, const char *key, const float *row)
{
    if (part->count < part->most) {
        uint8_t *place = part->rows + part->count * part->row_bytes;
        nc_convert(place, part->info.type, row, NC_FLOAT32, part->info.dimension);
        if (!nc_all_finite(place, part->info.type, part->info.dimension))
            return nc_error(NC_BAD_INPUT, "the embedding of \"%s\" is not finite in %s", key,
                            nc_type_name(part->info.type));
    }
    return add_key(part, key);
}

int nc_embedding_part_copy(struct nc_embedding_part *part, const char *key, const void *row)
{
    if (part->count < part->most)
        memcpy(part->rows + part->count * part->row_bytes, row, part->row_bytes);
    return add_key(part, key);
}

size_t nc_embedding_part_count(const struct nc_embedding_part *part)
{
    return part->count;
}

void nc_embedding_part_cut(struct nc_embedding_part *part, size_t count)
{
    if (count >= part->count)
        return;
    part->count = count;
    part->text_bytes = count ? (size_t)part->key_ends[count - 1] : 0;
}

int nc_embedding_has_shards(const char *folder, bool *has)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    size_t number;
    *has = false;
    if (!directory)
        return nc_error_read(folder);
    while (!*has && (entry = readdir(directory)))
        *has = nc_shard_number(entry->d_name, &number);
    closedir(directory);
    return NC_OK;
}

int nc_embedding_part_write(const struct nc_embedding_part *part, const char *folder, size_t number)
{
    char *path = nc_embedding_shard_path(folder, number);
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    struct nc_shard_content content = {.info = &part->info,
                                       .rows = part->count,
                                       .row_data = part->rows,
                                       .key_ends = part->key_ends,
                                       .key_text = part->key_text,
                                       .key_text_bytes = part->text_bytes};
    uint64_t bytes;
    int status = nc_shard_write(path, &content, &bytes);
    free(path);
    return status;
}
