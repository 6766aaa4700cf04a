/* The vector functions against the C library's in double precision: errors in units
 * in the last place over the whole range, and the special values. */
#include "../../kernels/cpu/vector_math.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef nc_floats function(nc_floats x);

static nc_floats exp_vector(nc_floats x)
{
    return nc_exp(x);
}

static nc_floats erf_vector(nc_floats x)
{
    return nc_erf(x);
}

static nc_floats sigmoid_vector(nc_floats x)
{
    return nc_sigmoid(x);
}

static nc_floats log1p_vector(nc_floats x)
{
    return nc_log1p(x);
}

static double sigmoid_double(double x)
{
    return 1 / (1 + exp(-x));
}

/* Every lane gets its own argument, so that a function that mixes lanes shows. */
static float one(function *f, float x, size_t lane)
{
    nc_floats in;
    for (size_t i = 0; i < NC_LANES; i++)
        in[i] = i == lane ? x : -1.0f;
    return f(in)[lane];
}

static double units(float value, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    double unit = ldexp(1, exponent - 24);
    return fabs(value - exact) / (unit > 0x1p-149 ? unit : 0x1p-149);
}

static double worst(function *f, double (*exact)(double), float low, float high, float step)
{
    double error = 0;
    size_t i = 0;
    for (float x = low; x <= high; x += step + fabsf(x) * 1e-6f) {
        double e = units(one(f, x, i++ % NC_LANES), exact(x));
        if (!(e <= error))
            error = e;
    }
    return error;
}

static void exp_is_right_to_the_last_place(void **state)
{
    (void)state;
    double normal = worst(exp_vector, exp, -87.3f, 88.72f, 2e-4f);
    double small = worst(exp_vector, exp, -1e-2f, 1e-2f, 2e-8f);
    double subnormal = worst(exp_vector, exp, -104, -87.3f, 1e-4f);
    print_message("exp: %.2f, near 0 %.2f, below the normal range %.2f units\n", normal, small,
                  subnormal);
    assert_true(normal <= 1.1 && small <= 1.1 && subnormal <= 1.5);
    assert_true(one(exp_vector, 0, 0) == 1);
    assert_true(one(exp_vector, -INFINITY, 0) == 0);
    assert_true(one(exp_vector, -1e30f, 0) == 0);
    assert_true(one(exp_vector, 89, 0) == INFINITY);
    assert_true(one(exp_vector, INFINITY, 0) == INFINITY);
    assert_true(isnan(one(exp_vector, NAN, 0)));
}

static void erf_is_right_to_the_last_place(void **state)
{
    (void)state;
    double error = worst(erf_vector, erf, -4.5f, 4.5f, 1e-5f);
    double small = worst(erf_vector, erf, -1e-3f, 1e-3f, 1e-8f);
    print_message("erf: %.2f, near 0 %.2f units\n", error, small);
    assert_true(error <= 1.2 && small <= 1.2);
    assert_true(one(erf_vector, INFINITY, 0) == 1);
    assert_true(one(erf_vector, -1e30f, 0) == -1);
    assert_true(isnan(one(erf_vector, NAN, 0)));
}

static void sigmoid_is_close(void **state)
{
    (void)state;
    double error = worst(sigmoid_vector, sigmoid_double, -80, 80, 1e-4f);
    print_message("sigmoid: %.2f units\n", error);
    assert_true(error <= 2.5);
    assert_true(one(sigmoid_vector, -INFINITY, 0) == 0);
    assert_true(one(sigmoid_vector, INFINITY, 0) == 1);
    assert_true(isnan(one(sigmoid_vector, NAN, 0)));
}

static void log1p_is_close(void **state)
{
    (void)state;
    double error = worst(log1p_vector, log1p, 0, 1, 1e-6f);
    double small = worst(log1p_vector, log1p, 1e-30f, 1e-20f, 1e-24f);
    print_message("log1p: %.2f, near 0 %.2f units\n", error, small);
    assert_true(error <= 2.0 && small <= 1.1);
    assert_true(one(log1p_vector, 0, 0) == 0);
    assert_true(isnan(one(log1p_vector, NAN, 0)));
}

static void bfloat16_rounds_as_the_scalar_function(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 10007) {
        uint32_t word = (uint32_t)bits;
        float x;
        memcpy(&x, &word, sizeof x);
        nc_halves halves = nc_to_bfloat16(nc_all(x));
        assert_int_equal(halves[bits % NC_LANES], nc_bfloat16_from_float(x));
        nc_halves back = nc_to_bfloat16(nc_from_bfloat16(halves));
        assert_int_equal(back[0], halves[0]);
    }
}

static void parts_touch_only_their_elements(void **state)
{
    (void)state;
    enum nc_type types[] = {NC_FLOAT32, NC_BFLOAT16};
    for (size_t t = 0; t < 2; t++)
        for (size_t count = 1; count < NC_LANES; count++) {
            /* exactly as large as what may be touched, so that a sanitizer sees more */
            void *in = malloc(count * nc_type_size(types[t]));
            void *out = malloc((count + 1) * nc_type_size(types[t]));
            for (size_t i = 0; i < count; i++)
                nc_convert((char *)in + i * nc_type_size(types[t]), types[t],
                           &(float){(float)i + 1}, NC_FLOAT32, 1);
            memset(out, 0x40, (count + 1) * nc_type_size(types[t]));
            nc_floats x = nc_load_part(in, 0, types[t], count);
            for (size_t i = 0; i < NC_LANES; i++)
                assert_true(x[i] == (i < count ? (float)i + 1 : 0));
            nc_store_part(out, 0, types[t], x, count);
            assert_memory_equal(in, out, count * nc_type_size(types[t]));
            assert_int_equal(((char *)out)[count * nc_type_size(types[t])], 0x40);
            free(in);
            free(out);
        }
}

static void lanes_reduce(void **state)
{
    (void)state;
    nc_floats x;
    for (size_t i = 0; i < NC_LANES; i++)
        x[i] = (float)((i * 7) % NC_LANES);
    assert_true(nc_sum(x) == NC_LANES * (NC_LANES - 1) / 2);
    assert_true(nc_highest(x) == NC_LANES - 1);
    nc_floats chosen = nc_select(x > 1.5f, nc_all(1), nc_all(-1));
    for (size_t i = 0; i < NC_LANES; i++)
        assert_true(chosen[i] == (x[i] > 1.5f ? 1.0f : -1.0f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_right_to_the_last_place),
        cmocka_unit_test(erf_is_right_to_the_last_place),
        cmocka_unit_test(sigmoid_is_close),
        cmocka_unit_test(log1p_is_close),
        cmocka_unit_test(bfloat16_rounds_as_the_scalar_function),
        cmocka_unit_test(parts_touch_only_their_elements),
        cmocka_unit_test(lanes_reduce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
