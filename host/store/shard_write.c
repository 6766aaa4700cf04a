/* Writes a shard of version 2: head, rows, keys. */
#include "shard_write.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t round_up(uint64_t value, uint64_t step)
{
    return (value + step - 1) / step * step;
}

/* The size of the map depends on the offsets in it, which depend on its size: it is given more
 * room than the texts need. */
static void plan(const struct nc_shard_content *c, struct nc_shard_header *h)
{
    const struct nc_embedding_info *info = c->info;
    size_t row_bytes = info->dimension * nc_type_size(info->type);
    *h = (struct nc_shard_header){
        .version = NC_SHARD_VERSION,
        .model_hash = {info->model_hash, strlen(info->model_hash)},
        .preprocessing = {info->preprocessing, strlen(info->preprocessing)},
        .type = info->type,
        .normalized = info->normalized,
        .dimension = info->dimension,
        .rows = c->rows,
        .block_rows = nc_embedding_block_rows(row_bytes),
        .linked = c->rows_file != NULL,
        .rows_file = {c->rows_file, c->rows_file ? strlen(c->rows_file) : 0},
        .rows_file_bytes = c->rows_file_bytes,
        .keys_bytes = c->rows * sizeof(uint64_t) + c->key_text_bytes,
    };
    h->sums_offset = round_up(h->model_hash.size + h->preprocessing.size + h->rows_file.size + 384,
                              sizeof(uint64_t));
    uint64_t end = nc_shard_head_bytes(h);
    if (h->linked) {
        h->rows_offset = c->rows_offset;
    } else {
        h->rows_offset = round_up(end, NC_EMBEDDING_ALIGNMENT);
        end = round_up(h->rows_offset + c->rows * row_bytes, sizeof(uint64_t));
    }
    h->keys_offset = end;
}

static uint64_t sum_of_keys(const struct nc_shard_content *c)
{
    XXH3_state_t hash;
    XXH3_INITSTATE(&hash);
    XXH3_64bits_reset(&hash);
    XXH3_64bits_update(&hash, c->key_ends, c->rows * sizeof *c->key_ends);
    XXH3_64bits_update(&hash, c->key_text, c->key_text_bytes);
    return XXH3_64bits_digest(&hash);
}

static void fill_sums(const struct nc_shard_content *c, const struct nc_shard_header *h,
                      uint64_t *sums)
{
    size_t blocks = (size_t)nc_shard_head_blocks(h);
    size_t block_bytes = (size_t)(h->block_rows * h->dimension * nc_type_size(h->type));
    size_t left = (size_t)(h->rows * h->dimension * nc_type_size(h->type));
    for (size_t i = 0; i < blocks; i++) {
        size_t part = left < block_bytes ? left : block_bytes;
        sums[i] = c->block_sums ? c->block_sums[i]
                                : XXH3_64bits((const uint8_t *)c->row_data + i * block_bytes, part);
        left -= part;
    }
    sums[blocks] = sum_of_keys(c);
}

int nc_shard_make_head(const char *path, const struct nc_shard_content *c, uint8_t **head,
                       size_t *size, struct nc_shard_header *h)
{
    msgpack_sbuffer map;
    msgpack_sbuffer_init(&map);
    plan(c, h);
    *size = (size_t)nc_shard_head_bytes(h);
    *head = calloc(1, *size);
    int status = NC_OK;
    if (!*head || !nc_shard_pack_header(h, &map))
        status = nc_error(NC_FAILED, "%s: no memory for %zu rows", path, c->rows);
    else if (map.size > h->sums_offset || map.size > NC_SHARD_HEADER_LIMIT)
        status = nc_error(NC_BAD_INPUT, "%s: its names take %zu bytes, more than a head holds",
                          path, map.size);
    if (status == NC_OK) {
        memcpy(*head, map.data, map.size);
        fill_sums(c, h, (uint64_t *)(void *)(*head + h->sums_offset));
        uint64_t sum = XXH3_64bits(*head, *size - sizeof sum);
        memcpy(*head + *size - sizeof sum, &sum, sizeof sum);
    }
    msgpack_sbuffer_destroy(&map);
    return status;
}

static int put_zeros(struct nc_writer *writer, uint64_t to)
{
    static const uint8_t zeros[NC_EMBEDDING_ALIGNMENT];
    return nc_writer_write(writer, zeros, (size_t)(to - nc_writer_position(writer)));
}

int nc_shard_write(const char *path, const struct nc_shard_content *c, uint64_t *bytes)
{
    struct nc_shard_header h;
    struct nc_writer *writer = NULL;
    uint8_t *head = NULL;
    size_t size;
    int status = nc_shard_make_head(path, c, &head, &size, &h);
    if (status == NC_OK)
        status = nc_writer_create(path, &writer);
    if (status == NC_OK)
        status = nc_writer_write(writer, head, size);
    if (status == NC_OK && !h.linked)
        status = put_zeros(writer, h.rows_offset);
    if (status == NC_OK && !h.linked)
        status = nc_writer_write(writer, c->row_data,
                                 c->rows * (size_t)h.dimension * nc_type_size(h.type));
    if (status == NC_OK)
        status = put_zeros(writer, h.keys_offset);
    if (status == NC_OK)
        status = nc_writer_write(writer, c->key_ends, c->rows * sizeof *c->key_ends);
    if (status == NC_OK)
        status = nc_writer_write(writer, c->key_text, c->key_text_bytes);
    if (status == NC_OK) {
        *bytes = nc_writer_position(writer);
        status = nc_writer_commit(writer);
    } else {
        nc_writer_abort(writer);
    }
    free(head);
    return status;
}
