/* One measured thing a file; the driver is main.c. */
#ifndef NCLIP_BENCH_H
#define NCLIP_BENCH_H

#include "nclip/cli/command.h"

extern const struct nc_command bench_kernels;
extern const struct nc_command bench_train;
extern const struct nc_command bench_scale;
extern const struct nc_command bench_evaluate;

#endif
