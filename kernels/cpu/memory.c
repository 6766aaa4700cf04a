/* Memory of the CPU backend is the host's. */
#include "cpu.h"

#include "nclip/error.h"

#include <string.h>
#include <sys/mman.h>

int nc_cpu_allocate(struct nc_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    *out = NULL;
    if (!bytes)
        return NC_OK;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
        return nc_error(NC_FAILED, "cpu: no memory for %zu bytes", bytes);
    /* Gigabytes in 4 KiB pages cost more in the page tables than in the kernels. */
    madvise(data, bytes, MADV_HUGEPAGE);
    *out = data;
    return NC_OK;
}

void nc_cpu_release(struct nc_backend *backend, void *data, size_t bytes)
{
    (void)backend;
    if (data)
        munmap(data, bytes);
}

int nc_cpu_copy(struct nc_backend *backend, void *destination, const void *source, size_t bytes)
{
    (void)backend;
    memcpy(destination, source, bytes);
    return NC_OK;
}

int nc_cpu_upload(struct nc_backend *backend, void *destination, const void *host, size_t bytes)
{
    return nc_cpu_copy(backend, destination, host, bytes);
}

int nc_cpu_download(struct nc_backend *backend, void *host, const void *source, size_t bytes)
{
    return nc_cpu_copy(backend, host, source, bytes);
}

int nc_cpu_zero(struct nc_backend *backend, void *data, size_t bytes)
{
    (void)backend;
    enum { PIECE = 1 << 20 };
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < bytes; at += PIECE)
        memset((char *)data + at, 0, bytes - at < PIECE ? bytes - at : PIECE);
    return NC_OK;
}

int nc_cpu_fill(struct nc_backend *backend, float *data, float value, size_t count)
{
    (void)backend;
    for (size_t i = 0; i < count; i++)
        data[i] = value;
    return NC_OK;
}

int nc_cpu_synchronize(struct nc_backend *backend)
{
    (void)backend;
    return NC_OK;
}

int nc_cpu_convert(struct nc_backend *backend, void *destination, enum nc_type destination_type,
                   const void *source, enum nc_type source_type, size_t count)
{
    (void)backend;
    enum { PIECE = 1 << 16 };
    size_t to = nc_type_size(destination_type), from = nc_type_size(source_type);
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < count; at += PIECE)
        nc_convert((char *)destination + at * to, destination_type, (const char *)source + at * from,
                   source_type, count - at < PIECE ? count - at : PIECE);
    return NC_OK;
}
