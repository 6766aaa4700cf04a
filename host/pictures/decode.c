/* Which kind of picture it is; PNG through stb_image (JPEG: see jpeg.h). */
#include "jpeg.h"
#include "limits.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* stb_image allocates what the file asks for. This is the most that the picture at
 * hand can need in one block; asking for more fails like missing memory. */
static _Thread_local size_t allocation_limit;

static void *limited_malloc(size_t size)
{
    return size <= allocation_limit ? malloc(size) : NULL;
}

static void *limited_realloc(void *block, size_t size)
{
    return size <= allocation_limit ? realloc(block, size) : NULL;
}

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS NC_IMAGE_MAX_EDGE
#define STBI_ASSERT(condition) ((void)(condition))
#define STBI_MALLOC(size) limited_malloc(size)
#define STBI_REALLOC(block, size) limited_realloc(block, size)
#define STBI_FREE(block) free(block)
#pragma GCC diagnostic ignored "-Wunused-function" /* reported at the end of the file */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

static const uint8_t png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

enum { PNG_GREY = 0, PNG_PALETTE = 3 };

struct png_header {
    size_t width, height;
    unsigned depth, color;
};

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint8_t *put_big_endian(uint8_t *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *out++ = (uint8_t)(value >> shift);
    return out;
}

static int read_png_header(const char *where, const uint8_t *content, size_t size,
                           struct png_header *header)
{
    if (size != 13)
        return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong header", where);
    static const unsigned channels[7] = {1, 0, 3, 1, 2, 0, 4};
    *header =
        (struct png_header){big_endian(content), big_endian(content + 4), content[8], content[9]};
    unsigned samples = header->color < 7 ? channels[header->color] : 0;
    if (!header->width || !header->height || !samples || header->depth > 16)
        return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong header", where);
    return nc_image_check_size(where, header->width, header->height);
}

/* Checks every chunk and copies what the pixels depend on, with a palette of full
 * size: [signature, IHDR, PLTE, IDAT, IEND]. Transparency, profiles, text and the
 * private chunks that stb_image would trip over stay behind. */
static int gather_png(const char *where, const uint8_t *bytes, size_t size,
                      struct png_header *header, uint8_t *out, size_t *out_size)
{
    size_t position = sizeof png_signature, data_size = 0;
    uint8_t *end = out + sizeof png_signature, *data = NULL;
    bool have_header = false, done = false;
    memcpy(out, png_signature, sizeof png_signature);
    while (!done) {
        size_t left = size - position;
        if (left < 12 || big_endian(bytes + position) > left - 12)
            return nc_error(NC_BAD_INPUT,
                            "%s: truncated PNG: a part at byte %zu reaches behind "
                            "the end (%zu bytes)",
                            where, position, size);
        const uint8_t *chunk = bytes + position;
        size_t length = big_endian(chunk);
        const uint8_t *content = chunk + 8;
        if (crc32(0, chunk + 4, (uInt)length + 4) != big_endian(content + length))
            return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong checksum at byte %zu", where,
                            position);
        position += length + 12;

        if (memcmp(chunk + 4, "IHDR", 4) == 0) {
            int status = read_png_header(where, content, length, header);
            if (status != NC_OK)
                return status;
            if (have_header)
                return nc_error(NC_BAD_INPUT, "%s: damaged PNG: two headers", where);
            have_header = true;
            memcpy(end, chunk, 25);
            end += 25;
        } else if (!have_header) {
            return nc_error(NC_BAD_INPUT, "%s: damaged PNG: it does not start with a header",
                            where);
        } else if (memcmp(chunk + 4, "PLTE", 4) == 0 && header->color == PNG_PALETTE && !data) {
            if (length > 768 || length % 3)
                return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong palette", where);
            end = put_big_endian(end, 768);
            memcpy(end, "PLTE", 4);
            memcpy(end + 4, content, length);
            memset(end + 4 + length, 0, 768 - length + 4);
            end += 4 + 768 + 4;
        } else if (memcmp(chunk + 4, "IDAT", 4) == 0) {
            if (!data) {
                data = end;
                end += 8;
            }
            memcpy(end, content, length);
            end += length;
            data_size += length;
        } else if (memcmp(chunk + 4, "IEND", 4) == 0) {
            done = true;
        } else if (!(chunk[4] & 0x20)) {
            return nc_error(NC_BAD_INPUT, "%s: damaged PNG: an unknown part at byte %zu", where,
                            position - length - 12);
        }
    }
    if (!data)
        return nc_error(NC_BAD_INPUT, "%s: damaged PNG: no pixels", where);
    memcpy(put_big_endian(data, (uint32_t)data_size), "IDAT", 4);
    memset(end, 0, 8); /* stb_image skips checksums */
    memcpy(end + 8, "IEND", 4);
    memset(end + 12, 0, 4);
    *out_size = (size_t)(end + 16 - out);

    /* Deflate makes at most 1032 bytes of one: a lying header allocates nothing. */
    size_t rows = header->height * (header->width * header->depth / 8 + 1);
    if (rows / 1032 > data_size)
        return nc_error(NC_BAD_INPUT, "%s: truncated PNG: %zu bytes cannot hold %zu x %zu pixels",
                        where, data_size, header->width, header->height);
    return NC_OK;
}

/* PIL holds 16-bit grey as such, and cuts what is above 255 when it makes RGB of it. */
static void expand_grey16(const stbi_us *grey, size_t count, uint8_t *pixels)
{
    for (size_t i = 0; i < count; i++)
        memset(pixels + 3 * i, grey[i] > 255 ? 255 : grey[i], 3);
}

static int decode_png(const char *where, const uint8_t *bytes, size_t size, struct nc_image *image)
{
    struct png_header header = {0};
    size_t gathered_size = 0;
    /* the copy adds a full palette and the frames of IDAT and IEND at most */
    uint8_t *gathered = malloc(size + 1024);
    void *decoded = NULL;
    int status = NC_OK;
    if (!gathered) {
        status = nc_error(NC_FAILED, "%s: no memory for %zu bytes", where, size);
        goto done;
    }
    status = gather_png(where, bytes, size, &header, gathered, &gathered_size);
    if (status != NC_OK)
        goto done;

    size_t pixels = header.width * header.height;
    allocation_limit = 24 * pixels + 4 * header.height + 2 * gathered_size + 65536;
    bool grey16 = header.color == PNG_GREY && header.depth == 16;
    int width, height, channels;
    if (grey16)
        decoded =
            stbi_load_16_from_memory(gathered, (int)gathered_size, &width, &height, &channels, 1);
    else
        decoded =
            stbi_load_from_memory(gathered, (int)gathered_size, &width, &height, &channels, 3);
    if (!decoded) {
        const char *reason = stbi_failure_reason();
        status = nc_error(NC_BAD_INPUT, "%s: damaged PNG: %s", where, reason ? reason : "unknown");
        goto done;
    }
    *image = (struct nc_image){header.width, header.height, decoded};
    if (grey16) {
        image->pixels = malloc(3 * pixels);
        if (!image->pixels) {
            *image = (struct nc_image){0};
            status = nc_error(NC_FAILED, "%s: no memory for %zu pixels", where, pixels);
            goto done;
        }
        expand_grey16(decoded, pixels, image->pixels);
    } else {
        decoded = NULL;
    }
done:
    free(decoded);
    free(gathered);
    return status;
}

/* The name of a kind of file that is a picture, or is often found instead of one. */
static const char *kind_of(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *magic;
        size_t size, offset;
        const char *name;
    } kinds[] = {
        {"GIF8", 4, 0, "a GIF"},
        {"WEBP", 4, 8, "a WebP picture"},
        {"BM", 2, 0, "a BMP picture"},
        {"II*\0", 4, 0, "a TIFF picture"},
        {"MM\0*", 4, 0, "a TIFF picture"},
        {"ftyp", 4, 4, "an AVIF, HEIC or video file"},
        {"%PDF", 4, 0, "a PDF"},
        {"8BPS", 4, 0, "a Photoshop file"},
        {"<", 1, 0, "an HTML, SVG or XML text"},
        {"version https://git-lfs", 23, 0, "a Git LFS pointer"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].offset + kinds[i].size &&
            memcmp(bytes + kinds[i].offset, kinds[i].magic, kinds[i].size) == 0)
            return kinds[i].name;
    return NULL;
}

int nc_image_decode(const char *where, const void *bytes, size_t size, struct nc_image *image)
{
    *image = (struct nc_image){0};
    const uint8_t *data = bytes;
    if (size > NC_IMAGE_MAX_BYTES)
        return nc_error(NC_BAD_INPUT, "%s: %zu bytes, more than the %d allowed of a picture", where,
                        size, NC_IMAGE_MAX_BYTES);
    if (size >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff)
        return nc_jpeg_decode(where, data, size, image);
    if (size >= sizeof png_signature && memcmp(data, png_signature, sizeof png_signature) == 0)
        return decode_png(where, data, size, image);
    if (size == 0)
        return nc_error(NC_BAD_INPUT, "%s: an empty file, not a picture", where);
    const char *kind = kind_of(data, size);
    if (kind)
        return nc_error(NC_BAD_INPUT, "%s: %s, not a JPEG or PNG; convert it to one", where, kind);
    return nc_error(NC_BAD_INPUT, "%s: not a JPEG or PNG picture", where);
}

int nc_image_load(const char *path, struct nc_image *image)
{
    *image = (struct nc_image){0};
    char *bytes;
    size_t size;
    int status = nc_file_read(path, NC_IMAGE_MAX_BYTES, &bytes, &size);
    if (status != NC_OK)
        return status;
    status = nc_image_decode(path, bytes, size, image);
    free(bytes);
    return status;
}

void nc_image_free(struct nc_image *image)
{
    free(image->pixels);
    *image = (struct nc_image){0};
}
