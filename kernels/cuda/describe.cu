/* Describes this machine's GPUs, in the order in which CUDA numbers them (nclip/devices.h). */
#include "nclip/devices.h"

#include "cudnn.h"
#include "product.h"

#include <cstdio>
#include <cstring>

/* CUDA counts 13.1 as 13010. */
static void version_text(char *text, int version)
{
    if (version > 0)
        snprintf(text, NC_VERSION_SIZE, "%d.%d", version / 1000, version % 1000 / 10);
}

static void describe_gpu(struct nc_gpu *gpu, int number)
{
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, number) != cudaSuccess)
        return;
    snprintf(gpu->name, sizeof gpu->name, "%s", properties.name);
    gpu->major = properties.major;
    gpu->minor = properties.minor;
    gpu->multiprocessors = properties.multiProcessorCount;
    gpu->memory = properties.totalGlobalMem;
    gpu->usable = properties.major >= 8;
    size_t total;
    if (cudaSetDevice(number) != cudaSuccess || cudaMemGetInfo(&gpu->available, &total) != cudaSuccess) {
        (void)cudaGetLastError();
        gpu->available = 0;
    }
}

void nc_gpus_describe(struct nc_gpu_support *s)
{
    *s = {};
    s->built = true;
    int version = 0, count = 0, usable = 0;
    if (cudaRuntimeGetVersion(&version) == cudaSuccess)
        version_text(s->toolkit, version);
    version = 0;
    if (cudaDriverGetVersion(&version) == cudaSuccess)
        version_text(s->driver, version);
    nc_cuda_products_version(s->cublaslt);
    size_t cudnn = nc_cuda_cudnn_version();
    if (cudnn)
        snprintf(s->cudnn, sizeof s->cudnn, "%zu.%zu.%zu", cudnn / 10000, cudnn / 100 % 100, cudnn % 100);
    cudaError_t error = cudaGetDeviceCount(&count);
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver) {
        snprintf(s->problem, sizeof s->problem,
                 "no NVIDIA driver is loaded, or it is older than CUDA %s, which this program was built with",
                 s->toolkit);
        return;
    }
    if (error != cudaSuccess || !count) {
        snprintf(s->problem, sizeof s->problem, "this machine has no NVIDIA GPU");
        return;
    }
    int current = 0; /* of this thread, as an open backend needs it */
    bool known = cudaGetDevice(&current) == cudaSuccess;
    s->count = (size_t)(count < NC_MOST_GPUS ? count : NC_MOST_GPUS);
    for (size_t i = 0; i < s->count; i++) {
        describe_gpu(&s->gpus[i], (int)i);
        usable += s->gpus[i].usable;
    }
    if (known)
        (void)cudaSetDevice(current);
    if (!usable)
        snprintf(s->problem, sizeof s->problem,
                 "no GPU here is of compute capability 8.0 or newer, which bf16 needs");
    else if (!*s->cublaslt)
        snprintf(s->problem, sizeof s->problem,
                 "cuBLASLt was not found; install CUDA's libraries or add their folder to LD_LIBRARY_PATH");
}
