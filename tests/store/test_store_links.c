/* Shards whose rows lie in a file of somebody else. */
#include "fixture.h"

#include <math.h>
#include <unistd.h>

enum { DIMENSION = 6, ROWS = 50, OFFSET = 128 };

static const struct nc_embedding_info info = {"model", "as it is", DIMENSION, NC_FLOAT16, false};

struct place {
    char *folder, *store, *rows; /* rows: a file as numpy writes one, beside the store */
    char names[ROWS + 1][32];
    const char *keys[ROWS];
};

static void write_file(const char *path, size_t first, size_t bad)
{
    static uint8_t bytes[OFFSET + ROWS * DIMENSION * 2 + 10];
    memset(bytes, '#', sizeof bytes);
    for (size_t n = 0; n < ROWS; n++) {
        float row[DIMENSION];
        row_of(first + n, &info, row);
        row[0] = n == bad ? INFINITY : row[0];
        nc_convert(bytes + OFFSET + n * DIMENSION * 2, NC_FLOAT16, row, NC_FLOAT32, DIMENSION);
    }
    CHECK(nc_file_write(path, bytes, sizeof bytes));
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->folder = temporary_folder_create();
    place->store = nc_path_join(place->folder, "store");
    place->rows = nc_path_join(place->folder, "img_emb_0.npy");
    write_file(place->rows, 4, SIZE_MAX);
    write_rows(place->store, &info, 0, 0, 4);
    for (size_t n = 0; n < ROWS; n++) {
        key_of(4 + n, place->names[n]);
        place->keys[n] = place->names[n];
    }
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    temporary_folder_remove(place->folder);
    free(place->store);
    free(place->rows);
    free(place);
    return 0;
}

static void add_link(const struct place *place, const char *rows_file)
{
    struct nc_embedding_writer *writer;
    CHECK(nc_embedding_writer_open(place->store, &info, 0, &writer));
    CHECK(nc_embedding_writer_link(writer, rows_file, OFFSET, ROWS, place->keys));
    bool has;
    CHECK(nc_embedding_writer_has(writer, place->keys[7], &has));
    assert_true(has);
    assert_int_equal(nc_embedding_writer_count(writer), 4 + ROWS);
    CHECK(nc_embedding_writer_close(writer));
}

static void linked_rows_are_read(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    struct nc_embedding_block block;
    struct nc_embedding_verified verified;
    add_link(place, "../img_emb_0.npy");
    holds(place->store, &info, 4 + ROWS, 2, 0);
    CHECK(nc_embedding_store_open(place->store, &store));
    nc_embedding_store_block(store, 1, &block);
    assert_non_null(strstr(block.path, "img_emb_0.npy"));
    assert_int_equal(block.offset, OFFSET);
    assert_int_equal(block.bytes, ROWS * DIMENSION * 2);
    CHECK(nc_embedding_store_verify(store, &verified));
    nc_embedding_store_close(store);
    write_rows(place->store, &info, 0, 4 + ROWS, 60 + ROWS); /* it can be continued */
    holds(place->store, &info, 60 + ROWS, 3, 0);

    /* A whole copy has its rows in it. */
    char *copy = nc_path_join(place->folder, "copy");
    struct nc_embedding_upgraded upgraded;
    CHECK(nc_embedding_store_upgrade(place->store, copy, &upgraded));
    assert_int_equal(unlink(place->rows), 0);
    holds(copy, &info, 60 + ROWS, 3, 0);
    free(copy);
}

static void a_file_that_is_gone_or_another_is_named(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_store *store;
    add_link(place, place->rows);
    holds(place->store, &info, 4 + ROWS, 2, 0);
    size_t size = file_size(place->rows);
    for (int round = 0; round < 3; round++) {
        if (round == 2)
            assert_int_equal(unlink(place->rows), 0);
        else
            assert_int_equal(truncate(place->rows, (off_t)(round ? size + 1 : size - 1)), 0);
        assert_int_equal(nc_embedding_store_open(place->store, &store), NC_BAD_INPUT);
        says("shard-000001");
        says(place->rows);
        says(round == 0 ? "had 738 bytes and has 737" : round == 1 ? "has 739" : "No such file");
    }
    write_file(place->rows, 5, SIZE_MAX); /* as large, but with other rows */
    float row[DIMENSION];
    CHECK(nc_embedding_store_open(place->store, &store));
    CHECK(nc_embedding_store_row_float(store, 0, row));
    assert_int_equal(nc_embedding_store_row_float(store, 4, row), NC_BAD_INPUT);
    says(place->rows);
    says("block 0 ");
    nc_embedding_store_close(store);
}

/* What cannot be linked leaves the writer as it was. */
static void wrong_links_are_refused(void **state)
{
    struct place *place = *state;
    struct nc_embedding_writer *writer;
    CHECK(nc_embedding_writer_open(place->store, &info, 0, &writer));
    assert_int_equal(nc_embedding_writer_link(writer, "nowhere.npy", OFFSET, ROWS, place->keys),
                     NC_BAD_INPUT);
    says("nowhere.npy");
    assert_int_equal(nc_embedding_writer_link(writer, place->rows, OFFSET + 12, ROWS, place->keys),
                     NC_BAD_INPUT);
    assert_int_equal(nc_embedding_writer_link(writer, place->rows, OFFSET + 1, ROWS, place->keys),
                     NC_BAD_INPUT);
    assert_int_equal(
        nc_embedding_writer_link(writer, place->rows, UINT64_MAX - 1, ROWS, place->keys),
        NC_BAD_INPUT);
    place->keys[20] = "folder/3.jpg"; /* of the store */
    assert_int_equal(nc_embedding_writer_link(writer, place->rows, OFFSET, ROWS, place->keys),
                     NC_BAD_INPUT);
    says("folder/3.jpg");
    place->keys[20] = place->keys[19];
    assert_int_equal(nc_embedding_writer_link(writer, place->rows, OFFSET, ROWS, place->keys),
                     NC_BAD_INPUT);
    says(place->keys[19]);
    place->keys[20] = place->names[20];
    write_file(place->rows, 4, 33);
    assert_int_equal(nc_embedding_writer_link(writer, place->rows, OFFSET, ROWS, place->keys),
                     NC_BAD_INPUT);
    says("row 33");
    says(place->keys[33]);
    bool has;
    CHECK(nc_embedding_writer_has(writer, place->keys[0], &has));
    assert_false(has);
    assert_int_equal(nc_embedding_writer_count(writer), 4);
    write_file(place->rows, 4, SIZE_MAX);
    CHECK(nc_embedding_writer_link(writer, place->rows, OFFSET, ROWS, place->keys));
    CHECK(nc_embedding_writer_close(writer));
    holds(place->store, &info, 4 + ROWS, 2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(linked_rows_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_gone_or_another_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_links_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
