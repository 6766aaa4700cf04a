/* The cases of a check (nclip/train/check.h): a case makes its inputs, calls its operations and
 * names its outputs. It runs twice, on the oracle in fp32 and on the device, with the same numbers.
 * */
#ifndef NCLIP_HOST_TRAIN_CHECK_CASES_H
#define NCLIP_HOST_TRAIN_CHECK_CASES_H

#include "nclip/captions/packing.h"
#include "nclip/ops.h"

#include <stdbool.h>

enum { CHECK_BLOCKS = 64, CHECK_OUTPUTS = 64 };

struct check_output {
    const void *data;
    size_t count;
    enum nc_type type;
};

struct check_world {
    struct nc_ops *ops;
    enum nc_type type; /* of this run */
    bool rounded;      /* inputs are numbers of bf16: the device's run is in it */
    int status;        /* the first error */
    struct {
        void *data;
        size_t bytes;
    } blocks[CHECK_BLOCKS];
    size_t count;
    struct check_output outputs[CHECK_OUTPUTS];
    size_t output_count;
    uint64_t seed;
};

struct check_case {
    const char *what, *shape;
    bool fp32_only, real;
    size_t a, b, c; /* sizes, as the case takes them */
    void (*run)(struct check_world *w, const struct check_case *c);
};

extern const struct check_case check_cases[];
extern const size_t check_case_count;

/* training.c: a forward and a backward pass of a text tower, all gradients; and what AdamW makes of
 * its parameters with them. */
void check_training(struct check_world *w, const struct check_case *c);
void check_training_step(struct check_world *w, const struct check_case *c);

/* ranks.c: every operation between ranks; base as nc_check_device has it. */
struct nc_communicator;
struct nc_check_row;
void check_ranks(struct nc_ops *ops, struct nc_communicator *base, struct nc_check_row *row);

/* world.c. Memory full of NaNs; numbers; all NULL after an error. */
void *check_memory(struct check_world *w, size_t count, enum nc_type type);
void *check_numbers(struct check_world *w, size_t count, enum nc_type type, double size);
float *check_filled(struct check_world *w, size_t count, float value);
void *check_upload(struct check_world *w, const void *data, size_t bytes);
void check_put_out(struct check_world *w, const void *data, size_t count, enum nc_type type);
void check_call(struct check_world *w, int status);
double check_number(uint64_t *state); /* -1 to 1 */
void check_clear(struct check_world *w); /* releases its memory */

#endif
