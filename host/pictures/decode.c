/* Which kind of picture it is. */
#include "codec.h"

#include "nclip/formats/kind.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>

/* Text in lines is named for what it is only where its form is one that pictures are mistaken for. */
static int refuse(const struct nc_coded *coded, enum nc_kind kind)
{
    if (kind == NC_KIND_EMPTY)
        return nc_error(NC_BAD_INPUT, "%s: an empty file, not a picture", coded->where);
    if (kind == NC_KIND_UNKNOWN || kind >= NC_KIND_JSONL)
        return nc_error(NC_BAD_INPUT, "%s: not a picture (JPEG, PNG and WebP are read)",
                        coded->where);
    return nc_kind_refuse(coded->where, kind, "a JPEG, PNG or WebP picture",
                          nc_kind_is_picture(kind) ? "convert it to one" : NULL);
}

int nc_image_decode(const char *where, const void *bytes, size_t size,
                    const struct nc_image_reading *reading, struct nc_image *image)
{
    struct nc_coded coded = {where, bytes, size, reading ? *reading : (struct nc_image_reading){0}};
    *image = (struct nc_image){0};
    if (size > NC_IMAGE_MAX_BYTES)
        return nc_error(NC_BAD_INPUT, "%s: %zu bytes, more than the %d allowed of a picture", where,
                        size, NC_IMAGE_MAX_BYTES);
    int status;
    enum nc_kind kind = nc_kind_of(bytes, size, true);
    if (kind == NC_KIND_JPEG)
        status = nc_jpeg_decode(&coded, image);
    else if (kind == NC_KIND_PNG)
        status = nc_png_decode(&coded, image);
    else if (kind == NC_KIND_WEBP)
        status = nc_webp_decode(&coded, image);
    else
        status = refuse(&coded, kind);
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
