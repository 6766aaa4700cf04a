/* What the decoders of one kind each (jpeg.c, png.c, webp.c) promise to decode.c, and what they share
 * (codec.c). */
#ifndef NCLIP_HOST_PICTURES_CODEC_H
#define NCLIP_HOST_PICTURES_CODEC_H

#include "nclip/pictures/image.h"

#include <stddef.h>
#include <stdint.h>

/* A picture's file, and how to read it. */
struct nc_coded {
    const char *where;
    const uint8_t *bytes;
    size_t size;
    struct nc_image_reading reading;
};

/* Each is the part of nc_image_decode() for its kind. On failure image->pixels may be there; the
 * caller frees them. */
int nc_jpeg_decode(const struct nc_coded *coded, struct nc_image *image);
int nc_png_decode(const struct nc_coded *coded, struct nc_image *image);
int nc_webp_decode(const struct nc_coded *coded, struct nc_image *image);

/* A header's claim is within NC_IMAGE_MAX_EDGE and _PIXELS. */
int nc_image_check_size(const char *where, size_t width, size_t height);

/* Damage that does not keep PIL from reading: the first is kept in image->damage. NC_BAD_INPUT
 * where the reading is strict. */
int nc_image_note_damage(const struct nc_coded *coded, struct nc_image *image, const char *format,
                         ...) __attribute__((format(printf, 3, 4)));

/* out[count, 3] from rgba[count, 4]; in place is allowed. White as PIL's alpha_composite() does it.
 */
void nc_image_drop_alpha(enum nc_transparency transparency, const uint8_t *rgba, size_t count,
                         uint8_t *out);

#endif
