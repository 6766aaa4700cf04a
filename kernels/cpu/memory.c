/* Memory of the CPU backend: the host's own.
 *
 * copy and convert move (bytes in + bytes out), zero and fill their bytes once; no
 * flops. Large blocks ask for 2 MiB pages: a step walks through gigabytes, and with
 * small pages a good part of its time goes into address translation. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

#include <sys/mman.h>

enum {
    HUGE_PAGE = 1 << 21,
    PIECE = 1 << 16, /* elements a thread takes at a time */
};

static size_t pages(size_t bytes, size_t page)
{
    return (bytes + page - 1) / page * page;
}

static size_t pieces(size_t count)
{
    return (count + PIECE - 1) / PIECE;
}

static size_t piece_length(size_t count, size_t piece)
{
    return count - piece * PIECE < PIECE ? count - piece * PIECE : PIECE;
}

int nc_cpu_allocate(struct nc_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    *out = NULL;
    if (bytes > SIZE_MAX / 4)
        return nc_error(NC_FAILED, "cpu: %zu bytes are more than this machine can address", bytes);
    size_t wanted = pages(bytes ? bytes : 1, 4096);
    size_t mapped = wanted < HUGE_PAGE ? wanted : wanted + HUGE_PAGE;
    char *block = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return nc_error(NC_FAILED, "cpu: no memory for %zu bytes; a smaller batch needs less",
                        bytes);
    if (wanted >= HUGE_PAGE) { /* cut to a start that large pages can have */
        char *start = (char *)pages((size_t)block, HUGE_PAGE);
        size_t before = (size_t)(start - block), behind = mapped - before - wanted;
        if (before)
            munmap(block, before);
        if (behind)
            munmap(start + wanted, behind);
        (void)madvise(start, wanted, MADV_HUGEPAGE); /* a wish: small pages work too */
        block = start;
    }
    *out = block;
    return NC_OK;
}

void nc_cpu_release(struct nc_backend *backend, void *data, size_t bytes)
{
    (void)backend;
    if (data)
        munmap(data, pages(bytes ? bytes : 1, 4096));
}

int nc_cpu_copy(struct nc_backend *backend, void *destination, const void *source, size_t bytes)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (bytes > PIECE)
    for (size_t i = 0; i < pieces(bytes); i++)
        memcpy((char *)destination + i * PIECE, (const char *)source + i * PIECE,
               piece_length(bytes, i));
    return NC_OK;
}

int nc_cpu_zero(struct nc_backend *backend, void *data, size_t bytes)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (bytes > PIECE)
    for (size_t i = 0; i < pieces(bytes); i++)
        memset((char *)data + i * PIECE, 0, piece_length(bytes, i));
    return NC_OK;
}

int nc_cpu_fill(struct nc_backend *backend, float *data, float value, size_t count)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (count > PIECE)
    for (size_t i = 0; i < pieces(count); i++)
        for (size_t k = 0; k < piece_length(count, i); k++)
            data[i * PIECE + k] = value;
    return NC_OK;
}

int nc_cpu_synchronize(struct nc_backend *backend)
{
    (void)backend; /* every operation is done when it returns */
    return NC_OK;
}

/* One queue, in which everything is done at once. */
int nc_cpu_copy_queued(struct nc_backend *backend, enum nc_queue queue, void *destination,
                       const void *source, size_t bytes)
{
    (void)queue;
    return nc_cpu_copy(backend, destination, source, bytes);
}

int nc_cpu_mark(struct nc_backend *backend, enum nc_queue queue, unsigned mark)
{
    (void)queue;
    clock_gettime(CLOCK_MONOTONIC, &backend->marks[mark]);
    return NC_OK;
}

int nc_cpu_elapsed(struct nc_backend *backend, unsigned first, unsigned second, double *seconds)
{
    const struct timespec *a = &backend->marks[first], *b = &backend->marks[second];
    *seconds = (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) * 1e-9;
    return NC_OK;
}

int nc_cpu_queue_wait(struct nc_backend *backend, enum nc_queue queue, unsigned mark)
{
    (void)backend, (void)queue, (void)mark;
    return NC_OK;
}

int nc_cpu_host_wait(struct nc_backend *backend, unsigned mark)
{
    (void)backend, (void)mark;
    return NC_OK;
}

NC_INLINE void convert(void *destination, enum nc_type to, const void *source, enum nc_type from,
                       size_t count)
{
    for (size_t i = 0; i < count; i += NC_LANES)
        nc_store_of(destination, i, to, nc_load_of(source, i, from, count - i), count - i);
}

int nc_cpu_convert(struct nc_backend *backend, void *destination, enum nc_type destination_type,
                   const void *source, enum nc_type source_type, size_t count)
{
    if (destination_type == source_type)
        return nc_cpu_copy(backend, destination, source, count * nc_type_size(source_type));
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (count > PIECE)
    for (size_t i = 0; i < pieces(count); i++) {
        char *to = (char *)destination + i * PIECE * nc_type_size(destination_type);
        const char *from = (const char *)source + i * PIECE * nc_type_size(source_type);
        size_t length = piece_length(count, i);
        if (destination_type == NC_BFLOAT16 && source_type == NC_FLOAT32)
            convert(to, NC_BFLOAT16, from, NC_FLOAT32, length);
        else if (destination_type == NC_FLOAT32 && source_type == NC_BFLOAT16)
            convert(to, NC_FLOAT32, from, NC_BFLOAT16, length);
        else
            nc_convert(to, destination_type, from, source_type, length);
    }
    return NC_OK;
}
