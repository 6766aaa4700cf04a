/* Wilson's interval of a share. */
#include "nclip/support/interval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Values of R's prop.test(correct = FALSE). */
static void intervals(void **state)
{
    (void)state;
    static const struct {
        uint64_t count, n;
        double low, high;
    } cases[] = {{0, 10, 0, 0.2775328},
                 {5, 10, 0.2365931, 0.7634069},
                 {10, 10, 0.7224672, 1},
                 {0, 0, 0, 1},
                 {704, 100000, 0.006539856, 0.007578109}};
    for (size_t i = 0; i < 5; i++) {
        double low, high;
        nc_interval_wilson(cases[i].count, cases[i].n, &low, &high);
        assert_float_equal(low, cases[i].low, 1e-6);
        assert_float_equal(high, cases[i].high, 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(intervals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
