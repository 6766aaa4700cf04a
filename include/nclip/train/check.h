/* Whether a device computes what the processor computes: every operation at ragged and at real
 * shapes, a training step's gradients and what it makes of the parameters, replayed recordings,
 * what is said of mistakes, and operations between ranks. For nclip doctor --check and for the
 * tests, which share the cases. */
#ifndef NCLIP_TRAIN_CHECK_H
#define NCLIP_TRAIN_CHECK_H

#include "nclip/ops.h"

#include <stdbool.h>

struct nc_communicator;

enum nc_check_result { NC_CHECK_RIGHT, NC_CHECK_WRONG, NC_CHECK_LEFT_OUT };

struct nc_check_row {
    const char *what;      /* "attention_backward" */
    const char *shape;     /* "7 captions of 1 to 77 tokens"; "" */
    const char *precision; /* "fp32", "bf16"; "" */
    enum nc_check_result result;
    double error, allowed; /* root of the mean square, relative to that of the oracle; the largest
                              of all outputs */
    double seconds;        /* on the device */
    char message[200];     /* what is wrong, or why it was left out */
};

/* Checks `ops` against the backend "cpu" in fp32; `say` hears of each row. `ranks`: the processes
 * that a launcher started, which all call this; NULL: this one alone, which then joins the GPUs of
 * this machine. `real`: at real shapes, too. Returns NC_FAILED where it could not go on; a wrong
 * row is no error. */
int nc_check_device(struct nc_ops *ops, struct nc_communicator *ranks, bool real,
                    void (*say)(void *context, const struct nc_check_row *row), void *context);

#endif
