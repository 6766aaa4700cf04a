/* The activations' formulas (activation.c), for what computes them in passing. */
#ifndef NCLIP_KERNELS_CPU_ACTIVATION_H
#define NCLIP_KERNELS_CPU_ACTIVATION_H

#include "nclip/ops.h"
#include "vector_math.h"

/* What x is multiplied with to become y: sigmoid(1.702 x), or P(x). */
NC_INLINE nc_floats nc_gate(nc_floats x, enum nc_activation activation)
{
    return activation == NC_QUICK_GELU ? nc_sigmoid(x * 1.702f)
                                       : nc_erf(x * 0x1.6a09e6p-1f) * 0.5f + 0.5f;
}

#endif
