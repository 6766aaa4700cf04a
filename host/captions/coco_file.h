/* A file of COCO captions read whole, whose records are handed out in batches. */
#ifndef NCLIP_HOST_CAPTIONS_COCO_FILE_H
#define NCLIP_HOST_CAPTIONS_COCO_FILE_H

#include "nclip/captions/captions.h"
#include "nclip/captions/records.h"

/* Freed with its last share, which batches and the stream have. */
struct nc_caption_file;

int captions_file_read(const char *name, const char *text, size_t size,
                       struct nc_caption_file **file);
size_t captions_file_count(const struct nc_caption_file *file);
struct nc_caption_file *captions_file_share(struct nc_caption_file *file);
void captions_file_release(struct nc_caption_file *file); /* NULL is allowed */
void captions_file_record(const struct nc_caption_file *file, size_t i,
                          struct nc_caption_record *record);

#endif
