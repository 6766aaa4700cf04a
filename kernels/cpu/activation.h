/* The activations' formulas (activation.c), for what computes them in passing. */
#ifndef NCLIP_KERNELS_CPU_ACTIVATION_H
#define NCLIP_KERNELS_CPU_ACTIVATION_H

#include "nclip/ops.h"
#include "vector_math.h"

/* u'(x) of GELU's approximation for `third` = 1, u(x) / x for 1 / 3. Where x^2 is cut off, the gate
 * is 0 or 1 already. */
NC_INLINE nc_floats nc_tanh_argument(nc_floats x, float third)
{
    return nc_min(nc_all(1e4f), x * x) * (0.21406445f * third) + 1.59576912f;
}

/* What x is multiplied with to become y: sigmoid(1.702 x), P(x), or sigmoid(u(x)). */
NC_INLINE nc_floats nc_gate(nc_floats x, enum nc_activation activation)
{
    if (activation == NC_QUICK_GELU)
        return nc_sigmoid(x * 1.702f);
    if (activation == NC_GELU_TANH)
        return nc_sigmoid(x * nc_tanh_argument(x, 1.0f / 3));
    return nc_erf(x * 0x1.6a09e6p-1f) * 0.5f + 0.5f;
}

#endif
