/* The map from strings to numbers. */
#include "nclip/support/string_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { COUNT = 5000 };
static char keys[COUNT][16];

static void finds_what_was_added(void **state)
{
    (void)state;
    struct nc_string_map *map;
    size_t value;
    assert_int_equal(nc_string_map_create(&map), 0);
    assert_false(nc_string_map_find(map, "", &value));
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "key %zu", i);
        assert_int_equal(nc_string_map_add(map, keys[i], i, &value), 0);
        assert_int_equal(value, i);
        assert_int_equal(nc_string_map_count(map), i + 1);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(nc_string_map_find(map, keys[i], &value));
        assert_int_equal(value, i);
    }
    assert_false(nc_string_map_find(map, "key 5000", &value));
    assert_false(nc_string_map_find(map, "key", &value));
    nc_string_map_destroy(map);
}

static void first_value_stays(void **state)
{
    (void)state;
    struct nc_string_map *map;
    size_t value;
    const char again[] = "a"; /* equal, at another address */
    assert_int_equal(nc_string_map_create(&map), 0);
    assert_int_equal(nc_string_map_add(map, "a", 1, &value), 0);
    assert_int_equal(nc_string_map_add(map, again, 2, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(nc_string_map_count(map), 1);
    assert_true(nc_string_map_find(map, "a", &value));
    assert_int_equal(value, 1);
    assert_int_equal(nc_string_map_add(map, "", 3, &value), 0);
    assert_true(nc_string_map_find(map, "", &value));
    assert_int_equal(value, 3);
    nc_string_map_destroy(map);
    nc_string_map_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added),
        cmocka_unit_test(first_value_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
