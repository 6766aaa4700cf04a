/* Which kind of picture it is. */
#include "codec.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

/* The name of a kind of file that is a picture, or is often found instead of one. */
static const char *kind_of(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *magic;
        size_t size, offset;
        const char *name;
    } kinds[] = {
        {"GIF8", 4, 0, "a GIF"},
        {"BM", 2, 0, "a BMP picture"},
        {"II*\0", 4, 0, "a TIFF picture"},
        {"MM\0*", 4, 0, "a TIFF picture"},
        {"II+\0", 4, 0, "a BigTIFF picture"},
        {"MM\0+", 4, 0, "a BigTIFF picture"},
        {"ftypavif", 8, 4, "an AVIF picture"},
        {"ftypavis", 8, 4, "an AVIF animation"},
        {"ftypheic", 8, 4, "a HEIC picture"},
        {"ftypheix", 8, 4, "a HEIC picture"},
        {"ftyphevc", 8, 4, "a HEIC animation"},
        {"ftypmif1", 8, 4, "a HEIF picture (HEIC or AVIF)"},
        {"ftypmsf1", 8, 4, "a HEIF animation (HEIC or AVIF)"},
        {"ftypjp", 6, 4, "a JPEG 2000 picture"},
        {"ftyp", 4, 4, "a video"},
        {"\0\0\0\x0cjP  ", 8, 0, "a JPEG 2000 picture"},
        {"\xff\x4f\xff\x51", 4, 0, "a JPEG 2000 picture"},
        {"\0\0\0\x0cJXL ", 8, 0, "a JPEG XL picture"},
        {"\xff\x0a", 2, 0, "a JPEG XL picture"},
        {"\0\0\1\0", 4, 0, "an icon (ICO)"},
        {"\x1a\x45\xdf\xa3", 4, 0, "a video"},
        {"%PDF", 4, 0, "a PDF"},
        {"8BPS", 4, 0, "a Photoshop file"},
        {"PK\3\4", 4, 0, "a zip archive"},
        {"\x1f\x8b", 2, 0, "a gzip file"},
        {"<", 1, 0, "an HTML, SVG or XML text"},
        {"{", 1, 0, "a JSON text"},
        {"version https://git-lfs", 23, 0, "a Git LFS pointer, in place of the picture"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].offset + kinds[i].size &&
            memcmp(bytes + kinds[i].offset, kinds[i].magic, kinds[i].size) == 0)
            return kinds[i].name;
    return NULL;
}

static int refuse(const struct nc_coded *coded)
{
    const char *kind = kind_of(coded->bytes, coded->size);
    if (coded->size == 0)
        return nc_error(NC_BAD_INPUT, "%s: an empty file, not a picture", coded->where);
    if (kind)
        return nc_error(NC_BAD_INPUT, "%s: %s; JPEG, PNG and WebP are read: convert it to one",
                        coded->where, kind);
    return nc_error(NC_BAD_INPUT, "%s: not a picture (JPEG, PNG and WebP are read)", coded->where);
}

int nc_image_decode(const char *where, const void *bytes, size_t size,
                    const struct nc_image_reading *reading, struct nc_image *image)
{
    struct nc_coded coded = {where, bytes, size, reading ? *reading : (struct nc_image_reading){0}};
    const uint8_t *data = bytes;
    *image = (struct nc_image){0};
    if (size > NC_IMAGE_MAX_BYTES)
        return nc_error(NC_BAD_INPUT, "%s: %zu bytes, more than the %d allowed of a picture", where,
                        size, NC_IMAGE_MAX_BYTES);
    int status;
    if (size >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0)
        status = nc_jpeg_decode(&coded, image);
    else if (size >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0)
        status = nc_png_decode(&coded, image);
    else if (size >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0)
        status = nc_webp_decode(&coded, image);
    else
        status = refuse(&coded);
    if (status != NC_OK)
        nc_image_free(image);
    return status;
}

int nc_image_load(const char *path, const struct nc_image_reading *reading, struct nc_image *image)
{
    *image = (struct nc_image){0};
    char *bytes;
    size_t size;
    int status = nc_file_read(path, NC_IMAGE_MAX_BYTES, &bytes, &size);
    if (status != NC_OK)
        return status;
    status = nc_image_decode(path, bytes, size, reading, image);
    free(bytes);
    return status;
}

void nc_image_free(struct nc_image *image)
{
    free(image->pixels);
    *image = (struct nc_image){0};
}
