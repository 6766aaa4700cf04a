/* A model folder that is being written: it is staged beside its place, as
 * "<folder>.partial-<pid>", and appears by rename when complete. */
#ifndef NCLIP_HOST_CHECKPOINTS_STAGING_H
#define NCLIP_HOST_CHECKPOINTS_STAGING_H

#include "nclip/support/types.h"

#include <stdbool.h>

struct nc_staging {
    char *staged, *final;
    int lock; /* on the staged folder: another process does not take it for one left over */
};

/* What a killed process left staged is removed. NC_USAGE unless `folder` is missing or empty. nc_staging_end() must follow a success. */
int nc_staging_begin(const char *folder, struct nc_staging *staging);

/* The path of a file in it; NULL without memory. The caller frees it. */
char *nc_staging_path(const struct nc_staging *staging, const char *name);

/* Copies a file of that name from `folder`, where there is one. */
int nc_staging_copy(const struct nc_staging *staging, const char *folder, const char *name);

/* Copies what a CLIP folder holds for the tokenizer, and for the preprocessing of pictures. */
int nc_staging_copy_tokenizer(const struct nc_staging *staging, const char *folder);
int nc_staging_copy_preprocessing(const struct nc_staging *staging, const char *folder);

/* Publishes the folder when `status` is NC_OK; otherwise removes it and leaves the message
 * as it is. Returns what became of it. */
int nc_staging_end(struct nc_staging *staging, int status);

/* Copies config.json with every dtype in it replaced by `type`, and one put in where there is
 * none and `needed`. transformers turns all weights into the type that config.json names: a
 * stale one would round the new weights away. */
int nc_config_copy_with_dtype(const char *from, const char *to, enum nc_type type, bool needed);

/* Copies a config with one member more, the first of its object (`object`: of the first one of that
 * key; NULL: of the whole), where it has that object. Without a file it is the only one. `value` is
 * JSON. */
int nc_config_copy_with_member(const char *from, const char *to, const char *object, const char *key,
                               const char *value);

/* As PyTorch and transformers call it: "float32". */
const char *nc_torch_type_name(enum nc_type type);

#endif
