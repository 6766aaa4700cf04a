#ifndef NCLIP_HOST_PICTURES_SOURCE_TAR_H
#define NCLIP_HOST_PICTURES_SOURCE_TAR_H

#include "entries.h"

/* Adds the pictures of the tar whose descriptor is source->tar, in the order of the file.
 * NC_BAD_INPUT names the byte at which the tar is damaged. */
int nc_tar_index(struct nc_image_source *source);

#endif
