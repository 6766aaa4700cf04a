/* JPEG by libjpeg-turbo, which PIL uses too.
 *
 * stb_image's decoder is not used for this kind: measured against PIL it is up to 5
 * grey levels away on photographs and up to 106 in the last columns of 4:2:2 pictures,
 * and the version that Debian ships writes behind its Huffman tables when a file asks
 * for more than 256 symbols. */
#ifndef NCLIP_HOST_PICTURES_JPEG_H
#define NCLIP_HOST_PICTURES_JPEG_H

#include "nclip/pictures/image.h"

#include <stddef.h>
#include <stdint.h>

/* Part of nc_image_decode(), which says what comes out. Files that libjpeg would mend with
 * a warning are refused where pixels are missing or in doubt. */
int nc_jpeg_decode(const char *where, const uint8_t *bytes, size_t size, struct nc_image *image);

#endif
