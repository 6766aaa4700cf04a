/* Shares, means of shares, and their bootstrap intervals. */
#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 400 };

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.6f, expected %.6f within %g", value, expected, tolerance);
}

/* The normal approximation's interval of a share of 0.25. */
static void share(void **state)
{
    (void)state;
    bool right[N];
    struct nc_share a, b;
    for (size_t i = 0; i < N; i++)
        right[i] = i % 4 == 0;
    check(nc_share_bootstrap(right, N, NC_RESAMPLES, &a));
    double half = 1.96 * sqrt(0.25 * 0.75 / N);
    assert_int_equal(a.n, N);
    near(a.score, 0.25, 0);
    near(a.low, 0.25 - half, 0.01);
    near(a.high, 0.25 + half, 0.01);
    check(nc_share_bootstrap(right, N, NC_RESAMPLES, &b));
    assert_memory_equal(&a, &b, sizeof a);
    check(nc_share_bootstrap(right, 0, NC_RESAMPLES, &a));
    assert_true(a.n == 0 && a.score == 0);
    check(nc_share_bootstrap(right, 1, NC_RESAMPLES, &a));
    assert_true(a.score == 1 && a.low == 1 && a.high == 1);
}

/* Groups of unequal size count alike; one without items does not count. */
static void mean_of_groups(void **state)
{
    (void)state;
    bool right[N];
    size_t group[N];
    struct nc_share mean, whole;
    for (size_t i = 0; i < N; i++) {
        group[i] = i < 40 ? 1 : 3;
        right[i] = i < 40 ? i % 2 == 0 : i % 4 == 0;
    }
    check(nc_mean_bootstrap(right, group, N, 4, NC_RESAMPLES, &mean));
    near(mean.score, (0.5 + 0.25) / 2, 1e-12);
    double half = 1.96 * sqrt(0.5 * 0.5 / 40 + 0.25 * 0.75 / 360) / 2;
    near(mean.low, 0.375 - half, 0.015);
    near(mean.high, 0.375 + half, 0.015);
    memset(group, 0, sizeof group);
    check(nc_mean_bootstrap(right, group, N, 1, NC_RESAMPLES, &mean));
    check(nc_share_bootstrap(right, N, NC_RESAMPLES, &whole));
    assert_memory_equal(&mean, &whole, sizeof mean);
}

/* Five captions of a picture that go the same way are worth one: the interval is that of 80
 * pictures, not of 400 captions. */
static void clusters(void **state)
{
    (void)state;
    size_t hits[N / 5], items[N / 5];
    struct nc_share share_of;
    for (size_t i = 0; i < N / 5; i++) {
        items[i] = 5;
        hits[i] = i % 4 == 0 ? 5 : 0;
    }
    check(nc_cluster_bootstrap(hits, items, N / 5, NC_RESAMPLES, &share_of));
    double half = 1.96 * sqrt(0.25 * 0.75 / (N / 5));
    assert_int_equal(share_of.n, N);
    near(share_of.score, 0.25, 0);
    near(share_of.low, 0.25 - half, 0.02);
    near(share_of.high, 0.25 + half, 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(share), cmocka_unit_test(mean_of_groups),
                                       cmocka_unit_test(clusters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
