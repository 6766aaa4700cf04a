/* The caption that lies beside a picture: in a webdataset the member of the same sample that ends
 * with .txt, or with .json and has "caption"; elsewhere such a file beside the picture's. */
#ifndef NCLIP_PICTURES_SIDECAR_H
#define NCLIP_PICTURES_SIDECAR_H

#include "nclip/pictures/source.h"

enum { NC_SIDECAR_BYTES = 1 << 20 }; /* of a sidecar; a larger one is no caption */

/* nc_image_source_open(), which of a tar also notes where the sidecars are. */
int nc_image_source_open_with_captions(const char *path, struct nc_image_source **source);

/* *caption, for free(), without white space around it; NULL where there is none: no sidecar, an
 * empty one, one that is no UTF-8 text or JSON object with a text "caption". Any number of threads
 * may read at once. NC_FAILED where a tar cannot be read, or without memory. */
int nc_image_source_caption(const struct nc_image_source *source, size_t index, char **caption);

#endif
