/* Layer normalisation, forward with its residual and backward with its. */
#include "kernels.h"
#include "reference.h"

static const struct {
    const char *name;
    size_t rows, width;
} shapes[] = {{"one", 1, 32}, {"odd", 7, 100}, {"base", 33, 768}, {"large", 130, 1024}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const double epsilon = 1e-5f;

static void forward_is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            size_t rows = shapes[i].rows, width = shapes[i].width, count = rows * width;
            double *x = numbers(30, count, 2, NC_FLOAT32), *y = zeros(count);
            double *weight = numbers(31, width, 0.5, NC_FLOAT32);
            double *bias = numbers(32, width, 0.5, NC_FLOAT32);
            reference_layernorm(rows, width, x, weight, bias, epsilon, y);
            struct nc_layernorm n = {.rows = rows, .width = width,
                                     .x = on_device(ops, x, count, NC_FLOAT32),
                                     .weight = on_device(ops, weight, width, NC_FLOAT32),
                                     .bias = on_device(ops, bias, width, NC_FLOAT32),
                                     .epsilon = (float)epsilon, .y_type = type,
                                     .y = on_device(ops, NULL, count, type)};
            must(ops->layernorm_forward(ops->backend, &n));
            double *got = from_device(ops, n.y, count, type);
            assert_as_torch("layernorm.y", shapes[i].name, type, got, y, count);
            free(got);
            if (type == NC_FLOAT32) { /* in place */
                n.y = (void *)n.x;
                must(ops->layernorm_forward(ops->backend, &n));
                got = from_device(ops, n.y, count, type);
                assert_as_torch("layernorm.y", shapes[i].name, type, got, y, count);
                free(got);
            }
            free(x);
            free(y);
            free(weight);
            free(bias);
        }
}

static void residual_is_added_and_kept(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (int in_place = 0; in_place < 2; in_place++) {
            size_t rows = shapes[i].rows, width = shapes[i].width, count = rows * width;
            double *x = numbers(34, count, 2, NC_FLOAT32), *residual = numbers(35, count, 2, NC_FLOAT32);
            double *weight = numbers(31, width, 0.5, NC_FLOAT32), *y = zeros(count);
            double *bias = numbers(32, width, 0.5, NC_FLOAT32), *sum = zeros(count);
            for (size_t k = 0; k < count; k++)
                sum[k] = (float)x[k] + (float)residual[k];
            reference_layernorm(rows, width, sum, weight, bias, epsilon, y);
            struct nc_layernorm n = {.rows = rows, .width = width,
                                     .x = on_device(ops, x, count, NC_FLOAT32),
                                     .residual = on_device(ops, residual, count, NC_FLOAT32),
                                     .weight = on_device(ops, weight, width, NC_FLOAT32),
                                     .bias = on_device(ops, bias, width, NC_FLOAT32),
                                     .epsilon = (float)epsilon, .y_type = NC_FLOAT32,
                                     .y = on_device(ops, NULL, count, NC_FLOAT32),
                                     .mean = on_device(ops, NULL, rows, NC_FLOAT32),
                                     .rstd = on_device(ops, NULL, rows, NC_FLOAT32)};
            n.sum = in_place ? (float *)n.residual : on_device(ops, NULL, count, NC_FLOAT32);
            must(ops->layernorm_forward(ops->backend, &n));
            double *got_y = from_device(ops, n.y, count, NC_FLOAT32);
            double *got_sum = from_device(ops, n.sum, count, NC_FLOAT32);
            assert_close("y", got_y, y, count, 1e-6);
            assert_close("sum", got_sum, sum, count, 0);
            double *all[] = {x, residual, weight, bias, y, sum, got_y, got_sum};
            for (size_t k = 0; k < sizeof all / sizeof *all; k++)
                free(all[k]);
        }
}

/* A mean far from zero: what a single pass over squares would lose. */
static void far_mean_keeps_its_variance(void **state)
{
    struct nc_ops *ops = *state;
    enum { WIDTH = 96 };
    double *x = numbers(36, WIDTH, 1, NC_FLOAT32), *one = zeros(WIDTH), *zero = zeros(WIDTH);
    double *y = zeros(WIDTH);
    for (size_t k = 0; k < WIDTH; k++) {
        x[k] = (float)(x[k] + 3000);
        one[k] = 1;
    }
    reference_layernorm(1, WIDTH, x, one, zero, epsilon, y);
    struct nc_layernorm n = {.rows = 1, .width = WIDTH, .x = on_device(ops, x, WIDTH, NC_FLOAT32),
                             .weight = on_device(ops, one, WIDTH, NC_FLOAT32),
                             .bias = on_device(ops, zero, WIDTH, NC_FLOAT32),
                             .epsilon = (float)epsilon, .y_type = NC_FLOAT32,
                             .y = on_device(ops, NULL, WIDTH, NC_FLOAT32)};
    must(ops->layernorm_forward(ops->backend, &n));
    double *got = from_device(ops, n.y, WIDTH, NC_FLOAT32);
    assert_close("y", got, y, WIDTH, 2e-4); /* the mean itself is known to 1e-4 only */
    double *all[] = {x, one, zero, y, got};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

/* Buffers of one backward pass. */
struct backward {
    size_t rows, width;
    double *x, *weight, *dy, *before;      /* before: what dx, and dweight, hold already */
    double *dx, *dweight, *dbias;          /* references */
    struct nc_layernorm_backward n;
};

static void open_backward(struct nc_ops *ops, struct backward *b, size_t rows, size_t width,
                          enum nc_type type, bool accumulate, bool frozen)
{
    size_t count = rows * width;
    *b = (struct backward){.rows = rows, .width = width, .x = numbers(30, count, 2, NC_FLOAT32),
                           .weight = numbers(31, width, 0.5, NC_FLOAT32),
                           .dy = numbers(33, count, 1, type),
                           .before = numbers(37, count, 1, NC_FLOAT32),
                           .dx = zeros(count), .dweight = zeros(width), .dbias = zeros(width)};
    double *bias = zeros(width);
    struct nc_layernorm n = {.rows = rows, .width = width,
                             .x = on_device(ops, b->x, count, NC_FLOAT32),
                             .weight = on_device(ops, b->weight, width, NC_FLOAT32),
                             .bias = on_device(ops, bias, width, NC_FLOAT32),
                             .epsilon = (float)epsilon, .y_type = NC_FLOAT32,
                             .y = on_device(ops, NULL, count, NC_FLOAT32),
                             .mean = on_device(ops, NULL, rows, NC_FLOAT32),
                             .rstd = on_device(ops, NULL, rows, NC_FLOAT32)};
    free(bias);
    must(ops->layernorm_forward(ops->backend, &n));
    b->n = (struct nc_layernorm_backward){
        .rows = rows, .width = width, .x = n.x, .mean = n.mean, .rstd = n.rstd,
        .weight = n.weight, .dy_type = type, .dy = on_device(ops, b->dy, count, type),
        .dx = on_device(ops, accumulate ? b->before : NULL, count, NC_FLOAT32),
        .accumulate = accumulate,
        .dx_copy = on_device(ops, NULL, count, NC_BFLOAT16),
        .dweight = frozen ? NULL : on_device(ops, accumulate ? b->before : b->dweight, width, NC_FLOAT32),
        .dbias = frozen ? NULL : on_device(ops, accumulate ? b->before : b->dbias, width, NC_FLOAT32),
        .scratch = bytes_on_device(ops, ops->layernorm_scratch(ops->backend, rows, width))};
    for (size_t k = 0; accumulate && k < count; k++)
        b->dx[k] = b->before[k];
    for (size_t k = 0; accumulate && k < width; k++)
        b->dweight[k] = b->dbias[k] = b->before[k];
    reference_layernorm_backward(rows, width, b->x, b->weight, epsilon, b->dy, b->dx, b->dweight,
                                 b->dbias);
    must(ops->layernorm_backward(ops->backend, &b->n));
}

static void close_backward(struct backward *b)
{
    double *all[] = {b->x, b->weight, b->dy, b->before, b->dx, b->dweight, b->dbias};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

static void backward_is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct backward b;
            size_t width = shapes[i].width, count = shapes[i].rows * width;
            open_backward(ops, &b, shapes[i].rows, width, type, false, false);
            double *dx = from_device(ops, b.n.dx, count, NC_FLOAT32);
            double *dweight = from_device(ops, b.n.dweight, width, NC_FLOAT32);
            double *dbias = from_device(ops, b.n.dbias, width, NC_FLOAT32);
            assert_as_torch("layernorm.dx", shapes[i].name, type, dx, b.dx, count);
            assert_as_torch("layernorm.dweight", shapes[i].name, type, dweight, b.dweight, width);
            assert_as_torch("layernorm.dbias", shapes[i].name, type, dbias, b.dbias, width);
            free(dx);
            free(dweight);
            free(dbias);
            close_backward(&b);
        }
}

static void backward_accumulates_and_copies(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (int frozen = 0; frozen < 2; frozen++) {
            struct backward b;
            size_t width = shapes[i].width, count = shapes[i].rows * width;
            open_backward(ops, &b, shapes[i].rows, width, NC_FLOAT32, true, frozen);
            double *dx = from_device(ops, b.n.dx, count, NC_FLOAT32);
            double *copy = from_device(ops, b.n.dx_copy, count, NC_BFLOAT16);
            assert_close("dx", dx, b.dx, count, 2e-6);
            for (size_t k = 0; k < count; k++)
                assert_true(copy[k] ==
                            nc_bfloat16_to_float(nc_bfloat16_from_float((float)dx[k])));
            if (!frozen) {
                double *dweight = from_device(ops, b.n.dweight, width, NC_FLOAT32);
                double *dbias = from_device(ops, b.n.dbias, width, NC_FLOAT32);
                assert_close("dweight", dweight, b.dweight, width, 2e-6);
                assert_close("dbias", dbias, b.dbias, width, 2e-6);
                free(dweight);
                free(dbias);
            }
            free(dx);
            free(copy);
            close_backward(&b);
        }
}

/* dweight and dbias of enough rows for several groups of blocks, onto NaNs. */
static void gradients_are_overwritten(void **state)
{
    struct nc_ops *ops = *state;
    const struct {
        size_t rows, width;
    } cases[] = {{0, 128}, {1, 128}, {1000, 128}, {70, 512}, {5, 40}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct backward b;
        size_t width = cases[i].width;
        open_backward(ops, &b, cases[i].rows, width, NC_BFLOAT16, false, false);
        b.n.dweight = on_device(ops, NULL, width, NC_FLOAT32);
        b.n.dbias = on_device(ops, NULL, width, NC_FLOAT32);
        b.n.overwrite = true;
        for (int again = 0; again < 2; again++) {
            must(ops->layernorm_backward(ops->backend, &b.n));
            double *dweight = from_device(ops, b.n.dweight, width, NC_FLOAT32);
            double *dbias = from_device(ops, b.n.dbias, width, NC_FLOAT32);
            assert_close("dweight", dweight, b.dweight, width, 2e-6);
            assert_close("dbias", dbias, b.dbias, width, 2e-6);
            free(dweight);
            free(dbias);
        }
        close_backward(&b);
    }
}

static void many_rows_fit_the_scratch(void **state)
{
    const size_t rows[] = {31, 32, 33, 2047, 2048, 2049, 5000};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct backward b;
        open_backward(*state, &b, rows[i], 20, NC_BFLOAT16, false, false);
        double *dbias = from_device(*state, b.n.dbias, 20, NC_FLOAT32);
        assert_close("dbias", dbias, b.dbias, 20, 2e-6);
        free(dbias);
        close_backward(&b);
    }
}

struct differentiated {
    size_t rows, width;
    const double *dy;
};

/* x, then weight, then bias */
static double loss(const double *x, void *context)
{
    const struct differentiated *d = context;
    size_t count = d->rows * d->width;
    double *y = zeros(count), sum = 0;
    reference_layernorm(d->rows, d->width, x, x + count, x + count + d->width, epsilon, y);
    for (size_t k = 0; k < count; k++)
        sum += y[k] * d->dy[k];
    free(y);
    return sum;
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    struct differentiated d = {3, 11, NULL};
    size_t count = d.rows * d.width, all = count + 2 * d.width;
    double *x = numbers(38, all, 1, NC_FLOAT32), *dy = numbers(39, count, 1, NC_FLOAT32);
    double *gradient = zeros(all);
    d.dy = dy;
    reference_layernorm_backward(d.rows, d.width, x, x + count, epsilon, dy, gradient,
                                 gradient + count, gradient + count + d.width);
    assert_true(difference_error(loss, &d, x, gradient, all) < 1e-8);
    free(x);
    free(dy);
    free(gradient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(forward_is_as_close_as_torch),
        cmocka_unit_test(residual_is_added_and_kept),
        cmocka_unit_test(far_mean_keeps_its_variance),
        cmocka_unit_test(backward_is_as_close_as_torch),
        cmocka_unit_test(backward_accumulates_and_copies),
        cmocka_unit_test(gradients_are_overwritten),
        cmocka_unit_test(many_rows_fit_the_scratch),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
