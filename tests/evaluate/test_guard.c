/* The guard's paired drop, against the formula worked by hand. */
#include "nclip/evaluate/guard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-12))
        fail_msg("%.15g, not %.15g", value, expected);
}

static void a_drop_counts_what_was_lost_and_won(void **state)
{
    (void)state;
    /* 3 found by both, 4 lost, 1 won, 2 by neither */
    static const bool before[10] = {1, 1, 1, 1, 1, 1, 1, 0, 0, 0};
    static const bool after[10] = {1, 1, 1, 0, 0, 0, 0, 1, 0, 0};
    struct nc_guard_drop drop = nc_guard_compare(before, after, 10);
    assert_near(drop.before, 0.7);
    assert_near(drop.after, 0.4);
    assert_near(drop.drop, 0.3);
    double half = 1.959964 * sqrt((0.5 - 0.09) / 10);
    assert_near(drop.low, 0.3 - half);
    assert_near(drop.high, 0.3 + half);
}

static void the_same_answers_are_no_drop(void **state)
{
    (void)state;
    static const bool found[3] = {1, 0, 1};
    struct nc_guard_drop drop = nc_guard_compare(found, found, 3);
    assert_near(drop.drop, 0);
    assert_near(drop.low, 0);
    assert_near(drop.high, 0);
    static const bool none[2] = {0, 0}, all[2] = {1, 1};
    drop = nc_guard_compare(none, all, 2);
    assert_near(drop.drop, -1);
    assert_near(drop.low, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drop_counts_what_was_lost_and_won),
        cmocka_unit_test(the_same_answers_are_no_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
