/* The safetensors file format, written: 8 bytes header length, a JSON header, raw tensors.
 *
 * Source: the format page of huggingface/safetensors. Read by nclip/checkpoints/tensors.h.
 */
#ifndef NCLIP_CHECKPOINTS_SAFETENSORS_H
#define NCLIP_CHECKPOINTS_SAFETENSORS_H

#include "nclip/support/types.h"

#include <stddef.h>

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
