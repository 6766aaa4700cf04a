/* cuBLASLt, loaded when the first GPU is opened: its half gigabyte would slow down the start of
 * every command, and a machine without it still runs the CPU's. */
#ifndef NCLIP_KERNELS_CUDA_CUBLASLT_LIBRARY_H
#define NCLIP_KERNELS_CUDA_CUBLASLT_LIBRARY_H

#include "nclip/support/shared_library.h"

#include <cublasLt.h>

#define NC_CUBLASLT_FUNCTIONS(F)                                                                   \
    F(cublasLtCreate)                                                                              \
    F(cublasLtDestroy)                                                                             \
    F(cublasLtGetStatusString)                                                                     \
    F(cublasLtGetVersion)                                                                          \
    F(cublasLtMatmul)                                                                              \
    F(cublasLtMatmulAlgoCheck)                                                                     \
    F(cublasLtMatmulAlgoConfigSetAttribute)                                                        \
    F(cublasLtMatmulAlgoGetHeuristic)                                                              \
    F(cublasLtMatmulDescCreate)                                                                    \
    F(cublasLtMatmulDescDestroy)                                                                   \
    F(cublasLtMatmulDescSetAttribute)                                                              \
    F(cublasLtMatmulPreferenceCreate)                                                              \
    F(cublasLtMatmulPreferenceDestroy)                                                             \
    F(cublasLtMatmulPreferenceSetAttribute)                                                        \
    F(cublasLtMatrixLayoutCreate)                                                                  \
    F(cublasLtMatrixLayoutDestroy)

/* Functions by their own names. */
struct nc_cublaslt {
    NC_CUBLASLT_FUNCTIONS(NC_SHARED_LIBRARY_MEMBER)
};

/* Loads it, once a process; it stays. NC_FAILED says where it was looked for. */
int nc_cublaslt_load(const struct nc_cublaslt **library);

#endif
