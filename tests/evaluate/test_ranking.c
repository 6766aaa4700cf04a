/* Ranks against sorting every row and column, on shapes around the tiles. */
#include "../../host/evaluate/ranking.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scored {
    double score;
    size_t index;
};

static int best_first(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Small whole numbers, so that products are exact and ties frequent. */
static float *draw(size_t count, unsigned seed)
{
    float *values = malloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)((int)(seed >> 29) - 3);
    }
    return values;
}

static void check_one(const float *fixed, const float *others, size_t count, size_t width,
                      const struct ranking *ranking)
{
    struct scored *all = malloc(count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = (struct scored){0, i};
        for (size_t d = 0; d < width; d++)
            all[i].score += (double)fixed[d] * (double)others[i * width + d];
    }
    qsort(all, count, sizeof *all, best_first);
    assert_int_equal(ranking->count, count < RANKED ? count : RANKED);
    for (size_t k = 0; k < ranking->count; k++) {
        assert_int_equal(ranking->index[k], all[k].index);
        assert_true((double)ranking->score[k] == all[k].score);
    }
    free(all);
}

static void check_shape(struct nc_ops *ops, size_t rows, size_t columns, size_t width)
{
    float *a = draw(rows * width, 1), *b = draw(columns * width, 2);
    struct ranking *by_row = malloc(rows * sizeof *by_row);
    struct ranking *by_column = malloc(columns * sizeof *by_column),
                   *alone = malloc(rows * sizeof *alone);
    if (ranking_compute(ops, a, rows, b, columns, width, by_row, by_column) != NC_OK ||
        ranking_compute(ops, a, rows, b, columns, width, alone, NULL) != NC_OK)
        fail_msg("%s", nc_error_message());
    for (size_t r = 0; r < rows; r++)
        check_one(a + r * width, b, columns, width, &by_row[r]);
    for (size_t c = 0; c < columns; c++)
        check_one(b + c * width, a, rows, width, &by_column[c]);
    assert_memory_equal(by_row, alone, rows * sizeof *alone);
    free(a);
    free(b);
    free(by_row);
    free(by_column);
    free(alone);
}

static void ranks_are_those_of_sorting(void **state)
{
    (void)state;
    struct nc_ops *ops;
    if (nc_ops_create("cpu", 0, &ops) != NC_OK)
        fail_msg("%s", nc_error_message());
    check_shape(ops, 1, 1, 1);
    check_shape(ops, 1, 30, 7);
    check_shape(ops, 30, 1, 7);
    check_shape(ops, 9, 11, 3);
    check_shape(ops, 1025, 17, 5); /* one row behind the tile */
    check_shape(ops, 40, 515, 16); /* three columns behind two blocks */
    check_shape(ops, 2050, 259, 4);
    nc_ops_destroy(ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_are_those_of_sorting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
