/* RMSprop step by step. */
#include "kernels.h"

enum { COUNT = 1000 };

static const double RATE = 1e-3, ALPHA = 0.99, EPSILON = 1e-8;

static const double *rate_on(struct nc_ops *ops, double rate)
{
    double *data = bytes_on_device(ops, sizeof *data);
    must(ops->upload(ops->backend, data, &rate, sizeof rate));
    must(ops->synchronize(ops->backend));
    return data;
}

/* As plainly as the formulas (torch.optim.RMSprop, neither centered nor with momentum). */
static void step(size_t count, double *p, double *v, const double *g, double factor, double decay)
{
    for (size_t i = 0; i < count; i++) {
        double all = factor * g[i] + decay * p[i];
        v[i] = ALPHA * v[i] + (1 - ALPHA) * all * all;
        p[i] -= RATE * all / (sqrt(v[i]) + EPSILON);
    }
}

/* Five steps: what the parameters changed by, and the mean of squares. */
static void five_steps_are_the_formulas(void **state)
{
    struct nc_ops *ops = *state;
    const size_t counts[] = {1, 15, 17, COUNT, 16384, 16385, 40000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i];
        double *start = numbers(70, count, 1, NC_FLOAT32), *p = numbers(70, count, 1, NC_FLOAT32);
        double *v = zeros(count), factor = 0.25, decay = i % 2 ? 0.01 : 0;
        struct nc_rmsprop r = {.count = count,
                               .parameter = on_device(ops, start, count, NC_FLOAT32),
                               .second = on_device(ops, v, count, NC_FLOAT32),
                               .shadow = i % 3 ? on_device(ops, NULL, count, NC_BFLOAT16) : NULL,
                               .alpha = ALPHA, .epsilon = EPSILON, .weight_decay = decay,
                               .learning_rate = rate_on(ops, RATE),
                               .gradient_factor =
                                   i % 3 ? on_device(ops, &factor, 1, NC_FLOAT32) : NULL};
        for (uint64_t number = 1; number <= 5; number++) {
            double *g = numbers(70 + number, count, 0.01, NC_FLOAT32);
            r.gradient = on_device(ops, g, count, NC_FLOAT32);
            must(ops->rmsprop(ops->backend, &r));
            step(count, p, v, g, i % 3 ? factor : 1, decay);
            free(g);
        }
        double *got_p = from_device(ops, r.parameter, count, NC_FLOAT32);
        double *got_v = from_device(ops, r.second, count, NC_FLOAT32);
        double *shadow = r.shadow ? from_device(ops, r.shadow, count, NC_BFLOAT16) : NULL;
        for (size_t k = 0; k < count; k++) {
            if (shadow)
                assert_true(shadow[k] ==
                            nc_bfloat16_to_float(nc_bfloat16_from_float((float)got_p[k])));
            got_p[k] -= start[k];
            p[k] -= start[k];
        }
        /* Of 0.045: five times a number of up to 4 is rounded by 2^-22 at most. */
        assert_close("change", got_p, p, count, 3e-5);
        assert_close("second", got_v, v, count, 1e-6);
        double *all[] = {start, p, v, got_p, got_v, shadow};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            free(all[k]);
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Arrays that begin anywhere. */
static void places_do_not_matter(void **state)
{
    struct nc_ops *ops = *state;
    double *p = numbers(75, COUNT, 1, NC_FLOAT32), *g = numbers(76, COUNT, 1, NC_FLOAT32);
    double *v = zeros(COUNT);
    struct nc_rmsprop whole = {.count = COUNT, .parameter = on_device(ops, p, COUNT, NC_FLOAT32),
                               .gradient = on_device(ops, g, COUNT, NC_FLOAT32),
                               .second = on_device(ops, v, COUNT, NC_FLOAT32), .alpha = ALPHA,
                               .epsilon = EPSILON, .learning_rate = rate_on(ops, RATE)};
    struct nc_rmsprop parts = whole;
    parts.parameter = on_device(ops, p, COUNT, NC_FLOAT32);
    parts.second = on_device(ops, v, COUNT, NC_FLOAT32);
    must(ops->rmsprop(ops->backend, &whole));
    for (size_t first = 0, end = 3; first < COUNT; first = end, end = smaller(end + 331, COUNT)) {
        struct nc_rmsprop part = parts;
        part.count = end - first;
        part.parameter += first;
        part.gradient += first;
        part.second += first;
        must(ops->rmsprop(ops->backend, &part));
    }
    double *one = from_device(ops, whole.parameter, COUNT, NC_FLOAT32);
    double *other = from_device(ops, parts.parameter, COUNT, NC_FLOAT32);
    assert_memory_equal(one, other, COUNT * sizeof *one);
    double *all[] = {p, g, v, one, other};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

static double one_step(struct nc_ops *ops, double p, double g, const double *factor, float limit)
{
    double v = 0;
    struct nc_rmsprop r = {.count = 1, .parameter = on_device(ops, &p, 1, NC_FLOAT32),
                           .gradient = on_device(ops, &g, 1, NC_FLOAT32),
                           .second = on_device(ops, &v, 1, NC_FLOAT32), .alpha = ALPHA,
                           .epsilon = EPSILON, .learning_rate = rate_on(ops, 0.1),
                           .gradient_factor = factor ? on_device(ops, factor, 1, NC_FLOAT32) : NULL,
                           .limit = limit};
    must(ops->rmsprop(ops->backend, &r));
    double *got = from_device(ops, r.parameter, 1, NC_FLOAT32), value = *got;
    free(got);
    return value;
}

static void limit_and_gradients_that_are_none(void **state)
{
    const double nan = NAN;
    assert_true(one_step(*state, 3.9, -1, NULL, 4) == 4);
    assert_true(isnan(one_step(*state, 1, NAN, NULL, 4))); /* it must not hide behind the limit */
    assert_true(one_step(*state, 1, 1, &nan, 4) == 1);     /* without a factor nothing changes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_steps_are_the_formulas),
        cmocka_unit_test(places_do_not_matter),
        cmocka_unit_test(limit_and_gradients_that_are_none),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
