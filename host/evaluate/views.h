/* Finds an evaluation's pictures below a folder, crops their boxes and puts them through the
 * vision tower. */
#ifndef NCLIP_HOST_EVALUATE_VIEWS_H
#define NCLIP_HOST_EVALUATE_VIEWS_H

#include "nclip/encoder/encoder.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/pictures/damage.h"
#include "nclip/pictures/image.h"

/* How the pictures are read, and what was wrong with them. */
struct views_reading {
    struct nc_preprocess preprocess;
    bool skip;      /* an unreadable picture is passed over */
    bool *missing;  /* [views->count] which views are of such pictures; only set, never cleared */
    struct nc_damage *damaged, *unreadable;
};

/* The rows of features[views->count, embedding] that `wanted` names (NULL: all). */
int views_encode(struct nc_encoder *encoder, const struct nc_model *model,
                 const struct nc_views *views, const bool *wanted, const char *folder,
                 const struct views_reading *reading, float *features);

/* Numbers of the views that are not missing, in order; returns how many. */
size_t views_keep(const bool *missing, size_t count, size_t *number);

/* The longest end of `name`, cut at a slash, for which `exists` is true; `name` itself when there
 * is none. Published files name pictures by paths on their authors' machines. */
const char *views_known_name(const char *name, bool (*exists)(const void *context, const char *),
                             const void *context);

/* The path below `folder` of the picture `name`; the caller frees *path. The names come from files
 * of strangers: an absolute name is looked for below the folder too, and one with ".." in it is
 * NC_BAD_INPUT. */
int views_path(const char *folder, const char *name, char **path);

#endif
