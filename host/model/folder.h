/* What an opened model folder holds: shared by loading, saving, the fingerprint
 * and the description of a model, and by nothing else. */
#ifndef NCLIP_MODEL_FOLDER_H
#define NCLIP_MODEL_FOLDER_H

#include "nclip/model.h"
#include "nclip/safetensors.h"

struct nc_model {
    char *folder;
    struct nc_model_shape shape;
    struct nc_parameter_table table;
    struct nc_safetensors *file;
    const struct nc_safetensor **sources; /* [table.count] where each row lies */
    const char **unknown;                 /* [unknown_count] names that no row has */
    size_t unknown_count;
};

enum { NC_MOST_LAYERS = 1024 };

/* NC_BAD_INPUT, naming `where` and the key of config.json, unless every size is one that nclip
 * reads, so that no product of them overflows, and the towers' widths fall into heads that it
 * computes. For shapes from wherever: what is written must be read again. */
int nc_model_shape_check(const char *where, const struct nc_model_shape *shape);

/* "[512, 77]" in `text`, which is also returned. */
const char *nc_shape_text(size_t rank, const size_t *shape, char *text, size_t size);

/* Element number of the first value that is infinite or no number; `count` when
 * all are finite. */
size_t nc_first_non_finite(const float *values, size_t count);

#endif
