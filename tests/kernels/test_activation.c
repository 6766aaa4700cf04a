/* QuickGELU, GELU, and GELU by tanh. */
#include "kernels.h"
#include "reference.h"

static const struct {
    const char *name;
    size_t rows, width;
} shapes[] = {{"one", 1, 1}, {"odd", 3, 37}, {"block", 129, 512}};

static const char *const outputs[NC_ACTIVATIONS][2] = {{"quick_gelu.y", "quick_gelu.dx"},
                                                      {"gelu.y", "gelu.dx"},
                                                      {"gelu_tanh.y", "gelu_tanh.dx"}};

static void is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum nc_activation activation = 0; activation < NC_ACTIVATIONS; activation++)
            for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
                size_t count = shapes[i].rows * shapes[i].width;
                double *x = numbers(40, count, 3, type), *dy = numbers(41, count, 1, type);
                double *y = zeros(count), *dx = zeros(count);
                for (size_t k = 0; k < count; k++) {
                    y[k] = reference_activation(activation, x[k]);
                    dx[k] = dy[k] * reference_activation_slope(activation, x[k]);
                }
                struct nc_activation_forward f = {.activation = activation, .type = type,
                                                  .rows = shapes[i].rows, .width = shapes[i].width,
                                                  .x = on_device(ops, x, count, type),
                                                  .y = on_device(ops, NULL, count, type)};
                must(ops->activation_forward(ops->backend, &f));
                struct nc_activation_backward b = {.activation = activation, .type = type,
                                                   .rows = f.rows, .width = f.width, .x = f.x,
                                                   .dy = on_device(ops, dy, count, type),
                                                   .dx = on_device(ops, NULL, count, type)};
                must(ops->activation_backward(ops->backend, &b));
                double *got = from_device(ops, f.y, count, type);
                double *got_dx = from_device(ops, b.dx, count, type);
                const char *name = shapes[i].name;
                /* How close PyTorch comes to one number is luck: a last place is allowed. */
                double least = count == 1 && type == NC_FLOAT32 ? 0x1p-23 : 0;
                struct error place = {least, least};
                assert_as_arithmetic(outputs[activation][0], name, type, got, y, count, place);
                assert_as_arithmetic(outputs[activation][1], name, type, got_dx, dx, count, place);

                /* in place, with y once more in the place of x */
                b.dx = (void *)b.dy;
                b.y = (void *)b.x;
                must(ops->activation_backward(ops->backend, &b));
                double *again = from_device(ops, b.y, count, type);
                double *again_dx = from_device(ops, b.dx, count, type);
                assert_memory_equal(again, got, count * sizeof *got);
                assert_memory_equal(again_dx, got_dx, count * sizeof *got);

                b.x = on_device(ops, x, count, type);
                f.x = f.y = (void *)b.x;
                must(ops->activation_forward(ops->backend, &f));
                free(again);
                again = from_device(ops, f.y, count, type);
                assert_memory_equal(again, got, count * sizeof *got);
                double *all[] = {x, dy, y, dx, got, got_dx, again, again_dx};
                for (size_t k = 0; k < sizeof all / sizeof *all; k++)
                    free(all[k]);
            }
}

static void tails_are_finite(void **state)
{
    struct nc_ops *ops = *state;
    const double x[] = {-1e30, -1e4, -100, -20, -0.0, 0, 20, 100, 1e4, 1e30};
    enum { COUNT = sizeof x / sizeof *x };
    for (enum nc_activation activation = 0; activation < NC_ACTIVATIONS; activation++) {
        double one[COUNT];
        for (size_t k = 0; k < COUNT; k++)
            one[k] = 1;
        struct nc_activation_backward b = {.activation = activation,
                                           .type = NC_FLOAT32, .rows = 1, .width = COUNT,
                                           .x = on_device(ops, x, COUNT, NC_FLOAT32),
                                           .dy = on_device(ops, one, COUNT, NC_FLOAT32),
                                           .dx = on_device(ops, NULL, COUNT, NC_FLOAT32),
                                           .y = on_device(ops, NULL, COUNT, NC_FLOAT32)};
        must(ops->activation_backward(ops->backend, &b));
        double *y = from_device(ops, b.y, COUNT, NC_FLOAT32);
        double *dx = from_device(ops, b.dx, COUNT, NC_FLOAT32);
        for (size_t k = 0; k < COUNT; k++) {
            assert_true(fabs(y[k] - (x[k] > 0 ? x[k] : 0)) <= 1e-6 * (1 + fabs(x[k])));
            assert_true(fabs(dx[k] - (x[k] > 0 ? 1 : x[k] < 0 ? 0 : 0.5)) <= 1e-6);
        }
        free(y);
        free(dx);
    }
}

static double loss(const double *x, void *context)
{
    return reference_activation(*(enum nc_activation *)context, *x);
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    for (enum nc_activation activation = NC_QUICK_GELU; activation <= NC_GELU; activation++)
        for (double x = -5; x < 5; x += 0.37) {
            double slope = reference_activation_slope(activation, x);
            assert_true(difference_error(loss, &activation, &x, &slope, 1) * fabs(slope) < 1e-8);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(is_as_close_as_torch),
        cmocka_unit_test(tails_are_finite),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
