#ifndef NCLIP_HOST_FORMATS_TAR_HEADER_H
#define NCLIP_HOST_FORMATS_TAR_HEADER_H

#include "nclip/formats/tar.h"

/* A field of octal digits between spaces and zeros, or with the top bit set of a big-endian number;
 * false for anything else. */
bool tar_number(const uint8_t *field, size_t length, uint64_t *value);

/* Whether the checksum is the sum of the header's bytes, its own field taken as spaces. */
bool tar_checksum_fits(const uint8_t block[NC_TAR_BLOCK]);

#endif
