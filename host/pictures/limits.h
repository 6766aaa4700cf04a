#ifndef NCLIP_HOST_PICTURES_LIMITS_H
#define NCLIP_HOST_PICTURES_LIMITS_H

#include <stddef.h>

/* Refuses (NC_BAD_INPUT) the size that a picture's header claims when it is beyond
 * NC_IMAGE_MAX_EDGE or NC_IMAGE_MAX_PIXELS. `where` names the picture. Every decoder asks before
 * it allocates anything of that size. */
int nc_image_check_size(const char *where, size_t width, size_t height);

#endif
