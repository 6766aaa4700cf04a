/* Crops, resizes and normalises a picture for the vision tower. */
#include "resize.h"

#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the 256 levels of each colour become, rounded where numpy rounds: the product
 * in double, then fp32. */
static void make_levels(const struct nc_preprocess *p, float levels[3][256])
{
    for (int c = 0; c < 3; c++) {
        for (int level = 0; level < 256; level++) {
            float value = p->do_rescale ? (float)(level * p->rescale_factor) : (float)level;
            levels[c][level] =
                p->do_normalize ? (value - p->image_mean[c]) / p->image_std[c] : value;
        }
    }
}

/* The part of `image` in `box`. Where that lies inside, a view of the image itself;
 * otherwise of *copy, which the caller frees. */
static int crop_box(const struct nc_image *image, const double box[4], struct nc_image_view *view,
                    uint8_t **copy)
{
    double left = rint(box[0]), top = rint(box[1]);
    double right = rint(box[0] + box[2]), bottom = rint(box[1] + box[3]);
    double limit = 2 * NC_IMAGE_MAX_EDGE; /* false for NaN */
    if (!(fabs(left) <= limit && fabs(top) <= limit && fabs(right) <= limit &&
          fabs(bottom) <= limit))
        return nc_error(NC_BAD_INPUT,
                        "the box [%g, %g, %g, %g] is far outside a picture of %zu x "
                        "%zu pixels",
                        box[0], box[1], box[2], box[3], image->width, image->height);
    if (left >= right || top >= bottom)
        return nc_error(NC_BAD_INPUT, "the box [%g, %g, %g, %g] holds no pixel", box[0], box[1],
                        box[2], box[3]);
    ptrdiff_t x = (ptrdiff_t)left, y = (ptrdiff_t)top;
    size_t width = (size_t)(right - left), height = (size_t)(bottom - top);
    if (x >= 0 && y >= 0 && (size_t)x + width <= image->width &&
        (size_t)y + height <= image->height) {
        view->pixels = image->pixels + ((size_t)y * image->width + (size_t)x) * 3;
        view->width = width;
        view->height = height;
        view->stride = image->width * 3;
        return NC_OK;
    }
    if (width * height > NC_IMAGE_MAX_PIXELS)
        return nc_error(NC_BAD_INPUT, "the box [%g, %g, %g, %g] is larger than any picture", box[0],
                        box[1], box[2], box[3]);
    *copy = calloc(width * height, 3);
    if (!*copy)
        return nc_error(NC_FAILED, "no memory for %zu x %zu pixels", width, height);
    ptrdiff_t from = x < 0 ? 0 : x, to = x + (ptrdiff_t)width;
    if (to > (ptrdiff_t)image->width)
        to = (ptrdiff_t)image->width;
    for (size_t row = 0; row < height && from < to; row++) {
        ptrdiff_t source = y + (ptrdiff_t)row;
        if (source >= 0 && source < (ptrdiff_t)image->height)
            memcpy(*copy + (row * width + (size_t)(from - x)) * 3,
                   image->pixels + ((size_t)source * image->width + (size_t)from) * 3,
                   (size_t)(to - from) * 3);
    }
    *view = (struct nc_image_view){*copy, width, height, width * 3};
    return NC_OK;
}

/* One axis of the centre crop: `have` pixels to `want`. Too few are centred in black,
 * the odd one in front, as in transformers' center_crop(). */
static void center(size_t have, size_t want, size_t *skip, size_t *pad, size_t *take)
{
    *skip = have > want ? (have - want) / 2 : 0;
    *pad = have < want ? (want - have + 1) / 2 : 0;
    *take = have < want ? have : want;
}

int nc_image_preprocess(const struct nc_preprocess *p, const struct nc_image *image,
                        const double box[4], float *out)
{
    struct nc_image_view view = {image->pixels, image->width, image->height, image->width * 3};
    uint8_t *copy = NULL, *pixels = NULL, *window_pixels = NULL;
    int status = NC_OK;
    if (!image->pixels || !image->width || !image->height)
        return nc_error(NC_BAD_INPUT, "a picture without pixels");
    if (box)
        status = crop_box(image, box, &view, &copy);
    if (status != NC_OK)
        goto done;

    size_t width = view.width, height = view.height;
    if (p->do_resize && p->shortest_edge) {
        /* int(size * long / short) in Python: the exact quotient, rounded once, cut. */
        bool upright = width <= height;
        size_t shorter = upright ? width : height, longer = upright ? height : width;
        longer = (size_t)((double)(p->shortest_edge * longer) / (double)shorter);
        width = upright ? p->shortest_edge : longer;
        height = upright ? longer : p->shortest_edge;
    } else if (p->do_resize) {
        width = p->resize_width;
        height = p->resize_height;
    }
    size_t out_width = p->do_center_crop ? p->crop_width : width;
    size_t out_height = p->do_center_crop ? p->crop_height : height;
    struct nc_window window;
    size_t pad_left, pad_top;
    center(width, out_width, &window.left, &pad_left, &window.width);
    center(height, out_height, &window.top, &pad_top, &window.height);

    size_t count = out_width * out_height;
    bool padded = window.width < out_width || window.height < out_height;
    pixels = padded ? calloc(count, 3) : malloc(count * 3);
    window_pixels = padded ? malloc(window.width * window.height * 3) : pixels;
    if (!pixels || !window_pixels) {
        status = nc_error(NC_FAILED, "no memory for %zu x %zu pixels", out_width, out_height);
        goto done;
    }
    status = nc_resize_window(&view, width, height, p->resample, &window, window_pixels);
    if (status != NC_OK)
        goto done;
    for (size_t y = 0; padded && y < window.height; y++)
        memcpy(pixels + ((pad_top + y) * out_width + pad_left) * 3,
               window_pixels + y * window.width * 3, window.width * 3);

    float levels[3][256];
    make_levels(p, levels);
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < count; i++)
            out[c * count + i] = levels[c][pixels[3 * i + c]];
done:
    if (window_pixels != pixels)
        free(window_pixels);
    free(pixels);
    free(copy);
    return status;
}
