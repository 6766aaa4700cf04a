/* COCO caption JSON, one annotation a line: what nclip train and the paper's script read. */
#ifndef NCLIP_CAPTIONS_OUTPUT_H
#define NCLIP_CAPTIONS_OUTPUT_H

#include <cjson/cJSON.h>

/* Ids are texts; those that are whole numbers are written as numbers. */
struct nc_caption_annotation {
    const char *id, *image_id;
    const char *caption;       /* the picture's own */
    const char *updated;       /* what is trained on */
    const char *contradiction; /* or NULL */
    cJSON *source; /* where it comes from; taken over, also on failure. NULL: no memory */
};

struct nc_caption_output;

/* Annotations first, then pictures. The file appears with the commit. */
int nc_caption_output_create(const char *path, struct nc_caption_output **output);
int nc_caption_output_add(struct nc_caption_output *output,
                          const struct nc_caption_annotation *annotation);
int nc_caption_output_add_picture(struct nc_caption_output *output, const char *id,
                                  const char *file_name);
int nc_caption_output_commit(struct nc_caption_output *output); /* frees it, also on failure */
void nc_caption_output_abort(struct nc_caption_output *output); /* NULL is allowed */

#endif
