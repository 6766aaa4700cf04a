/* Full attention over packed captions: attention.cu and attention_backward.cu hand it on, checked. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_UNMASKED_H
#define NCLIP_KERNELS_CUDA_ATTENTION_UNMASKED_H

#include "cuda.h"

int nc_cuda_attention_unmasked_forward(struct nc_backend *backend, const struct nc_attention *a);
int nc_cuda_attention_unmasked_backward(struct nc_backend *backend, const struct nc_attention *a);

#endif
