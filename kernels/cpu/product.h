/* Products of small matrices, which fit the first caches: those that attention computes. */
#ifndef NCLIP_KERNELS_CPU_PRODUCT_H
#define NCLIP_KERNELS_CPU_PRODUCT_H

#include "level.h"
#include "vector.h"

#include <stdbool.h>

/* The left matrix, a[i, p]. One of the steps is 1. */
struct nc_left {
    const float *data;
    size_t row_step, column_step;
};

/* c[m, n] = a[m, k] b[k, n], or += when `add`. n is a multiple of NC_LANES; rows of b and c
 * are that long at least, `b_step` and `c_step` floats apart. */
void nc_cpu_product(size_t m, size_t n, size_t k, struct nc_left a, const float *b, size_t b_step,
                    float *c, size_t c_step, bool add);

/* to[c, r] = from[r, c]; rows and columns are multiples of NC_LANES. */
void nc_cpu_transpose(size_t rows, size_t columns, const float *from, size_t from_step, float *to,
                      size_t to_step);

#endif
