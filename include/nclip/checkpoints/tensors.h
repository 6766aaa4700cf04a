/* Named tensors of a file that others wrote, where they lie: weights in, whatever their format.
 *
 *     x.safetensors, x.safetensors.index.json       the safetensors format, one file or shards
 *     x.pt, x.pth, x.bin, x.bin.index.json          what torch.save() writes (pytorch_read.c)
 *
 * The content of a file tells its format, not its name. Files come from strangers: nothing in them
 * runs, and every size, offset and stride is checked against the file before it is used.
 */
#ifndef NCLIP_CHECKPOINTS_TENSORS_H
#define NCLIP_CHECKPOINTS_TENSORS_H

#include "nclip/support/types.h"

#include <stddef.h>
#include <stdint.h>

enum { NC_TENSOR_RANK = 8 };

struct nc_tensor {
    const char *name;
    const char *type_name; /* as in the file: "F32", "F16", "BF16", "I64", ... */
    int type;              /* enum nc_type, or -1: stored, but not one we compute with */
    size_t rank;
    size_t shape[NC_TENSOR_RANK];
    size_t count; /* product of shape; 1 for a scalar */
    size_t bytes;
    const uint8_t *data; /* in the mapping, any alignment */
    size_t file;         /* which shard; see nc_tensors_path */
};

/* One file, or the shards that an index names: `path` is a .safetensors file, a
 * model.safetensors.index.json, or a folder with either (the single file goes
 * first, as in transformers). Reads headers only. Tensors come in the order of
 * their bytes, shard after shard in the order the index first names them. */
struct nc_tensors;
int nc_tensors_open(const char *path, struct nc_tensors **file);
void nc_tensors_close(struct nc_tensors *file); /* NULL is allowed */
size_t nc_tensors_count(const struct nc_tensors *file);
const struct nc_tensor *nc_tensors_at(const struct nc_tensors *file, size_t index);
/* NULL when there is none of that name. */
const struct nc_tensor *nc_tensors_find(const struct nc_tensors *file, const char *name);
/* The path of the file that holds the tensor, for messages. */
const char *nc_tensors_path(const struct nc_tensors *file, const struct nc_tensor *tensor);

/* Gives the memory of bytes that were read back to the system. They stay readable
 * (from the file again); without this a tensor stays resident once it was read. */
void nc_tensors_release(const struct nc_tensors *file, const struct nc_tensor *tensor,
                        size_t offset, size_t bytes);

/* NC_FAILED when one of its files was written to since it was opened (nc_mapping_check()). */
int nc_tensors_check(const struct nc_tensors *file);

/* Bytes of an element of that type ("F32", "I64", ...); 0 for an unknown name. */
size_t nc_tensor_type_size(const char *type_name);
/* "F32", "BF16" or "F16". */
const char *nc_tensor_type_name(enum nc_type type);

#endif
