/* Products of bf16 matrices on processors that multiply none. */
#ifndef NCLIP_KERNELS_CPU_WIDENED_H
#define NCLIP_KERNELS_CPU_WIDENED_H

#include "cpu.h"
#include "onednn.h"

/* As nc_onednn_product_run, with the same rounding: the operands are bf16, sums, bias, residual and
 * activation are fp32, and the result is rounded once. With `add`, a weight's gradient is added to
 * what is there. `packed` and `dbias` are not looked at. The status is oneDNN's. */
int nc_cpu_widened_product(struct nc_backend *backend, const struct nc_product_shape *shape,
                           const struct nc_product_operands *operands, bool add);

size_t nc_cpu_widened_workspace(void); /* bytes a thread */

#endif
