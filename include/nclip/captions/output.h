/* COCO caption JSON, one annotation a line: what nclip train and the paper's script read. */
#ifndef NCLIP_CAPTIONS_OUTPUT_H
#define NCLIP_CAPTIONS_OUTPUT_H

#include <cjson/cJSON.h>

/* Ids are texts; those that are whole numbers are written as numbers. */
struct caption_annotation {
    const char *id, *image_id;
    const char *caption;       /* the picture's own */
    const char *updated;       /* what is trained on */
    const char *contradiction; /* or NULL */
    cJSON *source; /* where it comes from; taken over, also on failure. NULL: no memory */
};

struct caption_output;

/* Annotations first, then pictures. The file appears with the commit. */
int caption_output_create(const char *path, struct caption_output **output);
int caption_output_add(struct caption_output *output, const struct caption_annotation *annotation);
int caption_output_add_picture(struct caption_output *output, const char *id,
                               const char *file_name);
int caption_output_commit(struct caption_output *output); /* frees it, also on failure */
void caption_output_abort(struct caption_output *output); /* NULL is allowed */

#endif
