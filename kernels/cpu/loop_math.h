/* Elementary functions that compilers turn into vector code, and rows in either type.
 *
 * exp    2^n * p(r), Cody-Waite reduction, degree 6: at most 2 ulp for -87 .. 88; 0 below, +inf above.
 * erf    rational, odd/even degrees 13/8, on [-4, 4] (the coefficients are those of Eigen's
 *        generic_fast_erf_float): at most 5e-7 absolute.
 */
#ifndef NCLIP_KERNELS_LOOP_MATH_H
#define NCLIP_KERNELS_LOOP_MATH_H

#include "nclip/types.h"

#include <math.h>

static inline float nc_exp(float x)
{
    float limited = x < -87.3f ? -87.3f : x > 88.7f ? 88.7f : x;
    float n = rintf(limited * 1.44269504088896341f);
    float r = limited - n * 0.693359375f;
    r -= n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    float result = p * scale;
    result = x < -87.3f ? 0.0f : result;
    return x > 88.7f ? INFINITY : result;
}

static inline float nc_erf(float x)
{
    x = x < -4.0f ? -4.0f : x > 4.0f ? 4.0f : x;
    float s = x * x;
    float p = -2.72614225801306e-10f;
    p = p * s + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * s + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return x * p / q;
}

/* Round to nearest even without branches; NaN is not looked after (nc_bfloat16_from_float
 * does): kernels see finite numbers or fail later at the loss. */
static inline nc_bfloat16 nc_round_bfloat16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (nc_bfloat16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* `count` elements of a row, from either type to fp32 and back. */
static inline void nc_load_row(float *restrict to, const void *restrict from, enum nc_type type,
                               size_t first, size_t count)
{
    if (type == NC_FLOAT32) {
        memcpy(to, (const float *)from + first, count * sizeof *to);
    } else {
        const nc_bfloat16 *half = (const nc_bfloat16 *)from + first;
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = (uint32_t)half[i] << 16;
            memcpy(&to[i], &bits, sizeof bits);
        }
    }
}

static inline void nc_store_row(void *restrict to, enum nc_type type, size_t first,
                                const float *restrict from, size_t count)
{
    if (type == NC_FLOAT32) {
        memcpy((float *)to + first, from, count * sizeof *from);
    } else {
        nc_bfloat16 *half = (nc_bfloat16 *)to + first;
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            half[i] = nc_round_bfloat16(from[i]);
    }
}

#endif
