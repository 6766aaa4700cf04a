/* Conversions against arithmetic in double precision. */
#include "nclip/support/types.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The nearest multiple of the type's spacing at `value`, ties to even; `digits` of the
 * significand are stored, `smallest` is the smallest normal exponent. */
static double nearest(double value, int digits, int smallest, double largest)
{
    if (value == 0 || isinf(value) || isnan(value))
        return value;
    int exponent = ilogb(value) < smallest ? smallest : ilogb(value);
    double rounded = ldexp(nearbyint(ldexp(value, digits - exponent)), exponent - digits);
    return fabs(rounded) > largest ? copysign(INFINITY, value) : rounded;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool same(float actual, double expected)
{
    return isnan(expected) ? isnan(actual)
                           : actual == (float)expected && !signbit(actual) == !signbit(expected);
}

static void every_half_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
        double expected = exponent == 31 ? (mantissa ? NAN : INFINITY)
                          : exponent     ? ldexp(1024 + mantissa, exponent - 25)
                                         : ldexp(mantissa, -24);
        if (bits & 0x8000)
            expected = -expected;
        float value = nc_float16_to_float((uint16_t)bits);
        if (!same(value, expected))
            fail_msg("half %04x became %g", bits, (double)value);
        if (!isnan(value))
            assert_int_equal(nc_float16_from_float(value), bits);
    }
    assert_true(isnan(nc_float16_to_float(nc_float16_from_float(NAN))));
}

static void floats_are_rounded_to_the_nearest(void **state)
{
    (void)state;
    uint32_t bits = 1;
    for (int i = 0; i < 3000000; i++) {
        bits = bits * 1664525u + 1013904223u;
        /* Every other one sits on or beside a tie of one of the types. */
        uint32_t tie = (bits >> 8 & 1 ? 0xffffe000u : 0xffff0000u) & bits;
        tie |= bits >> 8 & 1 ? 0x1000u : 0x8000u;
        float value = float_of(i % 2 ? bits : tie + (bits >> 9) % 3 - 1);
        double half = nearest((double)value, 10, -14, 65504);
        double brain = nearest((double)value, 7, -126, 3.3895313892515355e38);
        if (!same(nc_float16_to_float(nc_float16_from_float(value)), half))
            fail_msg("%a became %a as fp16", (double)value,
                     (double)nc_float16_to_float(nc_float16_from_float(value)));
        if (!same(nc_bfloat16_to_float(nc_bfloat16_from_float(value)), brain))
            fail_msg("%a became %a as bf16", (double)value,
                     (double)nc_bfloat16_to_float(nc_bfloat16_from_float(value)));
    }
}

static void arrays_have_no_alignment(void **state)
{
    (void)state;
    enum { COUNT = 37 };
    const uint8_t sizes[] = {4, 2, 2};
    for (int from = NC_FLOAT32; from <= NC_FLOAT16; from++) {
        for (int to = NC_FLOAT32; to <= NC_FLOAT16; to++) {
            float values[COUNT], again[COUNT];
            uint8_t *source = malloc(4 * COUNT + 1), *destination = malloc(4 * COUNT + 1);
            for (int i = 0; i < COUNT; i++)
                values[i] = (float)(i - 18) / 8; /* exact in all three */
            assert_int_equal(nc_type_size(from), sizes[from]);
            nc_convert(source + 1, from, values, NC_FLOAT32, COUNT);
            nc_convert(destination + 1, to, source + 1, from, COUNT);
            nc_convert(again, NC_FLOAT32, destination + 1, to, COUNT);
            assert_memory_equal(again, values, sizeof values);
            free(source);
            free(destination);
        }
    }
    assert_string_equal(nc_type_name(NC_FLOAT32), "fp32");
    assert_string_equal(nc_type_name(NC_BFLOAT16), "bf16");
    assert_string_equal(nc_type_name(NC_FLOAT16), "fp16");
    for (enum nc_type type = NC_FLOAT32; type <= NC_FLOAT16; type++)
        assert_int_equal(nc_type_named(nc_type_name(type)), type);
    assert_int_equal(nc_type_named("int8"), NC_FLOAT32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_goes_there_and_back),
        cmocka_unit_test(floats_are_rounded_to_the_nearest),
        cmocka_unit_test(arrays_have_no_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
