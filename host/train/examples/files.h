/* Several files of captions as one. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_FILES_H
#define NCLIP_HOST_TRAIN_EXAMPLES_FILES_H

#include "nclip/captions/captions.h"

#include <stdint.h>

struct nc_caption_files {
    struct nc_captions *files;
    size_t count;
    struct nc_captions all; /* their captions, file after file; a picture that several name is one */
    uint8_t *file;          /* [all.count] whose a caption is, from 0; NULL: there is one file */
};

/* Begins as {0}; free is due on failure, too. */
int nc_caption_files_load(const char *const *paths, size_t count, struct nc_caption_files *files);
void nc_caption_files_free(struct nc_caption_files *files);

#endif
