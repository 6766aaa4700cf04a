/* AdamW step by step, and the sum of squares. */
#include "kernels.h"
#include "reference.h"

enum { COUNT = 1000 };

static const struct nc_adamw_pace *pace(struct nc_ops *ops, double rate, double beta1, double beta2,
                                        uint64_t step)
{
    const struct nc_adamw_pace host = {rate, 1 - pow(beta1, (double)step), 1 - pow(beta2, (double)step)};
    struct nc_adamw_pace *data = bytes_on_device(ops, sizeof *data);
    must(ops->upload(ops->backend, data, &host, sizeof host));
    must(ops->synchronize(ops->backend));
    return data;
}

/* Five steps; what the parameters changed by, and both moments. */
static void five_steps_are_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    const double decays[] = {0, 0.01};
    const char *names[] = {"plain", "decay"};
    for (size_t i = 0; i < 2; i++) {
        double *start = numbers(70, COUNT, 1, NC_FLOAT32), *p = numbers(70, COUNT, 1, NC_FLOAT32);
        double *m = zeros(COUNT), *v = zeros(COUNT);
        struct nc_adamw a = {.count = COUNT, .parameter = on_device(ops, start, COUNT, NC_FLOAT32),
                             .first = on_device(ops, m, COUNT, NC_FLOAT32),
                             .second = on_device(ops, v, COUNT, NC_FLOAT32),
                             .shadow = on_device(ops, NULL, COUNT, NC_BFLOAT16),
                             .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                             .weight_decay = decays[i]};
        for (uint64_t step = 1; step <= 5; step++) {
            double *g = numbers(70 + step, COUNT, 0.01, NC_FLOAT32);
            a.gradient = on_device(ops, g, COUNT, NC_FLOAT32);
            a.pace = pace(ops, 1e-3, 0.9, 0.999, step);
            must(ops->adamw(ops->backend, &a));
            struct reference_adamw r = {COUNT, p, m, v, g, 1e-3, 0.9, 0.999, 1e-8, decays[i], step};
            reference_adamw(&r);
            free(g);
        }
        double *got_p = from_device(ops, a.parameter, COUNT, NC_FLOAT32);
        double *got_m = from_device(ops, a.first, COUNT, NC_FLOAT32);
        double *got_v = from_device(ops, a.second, COUNT, NC_FLOAT32);
        double *shadow = from_device(ops, a.shadow, COUNT, NC_BFLOAT16);
        for (size_t k = 0; k < COUNT; k++) {
            assert_true(shadow[k] ==
                        nc_bfloat16_to_float(nc_bfloat16_from_float((float)got_p[k])));
            got_p[k] -= start[k];
            p[k] -= start[k];
        }
        assert_as_torch("adamw.change", names[i], NC_FLOAT32, got_p, p, COUNT);
        assert_as_torch("adamw.first", names[i], NC_FLOAT32, got_m, m, COUNT);
        assert_as_torch("adamw.second", names[i], NC_FLOAT32, got_v, v, COUNT);
        double *all[] = {start, p, m, v, got_p, got_m, got_v, shadow};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            free(all[k]);
    }
}

static void late_steps_gradient_factor_and_limit(void **state)
{
    struct nc_ops *ops = *state;
    const size_t counts[] = {1, 15, 17, 16384, 16385, 40000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i];
        double *p = numbers(75, count, 1, NC_FLOAT32), *m = numbers(76, count, 0.1, NC_FLOAT32);
        double *v = numbers(77, count, 0.1, NC_FLOAT32), *g = numbers(78, count, 1, NC_FLOAT32);
        for (size_t k = 0; k < count; k++)
            v[k] = fabs(v[k]);
        double factor = 0.25;
        struct nc_adamw a = {.count = count, .parameter = on_device(ops, p, count, NC_FLOAT32),
                             .gradient = on_device(ops, g, count, NC_FLOAT32),
                             .first = on_device(ops, m, count, NC_FLOAT32),
                             .second = on_device(ops, v, count, NC_FLOAT32),
                             .beta1 = 0.8, .beta2 = 0.98, .epsilon = 1e-6, .weight_decay = 0.2,
                             .pace = pace(ops, 0.1, 0.8, 0.98, 1000000),
                             .gradient_factor = on_device(ops, &factor, 1, NC_FLOAT32),
                             .limit = 0.5f};
        must(ops->adamw(ops->backend, &a));
        for (size_t k = 0; k < count; k++)
            g[k] *= factor;
        struct reference_adamw r = {count, p, m, v, g, 0.1, 0.8, 0.98, 1e-6, 0.2, 1000000};
        reference_adamw(&r);
        for (size_t k = 0; k < count; k++)
            p[k] = p[k] > 0.5 ? 0.5 : p[k];
        double *got = from_device(ops, a.parameter, count, NC_FLOAT32);
        assert_close("parameter", got, p, count, 1e-6);
        double *all[] = {p, m, v, g, got};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            free(all[k]);
    }
}

/* A gradient that is no number must not hide behind the limit. */
static void nan_stays_nan(void **state)
{
    struct nc_ops *ops = *state;
    double one = 1, zero = 0, nan = NAN;
    struct nc_adamw a = {.count = 1, .parameter = on_device(ops, &one, 1, NC_FLOAT32),
                         .gradient = on_device(ops, &nan, 1, NC_FLOAT32),
                         .first = on_device(ops, &zero, 1, NC_FLOAT32),
                         .second = on_device(ops, &zero, 1, NC_FLOAT32), .beta1 = 0.9,
                         .beta2 = 0.999, .epsilon = 1e-8, .pace = pace(ops, 0.1, 0.9, 0.999, 1),
                         .limit = 4};
    must(ops->adamw(ops->backend, &a));
    double *p = from_device(ops, a.parameter, 1, NC_FLOAT32);
    assert_true(isnan(*p));
    free(p);
}

static double clip(struct nc_ops *ops, double squared_norm, double limit, double before)
{
    double *sum = bytes_on_device(ops, sizeof *sum);
    must(ops->upload(ops->backend, sum, &squared_norm, sizeof squared_norm));
    struct nc_clipping c = {sum, limit, on_device(ops, &before, 1, NC_FLOAT32)};
    must(ops->clip(ops->backend, &c));
    double *got = from_device(ops, c.factor, 1, NC_FLOAT32), factor = *got;
    free(got);
    return factor;
}

static void factor_brings_the_norm_to_its_limit(void **state)
{
    struct nc_ops *ops = *state;
    assert_true(clip(ops, 16, 0, 0.5) == 1);
    assert_true(clip(ops, 16, 4, 0.5) == 1);
    assert_true(clip(ops, 16, 1, 0.5) == 0.25);
    assert_true(clip(ops, 0, 1, 1) == 1);
    assert_true(isnan(clip(ops, NAN, 0, 1)));
    assert_true(isnan(clip(ops, INFINITY, 1, 1)));
    assert_true(isnan(clip(ops, 16, 1, NAN))); /* for good */
}

static void without_a_factor_nothing_changes(void **state)
{
    struct nc_ops *ops = *state;
    enum { FEW = 70 };
    double *p = numbers(75, FEW, 1, NC_FLOAT32), *m = numbers(76, FEW, 0.1, NC_FLOAT32);
    double *g = numbers(78, FEW, 1, NC_FLOAT32), nan = NAN;
    struct nc_adamw a = {.count = FEW, .parameter = on_device(ops, p, FEW, NC_FLOAT32),
                         .gradient = on_device(ops, g, FEW, NC_FLOAT32),
                         .first = on_device(ops, m, FEW, NC_FLOAT32),
                         .second = on_device(ops, m, FEW, NC_FLOAT32),
                         .shadow = on_device(ops, p, FEW, NC_BFLOAT16), .beta1 = 0.9,
                         .beta2 = 0.999, .epsilon = 1e-8, .pace = pace(ops, 0.1, 0.9, 0.999, 1),
                         .gradient_factor = on_device(ops, &nan, 1, NC_FLOAT32)};
    must(ops->adamw(ops->backend, &a));
    double *got[] = {from_device(ops, a.parameter, FEW, NC_FLOAT32),
                     from_device(ops, a.first, FEW, NC_FLOAT32),
                     from_device(ops, a.second, FEW, NC_FLOAT32)};
    for (size_t k = 0; k < FEW; k++)
        assert_true(got[0][k] == p[k] && got[1][k] == m[k] && got[2][k] == m[k]);
    double *all[] = {p, m, g, got[0], got[1], got[2]};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

static void squares_are_summed_in_double(void **state)
{
    struct nc_ops *ops = *state;
    const size_t counts[] = {0, 1, 63, 64, 65, 16385, 300000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        double *x = numbers(79, counts[i], 1, NC_FLOAT32), expected = 5, start = 5;
        for (size_t k = 0; k < counts[i]; k++)
            expected += x[k] * x[k];
        double *sum = bytes_on_device(ops, sizeof *sum);
        must(ops->upload(ops->backend, sum, &start, sizeof start));
        float *data = on_device(ops, x, counts[i], NC_FLOAT32);
        must(ops->squared_norm(ops->backend, data, counts[i], sum));
        double got;
        must(ops->download(ops->backend, &got, sum, sizeof got));
        assert_true(fabs(got - expected) <= 1e-12 * expected);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_steps_are_as_close_as_torch),
        cmocka_unit_test(late_steps_gradient_factor_and_limit),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(factor_brings_the_norm_to_its_limit),
        cmocka_unit_test(without_a_factor_nothing_changes),
        cmocka_unit_test(squares_are_summed_in_double),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
