/* The cases of nclip-bench kernels: each operation at the shapes of CLIP's text towers, with
 * random inputs in the backend's memory, and the bytes and flops that no implementation can do
 * without. A peer measures the same case under the same name. */
#ifndef NCLIP_BENCH_KERNEL_CASES_H
#define NCLIP_BENCH_KERNEL_CASES_H

#include "nclip/ops.h"

#include <stdbool.h>

enum kernel_ceiling { CEILING_COPY, CEILING_MATRIX };

struct kernel_case {
    const char *operation; /* "attention_forward" */
    const char *shape;     /* "ViT-L/14", or what was measured: "B=65536 D=768" */
    const char *lengths;   /* "real", "77"; NULL where captions play no part */
    enum kernel_ceiling ceiling;
    double bytes, flops; /* that must move; that must be done */
    int (*run)(struct nc_ops *ops, struct kernel_case *c);
    void *state; /* the inputs; freed by kernel_case_close */
};

/* How the case list is cut. */
struct kernel_choice {
    const char *operation; /* NULL: all */
    const char *shape;     /* NULL: all */
    size_t captions;       /* a batch */
    size_t most_pairs;     /* the largest InfoNCE */
    size_t parameters;     /* of AdamW and of a norm; 0: the tower's */
};

/* The name of operation i, NULL behind the last. */
const char *kernel_operation(size_t i);

/* Opens the case number *index or the next one that the choice lets through, and moves *index
 * behind it; NC_OK with c->run NULL after the last. One case is open at a time. */
int kernel_case_open(struct nc_ops *ops, const struct kernel_choice *choice, size_t *index,
                     struct kernel_case *c);
void kernel_case_close(struct nc_ops *ops, struct kernel_case *c);

#endif
