/* Crops, shrinks and encodes a picture as a small JPEG. */
#include "thumbnail.h"

#include "../views.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stb/stb_image_write.h>
#include <stdlib.h>
#include <string.h>

enum { QUALITY = 82 };

struct buffer {
    uint8_t *bytes;
    size_t size, capacity;
    bool failed;
};

static void append(void *context, void *data, int size)
{
    struct buffer *buffer = context;
    size_t count = (size_t)size;
    if (buffer->size + count > buffer->capacity) {
        size_t larger = 2 * (buffer->size + count);
        uint8_t *bytes = realloc(buffer->bytes, larger);
        buffer->failed |= !bytes;
        if (!bytes)
            return;
        buffer->bytes = bytes;
        buffer->capacity = larger;
    }
    memcpy(buffer->bytes + buffer->size, data, count);
    buffer->size += count;
}

/* Cuts the box, as far as it lies within the picture, out of *image. */
static int crop(struct nc_image *image, const double *box)
{
    double right = fmin((double)image->width, nearbyint(box[0] + box[2]));
    double bottom = fmin((double)image->height, nearbyint(box[1] + box[3]));
    double left = fmax(0, nearbyint(box[0])), top = fmax(0, nearbyint(box[1]));
    if (!(right > left && bottom > top))
        return nc_error(NC_BAD_INPUT, "the box is outside the picture");
    size_t x = (size_t)left, y = (size_t)top, width = (size_t)right - x,
           height = (size_t)bottom - y;
    for (size_t row = 0; row < height; row++)
        memmove(image->pixels + 3 * row * width, image->pixels + 3 * ((y + row) * image->width + x),
                3 * width);
    image->width = width;
    image->height = height;
    return NC_OK;
}

static int shrink(struct nc_image *image)
{
    size_t longer = image->width > image->height ? image->width : image->height;
    if (longer <= THUMBNAIL_EDGE)
        return NC_OK;
    struct nc_image small;
    size_t width = (image->width * THUMBNAIL_EDGE + longer / 2) / longer;
    size_t height = (image->height * THUMBNAIL_EDGE + longer / 2) / longer;
    int status =
        nc_image_resize(image, width ? width : 1, height ? height : 1, NC_RESAMPLE_BICUBIC, &small);
    if (status != NC_OK)
        return status;
    nc_image_free(image);
    *image = small;
    return NC_OK;
}

int thumbnail_make(const char *folder, const char *name, const double *box, uint8_t **bytes,
                   size_t *size)
{
    struct nc_image image = {0};
    struct buffer buffer = {0};
    char *path;
    int status = views_path(folder, name, &path);
    if (status == NC_OK)
        status = nc_image_load(path, NULL, &image);
    if (status == NC_OK && box)
        status = crop(&image, box);
    if (status == NC_OK)
        status = shrink(&image);
    if (status == NC_OK && (!stbi_write_jpg_to_func(append, &buffer, (int)image.width,
                                                    (int)image.height, 3, image.pixels, QUALITY) ||
                            buffer.failed))
        status = nc_error(NC_FAILED, "%s: no memory for a small picture", name);
    nc_image_free(&image);
    free(path);
    if (status != NC_OK)
        free(buffer.bytes);
    *bytes = status == NC_OK ? buffer.bytes : NULL;
    *size = buffer.size;
    return status;
}
