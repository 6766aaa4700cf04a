/* An opened model folder, as the files of this room see it. */
#ifndef NCLIP_HOST_CHECKPOINTS_FOLDER_H
#define NCLIP_HOST_CHECKPOINTS_FOLDER_H

#include "nclip/checkpoints/folder.h"
#include "nclip/checkpoints/tensors.h"

#define NC_EMBEDDINGS_KEY "nclip_embeddings" /* of config.json */

struct nc_model {
    char *folder;
    struct nc_model_shape shape;
    struct nc_parameter_table table;
    struct nc_tensors *file;
    const struct nc_tensor **sources; /* [table.count] where each row lies */
    const char **unknown;                 /* [unknown_count] names that no row has */
    size_t unknown_count;
    bool has_foreign_vision; /* tensors of a vision tower that nclip does not compute */
    struct nc_tensor added; /* the logit_bias that a user of the model asked for; or no data */
    float added_value;
    char embeddings[17]; /* without a vision tower: whose embeddings belong to it; or "" */
};

/* Sets shape->pad_token to what the folder's tokenizer pads with, where it says so. */
int nc_padding_read(const char *folder, struct nc_model_shape *shape);

/* The fingerprint that config.json has kept of the embeddings for a text tower without its vision
 * tower; "" for none. */
int nc_hf_embeddings_read(const char *config_path, char hash[17]);

/* "[512, 77]" in `text`, which is also returned. */
const char *nc_shape_text(size_t rank, const size_t *shape, char *text, size_t size);

/* Element number of the first value that is infinite or no number; `count` when
 * all are finite. */
size_t nc_first_non_finite(const float *values, size_t count);

#endif
