/* Blocks and their checks: what is damaged is named when it is touched, and only then. */
#include "fixture.h"

#include <unistd.h>

enum { DIMENSION = 1024, IN_BLOCK = 256, ROWS = 2 * IN_BLOCK + 10, BLOCK = 1 << 20 };

static const struct nc_embedding_info info = {"model", "as it is", DIMENSION, NC_FLOAT32, false};

struct place {
    char *folder, *path, *index;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->folder = temporary_folder_create();
    place->path = shard_path(place->folder, 0);
    place->index = nc_path_join(place->folder, "keys.index");
    write_rows(place->folder, &info, ROWS, 0, ROWS + 5);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    temporary_folder_remove(place->folder);
    free(place->path);
    free(place->index);
    free(place);
    return 0;
}

static void rows_of_a_block(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 1536, 2, 3072, 128, 2046, 20, 4, 4194304};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t rows = nc_embedding_block_rows(sizes[i]);
        assert_true(rows * sizes[i] >= 1 << 20);
        assert_int_equal(rows * sizes[i] % 4096, 0);
        assert_true(rows * sizes[i] <= 16 << 20);
    }
    assert_int_equal(nc_embedding_block_rows(4096), IN_BLOCK);
    assert_int_equal(nc_embedding_block_rows(1536), 688); /* 258 pages */
    /* Whole pages would take 4 GB. */
    assert_int_equal(nc_embedding_block_rows(2 * 1048575), 1);
}

/* The blocks are the rows, in order, and the bytes of the files are those of the rows. */
static void blocks_cover_the_rows(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    CHECK(nc_embedding_store_open(place->folder, &store));
    assert_int_equal(nc_embedding_store_blocks(store), 4);
    size_t row = 0;
    uint8_t *bytes = malloc(BLOCK);
    for (size_t i = 0; i < 4; i++) {
        struct nc_embedding_block block;
        nc_embedding_store_block(store, i, &block);
        assert_int_equal(block.first_row, row);
        assert_int_equal(block.bytes, block.rows * DIMENSION * sizeof(float));
        assert_int_equal(block.offset % 4096, 0);
        assert_true(block.has_sum);
        FILE *file = fopen(block.path, "rb");
        assert_int_equal(fseek(file, (long)block.offset, SEEK_SET), 0);
        assert_int_equal(fread(bytes, 1, block.bytes, file), block.bytes);
        fclose(file);
        CHECK(nc_embedding_block_check(&block, bytes));
        for (size_t n = 0; n < block.rows; n++) {
            assert_true(((float *)bytes)[n * DIMENSION + 5] == value(row + n, 5));
            assert_int_equal(nc_embedding_store_block_of(store, row + n), i);
        }
        bytes[block.bytes - 1] ^= 1;
        assert_int_equal(nc_embedding_block_check(&block, bytes), NC_BAD_INPUT);
        row += block.rows;
    }
    assert_int_equal(row, ROWS + 5);
    free(bytes);
    nc_embedding_store_close(store);
}

static void a_bad_block_is_named_when_it_is_read(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    struct nc_embedding_verified verified;
    float row[DIMENSION], rows[2 * DIMENSION];
    flip(place->path, 4096 + BLOCK + 77777);
    CHECK(nc_embedding_store_open(place->folder, &store));
    CHECK(nc_embedding_store_row_float(store, IN_BLOCK - 1, row));
    CHECK(nc_embedding_store_row_float(store, 2 * IN_BLOCK, row));
    CHECK(nc_embedding_store_row_float(store, ROWS + 4, row));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(nc_embedding_store_row_float(store, IN_BLOCK, row), NC_BAD_INPUT);
        says(place->path);
        says("block 1 ");
        says("from byte 1052672");
    }
    assert_int_equal(nc_embedding_store_row_unit(store, IN_BLOCK + 3, row), NC_BAD_INPUT);
    const size_t both[] = {0, 2 * IN_BLOCK - 1};
    assert_int_equal(nc_embedding_store_gather(store, both, 2, NC_FLOAT32, rows), NC_BAD_INPUT);
    assert_int_equal(nc_embedding_store_verify(store, &verified), NC_BAD_INPUT);
    says(place->path);
    says("block 1 ");
    assert_int_equal(verified.damaged, 1);
    assert_int_equal(verified.blocks, 4 + 2);
    nc_embedding_store_close(store);
    flip(place->path, 4096 + BLOCK + 77777);
    holds(place->folder, &info, ROWS + 5, 2, 0);
}

static void verify_reads_all(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    struct nc_embedding_verified verified;
    CHECK(nc_embedding_store_open(place->folder, &store));
    CHECK(nc_embedding_store_verify(store, &verified));
    assert_int_equal(verified.damaged, 0);
    assert_true(verified.bytes > (ROWS + 5) * DIMENSION * sizeof(float));
    nc_embedding_store_close(store);
    /* Whatever bit is turned, but in the zeros between the parts, somebody says so. */
    size_t size = file_size(place->path), rows = 4096 + ROWS * DIMENSION * sizeof(float);
    static const size_t heads[] = {0, 30, 120, 300, 400, 420, 439};
    for (size_t i = 0; i < 7 + 40; i++) {
        size_t at = i < 7 ? heads[i] : i < 27 ? 4096 + i * 79993 : rows + (i - 27) * 601;
        assert_true(at < size);
        flip(place->path, at);
        int status = nc_embedding_store_open(place->folder, &store);
        if (i < 7)
            assert_int_equal(status, NC_BAD_INPUT);
        else
            status = nc_embedding_store_verify(store, &verified);
        if (status != NC_BAD_INPUT)
            fail_msg("nobody saw byte %zu", at);
        says(place->path);
        nc_embedding_store_close(store);
        flip(place->path, at);
    }
}

static void bad_keys_are_named_when_they_are_read(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    const char *key;
    size_t row;
    float values[DIMENSION];
    flip(place->path, file_size(place->path) - 3);
    CHECK(nc_embedding_store_open(place->folder, &store));
    CHECK(nc_embedding_store_row_float(store, 0, values));
    CHECK(nc_embedding_store_key(store, ROWS, &key)); /* in the other shard */
    assert_int_equal(nc_embedding_store_key(store, 0, &key), NC_BAD_INPUT);
    says(place->path);
    says("keys");
    assert_int_equal(nc_embedding_store_find(store, "folder/7.jpg", &row), NC_BAD_INPUT);
    nc_embedding_store_close(store);
}

static void files_that_change_are_noticed(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    float row[DIMENSION];
    CHECK(nc_embedding_store_open(place->folder, &store));
    CHECK(nc_embedding_store_row_float(store, ROWS, row));
    CHECK(nc_embedding_store_check(store));
    usleep(20000);
    flip(place->path, 4096); /* not mapped yet */
    assert_int_equal(nc_embedding_store_check(store), NC_FAILED);
    says(place->path);
    assert_int_equal(nc_embedding_store_row_float(store, 0, row), NC_FAILED);
    says("since the store was opened");
    nc_embedding_store_close(store);
    flip(place->path, 4096);

    CHECK(nc_embedding_store_open(place->folder, &store));
    CHECK(nc_embedding_store_row_float(store, 0, row));
    usleep(20000);
    flip(place->path, file_size(place->path) - 1); /* mapped */
    assert_int_equal(nc_embedding_store_check(store), NC_FAILED);
    nc_embedding_store_close(store);
    flip(place->path, file_size(place->path) - 1);

    CHECK(nc_embedding_store_open(place->folder, &store));
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(nc_embedding_store_check(store), NC_FAILED);
    assert_true(nc_embedding_store_row_float(store, 0, row) != NC_OK);
    says(place->path);
    nc_embedding_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_block),
        cmocka_unit_test_setup_teardown(blocks_cover_the_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_block_is_named_when_it_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(verify_reads_all, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_keys_are_named_when_they_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_change_are_noticed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
