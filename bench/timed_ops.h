/* A table of operations that measures another: each call's seconds, and the flops of
 * dense products. On a backend that returns early each call is waited for, so the sum of
 * the parts is then more than an unmeasured step takes. */
#ifndef NCLIP_BENCH_TIMED_OPS_H
#define NCLIP_BENCH_TIMED_OPS_H

#include "nclip/ops.h"

#include <stdio.h>

struct timed_part {
    const char *name; /* of the operation */
    double seconds, flops;
    size_t calls;
};

struct timed_ops;

/* Borrows `inner`, which must live longer. */
int timed_ops_create(struct nc_ops *inner, struct timed_ops **timed);
void timed_ops_destroy(struct timed_ops *timed);

struct nc_ops *timed_ops_table(struct timed_ops *timed);
void timed_ops_reset(struct timed_ops *timed);

/* The parts with at least one call since the reset, the longest first. `room` parts. */
size_t timed_ops_parts(const struct timed_ops *timed, struct timed_part *parts, size_t room);

#endif
