/* The compute and the copy queue as two streams, and their marks as events (nclip/ops.h,
 * "Queues"). */
#include "cuda.h"

#include "nclip/devices.h"

static cudaStream_t stream_of(const struct nc_backend *backend, enum nc_queue queue)
{
    return queue == NC_COPY ? backend->copy : backend->compute;
}

void *nc_cuda_stream(const struct nc_backend *backend)
{
    return backend->compute;
}

int nc_cuda_queues_create(struct nc_backend *backend)
{
    for (unsigned i = 0; i < NC_MARKS; i++) {
        int status = nc_cuda_check(cudaEventCreate(&backend->marks[i]), "creating an event");
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

void nc_cuda_queues_destroy(struct nc_backend *backend)
{
    for (unsigned i = 0; i < NC_MARKS; i++)
        if (backend->marks[i])
            (void)cudaEventDestroy(backend->marks[i]);
}

int nc_cuda_allocate_host(struct nc_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    *out = NULL;
    cudaError_t error = cudaMallocHost(out, bytes ? bytes : 1);
    if (error != cudaSuccess)
        *out = NULL;
    return nc_cuda_check(error, "allocating page-locked memory");
}

void nc_cuda_release_host(struct nc_backend *backend, void *data, size_t bytes)
{
    (void)bytes;
    if (!data)
        return;
    /* a copy that is still under way reads or writes it */
    (void)cudaStreamSynchronize(backend->copy);
    (void)cudaStreamSynchronize(backend->compute);
    (void)cudaFreeHost(data);
}

int nc_cuda_copy_queued(struct nc_backend *backend, enum nc_queue queue, void *destination,
                        const void *source, size_t bytes)
{
    if (!bytes)
        return NC_OK;
    return nc_cuda_check(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault,
                                         stream_of(backend, queue)),
                         "a queued copy");
}

int nc_cuda_mark(struct nc_backend *backend, enum nc_queue queue, unsigned mark)
{
    return nc_cuda_check(cudaEventRecord(backend->marks[mark], stream_of(backend, queue)), "a mark");
}

int nc_cuda_queue_wait(struct nc_backend *backend, enum nc_queue queue, unsigned mark)
{
    return nc_cuda_check(cudaStreamWaitEvent(stream_of(backend, queue), backend->marks[mark], 0),
                         "waiting for a mark");
}

int nc_cuda_host_wait(struct nc_backend *backend, unsigned mark)
{
    int status = nc_cuda_check(cudaEventSynchronize(backend->marks[mark]), "the GPU's work");
    return status == NC_OK ? nc_cuda_take_fault(backend) : status;
}

int nc_cuda_elapsed(struct nc_backend *backend, unsigned first, unsigned second, double *seconds)
{
    float milliseconds = 0;
    int status = nc_cuda_check(
        cudaEventElapsedTime(&milliseconds, backend->marks[first], backend->marks[second]),
        "the time between two marks");
    *seconds = (double)milliseconds * 1e-3;
    return status;
}
