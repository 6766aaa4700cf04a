/* The two passes of a resize: each output pixel a weighted sum of input pixels along one axis, in
 * 32-bit integers, rounded and clipped to 8 bits. The same bits on every processor. */
#ifndef NCLIP_HOST_PICTURES_PASSES_H
#define NCLIP_HOST_PICTURES_PASSES_H

#include "resize.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_WEIGHT_BITS = 32 - 8 - 2 }; /* 2 bits: weights may be negative, sums exceed 1 */

struct nc_axis {
    size_t count;     /* output pixels that are wanted */
    size_t taps;      /* room for the weights of one */
    size_t *start;    /* [count] first input pixel */
    size_t *used;     /* [count] how many */
    int32_t *weights; /* [count, taps], of NC_WEIGHT_BITS fractional bits; below 16 in size */
};

/* out[axis->count, in->width, 3]: each row a mix of rows of `in`. */
void nc_mix_rows(const struct nc_axis *axis, const struct nc_image_view *in, uint8_t *out);

/* out[in->height, axis->count, 3]: each pixel a mix of pixels of its row. False without memory. */
bool nc_mix_columns(const struct nc_axis *axis, const struct nc_image_view *in, uint8_t *out);

#endif
