/* io_uring, as far as a block reader needs it: reads that the kernel carries out on its own. */
#ifndef NCLIP_HOST_STORE_BLOCK_RING_H
#define NCLIP_HOST_STORE_BLOCK_RING_H

#include <stddef.h>
#include <stdint.h>

struct nc_block_ring;

/* At most `depth` reads under way. NULL where the program was built without liburing, or the kernel
 * has or grants no io_uring. */
struct nc_block_ring *nc_block_ring_create(size_t depth);
void nc_block_ring_destroy(struct nc_block_ring *ring); /* nothing is under way; NULL is allowed */

/* Submits a read. One thread at a time. 0, or an error number, negative. */
int nc_block_ring_read(struct nc_block_ring *ring, int descriptor, void *to, unsigned bytes,
                       uint64_t offset, void *context);

/* Makes nc_block_ring_wait() return with a context of NULL. As a read. */
int nc_block_ring_wake(struct nc_block_ring *ring);

/* Waits for a read: what it has got, in bytes, or an error number, negative. Another thread may
 * submit meanwhile. */
long nc_block_ring_wait(struct nc_block_ring *ring, void **context);

#endif
