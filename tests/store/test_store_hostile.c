/* Shards of version 1 that are damaged, truncated or lie; a disk that is full. */
#include "fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIMENSION = 3, ROWS = 4 };

static const struct nc_embedding_info info = {"model", "as it is", DIMENSION, NC_FLOAT32, false};

struct shard {
    char *folder, *path;
    uint8_t *bytes; /* as written */
    size_t size;
};

static int append(struct nc_embedding_writer *writer, size_t n)
{
    char key[32];
    float row[DIMENSION];
    key_of(n, key);
    row_of(n, &info, row);
    return nc_embedding_writer_append(writer, key, row);
}

static int setup(void **state)
{
    struct shard *shard = calloc(1, sizeof *shard);
    shard->folder = temporary_folder_create();
    shard->path = nc_path_join(shard->folder, "shard-000000.embeddings");
    write_version_1(shard->folder, &info, 0, 0, ROWS);
    char *data;
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

static void put(const struct shard *shard, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(shard->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The bytes as the shard, after making the checksum fit if asked. */
static int open_as(const struct shard *shard, uint8_t *bytes, size_t size, bool mend)
{
    struct nc_embedding_store *store;
    if (mend && size >= 8) {
        uint64_t checksum = XXH3_64bits(bytes, size - 8);
        memcpy(bytes + size - 8, &checksum, 8);
    }
    put(shard, bytes, size);
    int status = nc_embedding_store_open(shard->folder, &store);
    if (status == NC_OK) {
        float row[DIMENSION + 1];
        for (size_t i = 0; i < nc_embedding_store_count(store); i++) {
            const char *key;
            CHECK(nc_embedding_store_key(store, i, &key));
            assert_true(strlen(key) > 0);
            if (nc_embedding_store_info(store)->dimension <= DIMENSION)
                CHECK(nc_embedding_store_row_float(store, i, row));
        }
    } else {
        assert_int_equal(status, NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "shard-000000"));
    }
    nc_embedding_store_close(store);
    return status;
}

static void truncated_anywhere(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size + 1);
    memcpy(copy, shard->bytes, shard->size);
    assert_int_equal(open_as(shard, copy, shard->size, true), NC_OK);
    for (size_t size = 0; size < shard->size; size += size < 4000 && size > 300 ? 97 : 1) {
        memcpy(copy, shard->bytes, shard->size);
        assert_int_equal(open_as(shard, copy, size, false), NC_BAD_INPUT);
        assert_int_equal(open_as(shard, copy, size, true), NC_BAD_INPUT);
    }
    memcpy(copy, shard->bytes, shard->size);
    copy[shard->size] = 0;
    assert_int_equal(open_as(shard, copy, shard->size + 1, true), NC_BAD_INPUT);
    free(copy);
}

static void a_flipped_bit_is_found(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size);
    for (size_t at = 0; at < shard->size; at += at < 4000 && at > 300 ? 97 : 1) {
        memcpy(copy, shard->bytes, shard->size);
        copy[at] ^= (uint8_t)(1 << at % 8);
        assert_int_equal(open_as(shard, copy, shard->size, false), NC_BAD_INPUT);
    }
    free(copy);
}

/* With a checksum that fits, damage may pass as other content, but does no harm. */
static void lies_do_no_harm(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size);
    uint32_t random = 99;
    size_t refused = 0;
    for (int round = 0; round < 4000; round++) {
        memcpy(copy, shard->bytes, shard->size);
        for (int change = 0; change <= round % 3; change++) {
            random = random * 1664525 + 1013904223;
            size_t area = random & 1 ? 260 : 60; /* the header; the keys and the checksum */
            size_t at = (random >> 8) % area;
            at = area == 60 ? shard->size - 1 - at : at;
            copy[at] = (uint8_t)(random >> 24);
        }
        refused += open_as(shard, copy, shard->size, true) != NC_OK;
    }
    assert_true(refused > 1000);
    free(copy);
}

/* Replaces the number behind a field's name: msgpack packs the small ones in a byte. */
static void lying_field(const struct shard *shard, const char *name, uint8_t value)
{
    uint8_t *copy = malloc(shard->size);
    memcpy(copy, shard->bytes, shard->size);
    uint8_t *field = memmem(copy, 4096, name, strlen(name));
    assert_non_null(field);
    field[strlen(name)] = value;
    if (open_as(shard, copy, shard->size, true) == NC_OK)
        fail_msg("%s may be %u", name, value);
    free(copy);
}

/* Replaces the 4 bytes of the number behind a field's name. */
static void lying_number(const struct shard *shard, const char *name, uint32_t value)
{
    uint8_t *copy = malloc(shard->size);
    memcpy(copy, shard->bytes, shard->size);
    uint8_t *field = (uint8_t *)memmem(copy, 4096, name, strlen(name)) + strlen(name);
    assert_int_equal(field[0], 0xce);
    for (int i = 0; i < 4; i++)
        field[1 + i] = (uint8_t)(value >> (24 - 8 * i));
    if (open_as(shard, copy, shard->size, true) == NC_OK)
        fail_msg("%s may be %u", name, value);
    free(copy);
}

static void lying_headers_are_refused(void **state)
{
    const struct shard *shard = *state;
    lying_field(shard, "rows", 3); /* one byte: what follows is no name of a field */
    lying_number(shard, "\xa4rows", 3);
    lying_number(shard, "\xa4rows", 5);
    lying_number(shard, "\xa4rows", UINT32_MAX);
    lying_field(shard, "rows", 0xcf); /* a number of 8 bytes: those that follow */
    lying_number(shard, "dimension", 0);
    lying_number(shard, "dimension", 4);
    lying_number(shard, "dimension", UINT32_MAX);
    lying_number(shard, "rows_offset", 0);
    lying_number(shard, "rows_offset", 8192);
    lying_number(shard, "keys_offset", 4096);
    lying_number(shard, "keys_bytes", UINT32_MAX);
    lying_field(shard, "dimension", 0);
    lying_field(shard, "dimension", 4);
    lying_field(shard, "dimension", 0xc0);
    lying_field(shard, "version", 2); /* whose fields these are not */
    lying_field(shard, "version", 3);
    says("version 3");
    lying_field(shard, "normalized", 1);
    lying_field(shard, "element_type", 0xa3);
    lying_field(shard, "format", 0xdb);
}

/* So many rows that the product with their size comes out right, 64 bits long. */
static void rows_that_overflow_are_refused(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size);
    memcpy(copy, shard->bytes, shard->size);
    uint8_t *rows = (uint8_t *)memmem(copy, 4096, "\xa4rows", 5) + 5;
    assert_int_equal(rows[4], ROWS);
    memmove(rows + 9, rows + 5, (size_t)(copy + 4000 - rows)); /* zeros follow the header */
    memcpy(rows, "\xcf\x40\0\0\0\0\0\0\x04", 9);               /* 2^62 + 4, by 12 bytes */
    assert_int_equal(open_as(shard, copy, shard->size, true), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "shorter than its rows"));
    free(copy);
}

/* An array that states 4 billion keys costs nothing. */
static void lying_keys_are_refused(void **state)
{
    const struct shard *shard = *state;
    uint8_t *copy = malloc(shard->size);
    size_t keys = 4096 + ROWS * DIMENSION * sizeof(float);
    assert_int_equal(shard->bytes[keys], 0x90 | ROWS);
    static const uint8_t lies[][6] = {{0x90 | (ROWS + 1)},
                                      {0x90 | (ROWS - 1)},
                                      {0xdd, 0xff, 0xff, 0xff, 0xff},
                                      {0xdc, 0, ROWS},
                                      {0x90 | ROWS, 0xdb, 0xff, 0xff, 0xff, 0xff},
                                      {0x90 | ROWS, 0xa5, 0},
                                      {0x90 | ROWS, 0xa0},
                                      {0x90 | ROWS, 0xc4, 5},
                                      {0xa0 | ROWS}};
    static const size_t lengths[] = {1, 1, 5, 3, 6, 3, 2, 3, 1};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(copy, shard->bytes, shard->size);
        memcpy(copy + keys, lies[i], lengths[i]);
        assert_int_equal(open_as(shard, copy, shard->size, true), NC_BAD_INPUT);
    }
    free(copy);
}

static void a_wrong_list_of_skipped_pictures_is_named(void **state)
{
    const struct shard *shard = *state;
    struct nc_embedding_store *store;
    char *path = nc_path_join(shard->folder, "skipped.jsonl");
    static const char *const texts[] = {"{\"key\":\"a\",\"reason\":\"b\"}\n{\"key\":\"c\"}\n",
                                        "{\"key\":\"a\",\"reason\":\"b\"}\n[1]\n",
                                        "\n{\"key\":\"a\",\"rea", "\nx"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t skipped;
        CHECK(nc_file_write(path, texts[i], strlen(texts[i])));
        CHECK(nc_embedding_store_open(shard->folder, &store));
        assert_int_equal(nc_embedding_store_skipped(store, &skipped), NC_BAD_INPUT);
        says("skipped.jsonl line 2");
        nc_embedding_store_close(store);
    }
    free(path);
}

static size_t count_files(const char *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

/* In a process whose files may not grow past 16 KB: as a full disk, but for the errno. */
static int write_on_a_full_disk(const struct shard *shard)
{
    struct nc_embedding_writer *writer;
    struct rlimit limit = {16 << 10, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    if (nc_embedding_writer_open(shard->folder, &info, 2000, &writer) != NC_OK)
        return 1;
    for (size_t n = ROWS; n < 2000; n++)
        if (append(writer, n) != NC_OK)
            return 2;
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    limit.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (nc_embedding_writer_flush(writer) != NC_FAILED ||
        !strstr(nc_error_message(), "shard-000001") || !strstr(nc_error_message(), "too large"))
        return 3;
    if (count_files(shard->folder) != 1)
        return 4; /* something half-written was left behind */
    /* No room is ever made: the rows stay in memory, and no more than a shard of them. */
    for (size_t n = 2000; n < 2003; n++)
        (void)append(writer, n);
    if (append(writer, 2003) != NC_OK && append(writer, 2004) != NC_FAILED)
        return 5;
    setrlimit(RLIMIT_FSIZE, &old); /* now there is room again */
    return nc_embedding_writer_close(writer) == NC_OK ? 0 : 6;
}

static void a_full_disk_leaves_nothing_half_written(void **state)
{
    const struct shard *shard = *state;
    pid_t child = fork();
    if (child == 0)
        _exit(write_on_a_full_disk(shard));
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    holds(shard->folder, &info, 2004, 2, 1);
}

static void an_unwritable_place(void **state)
{
    const struct shard *shard = *state;
    struct nc_embedding_writer *writer;
    assert_int_equal(nc_embedding_writer_open(shard->path, &info, 0, &writer), NC_FAILED);
    assert_null(writer);
    assert_int_equal(nc_embedding_writer_open("/dev/null/store", &info, 0, &writer), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "/dev/null/store"));
    struct nc_embedding_info what = info;
    what.dimension = 0;
    assert_int_equal(nc_embedding_writer_open(shard->folder, &what, 0, &writer), NC_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(truncated_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_headers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_that_overflow_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_keys_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_list_of_skipped_pictures_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_nothing_half_written, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unwritable_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
