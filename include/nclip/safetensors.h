/* The safetensors file format: 8 bytes header length, a JSON header, raw tensors.
 *
 * A reader of hostile bytes: the header's length, every tensor's type, shape and
 * offsets are checked against each other and the file's size; overlaps and gaps
 * are refused. Source: the format page of huggingface/safetensors.
 */
#ifndef NCLIP_SAFETENSORS_H
#define NCLIP_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "nclip/files.h"
#include "nclip/types.h"

struct nc_safetensor {
    const char *name;
    const char *type_name; /* as in the file: "F32", "F16", "BF16", "I64", ... */
    int type;              /* enum nc_type, or -1: stored, but not one we compute with */
    size_t rank;
    size_t shape[8];
    size_t count;        /* product of shape; 1 for a scalar */
    size_t bytes;
    const uint8_t *data; /* in the mapping, any alignment */
};

/* One file, or the folder's set of shards behind model.safetensors.index.json. */
struct nc_safetensors;
int nc_safetensors_open(const char *path, struct nc_safetensors **file);
void nc_safetensors_close(struct nc_safetensors *file);
size_t nc_safetensors_count(const struct nc_safetensors *file);
const struct nc_safetensor *nc_safetensors_at(const struct nc_safetensors *file, size_t index);
const struct nc_safetensor *nc_safetensors_find(const struct nc_safetensors *file, const char *name);

/* Writing: declare every tensor first, then give the data in the declared order.
 * `metadata_format` is written as __metadata__.format ("pt"); may be NULL. */
struct nc_safetensors_writer;
int nc_safetensors_writer_create(const char *path, const char *metadata_format,
                                 struct nc_safetensors_writer **writer);
int nc_safetensors_writer_declare(struct nc_safetensors_writer *writer, const char *name,
                                  const char *type_name, size_t rank, const size_t *shape);
int nc_safetensors_writer_data(struct nc_safetensors_writer *writer, const void *data, size_t bytes);
/* Commit checks that all declared bytes came. Frees the writer either way. */
int nc_safetensors_writer_commit(struct nc_safetensors_writer *writer);
void nc_safetensors_writer_abort(struct nc_safetensors_writer *writer);

#endif
