/* Libraries that are loaded when they are needed. */
#include "nclip/support/shared_library.h"

#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FUNCTIONS(F) F(cos) F(floor)

static const char *const names[] = {FUNCTIONS(NC_SHARED_LIBRARY_NAME)};
struct functions {
    FUNCTIONS(NC_SHARED_LIBRARY_MEMBER)
};

static void functions_are_found_by_name(void **state)
{
    (void)state;
    struct functions library = {0};
    assert_int_equal(nc_shared_library_load("test", "libm.so.6", "/nowhere", names, 2, &library),
                     NC_OK);
    assert_true(library.cos(0) == 1);
    assert_true(library.floor(2.5) == 2);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const char *const missing[] = {"cos", "no_such_function"};
    struct functions library = {0};
    assert_int_equal(
        nc_shared_library_load("test", "libnowhere.so.9", "/folder", names, 2, &library),
        NC_FAILED);
    assert_string_equal(nc_error_message(),
                        "test: libnowhere.so.9 was not found where the loader looks, nor in "
                        "/folder; install it or add its folder to LD_LIBRARY_PATH");
    assert_int_equal(nc_shared_library_load("test", "libnowhere.so.9", NULL, names, 2, &library),
                     NC_FAILED);
    assert_null(strstr(nc_error_message(), "nor in"));
    assert_int_equal(nc_shared_library_load("test", "libm.so.6", NULL, missing, 2, &library),
                     NC_FAILED);
    assert_string_equal(nc_error_message(),
                        "test: libm.so.6 has no no_such_function; a newer one is needed");
    assert_null(library.cos);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_found_by_name),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
