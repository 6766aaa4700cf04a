/* The list of tensors to write to a file, each with the source of its values: tensors of other
 * files, whole, in part, end to end, transposed or blended; or numbers in memory. Saving,
 * exporting, importing and merging all write through it. */
#ifndef NCLIP_HOST_CHECKPOINTS_OUTPUTS_H
#define NCLIP_HOST_CHECKPOINTS_OUTPUTS_H

#include "nclip/checkpoints/tensors.h"
#include "nclip/support/types.h"

#include <stdbool.h>

struct nc_piece {
    const struct nc_tensors *file; /* of `tensor` */
    const struct nc_tensor *tensor;
    size_t first, count; /* the elements of it that are taken */
    bool transposed;     /* the source is a matrix [columns, rows] of what is written */
    const float *values; /* [count] instead of a tensor, when not NULL */
    const void *bytes;   /* [count] bytes instead, in the output's type, when not NULL */
    /* (1 - alpha) x tensor + alpha x other, computed in double, when `other` is not NULL */
    const struct nc_tensors *other_file;
    const struct nc_tensor *other;
    double alpha;
};

struct nc_output {
    const char *name;      /* borrowed */
    const char *type_name; /* as in the file: "F32" */
    size_t rank, shape[NC_TENSOR_RANK];
    struct nc_piece pieces[3]; /* end to end */
    size_t piece_count;
};

struct nc_outputs {
    struct nc_output *items;
    size_t count, capacity;
};

/* Adds one, of type "F32", rank 0 and no piece; NULL without memory. */
struct nc_output *nc_outputs_add(struct nc_outputs *outputs);
void nc_outputs_free(struct nc_outputs *outputs);

/* `output` takes all of `tensor`: its shape, its type and its bytes. */
void nc_output_take(struct nc_output *output, const struct nc_tensors *file,
                    const struct nc_tensor *tensor);

/* The type that config.json should name: the type of all tensors, or fp32, which holds all values
 * exactly, when their types differ. Tensors of whole numbers, such as an old checkpoint's
 * position_ids, do not count. */
enum nc_type nc_outputs_type(const struct nc_outputs *outputs);

/* Writes them: in their order, but wider types first, so that each lies at a multiple of its own
 * size. Bytes whose type does not change are copied as they are. Memory: a few MiB, and twice a
 * tensor that is transposed. A value that is not finite in the output's type is NC_FAILED and
 * names the tensor; so is a source that is written to meanwhile, or was since it was opened. */
int nc_outputs_write(const struct nc_outputs *outputs, const char *path);

#endif
