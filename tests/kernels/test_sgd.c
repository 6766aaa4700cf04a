/* Stochastic gradient descent step by step, with momentum and without. */
#include "kernels.h"

enum { COUNT = 1000 };

static const double *rate_on(struct nc_ops *ops, double rate)
{
    double *data = bytes_on_device(ops, sizeof *data);
    must(ops->upload(ops->backend, data, &rate, sizeof rate));
    must(ops->synchronize(ops->backend));
    return data;
}

/* As plainly as the formulas (torch.optim.SGD, neither dampened nor Nesterov's). */
static void step(size_t count, double *p, double *m, const double *g, double momentum,
                 double factor, double decay)
{
    for (size_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + factor * g[i] + decay * p[i];
        p[i] -= 0.1 * m[i];
    }
}

/* Five steps: what the parameters changed by, and the momentum's buffer. */
static void five_steps_are_the_formulas(void **state)
{
    struct nc_ops *ops = *state;
    const size_t counts[] = {1, 15, 17, COUNT, 16384, 16385, 40000};
    for (size_t i = 0; i < 2 * sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i / 2];
        double *start = numbers(70, count, 1, NC_FLOAT32), *p = numbers(70, count, 1, NC_FLOAT32);
        double *m = zeros(count), factor = 0.25, decay = i % 4 ? 0.01 : 0;
        double momentum = i % 2 ? 0.9 : 0;
        struct nc_sgd s = {.count = count, .parameter = on_device(ops, start, count, NC_FLOAT32),
                           .first = i % 2 ? on_device(ops, m, count, NC_FLOAT32) : NULL,
                           .shadow = i % 3 ? on_device(ops, NULL, count, NC_BFLOAT16) : NULL,
                           .momentum = momentum, .weight_decay = decay,
                           .learning_rate = rate_on(ops, 0.1),
                           .gradient_factor =
                               i % 3 ? on_device(ops, &factor, 1, NC_FLOAT32) : NULL};
        for (uint64_t number = 1; number <= 5; number++) {
            double *g = numbers(70 + number, count, 0.01, NC_FLOAT32);
            s.gradient = on_device(ops, g, count, NC_FLOAT32);
            must(ops->sgd(ops->backend, &s));
            step(count, p, m, g, momentum, i % 3 ? factor : 1, decay);
            free(g);
        }
        double *got_p = from_device(ops, s.parameter, count, NC_FLOAT32);
        double *got_m = s.first ? from_device(ops, s.first, count, NC_FLOAT32) : NULL;
        double *shadow = s.shadow ? from_device(ops, s.shadow, count, NC_BFLOAT16) : NULL;
        for (size_t k = 0; k < count; k++) {
            if (shadow)
                assert_true(shadow[k] ==
                            nc_bfloat16_to_float(nc_bfloat16_from_float((float)got_p[k])));
            got_p[k] -= start[k];
            p[k] -= start[k];
        }
        assert_close("change", got_p, p, count, 3e-4); /* of 1e-3: numbers near 1 round by 2^-24 */
        if (got_m)
            assert_close("first", got_m, m, count, 1e-6);
        double *all[] = {start, p, m, got_p, got_m, shadow};
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
    struct nc_sgd whole = {.count = COUNT, .parameter = on_device(ops, p, COUNT, NC_FLOAT32),
                           .gradient = on_device(ops, g, COUNT, NC_FLOAT32),
                           .first = on_device(ops, g, COUNT, NC_FLOAT32), .momentum = 0.9,
                           .learning_rate = rate_on(ops, 0.1)};
    struct nc_sgd parts = whole;
    parts.parameter = on_device(ops, p, COUNT, NC_FLOAT32);
    parts.first = on_device(ops, g, COUNT, NC_FLOAT32);
    must(ops->sgd(ops->backend, &whole));
    for (size_t first = 0, end = 3; first < COUNT; first = end, end = smaller(end + 331, COUNT)) {
        struct nc_sgd part = parts;
        part.count = end - first;
        part.parameter += first;
        part.gradient += first;
        part.first += first;
        must(ops->sgd(ops->backend, &part));
    }
    double *one = from_device(ops, whole.parameter, COUNT, NC_FLOAT32);
    double *other = from_device(ops, parts.parameter, COUNT, NC_FLOAT32);
    assert_memory_equal(one, other, COUNT * sizeof *one);
    double *all[] = {p, g, one, other};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

static double one_step(struct nc_ops *ops, double p, double g, const double *factor, float limit)
{
    struct nc_sgd s = {.count = 1, .parameter = on_device(ops, &p, 1, NC_FLOAT32),
                       .gradient = on_device(ops, &g, 1, NC_FLOAT32),
                       .learning_rate = rate_on(ops, 0.5),
                       .gradient_factor = factor ? on_device(ops, factor, 1, NC_FLOAT32) : NULL,
                       .limit = limit};
    must(ops->sgd(ops->backend, &s));
    double *got = from_device(ops, s.parameter, 1, NC_FLOAT32), value = *got;
    free(got);
    return value;
}

static void limit_and_gradients_that_are_none(void **state)
{
    const double nan = NAN, half = 0.5;
    assert_true(one_step(*state, 1, 1, NULL, 4) == 0.5);
    assert_true(one_step(*state, 1, 1, &half, 4) == 0.75);
    assert_true(one_step(*state, 3.75, -1, NULL, 4) == 4);
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
