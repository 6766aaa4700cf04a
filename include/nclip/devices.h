/* The processor and the GPUs of this machine, what this program can do with them (for nclip doctor),
 * and the stream that it computes on. */
#ifndef NCLIP_DEVICES_H
#define NCLIP_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NC_MOST_GPUS = 16, NC_VERSION_SIZE = 32, NC_KERNEL_NAME_SIZE = 64 };

struct nc_cpu_support {
    const char *level;            /* of processor: whose kernels are taken here */
    char levels[64];              /* that this program has kernels for, from the least to the most */
    char onednn[NC_VERSION_SIZE]; /* the release of the library that multiplies matrices */
    const char *isa;              /* the instructions that it uses here, by its own name */
    char fp32_kernel[NC_KERNEL_NAME_SIZE], bf16_kernel[NC_KERNEL_NAME_SIZE]; /* its names of them */
    bool multiplies_bf16; /* if not, bf16 is widened in passing and multiplied as fp32 */
};

/* NC_USAGE where NCLIP_CPU names a level that there is not; the rest is filled in any case. */
int nc_cpu_describe(struct nc_cpu_support *support);

struct nc_gpu {
    char name[256];
    int major, minor; /* compute capability */
    int multiprocessors;
    size_t memory, available; /* bytes; 0: not known */
    bool usable;              /* new enough for these kernels */
};

/* Versions are text, "" where there is none. */
struct nc_gpu_support {
    bool built;       /* the CUDA backend is in this program */
    char problem[256]; /* why no GPU can be used, one sentence; "" where one can */
    char toolkit[NC_VERSION_SIZE], driver[NC_VERSION_SIZE]; /* CUDA it was built with; that the driver knows */
    char cublaslt[NC_VERSION_SIZE], cudnn[NC_VERSION_SIZE];
    size_t count;
    struct nc_gpu gpus[NC_MOST_GPUS];
};

void nc_gpus_describe(struct nc_gpu_support *support);

/* The cudaStream_t of a CUDA backend's compute queue, for NCCL; it lives as long as the backend.
 * Only in a program that was built with CUDA. */
struct nc_backend;
void *nc_cuda_stream(const struct nc_backend *backend);

#ifdef __cplusplus
}
#endif
#endif
