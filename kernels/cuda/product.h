/* One dense product of a linear layer: the interface between gemm.cu, which knows the operations,
 * and cublaslt.cu, which knows the library.
 *
 *   NC_FORWARD          d[rows, out] = a[rows, in] b[out, in]^T + bias + addend
 *   NC_BACKWARD_INPUT   d[rows, in]  = a[rows, out] b[out, in]
 *   NC_BACKWARD_WEIGHT  d[out, in]   = b[rows, out]^T a[rows, in] + addend;  column_sums of b
 *
 * rows, in and out are at least 1. Enqueued on backend->compute. */
#ifndef NCLIP_KERNELS_CUDA_PRODUCT_H
#define NCLIP_KERNELS_CUDA_PRODUCT_H

#include "cuda.h"

enum nc_cuda_product_kind { NC_FORWARD, NC_BACKWARD_INPUT, NC_BACKWARD_WEIGHT };

struct nc_cuda_product {
    enum nc_cuda_product_kind kind;
    const char *operation; /* for messages */
    enum nc_type type;     /* of a and b */
    enum nc_type d_type;   /* of d, bias and addend */
    size_t rows, in, out;
    const void *a, *b;
    const void *bias;   /* forward: [out] d_type, aligned to 16 bytes; or NULL */
    const void *addend; /* as d, may be d; or NULL */
    void *d;
    float *column_sums; /* backward weight: = [out] fp32, aligned to 16 bytes; or NULL */
    float *partial;     /* with column_sums: scratch of nc_cuda_sum_columns, while they are timed */
};

struct nc_cuda_products; /* the library's handle, workspace and chosen algorithms */

int nc_cuda_products_create(struct nc_backend *backend, struct nc_cuda_products **products);
void nc_cuda_products_destroy(struct nc_cuda_products *products);

/* The library's version as text of NC_VERSION_SIZE (nclip/devices.h); "" where it is not there. */
void nc_cuda_products_version(char *text);

/* *apart: the bias was not added, or column_sums not made: it is faster, or possible, only so. */
int nc_cuda_product(struct nc_backend *backend, struct nc_cuda_products *products,
                    const struct nc_cuda_product *product, bool *apart);

#endif
