/* Measures the rate of dense products that this machine reaches now: the ceiling of a training
 * step. */
#ifndef NCLIP_BENCH_MATRIX_PEAK_H
#define NCLIP_BENCH_MATRIX_PEAK_H

#include "nclip/ops.h"

/* Raises *flops_per_second to the best of several large square and tall products, each the best of
 * several runs, on random numbers. On a busy machine the rate changes from second to second: call it
 * before, among and behind what is held against it. Takes about two seconds on two cores. */
int matrix_peak(struct nc_ops *ops, enum nc_type type, double *flops_per_second);

#endif
