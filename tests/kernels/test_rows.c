/* Gather, scatter and normalise. */
#include "kernels.h"
#include "reference.h"

static const struct {
    const char *name;
    size_t rows, width;
} shapes[] = {{"one", 1, 64}, {"odd", 9, 97}, {"base", 65, 512}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void gathered_rows_scatter_back(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++) {
        size_t rows = shapes[i].rows, width = shapes[i].width, count = 2 * rows + 1;
        double *x = numbers(95, rows * width, 1, NC_FLOAT32), *expected = zeros(count * width);
        double *dy = numbers(96, count * width, 1, NC_FLOAT32);
        int32_t *row = calloc(count, sizeof *row);
        for (size_t k = 0; k < count; k++)
            row[k] = (int32_t)(k % 4 == 0 ? rows - 1 : k * 5 % rows);
        struct nc_gather g = {.count = count, .width = width, .rows = rows,
                              .row = indices_on_device(ops, row, count),
                              .x = on_device(ops, x, rows * width, NC_FLOAT32),
                              .y = on_device(ops, NULL, count * width, NC_FLOAT32)};
        must(ops->gather(ops->backend, &g));
        struct nc_scatter s = {.count = count, .width = width, .rows = rows, .row = g.row,
                               .dy = on_device(ops, dy, count * width, NC_FLOAT32),
                               .dx = (float *)g.x};
        double *y = from_device(ops, g.y, count * width, NC_FLOAT32);
        must(ops->scatter(ops->backend, &s));
        double *dx = from_device(ops, s.dx, rows * width, NC_FLOAT32);
        for (size_t k = 0; k < count; k++)
            memcpy(expected + k * width, x + (size_t)row[k] * width, width * sizeof *x);
        assert_memory_equal(y, expected, count * width * sizeof *y);
        for (size_t k = 0; k < count * width; k++) { /* in fp32, in order: to the bit */
            double *to = &x[(size_t)row[k / width] * width + k % width];
            *to = (float)((float)*to + (float)dy[k]);
        }
        assert_memory_equal(dx, x, rows * width * sizeof *dx);
        free(x);
        free(dy);
        free(expected);
        free(row);
        free(y);
        free(dx);
    }
}

static void normalize_is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            size_t rows = shapes[i].rows, width = shapes[i].width, count = rows * width;
            double *x = numbers(50, count, 1, NC_FLOAT32), *dy = numbers(51, count, 1, NC_FLOAT32);
            double *y = zeros(count), *dx = zeros(count);
            reference_normalize(rows, width, x, y);
            reference_normalize_backward(rows, width, x, dy, dx);
            struct nc_normalize f = {.rows = rows, .width = width,
                                     .x = on_device(ops, x, count, NC_FLOAT32),
                                     .inverse_norm = on_device(ops, NULL, rows, NC_FLOAT32)};
            f.y = i ? (float *)f.x : on_device(ops, NULL, count, NC_FLOAT32); /* in place, too */
            must(ops->normalize_forward(ops->backend, &f));
            struct nc_normalize_backward b = {.rows = rows, .width = width, .y = f.y,
                                              .inverse_norm = f.inverse_norm,
                                              .dy = on_device(ops, dy, count, NC_FLOAT32),
                                              .dx_type = type};
            b.dx = type == NC_FLOAT32 ? (void *)b.dy : on_device(ops, NULL, count, type);
            must(ops->normalize_backward(ops->backend, &b));
            double *got_y = from_device(ops, f.y, count, NC_FLOAT32);
            double *got_dx = from_device(ops, b.dx, count, type);
            assert_as_torch("normalize.y", shapes[i].name, NC_FLOAT32, got_y, y, count);
            if (type == NC_FLOAT32)
                assert_as_torch("normalize.dx", shapes[i].name, type, got_dx, dx, count);
            else
                assert_close("dx", got_dx, dx, count, 0x1p-8);
            double *all[] = {x, dy, y, dx, got_y, got_dx};
            for (size_t k = 0; k < sizeof all / sizeof *all; k++)
                free(all[k]);
        }
}

struct differentiated {
    size_t rows, width;
    const double *dy;
};

static double loss(const double *x, void *context)
{
    const struct differentiated *d = context;
    double *y = zeros(d->rows * d->width), sum = 0;
    reference_normalize(d->rows, d->width, x, y);
    for (size_t k = 0; k < d->rows * d->width; k++)
        sum += y[k] * d->dy[k];
    free(y);
    return sum;
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    struct differentiated d = {3, 11, NULL};
    double *x = numbers(97, 33, 1, NC_FLOAT32), *dy = numbers(98, 33, 1, NC_FLOAT32), dx[33];
    d.dy = dy;
    reference_normalize_backward(3, 11, x, dy, dx);
    assert_true(difference_error(loss, &d, x, dx, 33) < 1e-8);
    free(x);
    free(dy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(gathered_rows_scatter_back),
        cmocka_unit_test(normalize_is_as_close_as_torch),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
