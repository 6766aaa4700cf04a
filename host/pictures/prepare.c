/* Takes a picture of a source from its file to the vision tower's input. */
#include "nclip/pictures/source.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

int nc_image_source_decode(const struct nc_image_source *source, size_t index, const uint8_t *bytes,
                           size_t size, const struct nc_preprocess *preprocess, float *out,
                           char damage[NC_IMAGE_DAMAGE])
{
    const char *key = nc_image_source_key(source, index);
    struct nc_image image = {0};
    int status = nc_image_decode(key, bytes, size, &preprocess->reading, &image);
    memcpy(damage, image.damage, NC_IMAGE_DAMAGE);
    if (status == NC_OK) {
        status = nc_image_preprocess(preprocess, &image, NULL, out);
        if (status != NC_OK)
            status = nc_error_prefix(status, "%s", key);
    }
    nc_image_free(&image);
    return status;
}

int nc_image_source_preprocess(const struct nc_image_source *source, size_t index,
                               const struct nc_preprocess *preprocess, float *out,
                               char damage[NC_IMAGE_DAMAGE])
{
    uint8_t *bytes;
    size_t size;
    damage[0] = 0;
    int status = nc_image_source_read(source, index, &bytes, &size);
    if (status == NC_OK)
        status = nc_image_source_decode(source, index, bytes, size, preprocess, out, damage);
    free(bytes);
    return status;
}
