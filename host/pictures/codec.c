/* What the decoders of all kinds share. */
#include "codec.h"

#include "nclip/support/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const nc_transparency_names[] = {"drop", "white", NULL};

const char *nc_transparency_name(enum nc_transparency transparency)
{
    return nc_transparency_names[transparency];
}

int nc_image_check_size(const char *where, size_t width, size_t height)
{
    if (width > NC_IMAGE_MAX_EDGE || height > NC_IMAGE_MAX_EDGE ||
        width * height > NC_IMAGE_MAX_PIXELS)
        return nc_error(NC_BAD_INPUT, "%s: %zu x %zu pixels, more than the %d allowed (%d an edge)",
                        where, width, height, NC_IMAGE_MAX_PIXELS, NC_IMAGE_MAX_EDGE);
    return NC_OK;
}

int nc_image_note_damage(const struct nc_coded *coded, struct nc_image *image, const char *format,
                         ...)
{
    char damage[NC_IMAGE_DAMAGE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(damage, sizeof damage, format, arguments);
    va_end(arguments);
    if (coded->reading.strict)
        return nc_error(NC_BAD_INPUT, "%s: damaged, which --strict refuses: %s", coded->where,
                        damage);
    if (!image->damage[0])
        memcpy(image->damage, damage, sizeof damage);
    return NC_OK;
}

/* Libimaging's AlphaComposite.c over opaque white, where its divisions by the alpha that comes out
 * cancel. */
static uint8_t over_white(unsigned color, unsigned alpha)
{
    unsigned sum = (color * alpha + 255 * (255 - alpha) + 128) << 7;
    return (uint8_t)((((sum >> 8) + sum) >> 8) >> 7);
}

void nc_image_drop_alpha(enum nc_transparency transparency, const uint8_t *rgba, size_t count,
                         uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t alpha = transparency == NC_TRANSPARENCY_WHITE ? rgba[4 * i + 3] : 255;
        for (size_t c = 0; c < 3; c++)
            out[3 * i + c] = alpha == 255 ? rgba[4 * i + c] : over_white(rgba[4 * i + c], alpha);
    }
}
