/* cuDNN's attention for the frozen vision tower, an alternative to ours where it is faster. cuDNN
 * is used for nothing else. It is optional: its headers at build time, and its library at run
 * time. */
#ifndef NCLIP_KERNELS_CUDA_CUDNN_H
#define NCLIP_KERNELS_CUDA_CUDNN_H

#include "cuda.h"

struct nc_cuda_cudnn;

/* *out stays NULL where cuDNN is not there or too old (9.13.1 has the operation). */
int nc_cuda_cudnn_create(struct nc_backend *backend, struct nc_cuda_cudnn **out);
void nc_cuda_cudnn_destroy(struct nc_cuda_cudnn *cudnn);

/* Full attention in bf16. *done: false where cuDNN has no engine for the shape, or would have to
 * build one while a stream is captured; nothing was touched then. */
int nc_cuda_cudnn_attention(struct nc_backend *backend, struct nc_cuda_cudnn *cudnn,
                            const struct nc_attention_full *attention, bool *done);

/* Of the library that would be used; 0: none. */
size_t nc_cuda_cudnn_version(void);

#endif
