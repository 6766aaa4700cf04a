/* Captions of more than two tiles, of which a block takes a head (attention_block.cu); their share
 * of a batch, for the kernels that take the others. */
#ifndef NCLIP_KERNELS_CUDA_ATTENTION_BLOCK_H
#define NCLIP_KERNELS_CUDA_ATTENTION_BLOCK_H

#include "attention_backward.h"

enum {
    NC_BLOCK_LEAST = 2 * NC_TILE + 1, /* tokens */
    NC_BLOCK_CHUNKS = 2,              /* of a head: 64 */
    NC_BLOCK_TILES = 8,               /* of a caption, one for each warp */
};

static __device__ __forceinline__ bool nc_block_takes(int tokens, int most)
{
    return tokens >= NC_BLOCK_LEAST && tokens <= most;
}

/* The longest captions that it takes of this batch; 0: there are none. */
int nc_block_most(const struct nc_backend *backend, const nc_attention *a, bool backward);

int nc_block_forward(struct nc_backend *backend, const nc_attention *a, int most);
int nc_block_backward(struct nc_backend *backend, const nc_attention *a,
                      const nc_shared_rows *shared, int most);

#endif
