/* A table of operations that measures another: each call's seconds, and the flops of
 * dense products. On a backend that returns early each call is then waited for and nothing is
 * recorded, so the sum of the parts is more than an unmeasured step takes. */
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
/* Starts at zero; measures from now on, or with `on` false passes calls on as they are, which is
 * how it begins. */
void timed_ops_start(struct timed_ops *timed, bool on);

/* The parts with at least one call since the start, the longest first. `room` parts. */
size_t timed_ops_parts(const struct timed_ops *timed, struct timed_part *parts, size_t room);

#endif
