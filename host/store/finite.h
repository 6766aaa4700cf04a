/* Whether what is stored is a number. */
#ifndef NCLIP_HOST_STORE_FINITE_H
#define NCLIP_HOST_STORE_FINITE_H

#include "nclip/support/types.h"

#include <math.h>
#include <stdbool.h>

/* Infinity and NaN have all bits of the exponent set. */
static inline bool nc_all_finite(const void *row, enum nc_type type, size_t count)
{
    bool finite = true;
    if (type == NC_FLOAT32) {
        for (size_t i = 0; i < count; i++)
            finite &= (bool)isfinite(((const float *)row)[i]);
    } else {
        uint16_t exponent = type == NC_BFLOAT16 ? 0x7f80 : 0x7c00;
        for (size_t i = 0; i < count; i++)
            finite &= (((const uint16_t *)row)[i] & exponent) != exponent;
    }
    return finite;
}

#endif
