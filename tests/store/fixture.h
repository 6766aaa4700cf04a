/* Stores for tests: rows whose values and keys follow from their number, written by the writer, or
 * as version 1 by this file alone, so that what is read as before stays what it was. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <cmocka.h>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != NC_OK)                                                                       \
            fail_msg("%s: %s", #call, nc_error_message());                                         \
    } while (0)

static inline void says(const char *piece)
{
    if (!strstr(nc_error_message(), piece))
        fail_msg("no \"%s\" in: %s", piece, nc_error_message());
}

/* Value `column` of the row of picture n: exact in all element types. */
static inline float value(size_t n, size_t column)
{
    return (float)(n % 97) * 0.5f - (float)(column % 7);
}

static inline void key_of(size_t n, char key[32])
{
    snprintf(key, 32, "folder/%zu.jpg", n);
}

static inline void row_of(size_t n, const struct nc_embedding_info *info, float *row)
{
    for (size_t i = 0; i < info->dimension; i++)
        row[i] = value(n, i);
}

/* Pictures first .. end - 1. */
static inline void write_rows(const char *folder, const struct nc_embedding_info *info,
                              size_t shard_rows, size_t first, size_t end)
{
    struct nc_embedding_writer *writer;
    float *row = malloc(info->dimension * sizeof *row);
    CHECK(nc_embedding_writer_open(folder, info, shard_rows, &writer));
    for (size_t n = first; n < end; n++) {
        char key[32];
        key_of(n, key);
        row_of(n, info, row);
        CHECK(nc_embedding_writer_append(writer, key, row));
    }
    CHECK(nc_embedding_writer_close(writer));
    free(row);
}

/* ---- version 1 ---- */

struct bytes {
    uint8_t data[1 << 16];
    size_t size;
};

static inline void put_text(struct bytes *b, const char *text)
{
    size_t size = strlen(text);
    assert_true(size < 32 && b->size + size + 1 < sizeof b->data);
    b->data[b->size++] = (uint8_t)(0xa0 | size);
    memcpy(b->data + b->size, text, size);
    b->size += size;
}

static inline void put_number(struct bytes *b, const char *name, uint32_t number)
{
    put_text(b, name);
    b->data[b->size++] = 0xce;
    for (int shift = 24; shift >= 0; shift -= 8)
        b->data[b->size++] = (uint8_t)(number >> shift);
}

/* Shard `number` with the rows of pictures first .. end - 1, fewer than 16 and short. */
static inline void write_version_1(const char *folder, const struct nc_embedding_info *info,
                                   size_t number, size_t first, size_t end)
{
    static struct bytes file, keys;
    size_t rows = end - first, row_bytes = info->dimension * nc_type_size(info->type);
    float *row = malloc(info->dimension * sizeof *row);
    memset(&file, 0, sizeof file);
    keys.size = 0;
    keys.data[keys.size++] = (uint8_t)(0x90 | rows);
    for (size_t n = first; n < end; n++) {
        char key[32];
        key_of(n, key);
        put_text(&keys, key);
    }
    file.data[file.size++] = 0x80 | 11;
    put_text(&file, "format");
    put_text(&file, "nclip embeddings");
    put_number(&file, "version", 1);
    file.data[file.size - 5] = 1; /* as a small number, which tests change */
    file.size -= 4;
    put_text(&file, "model_hash");
    put_text(&file, info->model_hash);
    put_text(&file, "preprocessing");
    put_text(&file, info->preprocessing);
    put_number(&file, "dimension", (uint32_t)info->dimension);
    put_text(&file, "element_type");
    put_text(&file, nc_type_name(info->type));
    put_text(&file, "normalized");
    file.data[file.size++] = info->normalized ? 0xc3 : 0xc2;
    put_number(&file, "rows", (uint32_t)rows);
    put_number(&file, "rows_offset", 4096);
    put_number(&file, "keys_offset", (uint32_t)(4096 + rows * row_bytes));
    put_number(&file, "keys_bytes", (uint32_t)keys.size);
    memset(file.data + file.size, 0, 4096 - file.size);
    for (size_t n = first; n < end; n++) {
        row_of(n, info, row);
        nc_convert(file.data + 4096 + (n - first) * row_bytes, info->type, row, NC_FLOAT32,
                   info->dimension);
    }
    file.size = 4096 + rows * row_bytes;
    memcpy(file.data + file.size, keys.data, keys.size);
    file.size += keys.size;
    uint64_t sum = XXH3_64bits(file.data, file.size);
    memcpy(file.data + file.size, &sum, sizeof sum);
    file.size += sizeof sum;

    char name[64];
    snprintf(name, sizeof name, "shard-%06zu.embeddings", number);
    char *path = nc_path_join(folder, name);
    CHECK(nc_folder_create(folder));
    CHECK(nc_file_write(path, file.data, file.size));
    free(path);
    free(row);
}

/* ---- files ---- */

static inline char *shard_path(const char *folder, size_t number)
{
    char name[64];
    snprintf(name, sizeof name, "shard-%06zu.embeddings", number);
    return nc_path_join(folder, name);
}

static inline size_t file_size(const char *path)
{
    struct stat now;
    assert_int_equal(stat(path, &now), 0);
    return (size_t)now.st_size;
}

/* Turns a bit of a byte, in place. */
static inline void flip(const char *path, size_t at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    fputc(byte ^ 4, file);
    assert_int_equal(fclose(file), 0);
}

/* Whether the store holds pictures 0 .. count - 1 in order, and finds them. */
static inline void holds(const char *folder, const struct nc_embedding_info *info, size_t count,
                         size_t shards, size_t old_shards)
{
    struct nc_embedding_store *store;
    float *row = malloc(info->dimension * sizeof *row);
    CHECK(nc_embedding_store_open(folder, &store));
    assert_int_equal(nc_embedding_store_count(store), count);
    assert_int_equal(nc_embedding_store_shards(store), shards);
    assert_int_equal(nc_embedding_store_old_shards(store), old_shards);
    for (size_t i = 0; i < 2 * count; i++) {
        char key[32];
        const char *stored;
        size_t n = i < count ? i : (i * 7919) % count, found; /* in order, then not */
        key_of(n, key);
        CHECK(nc_embedding_store_key(store, n, &stored));
        assert_string_equal(stored, key);
        CHECK(nc_embedding_store_find(store, key, &found));
        assert_int_equal(found, n);
        CHECK(nc_embedding_store_row_float(store, n, row));
        for (size_t k = 0; k < info->dimension; k++)
            assert_true(row[k] == value(n, k));
    }
    size_t found;
    CHECK(nc_embedding_store_find(store, "folder/", &found));
    assert_true(found == NC_EMBEDDING_NONE);
    nc_embedding_store_close(store);
    free(row);
}

#endif
