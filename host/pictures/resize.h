/* Resizes and crops in one step: computes only the part of the resized picture that is kept. */
#ifndef NCLIP_HOST_PICTURES_RESIZE_H
#define NCLIP_HOST_PICTURES_RESIZE_H

#include "nclip/pictures/image.h"

/* Rows of 8-bit RGB, `stride` bytes apart, inside somebody else's picture. */
struct nc_image_view {
    const uint8_t *pixels;
    size_t width, height, stride;
};

struct nc_window {
    size_t left, top, width, height;
};

/* Resizes `view` to width x height and writes the `window` of that, which lies inside:
 * out is [window.height, window.width, 3]. The same bits as nc_image_resize() and then a
 * crop, without the work for what is cropped away. NC_FAILED without memory. */
int nc_resize_window(const struct nc_image_view *view, size_t width, size_t height,
                     enum nc_resample resample, const struct nc_window *window, uint8_t *out);

#endif
