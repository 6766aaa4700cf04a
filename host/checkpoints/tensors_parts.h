/* The list of tensors behind nclip/checkpoints/tensors.h, which the readers of formats fill. */
#ifndef NCLIP_HOST_CHECKPOINTS_TENSORS_PARTS_H
#define NCLIP_HOST_CHECKPOINTS_TENSORS_PARTS_H

#include "nclip/checkpoints/tensors.h"
#include "nclip/support/files.h"

#include <stdbool.h>

/* One file of weights. */
struct nc_shard {
    char *path;
    struct nc_mapping mapping;
    void *owned; /* what a reader keeps: the names, and copies of strided tensors; or NULL */
    void (*release)(void *owned);
    size_t first, count; /* its tensors */
};

struct nc_tensors {
    struct nc_shard *shards;
    size_t shard_count;
    struct nc_tensor *tensors;
    size_t count, capacity;
    const struct nc_tensor **by_name; /* sorted */
};

/* Appends an empty tensor of this shard, the one added last; NULL: no memory, and the error is
 * set. The reader fills it before the next call. */
struct nc_tensor *nc_tensors_add(struct nc_tensors *tensors, struct nc_shard *shard);

/* Sorts the shard's tensors by the place of their bytes. */
void nc_tensors_sort(struct nc_tensors *tensors, const struct nc_shard *shard);

/* Sets type_name, type and, from shape and rank, count and bytes. NC_BAD_INPUT names the shard and
 * the tensor: a type of no known name, more elements than any file can hold. */
int nc_tensor_measure(const struct nc_shard *shard, struct nc_tensor *tensor,
                      const char *type_name);

/* All shards are read: fills by_name. NC_BAD_INPUT, naming it, when a tensor is there twice. */
int nc_tensors_index(struct nc_tensors *tensors, const char *path);

/* The readers. Each maps nothing: shard->mapping is there. */
int nc_safetensors_read(struct nc_tensors *tensors, struct nc_shard *shard);
int nc_pytorch_read(struct nc_tensors *tensors, struct nc_shard *shard);

#endif
