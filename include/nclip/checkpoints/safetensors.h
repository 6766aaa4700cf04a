/* The safetensors file format: 8 bytes header length, a JSON header, raw tensors.
 *
 * A reader of hostile bytes: the header's length, every tensor's type, shape and
 * offsets are checked against each other and the file's size; overlaps and gaps
 * are refused. Source: the format page of huggingface/safetensors.
 */
#ifndef NCLIP_CHECKPOINTS_SAFETENSORS_H
#define NCLIP_CHECKPOINTS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "nclip/support/files.h"
#include "nclip/support/types.h"

enum { NC_SAFETENSORS_RANK = 8 };

struct nc_safetensor {
    const char *name;
    const char *type_name; /* as in the file: "F32", "F16", "BF16", "I64", ... */
    int type;              /* enum nc_type, or -1: stored, but not one we compute with */
    size_t rank;
    size_t shape[NC_SAFETENSORS_RANK];
    size_t count; /* product of shape; 1 for a scalar */
    size_t bytes;
    const uint8_t *data; /* in the mapping, any alignment */
    size_t file;         /* which shard; see nc_safetensors_path */
};

/* One file, or the shards that an index names: `path` is a .safetensors file, a
 * model.safetensors.index.json, or a folder with either (the single file goes
 * first, as in transformers). Reads headers only. Tensors come in the order of
 * their bytes, shard after shard in the order the index first names them. */
struct nc_safetensors;
int nc_safetensors_open(const char *path, struct nc_safetensors **file);
void nc_safetensors_close(struct nc_safetensors *file); /* NULL is allowed */
size_t nc_safetensors_count(const struct nc_safetensors *file);
const struct nc_safetensor *nc_safetensors_at(const struct nc_safetensors *file, size_t index);
/* NULL when there is none of that name. */
const struct nc_safetensor *nc_safetensors_find(const struct nc_safetensors *file,
                                                const char *name);
/* The path of the file that holds the tensor, for messages. */
const char *nc_safetensors_path(const struct nc_safetensors *file,
                                const struct nc_safetensor *tensor);

/* Gives the memory of bytes that were read back to the system. They stay readable
 * (from the file again); without this a tensor stays resident once it was read. */
void nc_safetensors_release(const struct nc_safetensors *file, const struct nc_safetensor *tensor,
                            size_t offset, size_t bytes);

/* Bytes of an element of that type ("F32", "I64", ...); 0 for an unknown name. */
size_t nc_safetensors_type_size(const char *type_name);
/* "F32", "BF16" or "F16". */
const char *nc_safetensors_type_name(enum nc_type type);

/* Writing: declare every tensor first, then give the data in the declared order, in
 * pieces of any size. `metadata_format` is written as __metadata__.format ("pt");
 * may be NULL. Readers want every tensor aligned to its element, so declare wider
 * types first. The file appears by rename at commit. */
struct nc_safetensors_writer;
int nc_safetensors_writer_create(const char *path, const char *metadata_format,
                                 struct nc_safetensors_writer **writer);
int nc_safetensors_writer_declare(struct nc_safetensors_writer *writer, const char *name,
                                  const char *type_name, size_t rank, const size_t *shape);
int nc_safetensors_writer_data(struct nc_safetensors_writer *writer, const void *data,
                               size_t bytes);
/* Commit checks that all declared bytes came. Frees the writer either way. */
int nc_safetensors_writer_commit(struct nc_safetensors_writer *writer);
void nc_safetensors_writer_abort(struct nc_safetensors_writer *writer); /* NULL is allowed */

#endif
