/* Shards of version 2 that are truncated or lie, with checksums that fit. */
#include "fixture.h"

#include <unistd.h>

enum { DIMENSION = 3, ROWS = 4, SUMS = 400, HEAD = SUMS + 24, KEYS = 4096 + ROWS * DIMENSION * 4 };

static const struct nc_embedding_info info = {"model", "as it is", DIMENSION, NC_FLOAT32, false};

struct shard {
    char *folder, *path;
    uint8_t *bytes; /* as written */
    size_t size;
};

static int setup(void **state)
{
    struct shard *shard = calloc(1, sizeof *shard);
    char *data;
    shard->folder = temporary_folder_create();
    shard->path = shard_path(shard->folder, 0);
    write_rows(shard->folder, &info, 0, 0, ROWS);
    CHECK(nc_file_read(shard->path, 1 << 20, &data, &shard->size));
    shard->bytes = (uint8_t *)data;
    *state = shard;
    return 0;
}

static int teardown(void **state)
{
    struct shard *shard = *state;
    temporary_folder_remove(shard->folder);
    free(shard->path);
    free(shard->bytes);
    free(shard);
    return 0;
}

static void sum_up(uint8_t *bytes, size_t size)
{
    uint64_t sums[2] = {XXH3_64bits(bytes + 4096, KEYS - 4096),
                        XXH3_64bits(bytes + KEYS, size - KEYS)};
    memcpy(bytes + SUMS, sums, sizeof sums);
    uint64_t head = XXH3_64bits(bytes, HEAD - 8);
    memcpy(bytes + HEAD - 8, &head, sizeof head);
}

/* The bytes as the shard; all of it is read. */
static int read_as(const struct shard *shard, const uint8_t *bytes, size_t size)
{
    struct nc_embedding_store *store;
    FILE *file = fopen(shard->path, "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    int status = nc_embedding_store_open(shard->folder, &store);
    size_t rows = status == NC_OK ? nc_embedding_store_count(store) : 0;
    for (size_t i = 0; i < rows && status == NC_OK; i++) {
        const char *key;
        const void *row;
        size_t found;
        status = nc_embedding_store_key(store, i, &key);
        if (status == NC_OK)
            assert_true(strlen(key) > 0);
        if (status == NC_OK)
            status = nc_embedding_store_row(store, i, &row);
        if (status == NC_OK)
            assert_true(*(const uint8_t *)row || true); /* it is there */
        if (status == NC_OK)
            status = nc_embedding_store_find(store, key, &found);
    }
    if (status != NC_OK) {
        assert_int_equal(status, NC_BAD_INPUT);
        says("shard-000000");
    }
    nc_embedding_store_close(store);
    return status;
}

static void truncated_anywhere(void **state)
{
    const struct shard *shard = *state;
    assert_int_equal(read_as(shard, shard->bytes, shard->size), NC_OK);
    for (size_t size = 0; size < shard->size; size += size < 4000 && size > 450 ? 397 : 3)
        assert_int_equal(read_as(shard, shard->bytes, size), NC_BAD_INPUT);
    uint8_t *longer = calloc(1, shard->size + 1);
    memcpy(longer, shard->bytes, shard->size);
    assert_int_equal(read_as(shard, longer, shard->size + 1), NC_BAD_INPUT);
    free(longer);
}

/* The number behind a field's name, which msgpack packs in one, two or three bytes. */
static void lying_field(const struct shard *shard, const char *name, uint16_t value)
{
    uint8_t *copy = malloc(shard->size);
    memcpy(copy, shard->bytes, shard->size);
    uint8_t *field = (uint8_t *)memmem(copy, SUMS, name, strlen(name)) + strlen(name);
    if (field[0] == 0xcd) {
        field[1] = (uint8_t)(value >> 8);
        field[2] = (uint8_t)value;
    } else {
        field[field[0] == 0xcc] = (uint8_t)value;
    }
    sum_up(copy, shard->size);
    if (read_as(shard, copy, shard->size) == NC_OK)
        fail_msg("%s may be %u", name, value);
    free(copy);
}

static void lying_heads_are_refused(void **state)
{
    const struct shard *shard = *state;
    lying_field(shard, "\xa4rows", 3);
    lying_field(shard, "\xa4rows", 5);
    lying_field(shard, "\xa4rows", 127);
    lying_field(shard, "dimension", 0);
    lying_field(shard, "dimension", 4);
    lying_field(shard, "dimension", 2);
    lying_field(shard, "version", 1);
    lying_field(shard, "version", 3);
    says("version 3");
    lying_field(shard, "normalized", 1);
    lying_field(shard, "element_type", 0xa3);
    lying_field(shard, "block_rows", 0);
    lying_field(shard, "block_rows", 1);
    lying_field(shard, "sums_offset", 392);
    lying_field(shard, "sums_offset", 408);
    lying_field(shard, "sums_offset", 401);
    lying_field(shard, "sums_offset", 8);
    lying_field(shard, "sums_offset", 0xffff);
    lying_field(shard, "rows_offset", 0);
    lying_field(shard, "rows_offset", 8192);
    lying_field(shard, "rows_offset", 4095);
    lying_field(shard, "keys_offset", 4096);
    lying_field(shard, "keys_offset", KEYS + 8);
    lying_field(shard, "keys_bytes", 0);
    lying_field(shard, "keys_bytes", 255);
}

/* So many rows that their bytes, or the sums of their blocks, come out right, 64 bits long. */
static void numbers_that_overflow_are_refused(void **state)
{
    const struct shard *shard = *state;
    static const char *const names[] = {"\xa4rows",    "block_rows",  "sums_offset",
                                        "rows_offset", "keys_offset", "keys_bytes"};
    static const uint8_t tops[] = {0x40, 0x80, 0x20, 0x10, 0xff, 0x01};
    uint8_t *copy = malloc(shard->size);
    for (size_t i = 0; i < 36; i++) {
        memcpy(copy, shard->bytes, shard->size);
        const char *name = names[i % 6];
        uint8_t *field = (uint8_t *)memmem(copy, SUMS, name, strlen(name)) + strlen(name);
        size_t width = field[0] < 0x80 ? 1 : field[0] == 0xcc ? 2 : field[0] == 0xcd ? 3 : 5;
        uint64_t number = 0;
        for (size_t k = width == 1 ? 0 : 1; k < width; k++)
            number = number << 8 | field[k];
        number |= (uint64_t)tops[i / 6] << 56;
        memmove(field + 9, field + width, (size_t)(copy + SUMS - 9 - field)); /* zeros follow */
        field[0] = 0xcf;
        for (size_t k = 0; k < 8; k++)
            field[1 + k] = (uint8_t)(number >> (56 - 8 * k));
        sum_up(copy, shard->size);
        if (read_as(shard, copy, shard->size) == NC_OK)
            fail_msg("%s may be %llu", name, (unsigned long long)number);
    }
    free(copy);
}

static void lies_do_no_harm(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size);
    uint32_t random = 99;
    size_t refused = 0;
    for (int round = 0; round < 600; round++) {
        memcpy(copy, shard->bytes, shard->size);
        for (int change = 0; change <= round % 3; change++) {
            random = random * 1664525 + 1013904223;
            size_t area = random & 1 ? 230 : shard->size - KEYS; /* the map; the keys */
            size_t at = (random >> 8) % area;
            copy[area == 230 ? at : KEYS + at] = (uint8_t)(random >> 24);
        }
        sum_up(copy, shard->size);
        refused += read_as(shard, copy, shard->size) != NC_OK;
    }
    assert_true(refused > 150);
    free(copy);
}

static void lying_keys_are_refused(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size);
    static const uint64_t ends[][ROWS] = {
        {13, 26, 39, 51}, /* something behind the last */
        {13, 26, 39, 53}, /* behind the end */
        {13, 26, 39, UINT64_MAX}, {UINT64_MAX, 26, 39, 52}, {0, 26, 39, 52}, /* an empty one */
        {1, 26, 39, 52},          {26, 13, 39, 52},                          /* backwards */
        {13, 13, 39, 52},         {14, 26, 39, 52},                          /* without its zero */
        {26, 39, 52, 52},
    };
    uint64_t stored[ROWS];
    memcpy(stored, shard->bytes + KEYS, sizeof stored);
    assert_int_equal(stored[3], 52);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        memcpy(copy, shard->bytes, shard->size);
        memcpy(copy + KEYS, ends[i], sizeof ends[i]);
        sum_up(copy, shard->size);
        assert_int_equal(read_as(shard, copy, shard->size), NC_BAD_INPUT);
    }
    /* An empty key whose zero is there; two others are one, so that the rest fits. */
    static const uint64_t empty[ROWS] = {1, 13, 26, 52};
    memcpy(copy, shard->bytes, shard->size);
    memcpy(copy + KEYS, empty, sizeof empty);
    copy[KEYS + sizeof empty] = 0;
    copy[KEYS + sizeof empty + 38] = 'x';
    sum_up(copy, shard->size);
    assert_int_equal(read_as(shard, copy, shard->size), NC_BAD_INPUT);
    says("the key of row 0");
    free(copy);
}

/* The map of a shard, or the sums behind it, may end behind what is read of it at first. */
static void long_names(void **state)
{
    const struct shard *shard = *state;
    static const size_t lengths[] = {7780, 7790, 7800, 20000, 32000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *folder = nc_path_join(shard->folder, "long"), *text = calloc(1, lengths[i] + 1);
        memset(text, 'p', lengths[i]);
        struct nc_embedding_info what = info;
        what.preprocessing = text;
        write_rows(folder, &what, 3, 0, 10);
        holds(folder, &what, 10, 4, 0);
        struct nc_embedding_store *store;
        CHECK(nc_embedding_store_open(folder, &store));
        assert_string_equal(nc_embedding_store_info(store)->preprocessing, text);
        nc_embedding_store_close(store);
        CHECK(nc_folder_remove(folder));
        free(folder);
        free(text);
    }
}

static void shards_of_different_models(void **state)
{
    const struct shard *shard = *state;
    struct nc_embedding_info what = info;
    struct nc_embedding_store *store;
    char *folder = nc_path_join(shard->folder, "other");
    what.model_hash = "another";
    write_rows(folder, &what, 0, 10, 12);
    char *from = shard_path(folder, 0), *to = shard_path(shard->folder, 3);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(nc_embedding_store_open(shard->folder, &store), NC_BAD_INPUT);
    says("shard-000000");
    says("shard-000003");
    says("models");
    free(folder);
    free(from);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(truncated_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_heads_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_that_overflow_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_keys_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(shards_of_different_models, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
