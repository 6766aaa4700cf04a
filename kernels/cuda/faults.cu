/* Reports indices outside their table (cuda.h), which kernels find, to the host.
 *
 * The first kernel that finds one writes it to page-locked memory of the host, in one piece of 8
 * bytes. When the host has waited for the kernel's end, it sees the report there without a copy: a
 * wait costs nothing more, and a capture is not disturbed. */
#include "cuda.h"

#include <cstdio>

int nc_cuda_faults_create(struct nc_backend *backend)
{
    void *fault = NULL, *seen = NULL;
    cudaError_t error = cudaMalloc(&fault, sizeof *backend->fault);
    if (error == cudaSuccess)
        error = cudaMallocHost(&seen, sizeof *backend->fault_seen);
    backend->fault = (struct nc_cuda_fault *)fault;
    backend->fault_seen = (uint64_t *)seen;
    if (error != cudaSuccess)
        return nc_cuda_check(error, "allocating the backend's state");
    *backend->fault_seen = 0;
    /* Page-locked memory has one address on both sides ("unified addressing"). */
    const struct nc_cuda_fault none = {NC_CUDA_NOTHING_WRONG, backend->fault_seen};
    error = cudaMemcpyAsync(backend->fault, &none, sizeof none, cudaMemcpyHostToDevice,
                            backend->compute);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(backend->compute);
    return nc_cuda_check(error, "a copy to the GPU");
}

void nc_cuda_faults_destroy(struct nc_backend *backend)
{
    (void)cudaFree(backend->fault);
    (void)cudaFreeHost(backend->fault_seen);
}

static int report(uint64_t seen)
{
    static const char *const sentences[] = {
        "an index is wrong",
        "embedding: token %d is outside of the vocabulary",
        "embedding: position %d is outside of the context",
        "gather or scatter: row %d does not exist",
        "infonce: picture %d of a contradiction is not in the batch",
    };
    size_t which = (size_t)(seen >> 32);
    which = which < sizeof sentences / sizeof *sentences ? which : 0;
    char sentence[128];
    snprintf(sentence, sizeof sentence, sentences[which], (int)(int32_t)(uint32_t)seen);
    return nc_error(NC_FAILED, "%s", sentence);
}

int nc_cuda_take_fault(struct nc_backend *backend)
{
    uint64_t seen = __atomic_load_n(backend->fault_seen, __ATOMIC_ACQUIRE);
    if (!seen)
        return NC_OK;
    __atomic_store_n(backend->fault_seen, (uint64_t)0, __ATOMIC_RELEASE);
    /* Clears the note behind the kernels under way, so that each mistake is reported once. */
    int status = nc_cuda_zero(backend, &backend->fault->wrong, sizeof backend->fault->wrong);
    return status == NC_OK ? report(seen) : status;
}
