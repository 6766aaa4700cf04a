/* Linear layers and their gradients. */
#include "kernels.h"
#include "reference.h"

static const struct {
    const char *name;
    size_t rows, in, out;
} shapes[] = {{"one", 1, 64, 32}, {"odd", 33, 96, 50}, {"block", 300, 128, 256},
              {"long", 22, 2048, 512}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* y = x weight^T + bias, dx, dweight and dbias, all in double; and the magnitude of each: the root of
 * the sum of the squares of what is added up. */
struct quantity {
    double *value, *magnitude;
};

struct layer {
    size_t rows, in, out;
    double *x, *weight, *bias, *dy;
    struct quantity y, dx, dweight, dbias;
};

static void add_to(struct quantity *q, size_t i, double term)
{
    q->value[i] += term;
    q->magnitude[i] += term * term;
}

static struct quantity quantity_of(size_t count)
{
    return (struct quantity){zeros(count), zeros(count)};
}

static void take_roots(struct quantity *q, size_t count)
{
    for (size_t i = 0; i < count; i++)
        q->magnitude[i] = sqrt(q->magnitude[i]);
}

static void make_layer(struct layer *l, size_t i, enum nc_type type)
{
    size_t rows = shapes[i].rows, in = shapes[i].in, out = shapes[i].out;
    *l = (struct layer){.rows = rows, .in = in, .out = out, .x = numbers(80, rows * in, 1, type),
                        .weight = numbers(81, out * in, 0.1, type),
                        .bias = numbers(82, out, 1, type), .dy = numbers(83, rows * out, 1, type),
                        .y = quantity_of(rows * out), .dx = quantity_of(rows * in),
                        .dweight = quantity_of(out * in), .dbias = quantity_of(out)};
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double dy = l->dy[r * out + o];
            add_to(&l->y, r * out + o, l->bias[o]);
            add_to(&l->dbias, o, dy);
            for (size_t k = 0; k < in; k++) {
                add_to(&l->y, r * out + o, l->x[r * in + k] * l->weight[o * in + k]);
                add_to(&l->dx, r * in + k, dy * l->weight[o * in + k]);
                add_to(&l->dweight, o * in + k, dy * l->x[r * in + k]);
            }
        }
    take_roots(&l->y, rows * out);
    take_roots(&l->dx, rows * in);
    take_roots(&l->dweight, out * in);
    take_roots(&l->dbias, out);
}

static void free_layer(struct layer *l)
{
    double *all[] = {l->x, l->weight, l->bias, l->dy, l->y.value, l->y.magnitude, l->dx.value,
                     l->dx.magnitude, l->dweight.value, l->dweight.magnitude, l->dbias.value,
                     l->dbias.magnitude};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
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

static void forward_adds_up(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct layer l;
            make_layer(&l, i, type);
            struct nc_linear n = forward_of(ops, &l, type, type);
            struct sums sums = {type, type, l.in, 1};
            for (int again = 0; again < 2; again++) { /* a kept primitive works as a new one */
                must(ops->linear(ops->backend, &n));
                double *y = from_device(ops, n.y, l.rows * l.out, type);
                assert_sums("linear.y", &sums, y, l.y.value, l.y.magnitude, l.rows * l.out);
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
                struct sums sums = {type, NC_FLOAT32, l.in, 2};
                if (variant == 0)
                    n.bias = NULL;
                if (variant >= 2)
                    n.residual = on_device(ops, residual, count, NC_FLOAT32);
                if (variant == 3)
                    n.y = (void *)n.residual;
                for (size_t k = 0; k < count; k++) {
                    double more = (variant >= 2 ? residual[k] : 0) - (variant ? 0 : l.bias[k % l.out]);
                    l.y.value[k] += more;
                    l.y.magnitude[k] = hypot(l.y.magnitude[k], more);
                }
                must(ops->linear(ops->backend, &n));
                double *y = from_device(ops, n.y, count, NC_FLOAT32);
                assert_sums("linear.y", &sums, y, l.y.value, l.y.magnitude, count);
                free(y);
                free(residual);
                free_layer(&l);
            }
}

/* An activation's slope is at most 1.13, and its own arithmetic is right to some units of x. */
static void activation_is_applied(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++)
            for (enum nc_activation activation = NC_QUICK_GELU; activation <= NC_GELU; activation++) {
                struct layer l;
                make_layer(&l, i, type);
                struct nc_linear n = forward_of(ops, &l, type, type);
                struct sums sums = {type, type, l.in, 8};
                n.activate = true;
                n.activation = activation;
                for (size_t k = 0; k < l.rows * l.out; k++) {
                    l.y.magnitude[k] = 1.13 * l.y.magnitude[k] + fabs(l.y.value[k]);
                    l.y.value[k] = reference_activation(activation, l.y.value[k]);
                }
                must(ops->linear(ops->backend, &n));
                double *y = from_device(ops, n.y, l.rows * l.out, type);
                assert_sums("linear.y", &sums, y, l.y.value, l.y.magnitude, l.rows * l.out);
                free(y);
                free_layer(&l);
            }
}

static void backward_adds_up(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct layer l;
            make_layer(&l, i, type);
            size_t inputs = l.rows * l.in, weights = l.out * l.in;
            struct sums of_out = {type, type, l.out, 0};
            struct sums of_rows = {type, NC_FLOAT32, l.rows, 1};
            struct sums of_dy = {NC_FLOAT32, NC_FLOAT32, l.rows, 1}; /* no products */
            struct nc_linear_backward_input input = {
                .type = type, .rows = l.rows, .in = l.in, .out = l.out,
                .dy = on_device(ops, l.dy, l.rows * l.out, type),
                .weight = on_device(ops, l.weight, weights, type),
                .dx = on_device(ops, NULL, inputs, type)};
            must(ops->linear_backward_input(ops->backend, &input));
            double *dx = from_device(ops, input.dx, inputs, type);
            assert_sums("linear.dx", &of_out, dx, l.dx.value, l.dx.magnitude, inputs);
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
                assert_sums("linear.dweight", &of_rows, dweight, l.dweight.value,
                            l.dweight.magnitude, weights);
                assert_sums("linear.dbias", &of_dy, dbias, l.dbias.value, l.dbias.magnitude, l.out);
                free(dweight);
                free(dbias);
            }
            weight.dbias = NULL;
            weight.accumulate = false;
            must(ops->linear_backward_weight(ops->backend, &weight));
            double *dweight = from_device(ops, weight.dweight, weights, NC_FLOAT32);
            assert_sums("linear.dweight", &of_rows, dweight, l.dweight.value, l.dweight.magnitude,
                        weights);
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
    double *magnitude = zeros((size_t)ROWS * OUT);
    reference_linear(ROWS, IN, OUT, x, weight, none, y);
    for (size_t k = 0; k < (size_t)ROWS * OUT; k++) {
        for (size_t i = 0; i < IN; i++)
            magnitude[k] += pow(x[k / OUT * IN + i] * weight[k % OUT * IN + i], 2);
        magnitude[k] = sqrt(magnitude[k]);
    }
    struct nc_linear linear = {.rows = ROWS, .in = IN, .out = OUT,
                               .x = on_device(ops, x, ROWS * IN, NC_FLOAT32),
                               .weight = on_device(ops, weight, OUT * IN, NC_FLOAT32),
                               .y = on_device(ops, NULL, (size_t)ROWS * OUT, NC_FLOAT32)};
    must(ops->linear(ops->backend, &linear));
    double *got = from_device(ops, linear.y, (size_t)ROWS * OUT, NC_FLOAT32);
    struct sums sums = {NC_FLOAT32, NC_FLOAT32, IN, 0};
    assert_sums("linear.y", &sums, got, y, magnitude, (size_t)ROWS * OUT);
    double *all[] = {x, none, weight, y, got, magnitude};
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
        cmocka_unit_test(forward_adds_up),
        cmocka_unit_test(what_comes_behind_is_added),
        cmocka_unit_test(activation_is_applied),
        cmocka_unit_test(backward_adds_up),
        cmocka_unit_test(many_columns_are_no_obstacle),
        cmocka_unit_test(bias_gradient_of_many_rows_is_exact),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
