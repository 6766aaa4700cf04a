/* Submits reads to io_uring and waits for them (block_ring.h). */
#include "block_ring.h"

#ifdef NCLIP_URING
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

struct nc_block_ring {
    struct io_uring uring;
};

struct nc_block_ring *nc_block_ring_create(size_t depth)
{
    struct nc_block_ring *ring = malloc(sizeof *ring);
    /* One place more for waking. */
    if (ring && io_uring_queue_init((unsigned)depth + 1, &ring->uring, 0) == 0)
        return ring;
    free(ring);
    return NULL;
}

void nc_block_ring_destroy(struct nc_block_ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

static int submit(struct nc_block_ring *ring)
{
    int result;
    do
        result = io_uring_submit(&ring->uring);
    while (result == -EINTR || result == -EAGAIN || result == -EBUSY);
    return result < 0 ? result : 0;
}

int nc_block_ring_read(struct nc_block_ring *ring, int descriptor, void *to, unsigned bytes,
                       uint64_t offset, void *context)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
    if (!entry)
        return -EBUSY;
    io_uring_prep_read(entry, descriptor, to, bytes, offset);
    io_uring_sqe_set_data(entry, context);
    return submit(ring);
}

int nc_block_ring_wake(struct nc_block_ring *ring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
    if (!entry)
        return -EBUSY;
    io_uring_prep_nop(entry);
    io_uring_sqe_set_data(entry, NULL);
    return submit(ring);
}

long nc_block_ring_wait(struct nc_block_ring *ring, void **context)
{
    struct io_uring_cqe *done;
    int result;
    do
        result = io_uring_wait_cqe(&ring->uring, &done);
    while (result == -EINTR);
    *context = NULL;
    if (result < 0)
        return result;
    long got = done->res;
    *context = io_uring_cqe_get_data(done);
    io_uring_cqe_seen(&ring->uring, done);
    return got;
}

#else

struct nc_block_ring *nc_block_ring_create(size_t depth)
{
    (void)depth;
    return NULL;
}

void nc_block_ring_destroy(struct nc_block_ring *ring)
{
    (void)ring;
}

int nc_block_ring_read(struct nc_block_ring *ring, int descriptor, void *to, unsigned bytes,
                       uint64_t offset, void *context)
{
    (void)ring, (void)descriptor, (void)to, (void)bytes, (void)offset, (void)context;
    return -1;
}

int nc_block_ring_wake(struct nc_block_ring *ring)
{
    (void)ring;
    return -1;
}

long nc_block_ring_wait(struct nc_block_ring *ring, void **context)
{
    (void)ring;
    *context = NULL;
    return -1;
}
#endif
