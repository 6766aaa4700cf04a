/* Random inputs in a backend's memory, released together. */
#ifndef NCLIP_BENCH_KERNEL_INPUTS_H
#define NCLIP_BENCH_KERNEL_INPUTS_H

#include "nclip/captions/packing.h"
#include "nclip/ops.h"

struct kernel_inputs {
    struct nc_ops *ops;
    struct kernel_block {
        void *data;
        size_t bytes;
    } blocks[24];
    size_t count;
    uint64_t seed;
    int status; /* the first error; later calls do nothing and return NULL */
    struct nc_packing packing;
};

void kernel_inputs_open(struct kernel_inputs *inputs, struct nc_ops *ops);
void kernel_inputs_close(struct kernel_inputs *inputs);

/* Not initialised. */
void *kernel_memory(struct kernel_inputs *inputs, size_t bytes);
/* `count` numbers of `type` between -size and size. */
void *kernel_numbers(struct kernel_inputs *inputs, size_t count, enum nc_type type, float size);
/* Rows of length 1. */
void *kernel_unit_rows(struct kernel_inputs *inputs, size_t rows, size_t width, enum nc_type type);
/* `count` times `value`. */
float *kernel_filled(struct kernel_inputs *inputs, size_t count, float value);
void *kernel_upload(struct kernel_inputs *inputs, const void *host, size_t bytes);

/* Packs `captions` captions without shared prefixes: lengths as in COCO's captions, or `tokens`
 * each where that is not 0. */
void kernel_pack(struct kernel_inputs *inputs, size_t captions, size_t tokens);

#endif
