/* The two functions that each backend gives to the table of backends (backends.c). `create` fills
 * the operations and allocates their state for a device, or says why it cannot; `destroy` frees
 * the state (NULL is allowed). */
#ifndef NCLIP_KERNELS_BACKENDS_H
#define NCLIP_KERNELS_BACKENDS_H

#include "nclip/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

int nc_cpu_create(int device, struct nc_ops *ops); /* any device: it is ignored */
void nc_cpu_destroy(struct nc_backend *backend);

int nc_cuda_create(int device, struct nc_ops *ops); /* NC_USAGE for a GPU that is not there */
void nc_cuda_destroy(struct nc_backend *backend);

#ifdef __cplusplus
}
#endif
#endif
