/* A Hugging Face folder of a small CLIP with random weights, for tests. */
#ifndef TESTS_CHECKPOINTS_RANDOM_FOLDER_H
#define TESTS_CHECKPOINTS_RANDOM_FOLDER_H

#include "nclip/checkpoints/folder.h"

/* Heads of 64, mlp of four times the width, QuickGELU, 1e-5: what every format can say. */
extern const struct nc_model_shape plain_shape;

/* Writes config.json and model.safetensors; each tower's parameters in its type, all values
 * different from seed to seed and from one another's neighbours, exact in every type. */
void random_folder_write(const char *folder, const struct nc_model_shape *shape, enum nc_type text,
                         enum nc_type vision, unsigned seed);

#endif
