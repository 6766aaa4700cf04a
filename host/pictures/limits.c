/* How large a picture may claim to be. */
#include "limits.h"

#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

int nc_image_check_size(const char *where, size_t width, size_t height)
{
    if (width > NC_IMAGE_MAX_EDGE || height > NC_IMAGE_MAX_EDGE ||
        width * height > NC_IMAGE_MAX_PIXELS)
        return nc_error(NC_BAD_INPUT, "%s: %zu x %zu pixels, more than the %d allowed (%d an edge)",
                        where, width, height, NC_IMAGE_MAX_PIXELS, NC_IMAGE_MAX_EDGE);
    return NC_OK;
}
