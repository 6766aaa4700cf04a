/* Memory of the GPU: blocks, copies, fills, conversions.
 *
 * copy and convert move (bytes in + bytes out), zero and fill their bytes once; no flops.
 * Bytes for the 124M parameters of ViT-L/14's text tower: to bf16 and back 6 each, 0.74 GB,
 * implied 0.22 ms at 3.35 TB/s (NVIDIA H100 SXM datasheet). */
#include "cuda.h"

#include <cstdlib>
#include <cstring>
#include <type_traits>

enum {
    THREADS = 256,
    BLOCKS_EACH = 8, /* per multiprocessor: a grid that fills the chip and strides */
};

static unsigned blocks_for(const struct nc_backend *backend, size_t pieces)
{
    size_t wanted = (pieces + THREADS - 1) / THREADS;
    size_t most = (size_t)backend->multiprocessors * BLOCKS_EACH;
    return (unsigned)(wanted < most ? (wanted ? wanted : 1) : most);
}

/* With NCLIP_CUDA_FILL=nan, as the tests have it, new memory is full of NaNs: the driver's is zero
 * mostly, and what was never written would not show. */
static int fill_new(struct nc_backend *backend, void *data, size_t bytes)
{
    const char *fill = getenv("NCLIP_CUDA_FILL");
    if (!fill || strcmp(fill, "nan") != 0)
        return NC_OK;
    return nc_cuda_check(cudaMemsetAsync(data, 0xff, bytes, backend->compute), "a fill");
}

int nc_cuda_allocate(struct nc_backend *backend, size_t bytes, void **out)
{
    *out = NULL;
    cudaError_t error = cudaMalloc(out, bytes ? bytes : 1);
    if (error == cudaSuccess) {
        backend->allocated += bytes;
        return fill_new(backend, *out, bytes);
    }
    *out = NULL;
    (void)cudaGetLastError();
    if (error == cudaErrorMemoryAllocation)
        return nc_error(NC_FAILED, "cuda: no memory for %zu bytes; a smaller batch needs less",
                        bytes);
    return nc_cuda_check(error, "cudaMalloc");
}

void nc_cuda_release(struct nc_backend *backend, void *data, size_t bytes)
{
    if (!data)
        return;
    backend->allocated -= bytes;
    (void)cudaFree(data); /* waits for what still uses it */
    nc_cuda_record_forget(backend);
}

/* Pageable memory is copied into the driver's own before cudaMemcpyAsync returns, unless the GPU can
 * read it where it is (Grace Hopper, or Linux's HMM): then nothing is promised, and we wait. */
int nc_cuda_upload(struct nc_backend *backend, void *destination, const void *host, size_t bytes)
{
    if (!bytes)
        return NC_OK;
    int status = nc_cuda_check(
        cudaMemcpyAsync(destination, host, bytes, cudaMemcpyHostToDevice, backend->compute),
        "a copy to the GPU");
    return status == NC_OK && backend->reads_pageable
               ? nc_cuda_check(cudaStreamSynchronize(backend->compute), "a copy to the GPU")
               : status;
}

int nc_cuda_download(struct nc_backend *backend, void *host, const void *source, size_t bytes)
{
    int status = NC_OK;
    if (bytes)
        status = nc_cuda_check(
            cudaMemcpyAsync(host, source, bytes, cudaMemcpyDeviceToHost, backend->compute),
            "a copy from the GPU");
    return status == NC_OK ? nc_cuda_synchronize(backend) : status;
}

int nc_cuda_copy(struct nc_backend *backend, void *destination, const void *source, size_t bytes)
{
    if (!bytes)
        return NC_OK;
    return nc_cuda_check(
        cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToDevice, backend->compute),
        "a copy on the GPU");
}

int nc_cuda_zero(struct nc_backend *backend, void *data, size_t bytes)
{
    if (!bytes)
        return NC_OK;
    return nc_cuda_check(cudaMemsetAsync(data, 0, bytes, backend->compute), "cudaMemsetAsync");
}

int nc_cuda_synchronize(struct nc_backend *backend)
{
    int status = nc_cuda_check(cudaStreamSynchronize(backend->compute), "the GPU's work");
    return status == NC_OK ? nc_cuda_take_fault(backend) : status;
}

/* ---- Fill ------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS)
    fill_kernel(float *__restrict__ data, float value, size_t count)
{
    size_t first = (size_t)blockIdx.x * THREADS + threadIdx.x, step = (size_t)gridDim.x * THREADS;
    float four[4] = {value, value, value, value};
    size_t head = (16 - (uintptr_t)data % 16) % 16 / sizeof *data; /* up to the first multiple */
    head = head < count ? head : count;
    size_t whole = (count - head) / 4, tail = head + whole * 4;
    for (size_t i = first; i < whole; i += step)
        nc_store4(data + head + i * 4, four);
    if (first < head)
        data[first] = value;
    if (first < count - tail)
        data[tail + first] = value;
}

int nc_cuda_fill(struct nc_backend *backend, float *data, float value, size_t count)
{
    if (!count)
        return NC_OK;
    return NC_LAUNCH(fill_kernel, blocks_for(backend, (count + 3) / 4), THREADS, 0,
                     backend->compute, data, value, count);
}

/* ---- Conversions ------------------------------------------------------------------------- */

struct float16 {
    uint16_t bits;
};

static __device__ __forceinline__ float nc_load1(const float16 *from)
{
    return nc_from_float16(from->bits);
}

static __device__ __forceinline__ void nc_store1(float16 *to, float value)
{
    to->bits = nc_to_float16(value);
}

/* Whole groups of `lanes` numbers, then the rest one by one. */
template <int lanes, typename To, typename From>
static __global__ void __launch_bounds__(THREADS)
    convert_kernel(To *__restrict__ to, const From *__restrict__ from, size_t count)
{
    size_t first = (size_t)blockIdx.x * THREADS + threadIdx.x, step = (size_t)gridDim.x * THREADS;
    size_t done = 0;
    if constexpr (lanes == 4) {
        size_t whole = count / 4;
        for (size_t i = first; i < whole; i += step) {
            float v[4];
            nc_load4_stream(v, from + i * 4);
            nc_store4(to + i * 4, v);
        }
        done = whole * 4;
    }
    for (size_t i = done + first; i < count; i += step)
        nc_store1(to + i, nc_load1(from + i));
}

static bool aligned(const void *a, const void *b)
{
    return ((uintptr_t)a | (uintptr_t)b) % 16 == 0;
}

template <typename To, typename From>
static int convert(struct nc_backend *backend, void *destination, const void *source, size_t count,
                   bool wide)
{
    if constexpr (std::is_same_v<To, From>) {
        return nc_cuda_copy(backend, destination, source, count * sizeof(To));
    } else {
        To *to = (To *)destination;
        const From *from = (const From *)source;
        if constexpr (!std::is_same_v<To, float16> && !std::is_same_v<From, float16>)
            if (wide)
                return NC_LAUNCH((convert_kernel<4, To, From>),
                                 blocks_for(backend, (count + 3) / 4), THREADS, 0, backend->compute,
                                 to, from, count);
        return NC_LAUNCH((convert_kernel<1, To, From>), blocks_for(backend, count), THREADS, 0,
                         backend->compute, to, from, count);
    }
}

template <typename From>
static int convert_from(struct nc_backend *backend, void *destination, enum nc_type type,
                        const void *source, size_t count)
{
    bool wide = aligned(destination, source);
    switch (type) {
    case NC_FLOAT32:
        return convert<float, From>(backend, destination, source, count, wide);
    case NC_BFLOAT16:
        return convert<nc_bfloat16, From>(backend, destination, source, count, wide);
    case NC_FLOAT16:
        return convert<float16, From>(backend, destination, source, count, wide);
    }
    return nc_error(NC_FAILED, "convert: there is no element type %d", (int)type);
}

int nc_cuda_convert(struct nc_backend *backend, void *destination, enum nc_type destination_type,
                    const void *source, enum nc_type source_type, size_t count)
{
    if (!count)
        return NC_OK;
    switch (source_type) {
    case NC_FLOAT32:
        return convert_from<float>(backend, destination, destination_type, source, count);
    case NC_BFLOAT16:
        return convert_from<nc_bfloat16>(backend, destination, destination_type, source, count);
    case NC_FLOAT16:
        return convert_from<float16>(backend, destination, destination_type, source, count);
    }
    return nc_error(NC_FAILED, "convert: there is no element type %d", (int)source_type);
}
