/* How the GPU adds up the products of a matrix product. */
#ifndef NCLIP_TESTS_EMULATED_SUMS_H
#define NCLIP_TESTS_EMULATED_SUMS_H

#include <cstddef>

/* sum[i] += a[k][i] b[k] for k < count and i < width; a's rows are `stride` apart.
 *
 * In fp32 each product is added by a fused multiply-add, in the order of k, as the vector units
 * do it that cuBLAS takes for fp32.
 *
 * Tensor cores (bf16, fp16 into fp32) take 16 products at a time, as measured on an H100 (Xie et
 * al. 2025, "MMA-Sim", arXiv 2511.10909; Khattak, Mikaitis 2025, arXiv 2512.07004): products are
 * exact; each, and the sum so far, is cut off 25 binary places behind the largest one's leading
 * bit; what is left is added exactly; the result is cut off to fp32. Nothing is rounded to nearest,
 * so that errors of a long sum do not cancel but add up towards zero. */
void nc_emulated_add_in_order(float *sum, size_t width, const float *a, size_t stride,
                              const float *b, size_t count);
void nc_emulated_add_in_tensor_cores(float *sum, size_t width, const float *a, size_t stride,
                                     const float *b, size_t count);

#endif
