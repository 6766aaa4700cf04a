/* Fills the table of operations with the GPU's, and keeps the backend's state. */
#include "cuda.h"

#include <cstdlib>

int nc_cuda_check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return NC_OK;
    (void)cudaGetLastError(); /* it would stick to the next launch */
    return nc_error(NC_FAILED, "cuda: %s failed: %s (%s)", what, cudaGetErrorString(error),
                    cudaGetErrorName(error));
}

bool nc_cuda_capturing(const struct nc_backend *backend)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    return cudaStreamIsCapturing(backend->compute, &status) != cudaSuccess ||
           status != cudaStreamCaptureStatusNone;
}

static void fill_table(struct nc_ops *ops)
{
    ops->host_memory = false;
    ops->allocate = nc_cuda_allocate;
    ops->release = nc_cuda_release;
    ops->upload = nc_cuda_upload;
    ops->download = nc_cuda_download;
    ops->copy = nc_cuda_copy;
    ops->zero = nc_cuda_zero;
    ops->fill = nc_cuda_fill;
    ops->synchronize = nc_cuda_synchronize;
    ops->allocate_host = nc_cuda_allocate_host;
    ops->release_host = nc_cuda_release_host;
    ops->copy_queued = nc_cuda_copy_queued;
    ops->mark = nc_cuda_mark;
    ops->queue_wait = nc_cuda_queue_wait;
    ops->host_wait = nc_cuda_host_wait;
    ops->elapsed = nc_cuda_elapsed;
    ops->record_begin = nc_cuda_record_begin;
    ops->record_end = nc_cuda_record_end;
    ops->record_abandon = nc_cuda_record_abandon;
    ops->record_launches = nc_cuda_record_launches;
    ops->convert = nc_cuda_convert;
    ops->linear = nc_cuda_linear;
    ops->linear_backward_input = nc_cuda_linear_backward_input;
    ops->linear_backward_weight = nc_cuda_linear_backward_weight;
    ops->attention_supported = nc_cuda_attention_supported;
    ops->attention_scratch = nc_cuda_attention_scratch;
    ops->attention_forward = nc_cuda_attention_forward;
    ops->attention_backward = nc_cuda_attention_backward;
    ops->attention_full = nc_cuda_attention_full;
    ops->layernorm_forward = nc_cuda_layernorm_forward;
    ops->layernorm_scratch = nc_cuda_layernorm_scratch;
    ops->layernorm_backward = nc_cuda_layernorm_backward;
    ops->activation_forward = nc_cuda_activation_forward;
    ops->activation_backward = nc_cuda_activation_backward;
    ops->embedding_forward = nc_cuda_embedding_forward;
    ops->embedding_scratch = nc_cuda_embedding_scratch;
    ops->embedding_backward = nc_cuda_embedding_backward;
    ops->gather = nc_cuda_gather;
    ops->scatter = nc_cuda_scatter;
    ops->normalize_forward = nc_cuda_normalize_forward;
    ops->normalize_backward = nc_cuda_normalize_backward;
    ops->infonce_scratch = nc_cuda_infonce_scratch;
    ops->infonce_forward = nc_cuda_infonce_forward;
    ops->infonce_backward = nc_cuda_infonce_backward;
    ops->infonce_loss = nc_cuda_infonce_loss;
    ops->sigmoid_scratch = nc_cuda_sigmoid_scratch;
    ops->sigmoid = nc_cuda_sigmoid;
    ops->own_terms_scratch = nc_cuda_own_terms_scratch;
    ops->own_terms = nc_cuda_own_terms;
    ops->adamw = nc_cuda_adamw;
    ops->rmsprop = nc_cuda_rmsprop;
    ops->sgd = nc_cuda_sgd;
    ops->clip = nc_cuda_clip;
    ops->squared_norm = nc_cuda_squared_norm;
}

void nc_cuda_destroy(struct nc_backend *backend)
{
    if (!backend)
        return;
    if (backend->compute)
        (void)cudaStreamSynchronize(backend->compute);
    nc_cuda_recorder_destroy(backend);
    nc_cuda_vision_destroy(backend);
    nc_cuda_queues_destroy(backend);
    nc_cuda_gemm_destroy(backend->gemm);
    (void)cudaFree(backend->partial);
    (void)cudaFree(backend->arrived);
    nc_cuda_faults_destroy(backend);
    if (backend->copy)
        (void)cudaStreamDestroy(backend->copy);
    if (backend->compute)
        (void)cudaStreamDestroy(backend->compute);
    free(backend);
}

/* Whether there is a GPU of that number that these kernels run on. */
static int open_device(struct nc_backend *backend, int device)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
        (void)cudaGetLastError();
        if (error == cudaSuccess || error == cudaErrorNoDevice)
            return nc_error(NC_FAILED, "cuda: this machine has no NVIDIA GPU; use --device cpu");
        if (error == cudaErrorInsufficientDriver)
            return nc_error(NC_FAILED, "cuda: no NVIDIA driver is loaded, or it is older than "
                                       "this program's CUDA; use --device cpu");
        return nc_error(NC_FAILED, "cuda: the GPUs cannot be counted: %s",
                        cudaGetErrorString(error));
    }
    if (device < 0 || device >= count)
        return nc_error(NC_USAGE,
                        "cuda: there is no GPU number %d; this machine has %d, counted "
                        "from 0",
                        device, count);
    cudaDeviceProp properties;
    int status = nc_cuda_check(cudaSetDevice(device), "choosing the GPU");
    if (status == NC_OK)
        status = nc_cuda_check(cudaGetDeviceProperties(&properties, device),
                               "asking for the GPU's properties");
    if (status != NC_OK)
        return status;
    if (properties.major < 8)
        return nc_error(NC_FAILED,
                        "cuda: GPU %d (%s) has compute capability %d.%d; 8.0 or newer "
                        "is needed for bf16",
                        device, properties.name, properties.major, properties.minor);
    if (properties.sharedMemPerBlockOptin < NC_CUDA_SHARED)
        return nc_error(NC_FAILED,
                        "cuda: GPU %d (%s) gives a block of threads %zu KiB of shared memory; %d "
                        "are needed; use --device cpu",
                        device, properties.name, properties.sharedMemPerBlockOptin / 1024,
                        NC_CUDA_SHARED / 1024);
    backend->device = device;
    backend->shared_bytes = properties.sharedMemPerBlockOptin;
    backend->reads_pageable = properties.pageableMemoryAccess;
    backend->major = properties.major;
    backend->minor = properties.minor;
    backend->multiprocessors = properties.multiProcessorCount;
    return NC_OK;
}

static int allocate_partial(struct nc_backend *backend)
{
    void *partial = NULL, *arrived = NULL;
    size_t bytes = NC_CUDA_ARRIVALS * sizeof *backend->arrived;
    int status = nc_cuda_allocate(backend, NC_CUDA_PARTIALS * sizeof *backend->partial, &partial);
    if (status == NC_OK)
        status = nc_cuda_allocate(backend, bytes, &arrived);
    backend->partial = (double *)partial;
    backend->arrived = (uint32_t *)arrived;
    return status == NC_OK ? nc_cuda_zero(backend, arrived, bytes) : status;
}

int nc_cuda_create(int device, struct nc_ops *ops)
{
    struct nc_backend *backend = (struct nc_backend *)calloc(1, sizeof *backend);
    if (!backend)
        return nc_error(NC_FAILED, "cuda: no memory");
    int status = open_device(backend, device);
    if (status == NC_OK)
        status = nc_cuda_find_early(backend);
    if (status == NC_OK)
        status = nc_cuda_check(cudaStreamCreateWithFlags(&backend->compute, cudaStreamNonBlocking),
                               "creating a stream");
    if (status == NC_OK)
        status = nc_cuda_check(cudaStreamCreateWithFlags(&backend->copy, cudaStreamNonBlocking),
                               "creating a stream");
    if (status == NC_OK)
        status = nc_cuda_queues_create(backend);
    if (status == NC_OK)
        status = nc_cuda_recorder_create(backend);
    if (status == NC_OK)
        status = nc_cuda_vision_create(backend);
    if (status == NC_OK)
        status = nc_cuda_faults_create(backend);
    if (status == NC_OK)
        status = allocate_partial(backend);
    if (status == NC_OK)
        status = nc_cuda_gemm_create(backend, &backend->gemm);
    if (status != NC_OK) {
        nc_cuda_destroy(backend);
        return status;
    }
    fill_table(ops);
    ops->backend = backend;
    ops->own_bytes = backend->allocated;
    return NC_OK;
}
