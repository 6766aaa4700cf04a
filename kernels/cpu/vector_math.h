/* exp, log1p, erf and the sigmoid on vectors, in fp32. Polynomials of our own
 * (tests/kernels/fit_vector_math.py); errors as measured by tests/kernels/test_vector_math.c:
 * exp within 1.1 units in the last place, erf within 1.2, sigmoid within 2.5, log1p within 2.0. */
#ifndef NCLIP_KERNELS_VECTOR_MATH_H
#define NCLIP_KERNELS_VECTOR_MATH_H

#include "vector.h"

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. NaN stays NaN, overflow is
 * infinity, results below the normal range are right to their last bit or so. */
NC_INLINE nc_floats nc_exp(nc_floats x)
{
    x = nc_max(nc_all(-105.0f), x); /* in this order, so that NaN passes */
    x = nc_min(nc_all(90.0f), x);
    const float shift = 0x1.8p23f; /* adding it rounds to an integer, which its last bits then hold */
    nc_floats shifted = x * 0x1.715476p+0f + shift;
    nc_floats n = shifted - shift;
    nc_floats r = x - n * 0.693359375f; /* exact: the constant has 10 bits */
    r = r - n * -2.12194440e-4f;
    nc_floats q = nc_all(0x1.6a4f28p-10f);
    q = q * r + 0x1.1239800p-7f;
    q = q * r + 0x1.5558aep-5f;
    q = q * r + 0x1.555492p-3f;
    q = q * r + 0x1.fffffcp-2f;
    nc_floats result = (q * r) * r + r + 1.0f;
#if defined(__AVX512F__)
    return (nc_floats)_mm512_scalef_ps((__m512)result, (__m512)n);
#else
    /* 2^n in two steps, because it may be outside of the normal range. */
    nc_ints power = (nc_ints)shifted - (nc_ints)nc_all(shift);
    nc_ints half = power >> 1;
    nc_floats low = (nc_floats)((half + 127) << 23);
    nc_floats high = (nc_floats)((power - half + 127) << 23);
    return result * low * high;
#endif
}

/* 1 / (1 + exp(-x)) */
NC_INLINE nc_floats nc_sigmoid(nc_floats x)
{
    return 1.0f / (1.0f + nc_exp(-x));
}

/* log(1 + x) of 0 <= x <= 1 */
NC_INLINE nc_floats nc_log1p(nc_floats x)
{
    nc_floats q = nc_all(-0x1.b10ccep-9f);
    q = q * x + 0x1.49fb44p-6f;
    q = q * x + -0x1.d76ce0p-5f;
    q = q * x + 0x1.b50048p-4f;
    q = q * x + -0x1.3a5792p-3f;
    q = q * x + 0x1.9350cap-3f;
    q = q * x + -0x1.ff249ep-3f;
    q = q * x + 0x1.554dd4p-2f;
    q = q * x + -0x1.ffffd2p-2f;
    return (q * x) * x + x;
}

/* Near 0 a polynomial; beyond, 1 - exp(polynomial), which is erfc. */
NC_INLINE nc_floats nc_erf(nc_floats x)
{
    nc_ints sign = (nc_ints)x & (int32_t)0x80000000u;
    nc_floats t = (nc_floats)((nc_ints)x & 0x7fffffff);
    nc_floats s = t * t;
    nc_floats near = nc_all(-0x1.38741cp-11f);
    near = near * s + 0x1.46d9e2p-8f;
    near = near * s + -0x1.b67c04p-6f;
    near = near * s + 0x1.ce1986p-4f;
    near = near * s + -0x1.8126e2p-2f;
    near = near * s + 0x1.06eba6p-3f;
    near = near * t + t;
    nc_floats u = nc_min(nc_all(4.0f), t); /* erf(4) is 1 in fp32 */
    nc_floats far = nc_all(-0x1.82b3fep-17f);
    far = far * u + 0x1.557f6ap-12f;
    far = far * u + -0x1.deeba2p-9f;
    far = far * u + 0x1.85b406p-6f;
    far = far * u + -0x1.b3415p-4f;
    far = far * u + -0x1.453082p-1f;
    far = far * u + -0x1.077ad0p-3f;
    far = 1.0f - nc_exp(far * u - u);
    nc_floats result = nc_select(t < 0.93f, near, far);
    return (nc_floats)((nc_ints)result | sign);
}

#endif
