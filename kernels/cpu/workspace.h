/* Scratch of the attention kernels: a part for each thread, which belongs to the backend. */
#ifndef NCLIP_KERNELS_CPU_WORKSPACE_H
#define NCLIP_KERNELS_CPU_WORKSPACE_H

#include "cpu.h"

/* At least `bytes` for each thread; parts start on cache lines, `*stride` bytes apart. Grows
 * to the largest request and stays. Call it outside of parallel regions. */
int nc_cpu_workspace(struct nc_backend *backend, size_t bytes, char **base, size_t *stride);

#endif
