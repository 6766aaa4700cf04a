/* Shards that are written one by one under numbers of their own, and keys that are there twice. */
#include "nclip/store/parts.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct nc_embedding_info info = {.model_hash = "m",
                                              .preprocessing = "p",
                                              .dimension = 3,
                                              .type = NC_BFLOAT16,
                                              .normalized = true};

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

static void write_shard(const char *folder, size_t number, const char *const *keys, size_t count)
{
    struct nc_embedding_part *part;
    assert_int_equal(nc_embedding_part_create(&info, count, &part), NC_OK);
    for (size_t i = 0; i < count; i++) {
        const float row[3] = {(float)number, (float)i, 1};
        assert_int_equal(nc_embedding_part_add(part, keys[i], row), NC_OK);
    }
    assert_int_equal(nc_embedding_part_write(part, folder, number), NC_OK);
    nc_embedding_part_destroy(part);
}

static void test_one_shard(void **state)
{
    const char *folder = *state;
    struct nc_embedding_part *part;
    struct nc_embedding_store *store;
    bool has = true;
    assert_int_equal(nc_embedding_has_shards(folder, &has), NC_OK);
    assert_false(has);
    assert_int_equal(nc_embedding_part_create(&info, 2, &part), NC_OK);
    const float good[3] = {1, 2, 3}, bad[3] = {1, INFINITY, 3}, large[3] = {3.4e38f, 0, 0};
    assert_int_equal(nc_embedding_part_add(part, "a", bad), NC_BAD_INPUT);
    assert_int_equal(nc_embedding_part_add(part, "a", large), NC_BAD_INPUT); /* not in bf16 */
    assert_int_equal(nc_embedding_part_add(part, "", good), NC_BAD_INPUT);
    char *longest = malloc(NC_EMBEDDING_MAX_KEY + 2);
    memset(longest, 'k', NC_EMBEDDING_MAX_KEY + 1);
    longest[NC_EMBEDDING_MAX_KEY + 1] = 0;
    assert_int_equal(nc_embedding_part_add(part, longest, good), NC_BAD_INPUT);
    assert_int_equal(nc_embedding_part_count(part), 0);
    assert_int_equal(nc_embedding_part_add(part, "dropped", good), NC_OK);
    nc_embedding_part_cut(part, 0);
    assert_int_equal(nc_embedding_part_add(part, longest + 1, good), NC_OK);
    assert_int_equal(nc_embedding_part_add(part, "b", good), NC_OK);
    assert_int_equal(nc_embedding_part_add(part, "c", good), NC_FAILED); /* there is no room */
    nc_embedding_part_cut(part, 1);
    assert_int_equal(nc_embedding_part_add(part, "c", good), NC_OK);
    assert_int_equal(nc_embedding_part_write(part, folder, 7003), NC_OK);
    nc_embedding_part_destroy(part);
    assert_int_equal(nc_embedding_has_shards(folder, &has), NC_OK);
    assert_true(has);
    assert_int_equal(nc_embedding_store_open(folder, &store), NC_OK);
    assert_int_equal(nc_embedding_store_count(store), 2);
    assert_int_equal(nc_embedding_store_shard(store, 1).number, 7003);
    const char *key;
    float row[3];
    assert_int_equal(nc_embedding_store_key(store, 1, &key), NC_OK);
    assert_string_equal(key, "c");
    assert_int_equal(nc_embedding_store_row_float(store, 1, row), NC_OK);
    assert_memory_equal(row, good, sizeof row);
    nc_embedding_store_close(store);
    free(longest);
}

struct found {
    size_t count, sum_first, sum_row;
};

static int tell(void *context, size_t first, size_t row)
{
    struct found *found = context;
    found->count++;
    found->sum_first += first;
    found->sum_row += row;
    return NC_OK;
}

static void test_doubles(void **state)
{
    const char *folder = *state;
    struct nc_embedding_store *store;
    struct found found = {0};
    const char *const keys[][3] = {{"a", "b", "c"}, {"d", "b", "e"}, {"a", "b", "f"}};
    for (size_t i = 0; i < 3; i++)
        write_shard(folder, 1000 * i, keys[i], 3);
    assert_int_equal(nc_embedding_store_open(folder, &store), NC_OK);
    assert_int_equal(nc_embedding_store_index(store), NC_BAD_INPUT);
    assert_int_equal(nc_embedding_store_doubles(store, tell, &found), NC_OK);
    assert_int_equal(found.count, 3);
    assert_int_equal(found.sum_first, 0 + 1 + 1);
    assert_int_equal(found.sum_row, 6 + 4 + 7);
    nc_embedding_store_close(store);
    /* Written again without them: there are none. */
    const char *const others[][3] = {{"d", "e", ""}, {"f", "", ""}};
    write_shard(folder, 1000, others[0], 2);
    write_shard(folder, 2000, others[1], 1);
    found = (struct found){0};
    assert_int_equal(nc_embedding_store_open(folder, &store), NC_OK);
    assert_int_equal(nc_embedding_store_doubles(store, tell, &found), NC_OK);
    assert_int_equal(found.count, 0);
    assert_int_equal(nc_embedding_store_index(store), NC_OK);
    assert_int_equal(nc_embedding_store_count(store), 6);
    nc_embedding_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_shard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doubles, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
