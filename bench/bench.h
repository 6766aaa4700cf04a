/* The benchmarks of nclip-bench, one file each; main.c runs them. */
#ifndef NCLIP_BENCH_H
#define NCLIP_BENCH_H

#include "nclip/cli/command.h"

extern const struct nc_command bench_kernels;
extern const struct nc_command bench_train;
extern const struct nc_command bench_scale;
extern const struct nc_command bench_embed;
extern const struct nc_command bench_evaluate;
extern const struct nc_command bench_stream;

#endif
