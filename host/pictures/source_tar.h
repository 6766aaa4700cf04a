#ifndef NCLIP_HOST_PICTURES_SOURCE_TAR_H
#define NCLIP_HOST_PICTURES_SOURCE_TAR_H

#include "entries.h"

/* Opens source->tar, and adds the pictures of the tar in the order of the file. A link has the
 * content of the member that it leads to. NC_BAD_INPUT names the byte at which the tar is damaged,
 * and a sparse picture. */
int nc_tar_index(struct nc_image_source *source);

#endif
