/* A Hugging Face folder of the smallest CLIP there is, with faults that a test asks for. */
#ifndef TESTS_CHECKPOINTS_VARIED_FOLDER_H
#define TESTS_CHECKPOINTS_VARIED_FOLDER_H

#include "nclip/checkpoints/folder.h"

#include <stddef.h>

/* What differs from a plain folder; {0} is one. */
struct variation {
    const char *missing;     /* tensors whose name holds this are left out */
    const char *wrong_type;  /* this tensor is written as F64 */
    const char *wrong_shape; /* this one as one dimension too many */
    const char *extra;       /* a tensor of this name comes with it */
    const char *extra_type;  /* "I64" */
    const char *broken;      /* this tensor's last value is `value` */
    float value;
    size_t vocabulary;              /* 0: 50 */
    size_t image_size;              /* 0: 8 */
    enum nc_type type;              /* of the text tower */
    float text_shift, vision_shift; /* added to all values of the tower */
    const char *config;             /* members that stand first in config.json */
};

/* Makes the folder `name` inside the temporary folder *state; its path, which the caller frees. */
char *make_model(void **state, const char *name, struct variation how);

/* Opens a folder that must be good. */
struct nc_model *open_model(const char *folder);

/* Value i of a tensor: any, different from its neighbours', exact in every type. */
float value_of(size_t i);

#endif
