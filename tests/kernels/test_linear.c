/* Linear layers and their gradients. */
#include "kernels.h"
#include "reference.h"

static const struct {
    const char *name;
    size_t rows, in, out;
} shapes[] = {{"one", 1, 64, 32}, {"odd", 33, 96, 50}, {"block", 300, 128, 256},
              {"long", 22, 2048, 512}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* y = x weight^T + bias, dx, dweight and dbias, all in double. */
struct layer {
    size_t rows, in, out;
    double *x, *weight, *bias, *dy, *y, *dx, *dweight, *dbias;
};

static void make_layer(struct layer *l, size_t i, enum nc_type type)
{
    size_t rows = shapes[i].rows, in = shapes[i].in, out = shapes[i].out;
    *l = (struct layer){.rows = rows, .in = in, .out = out, .x = numbers(80, rows * in, 1, type),
                        .weight = numbers(81, out * in, 0.1, type),
                        .bias = numbers(82, out, 1, type), .dy = numbers(83, rows * out, 1, type),
                        .y = zeros(rows * out), .dx = zeros(rows * in), .dweight = zeros(out * in),
                        .dbias = zeros(out)};
    reference_linear(rows, in, out, l->x, l->weight, l->bias, l->y);
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double dy = l->dy[r * out + o];
            l->dbias[o] += dy;
            for (size_t k = 0; k < in; k++) {
                l->dx[r * in + k] += dy * l->weight[o * in + k];
                l->dweight[o * in + k] += dy * l->x[r * in + k];
            }
        }
}

static void free_layer(struct layer *l)
{
    double *all[] = {l->x, l->weight, l->bias, l->dy, l->y, l->dx, l->dweight, l->dbias};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

/* What fp32 makes of these sums in its plainest order, one product after another onto the bias, as
 * oneDNN sums where it has no code for the processor. Each of the additions rounds the sum so far by
 * about 0.4 * 2^-24 of it, in the root of the mean square: of 64 products of size 0.1 onto a bias of
 * size 1, 0.4 * 2^-24 * sqrt(64 + 0.01 * 64^2 / 2) = 2.2e-7. PyTorch's error, beside which this is
 * the measure (assert_as_arithmetic), is that of sums side by side on one processor, to which the
 * bias came last. bf16's error is that of rounding the results, in any order. */
struct arithmetic {
    struct error y, dx, dweight;
};

struct factor { /* element i of a row or column of a matrix */
    const double *first;
    size_t step;
};

static double sum_in_order(float sum, struct factor a, struct factor b, size_t count)
{
    for (size_t i = 0; i < count; i++) /* each rounded once, as by a fused multiply-add */
        sum = (float)(sum + a.first[i * a.step] * b.first[i * b.step]);
    return sum;
}

static struct arithmetic arithmetic_of(const struct layer *l, enum nc_type type)
{
    struct arithmetic result = {0};
    if (type != NC_FLOAT32)
        return result;
    size_t rows = l->rows, in = l->in, out = l->out;
    double *y = zeros(rows * out), *dx = zeros(rows * in), *dweight = zeros(out * in);
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < out; o++)
            y[r * out + o] = sum_in_order((float)l->bias[o], (struct factor){l->x + r * in, 1},
                                          (struct factor){l->weight + o * in, 1}, in);
        for (size_t k = 0; k < in; k++)
            dx[r * in + k] = sum_in_order(0, (struct factor){l->dy + r * out, 1},
                                          (struct factor){l->weight + k, in}, out);
    }
    for (size_t o = 0; o < out; o++)
        for (size_t k = 0; k < in; k++)
            dweight[o * in + k] = sum_in_order(0, (struct factor){l->dy + o, out},
                                               (struct factor){l->x + k, in}, rows);
    result = (struct arithmetic){.y = error_of(y, l->y, rows * out),
                                 .dx = error_of(dx, l->dx, rows * in),
                                 .dweight = error_of(dweight, l->dweight, out * in)};
    free(y);
    free(dx);
    free(dweight);
    return result;
}

static struct nc_linear forward_of(struct nc_ops *ops, const struct layer *l, enum nc_type type,
                                   enum nc_type y_type)
{
    return (struct nc_linear){.type = type, .rows = l->rows, .in = l->in, .out = l->out,
                              .x = on_device(ops, l->x, l->rows * l->in, type),
                              .weight = on_device(ops, l->weight, l->out * l->in, type),
                              .bias = on_device(ops, l->bias, l->out, NC_FLOAT32),
                              .y = on_device(ops, NULL, l->rows * l->out, y_type),
                              .y_type = y_type};
}

static void forward_is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct layer l;
            make_layer(&l, i, type);
            struct error measured = arithmetic_of(&l, type).y;
            struct nc_linear n = forward_of(ops, &l, type, type);
            for (int again = 0; again < 2; again++) { /* a kept primitive works as a new one */
                must(ops->linear(ops->backend, &n));
                double *y = from_device(ops, n.y, l.rows * l.out, type);
                assert_as_arithmetic("linear.y", shapes[i].name, type, y, l.y, l.rows * l.out,
                                     measured);
                free(y);
            }
            free_layer(&l);
        }
}

/* No bias; a residual, apart and in place; an fp32 result of bf16 inputs. */
static void what_comes_behind_is_added(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++)
            for (int variant = 0; variant < 4; variant++) {
                struct layer l;
                make_layer(&l, i, type);
                size_t count = l.rows * l.out;
                double *residual = numbers(84, count, 1, NC_FLOAT32);
                struct nc_linear n = forward_of(ops, &l, type, NC_FLOAT32);
                if (variant == 0)
                    n.bias = NULL;
                if (variant >= 2)
                    n.residual = on_device(ops, residual, count, NC_FLOAT32);
                if (variant == 3)
                    n.y = (void *)n.residual;
                for (size_t k = 0; k < count; k++)
                    l.y[k] += (variant >= 2 ? residual[k] : 0) - (variant ? 0 : l.bias[k % l.out]);
                must(ops->linear(ops->backend, &n));
                double *y = from_device(ops, n.y, count, NC_FLOAT32);
                assert_close("y", y, l.y, count, 2e-6);
                free(y);
                free(residual);
                free_layer(&l);
            }
}

static void activation_is_applied(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++)
            for (enum nc_activation activation = NC_QUICK_GELU; activation < NC_ACTIVATIONS; activation++) {
                struct layer l;
                make_layer(&l, i, type);
                struct nc_linear n = forward_of(ops, &l, type, type);
                n.activate = true;
                n.activation = activation;
                for (size_t k = 0; k < l.rows * l.out; k++)
                    l.y[k] = reference_activation(activation, l.y[k]);
                must(ops->linear(ops->backend, &n));
                double *y = from_device(ops, n.y, l.rows * l.out, type);
                assert_close("y", y, l.y, l.rows * l.out, type == NC_FLOAT32 ? 2e-6 : 0x1p-8);
                free(y);
                free_layer(&l);
            }
}

static void backward_is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct layer l;
            make_layer(&l, i, type);
            struct arithmetic measured = arithmetic_of(&l, type);
            size_t inputs = l.rows * l.in, weights = l.out * l.in;
            const char *name = shapes[i].name;
            struct nc_linear_backward_input input = {
                .type = type, .rows = l.rows, .in = l.in, .out = l.out,
                .dy = on_device(ops, l.dy, l.rows * l.out, type),
                .weight = on_device(ops, l.weight, weights, type),
                .dx = on_device(ops, NULL, inputs, type)};
            must(ops->linear_backward_input(ops->backend, &input));
            double *dx = from_device(ops, input.dx, inputs, type);
            assert_as_arithmetic("linear.dx", name, type, dx, l.dx, inputs, measured.dx);
            free(dx);
            struct nc_linear_backward_weight weight = {
                .type = type, .rows = l.rows, .in = l.in, .out = l.out,
                .x = on_device(ops, l.x, inputs, type), .dy = input.dy,
                .dweight = on_device(ops, NULL, weights, NC_FLOAT32),
                .dbias = on_device(ops, NULL, l.out, NC_FLOAT32)};
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                weight.accumulate = accumulate;
                must(ops->linear_backward_weight(ops->backend, &weight));
                double *dweight = from_device(ops, weight.dweight, weights, NC_FLOAT32);
                double *dbias = from_device(ops, weight.dbias, l.out, NC_FLOAT32);
                for (size_t k = 0; k < weights; k++)
                    dweight[k] /= 1 + accumulate;
                for (size_t k = 0; k < l.out; k++)
                    dbias[k] /= 1 + accumulate;
                assert_as_arithmetic("linear.dweight", name, type, dweight, l.dweight, weights,
                                     measured.dweight);
                assert_as_torch("linear.dbias", name, type, dbias, l.dbias, l.out);
                free(dweight);
                free(dbias);
            }
            weight.dbias = NULL;
            weight.accumulate = false;
            must(ops->linear_backward_weight(ops->backend, &weight));
            double *dweight = from_device(ops, weight.dweight, weights, NC_FLOAT32);
            assert_as_arithmetic("linear.dweight", name, type, dweight, l.dweight, weights,
                                 measured.dweight);
            free(dweight);
            free_layer(&l);
        }
}

/* As evaluation has it: each of many pictures scores all captions. */
static void many_columns_are_no_obstacle(void **state)
{
    struct nc_ops *ops = *state;
    enum { ROWS = 3, IN = 16, OUT = 40001 };
    double *x = numbers(90, ROWS * IN, 1, NC_FLOAT32), *none = zeros(OUT);
    double *weight = numbers(91, OUT * IN, 1, NC_FLOAT32), *y = zeros((size_t)ROWS * OUT);
    reference_linear(ROWS, IN, OUT, x, weight, none, y);
    struct nc_linear linear = {.rows = ROWS, .in = IN, .out = OUT,
                               .x = on_device(ops, x, ROWS * IN, NC_FLOAT32),
                               .weight = on_device(ops, weight, OUT * IN, NC_FLOAT32),
                               .y = on_device(ops, NULL, (size_t)ROWS * OUT, NC_FLOAT32)};
    must(ops->linear(ops->backend, &linear));
    double *got = from_device(ops, linear.y, (size_t)ROWS * OUT, NC_FLOAT32);
    assert_close("y", got, y, (size_t)ROWS * OUT, 1e-6);
    double *all[] = {x, none, weight, y, got};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

/* Whole numbers, whose sums are exact in every order. */
static void bias_gradient_of_many_rows_is_exact(void **state)
{
    struct nc_ops *ops = *state;
    const size_t rows = 1200, in = 8, outs[] = {264, 132, 33};
    for (size_t i = 0; i < sizeof outs / sizeof *outs; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            size_t out = outs[i];
            double *dy = zeros(rows * out), *x = zeros(rows * in), *expected = zeros(out);
            for (size_t k = 0; k < rows * out; k++) {
                dy[k] = (double)(k * 7 % 31) - 14;
                expected[k % out] += dy[k];
            }
            struct nc_linear_backward_weight weight = {
                .type = type, .rows = rows, .in = in, .out = out,
                .x = on_device(ops, x, rows * in, type),
                .dy = on_device(ops, dy, rows * out, type),
                .dweight = on_device(ops, NULL, out * in, NC_FLOAT32),
                .dbias = on_device(ops, NULL, out, NC_FLOAT32)};
            must(ops->linear_backward_weight(ops->backend, &weight));
            double *dbias = from_device(ops, weight.dbias, out, NC_FLOAT32);
            for (size_t k = 0; k < out; k++)
                assert_true(dbias[k] == expected[k]);
            free(dbias);
            free(expected);
            free(x);
            free(dy);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_is_as_close_as_torch),
        cmocka_unit_test(what_comes_behind_is_added),
        cmocka_unit_test(activation_is_applied),
        cmocka_unit_test(backward_is_as_close_as_torch),
        cmocka_unit_test(many_columns_are_no_obstacle),
        cmocka_unit_test(bias_gradient_of_many_rows_is_exact),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
