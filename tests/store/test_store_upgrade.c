/* Stores of both versions, and the way from one to the other. */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIMENSION = 5 };

static const struct nc_embedding_info info = {"00aa11bb22cc33dd", "rgb, as it is", DIMENSION,
                                              NC_FLOAT16, true};

struct place {
    char *folder, *store, *out;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->folder = temporary_folder_create();
    place->store = nc_path_join(place->folder, "store");
    place->out = nc_path_join(place->folder, "out");
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    temporary_folder_remove(place->folder);
    free(place->store);
    free(place->out);
    free(place);
    return 0;
}

static void write_mixed(const char *store)
{
    write_version_1(store, &info, 0, 0, 9);
    write_version_1(store, &info, 2, 9, 20);
}

static void version_1_is_read(void **state)
{
    const struct place *place = *state;
    for (enum nc_type type = NC_FLOAT32; type <= NC_FLOAT16; type++) {
        struct nc_embedding_info what = info;
        what.type = type;
        write_version_1(place->store, &what, 0, 0, 9);
        write_version_1(place->store, &what, 2, 9, 20);
        holds(place->store, &what, 20, 2, 2);
        char *index = nc_path_join(place->store, "keys.index");
        assert_false(nc_file_exists(index)); /* nothing is written to what is only read */
        free(index);
    }
    struct nc_embedding_store *store;
    struct nc_embedding_block block;
    CHECK(nc_embedding_store_open(place->store, &store));
    assert_int_equal(nc_embedding_store_blocks(store), 2);
    nc_embedding_store_block(store, 1, &block);
    assert_int_equal(block.first_row, 9);
    assert_int_equal(block.rows, 11);
    assert_int_equal(block.offset, 4096);
    assert_false(block.has_sum);
    CHECK(nc_embedding_block_check(&block, "anything"));
    nc_embedding_store_close(store);
}

static void both_versions_in_one_store(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_writer *writer;
    write_mixed(place->store);
    CHECK(nc_embedding_writer_open(place->store, &info, 0, &writer));
    bool has;
    CHECK(nc_embedding_writer_has(writer, "folder/19.jpg", &has));
    assert_true(has);
    CHECK(nc_embedding_writer_has(writer, "folder/20.jpg", &has));
    assert_false(has);
    CHECK(nc_embedding_writer_close(writer));
    write_rows(place->store, &info, 7, 20, 40);
    holds(place->store, &info, 40, 5, 2);
    write_rows(place->store, &info, 7, 40, 50);
    holds(place->store, &info, 50, 7, 2);
    write_version_1(place->store, &info, 20, 50, 60); /* also behind those of version 2 */
    holds(place->store, &info, 60, 8, 3);

    struct nc_embedding_upgraded upgraded;
    CHECK(nc_embedding_store_upgrade(place->store, NULL, &upgraded));
    assert_int_equal(upgraded.shards, 8);
    assert_int_equal(upgraded.written, 3);
    holds(place->store, &info, 60, 8, 0);
    CHECK(nc_embedding_store_upgrade(place->store, NULL, &upgraded));
    assert_int_equal(upgraded.written, 0);
}

/* The rows are the same bytes, whoever wrote them. */
static void what_is_upgraded_is_what_is_written(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_upgraded upgraded;
    write_version_1(place->store, &info, 0, 0, 9);
    write_rows(place->out, &info, 0, 0, 9);
    CHECK(nc_embedding_store_upgrade(place->store, NULL, &upgraded));
    char *one = shard_path(place->store, 0), *other = shard_path(place->out, 0), *a, *b;
    size_t size, other_size;
    CHECK(nc_file_read(one, 1 << 20, &a, &size));
    CHECK(nc_file_read(other, 1 << 20, &b, &other_size));
    assert_int_equal(size, other_size);
    assert_memory_equal(a, b, size);
    free(a);
    free(b);
    free(one);
    free(other);
}

static void beside_the_old_store(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_upgraded upgraded;
    write_mixed(place->store);
    write_rows(place->store, &info, 7, 20, 40);
    char *skipped = nc_path_join(place->store, "skipped.jsonl");
    char *copied = nc_path_join(place->out, "skipped.jsonl"), *gone = shard_path(place->out, 3);
    CHECK(nc_file_write(skipped, "{\"key\":\"a\",\"reason\":\"b\"}\n", 25));
    CHECK(nc_embedding_store_upgrade(place->store, place->out, &upgraded));
    assert_int_equal(upgraded.written, 5);
    holds(place->store, &info, 40, 5, 2);
    holds(place->out, &info, 40, 5, 0);
    assert_int_equal(file_size(copied), 25);

    /* What is there already is not written again. */
    assert_int_equal(unlink(gone), 0);
    CHECK(nc_embedding_store_upgrade(place->store, place->out, &upgraded));
    assert_int_equal(upgraded.written, 1);
    holds(place->out, &info, 40, 5, 0);

    /* What is of other embeddings is left alone. */
    assert_int_equal(unlink(gone), 0);
    write_rows(place->folder, &info, 0, 100, 103);
    char *foreign = shard_path(place->folder, 0);
    for (int round = 0; round < 2; round++) {
        char *to = shard_path(place->out, round ? 90 : 3);
        assert_int_equal(rename(round ? gone : foreign, to), 0);
        assert_int_equal(nc_embedding_store_upgrade(place->store, place->out, &upgraded),
                         NC_BAD_INPUT);
        says(to);
        says("--out");
        free(to);
    }
    free(foreign);
    free(skipped);
    free(copied);
    free(gone);
}

static void damage_is_not_copied(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_upgraded upgraded;
    write_mixed(place->store);
    write_rows(place->store, &info, 7, 20, 40);
    char *old = shard_path(place->store, 2), *new = shard_path(place->store, 3);
    flip(new, 4100);
    assert_int_equal(nc_embedding_store_upgrade(place->store, place->out, &upgraded), NC_BAD_INPUT);
    says(new);
    says("block 0");
    flip(new, 4100);
    flip(old, 4100);
    assert_int_equal(nc_embedding_store_upgrade(place->store, NULL, &upgraded), NC_BAD_INPUT);
    says(old);
    flip(old, 4100);
    holds(place->store, &info, 40, 5, 1); /* as far as it came */
    free(old);
    free(new);
}

static void another_process_writes(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_writer *writer;
    struct nc_embedding_upgraded upgraded;
    write_mixed(place->store);
    CHECK(nc_embedding_writer_open(place->store, &info, 0, &writer));
    assert_int_equal(nc_embedding_store_upgrade(place->store, NULL, &upgraded), NC_FAILED);
    says("another process");
    nc_embedding_writer_abandon(writer);
    assert_int_equal(nc_embedding_store_upgrade(place->folder, NULL, &upgraded), NC_BAD_INPUT);
}

/* Killed at any moment, it is a whole store of both versions, and the next run ends it. */
static void killed_in_the_middle(void **state)
{
    enum { SHARDS = 60, ROWS = 10 };
    const struct place *place = *state;
    struct nc_embedding_upgraded upgraded;
    size_t kills = 0;
    for (size_t i = 0; i < SHARDS; i++)
        write_version_1(place->store, &info, i, i * ROWS, (i + 1) * ROWS);
    for (unsigned round = 0; round < 30; round++) {
        const char *out = round % 2 ? place->out : NULL;
        pid_t child = fork();
        if (child == 0)
            _exit(nc_embedding_store_upgrade(place->store, out, &upgraded));
        usleep(500 + round * 7919 % 6000);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        kills += WIFSIGNALED(status);
        if (round % 5)
            continue;
        struct nc_embedding_store *store;
        CHECK(nc_embedding_store_open(place->store, &store));
        size_t old = nc_embedding_store_old_shards(store);
        nc_embedding_store_close(store);
        holds(place->store, &info, SHARDS * ROWS, SHARDS, old);
    }
    assert_true(kills > 5);
    CHECK(nc_embedding_store_upgrade(place->store, NULL, &upgraded));
    CHECK(nc_embedding_store_upgrade(place->store, place->out, &upgraded));
    holds(place->store, &info, SHARDS * ROWS, SHARDS, 0);
    holds(place->out, &info, SHARDS * ROWS, SHARDS, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(version_1_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(both_versions_in_one_store, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_upgraded_is_what_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(beside_the_old_store, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_not_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(another_process_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_in_the_middle, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
