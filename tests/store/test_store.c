/* The embedding store: written, continued, read, and what is refused. */
#include "fixture.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIMENSION = 5 };

static const struct nc_embedding_info info = {"00aa11bb22cc33dd", "rgb, as it is", DIMENSION,
                                              NC_FLOAT32, true};

static int setup(void **state)
{
    *state = temporary_folder_create();
    return 0;
}

static int teardown(void **state)
{
    temporary_folder_remove(*state);
    return 0;
}

static int append(struct nc_embedding_writer *writer, size_t n)
{
    char key[32];
    float row[DIMENSION];
    key_of(n, key);
    row_of(n, &info, row);
    return nc_embedding_writer_append(writer, key, row);
}

static size_t files_like(const char *folder, const char *part)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strstr(entry->d_name, part) != NULL;
    closedir(directory);
    return count;
}

static void what_is_written_is_read(void **state)
{
    char *folder = nc_path_join(*state, "new/store");
    for (size_t shard_rows = 1; shard_rows < 20; shard_rows += 6) {
        write_rows(folder, &info, shard_rows, 0, 17);
        holds(folder, &info, 17, (17 + shard_rows - 1) / shard_rows, 0);
        assert_int_equal(nc_folder_remove(folder), NC_OK);
    }
    write_rows(folder, &info, 0, 0, 9000);
    holds(folder, &info, 9000, 2, 0); /* the default size of a shard */
    free(folder);
}

static void every_element_type(void **state)
{
    for (enum nc_type type = NC_FLOAT32; type <= NC_FLOAT16; type++) {
        struct nc_embedding_info what = info;
        what.type = type;
        what.normalized = type == NC_FLOAT16;
        char *folder = nc_path_join(*state, nc_type_name(type));
        write_rows(folder, &what, 4, 0, 10);
        holds(folder, &info, 10, 3, 0);
        struct nc_embedding_store *store;
        CHECK(nc_embedding_store_open(folder, &store));
        const struct nc_embedding_info *read = nc_embedding_store_info(store);
        assert_string_equal(read->model_hash, info.model_hash);
        assert_string_equal(read->preprocessing, info.preprocessing);
        assert_int_equal(read->dimension, DIMENSION);
        assert_int_equal(read->type, type);
        assert_int_equal(read->normalized, what.normalized);

        const size_t rows[3] = {9, 0, 9};
        uint16_t gathered[3 * DIMENSION];
        CHECK(nc_embedding_store_gather(store, rows, 3, NC_BFLOAT16, gathered));
        for (size_t i = 0; i < 3 * DIMENSION; i++)
            assert_int_equal(gathered[i],
                             nc_bfloat16_from_float(value(rows[i / DIMENSION], i % DIMENSION)));
        nc_embedding_store_close(store);
        free(folder);
    }
}

/* The block of rows of a shard starts on a page. */
static void rows_are_aligned(void **state)
{
    write_rows(*state, &info, 4, 0, 10);
    struct nc_embedding_store *store;
    CHECK(nc_embedding_store_open(*state, &store));
    const void *row, *next;
    for (size_t i = 0; i < 10; i += 4) {
        CHECK(nc_embedding_store_row(store, i, &row));
        assert_int_equal((uintptr_t)row % 4096, 0);
    }
    CHECK(nc_embedding_store_row(store, 4, &row));
    CHECK(nc_embedding_store_row(store, 5, &next));
    assert_ptr_equal((const float *)row + DIMENSION, next);
    nc_embedding_store_close(store);
}

static bool has(struct nc_embedding_writer *writer, const char *key)
{
    bool there;
    CHECK(nc_embedding_writer_has(writer, key, &there));
    return there;
}

static void a_run_continues(void **state)
{
    struct nc_embedding_writer *writer;
    write_rows(*state, &info, 4, 0, 6);
    CHECK(nc_embedding_writer_open(*state, &info, 4, &writer));
    assert_int_equal(nc_embedding_writer_count(writer), 6);
    assert_true(has(writer, "folder/5.jpg"));
    assert_false(has(writer, "folder/6.jpg"));
    for (size_t n = 6; n < 13; n++)
        CHECK(append(writer, n));
    assert_true(has(writer, "folder/6.jpg"));
    assert_int_equal(nc_embedding_writer_count(writer), 13);
    CHECK(nc_embedding_writer_close(writer));
    holds(*state, &info, 13, 4, 0);
    write_rows(*state, &info, 4, 13, 13); /* nothing new: no shard */
    holds(*state, &info, 13, 4, 0);
}

static void a_killed_run_loses_the_last_shard_only(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        struct nc_embedding_writer *writer;
        struct nc_writer *partial;
        char *path = nc_path_join(*state, "shard-000002.embeddings");
        if (nc_embedding_writer_open(*state, &info, 4, &writer) != NC_OK)
            _exit(1);
        for (size_t n = 0; n < 10; n++)
            if (append(writer, n) != NC_OK)
                _exit(1);
        /* as if the kill came in the middle of the third shard */
        if (nc_writer_create(path, &partial) != NC_OK ||
            nc_writer_write(partial, "half a shard", 12) != NC_OK)
            _exit(1);
        raise(SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(files_like(*state, ".partial-"), 1);
    holds(*state, &info, 8, 2, 0);
    write_rows(*state, &info, 4, 8, 11);
    assert_int_equal(files_like(*state, ".partial-"), 0);
    holds(*state, &info, 11, 3, 0);
}

static void refuses_to_continue(void **state, const struct nc_embedding_info *what,
                                const char *old_value, const char *new_value)
{
    struct nc_embedding_writer *writer;
    assert_int_equal(nc_embedding_writer_open(*state, what, 0, &writer), NC_BAD_INPUT);
    assert_null(writer);
    const char *message = nc_error_message();
    if (!strstr(message, old_value) || !strstr(message, new_value) || !strstr(message, *state))
        fail_msg("\"%s\" does not name %s and %s", message, old_value, new_value);
}

static void another_model_does_not_continue(void **state)
{
    write_rows(*state, &info, 4, 0, 6);
    struct nc_embedding_info other = info;
    other.model_hash = "ffff000000000000";
    refuses_to_continue(state, &other, info.model_hash, other.model_hash);
    other = info;
    other.preprocessing = "rgb, larger";
    refuses_to_continue(state, &other, info.preprocessing, other.preprocessing);
    other = info;
    other.dimension = 6;
    refuses_to_continue(state, &other, "5", "6");
    other = info;
    other.type = NC_BFLOAT16;
    refuses_to_continue(state, &other, "fp32", "bf16");
    other = info;
    other.normalized = false;
    refuses_to_continue(state, &other, "normalised", "not");
    holds(*state, &info, 6, 2, 0);
}

static void another_model_does_not_read(void **state)
{
    struct nc_embedding_store *store;
    write_rows(*state, &info, 4, 0, 6);
    CHECK(nc_embedding_store_open(*state, &store));
    assert_int_equal(nc_embedding_store_expect(store, info.model_hash, DIMENSION), NC_OK);
    assert_int_equal(nc_embedding_store_expect(store, NULL, DIMENSION), NC_OK);
    assert_int_equal(nc_embedding_store_expect(store, "other", DIMENSION), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), info.model_hash));
    assert_non_null(strstr(nc_error_message(), "other"));
    assert_non_null(strstr(nc_error_message(), "nclip embed"));
    assert_int_equal(nc_embedding_store_expect(store, NULL, 512), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "512"));
    nc_embedding_store_close(store);
}

static void one_process_writes(void **state)
{
    struct nc_embedding_writer *first, *second;
    CHECK(nc_embedding_writer_open(*state, &info, 0, &first));
    assert_int_equal(nc_embedding_writer_open(*state, &info, 0, &second), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "another process"));
    nc_embedding_writer_abandon(first);
    CHECK(nc_embedding_writer_open(*state, &info, 0, &second));
    nc_embedding_writer_abandon(second);
}

static void wrong_rows_are_refused_and_the_writer_lives(void **state)
{
    struct nc_embedding_writer *writer;
    struct nc_embedding_info what = info;
    what.type = NC_FLOAT16;
    write_rows(*state, &what, 4, 0, 2);
    CHECK(nc_embedding_writer_open(*state, &what, 4, &writer));
    float row[DIMENSION] = {1, 2, NAN, 4, 5};
    assert_int_equal(append(writer, 0), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "folder/0.jpg"));
    assert_int_equal(nc_embedding_writer_append(writer, "n.jpg", row), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "n.jpg"));
    row[2] = 70000; /* infinite in fp16 */
    assert_int_equal(nc_embedding_writer_append(writer, "n.jpg", row), NC_BAD_INPUT);
    assert_int_equal(nc_embedding_writer_append(writer, "", row), NC_BAD_INPUT);
    char *endless = malloc(NC_EMBEDDING_MAX_KEY + 2);
    memset(endless, 'k', NC_EMBEDDING_MAX_KEY + 1);
    endless[NC_EMBEDDING_MAX_KEY + 1] = 0;
    row[2] = 3;
    assert_int_equal(nc_embedding_writer_append(writer, endless, row), NC_BAD_INPUT);
    assert_int_equal(nc_embedding_writer_append(writer, endless + 1, row), NC_OK);
    assert_false(has(writer, "n.jpg"));
    CHECK(append(writer, 2));
    assert_int_equal(append(writer, 2), NC_BAD_INPUT);
    CHECK(nc_embedding_writer_close(writer));
    struct nc_embedding_store *store;
    CHECK(nc_embedding_store_open(*state, &store));
    assert_int_equal(nc_embedding_store_count(store), 4);
    const char *key;
    CHECK(nc_embedding_store_key(store, 2, &key));
    assert_string_equal(key, endless + 1);
    nc_embedding_store_close(store);
    free(endless);
}

static void skipped_is(const char *folder, const char *expected)
{
    char *path = nc_path_join(folder, "skipped.jsonl"), *text;
    size_t size;
    CHECK(nc_file_read(path, 1 << 20, &text, &size));
    assert_string_equal(text, expected);
    free(text);
    free(path);
}

static void skipped_pictures_are_noted(void **state)
{
    struct nc_embedding_writer *writer;
    struct nc_embedding_store *store;
    CHECK(nc_embedding_writer_open(*state, &info, 4, &writer));
    CHECK(append(writer, 0));
    CHECK(nc_embedding_writer_skip(writer, "a.jpg", "a \"GIF\"\n"));
    CHECK(nc_embedding_writer_skip(writer, "folder/1.jpg", "damaged"));
    CHECK(nc_embedding_writer_skip(writer, "a.jpg", "a GIF"));
    assert_int_equal(nc_embedding_writer_skipped(writer), 2);
    assert_false(has(writer, "a.jpg"));
    CHECK(nc_embedding_writer_flush(writer));
    skipped_is(*state, "{\"key\":\"a.jpg\",\"reason\":\"a GIF\"}\n"
                       "{\"key\":\"folder/1.jpg\",\"reason\":\"damaged\"}\n");
    CHECK(nc_embedding_writer_close(writer));
    CHECK(nc_embedding_store_open(*state, &store));
    size_t skipped;
    CHECK(nc_embedding_store_skipped(store, &skipped));
    assert_int_equal(skipped, 2);
    nc_embedding_store_close(store);

    /* The next run can embed one of them. */
    CHECK(nc_embedding_writer_open(*state, &info, 4, &writer));
    assert_int_equal(nc_embedding_writer_skipped(writer), 2);
    CHECK(append(writer, 1));
    assert_int_equal(nc_embedding_writer_skipped(writer), 1);
    CHECK(nc_embedding_writer_skip(writer, "b.jpg", "truncated"));
    CHECK(nc_embedding_writer_close(writer));
    skipped_is(*state, "{\"key\":\"a.jpg\",\"reason\":\"a GIF\"}\n"
                       "{\"key\":\"b.jpg\",\"reason\":\"truncated\"}\n");
    holds(*state, &info, 2, 2, 0);
}

static void two_shards_with_one_key_are_named(void **state)
{
    char *other = nc_path_join(*state, "other"), *store_folder = nc_path_join(*state, "store");
    write_rows(store_folder, &info, 4, 0, 6);
    write_rows(other, &info, 4, 2, 4);
    char *from = nc_path_join(other, "shard-000000.embeddings");
    char *to = nc_path_join(store_folder, "shard-000007.embeddings");
    assert_int_equal(rename(from, to), 0);
    struct nc_embedding_store *store;
    size_t row;
    CHECK(nc_embedding_store_open(store_folder, &store));
    assert_int_equal(nc_embedding_store_find(store, "folder/5.jpg", &row), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "shard-000000"));
    assert_non_null(strstr(nc_error_message(), "shard-000007"));
    assert_non_null(strstr(nc_error_message(), "folder/"));
    nc_embedding_store_close(store);
    free(from);
    free(to);
    free(other);
    free(store_folder);
}

static void no_store_at_all(void **state)
{
    struct nc_embedding_store *store;
    assert_int_equal(nc_embedding_store_open(*state, &store), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "nclip embed"));
    assert_int_equal(nc_embedding_store_open("/nowhere/at/all", &store), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(every_element_type, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_aligned, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_continues, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_run_loses_the_last_shard_only, setup, teardown),
        cmocka_unit_test_setup_teardown(another_model_does_not_continue, setup, teardown),
        cmocka_unit_test_setup_teardown(another_model_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(one_process_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_rows_are_refused_and_the_writer_lives, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(skipped_pictures_are_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(two_shards_with_one_key_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(no_store_at_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
