/* Makes a small JPEG of a picture, or of a part of it, for a page. */
#ifndef NCLIP_HOST_EVALUATE_REPORT_THUMBNAIL_H
#define NCLIP_HOST_EVALUATE_REPORT_THUMBNAIL_H

#include <stddef.h>
#include <stdint.h>

enum { THUMBNAIL_EDGE = 320 }; /* pixels, the longer one; small pictures keep their size */

/* A JPEG of the part in `box` ({x, y, width, height}; NULL: all). `name` is found below `folder` as
 * evaluation finds it. The caller frees *bytes. */
int thumbnail_make(const char *folder, const char *name, const double *box, uint8_t **bytes,
                   size_t *size);

#endif
