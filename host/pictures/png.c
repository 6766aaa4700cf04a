/* PNG: zlib inflates, stb_image expands, and what is passed over is what PIL passes over.
 *
 * PIL (PngImagePlugin.py, libImaging/ZipDecode.c) checks every part before the pixels, and no
 * checksum of the pixels' own parts or of what follows. It inflates row by row, one part after the
 * other, and stops at the last row, so that a wrong checksum of the compressed stream is an error
 * only where it stands in the same part as the last row. A stream that ends after a whole row
 * leaves the rest black. The same steps are taken here; the rows then go to stb_image as stored
 * blocks.
 */
#include "codec.h"

#include "nclip/support/error.h"

#include <ctype.h>
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

enum {
    SIGNATURE = 8,
    FRAME = 12, /* of a part: length, name, checksum */
    PALETTE = 3 * 256,
    BLOCK = 65535, /* of a stored block of deflate */
    BLOCK_FRAME = 5,
    PIECE = 65536, /* that PIL inflates at once */
    PASSES = 7,
};

enum { GREY = 0, RGB = 2, INDEXED = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

struct png {
    const struct nc_coded *coded;
    struct nc_image *image;
    size_t width, height;
    unsigned depth, color, channels;
    bool interlaced, has_header;
    const uint8_t *palette, *key; /* PLTE, tRNS; or NULL */
    size_t palette_size, key_size;
    size_t first_data;        /* position of the first IDAT */
    size_t rows[PASSES];      /* of each pass; one pass when not interlaced */
    size_t row_bytes[PASSES]; /* with the filter's byte */
    size_t stored_size;       /* of all rows as a stream of stored blocks */
    uint8_t *stored, *end;    /* where it stands in what stb_image gets; what has been put there */
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

static int damaged(const struct png *png, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: damaged PNG: %s", png->coded->where, what);
}

static int truncated(const struct png *png)
{
    return nc_error(NC_BAD_INPUT, "%s: truncated PNG: its pixels are incomplete after %zu bytes",
                    png->coded->where, png->coded->size);
}

static bool is_named(const uint8_t *part, const char *name)
{
    return memcmp(part + 4, name, 4) == 0;
}

/* ---- parts ---- */

static bool has_name(const uint8_t *part)
{
    for (size_t i = 4; i < 8; i++)
        if (!isalnum(part[i]) && part[i] != '_')
            return false;
    return true;
}

/* Parts that PIL looks into, wherever they stand: it refuses the file for one that is too short, or
 * packed in a way that there is not. */
static bool is_sound(const uint8_t *part, size_t length)
{
    static const struct {
        char name[5];
        uint8_t least;
    } known[] = {{"IHDR", 13}, {"gAMA", 4}, {"cHRM", 32}, {"sRGB", 1},
                 {"pHYs", 9},  {"acTL", 8}, {"fcTL", 26}, {"fdAT", 4}};
    const uint8_t *content = part + 8, *end = content + length;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_named(part, known[i].name))
            return length >= known[i].least;
    bool profile = is_named(part, "iCCP");
    if (!profile && !is_named(part, "zTXt"))
        return true;
    const uint8_t *name_end = memchr(content, 0, length);
    const uint8_t *method = name_end ? name_end + 1 : profile ? content : end;
    return method < end ? *method == 0 : !profile;
}

static int read_header(struct png *png, const uint8_t *content, size_t size)
{
    static const unsigned channels[7] = {1, 0, 3, 1, 2, 0, 4};
    static const unsigned depths[7] = {0x1f, 0, 0x18, 0xf, 0x18, 0, 0x18}; /* bits: 1 2 4 8 16 */
    if (size < 13)
        return damaged(png, "a wrong header");
    png->width = big_endian(content);
    png->height = big_endian(content + 4);
    png->depth = content[8];
    png->color = content[9];
    png->channels = png->color < 7 ? channels[png->color] : 0;
    png->interlaced = content[12] != 0;
    bool known = png->depth && png->depth <= 16 && !(png->depth & (png->depth - 1)) &&
                 png->channels && depths[png->color] >> __builtin_ctz(png->depth) & 1;
    if (!png->width || !png->height || !known || content[11])
        return damaged(png, "a wrong header");
    png->has_header = true;
    return nc_image_check_size(png->coded->where, png->width, png->height);
}

static int read_part(struct png *png, const uint8_t *part, size_t length)
{
    const uint8_t *content = part + 8;
    if (is_named(part, "IHDR"))
        return read_header(png, content, length);
    if (is_named(part, "PLTE")) {
        png->palette = content;
        png->palette_size = length;
    }
    if (is_named(part, "tRNS")) {
        png->key = content;
        png->key_size = length;
    }
    return NC_OK;
}

/* Everything before the pixels must be whole. Parts that are not known are passed over. */
static int read_parts(struct png *png)
{
    const struct nc_coded *coded = png->coded;
    int status = NC_OK;
    for (size_t position = SIGNATURE; status == NC_OK;) {
        const uint8_t *part = coded->bytes + position;
        size_t left = coded->size - position;
        if (left >= 8 && is_named(part, "IDAT")) {
            png->first_data = position;
            break;
        }
        if (left < FRAME || big_endian(part) > left - FRAME)
            return nc_error(NC_BAD_INPUT,
                            "%s: truncated PNG: a part at byte %zu reaches behind the end (%zu "
                            "bytes)",
                            coded->where, position, coded->size);
        size_t length = big_endian(part);
        if (is_named(part, "IEND"))
            return damaged(png, "no pixels");
        if (!has_name(part) ||
            crc32(0, part + 4, (uInt)length + 4) != big_endian(part + 8 + length))
            return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong %s at byte %zu", coded->where,
                            has_name(part) ? "checksum" : "name of a part", position);
        if (!is_sound(part, length))
            return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong part at byte %zu", coded->where,
                            position);
        status = read_part(png, part, length);
        position += FRAME + length;
    }
    if (status == NC_OK && !png->has_header)
        return damaged(png, "pixels before any header");
    if (status == NC_OK && png->color == INDEXED && png->palette_size > PALETTE)
        return damaged(png, "a wrong palette");
    if (status == NC_OK && png->color == INDEXED && png->palette_size < 3)
        status = nc_image_note_damage(coded, png->image, "no palette, which makes it black");
    return status;
}

/* What stands behind the pixels' first part, for damage that keeps nobody from reading. PIL reads
 * on to the end, too, and stumbles over a part that the file does not hold in full. */
static int check_rest(struct png *png)
{
    const struct nc_coded *coded = png->coded;
    const char *missing = "its end part is missing";
    for (size_t position = png->first_data;;) {
        const uint8_t *part = coded->bytes + position;
        size_t left = coded->size - position;
        if (left < 8)
            return nc_image_note_damage(coded, png->image, "%s", missing);
        if (!has_name(part))
            return nc_image_note_damage(coded, png->image, "no part at byte %zu", position);
        size_t length = big_endian(part);
        bool data = is_named(part, "IDAT"), end = is_named(part, "IEND");
        if (length > left - 8) {
            if (!data && !end)
                return truncated(png);
            return nc_image_note_damage(coded, png->image, "%s", missing);
        }
        if (!is_sound(part, length))
            return nc_error(NC_BAD_INPUT, "%s: damaged PNG: a wrong part at byte %zu", coded->where,
                            position);
        if (left - 8 - length < 4 ||
            crc32(0, part + 4, (uInt)length + 4) != big_endian(part + 8 + length)) {
            int status =
                nc_image_note_damage(coded, png->image, "a wrong checksum at byte %zu", position);
            if (status != NC_OK || left - 8 - length < 4)
                return status;
        }
        if (end)
            return NC_OK;
        position += FRAME + length;
    }
}

/* ---- rows ---- */

/* The rows of each pass, and their sizes. */
static void lay_out(struct png *png)
{
    static const size_t x0[PASSES] = {0, 4, 0, 2, 0, 1, 0}, dx[PASSES] = {8, 8, 4, 4, 2, 2, 1};
    static const size_t y0[PASSES] = {0, 0, 4, 0, 2, 0, 1}, dy[PASSES] = {8, 8, 8, 4, 4, 2, 2};
    size_t bits = png->depth * png->channels;
    for (size_t pass = 0; pass < PASSES; pass++) {
        size_t width = png->width, height = pass ? 0 : png->height;
        if (png->interlaced) {
            width = width > x0[pass] ? (width - x0[pass] + dx[pass] - 1) / dx[pass] : 0;
            height =
                png->height > y0[pass] ? (png->height - y0[pass] + dy[pass] - 1) / dy[pass] : 0;
        }
        png->rows[pass] = width ? height : 0;
        png->row_bytes[pass] = 1 + (width * bits + 7) / 8;
        size_t blocks = (png->row_bytes[pass] + BLOCK - 1) / BLOCK;
        png->stored_size += png->rows[pass] * (png->row_bytes[pass] + blocks * BLOCK_FRAME);
    }
    png->stored_size += 2 + BLOCK_FRAME + 4; /* zlib's head, an empty last block, its checksum */
}

/* The bytes of the part at `position` that are there, when it is one of pixels. */
static bool next_data(const struct png *png, size_t position, const uint8_t **data, size_t *size)
{
    size_t left = png->coded->size - position;
    const uint8_t *part = png->coded->bytes + position;
    if (left < 8 || !is_named(part, "IDAT"))
        return false;
    size_t length = big_endian(part);
    *data = part + 8;
    *size = length < left - 8 ? length : left - 8;
    return true;
}

struct source { /* of compressed bytes: piece after piece of the pixels' parts */
    const struct png *png;
    size_t position; /* of the next part */
    const uint8_t *data;
    size_t left; /* of the part at hand */
};

static bool next_piece(struct source *source, z_stream *stream)
{
    while (!source->left) {
        if (!next_data(source->png, source->position, &source->data, &source->left))
            return false;
        size_t end = source->png->coded->size - source->position;
        source->position += source->left + FRAME < end ? source->left + FRAME : end;
    }
    size_t piece = source->left < PIECE ? source->left : PIECE;
    stream->next_in = (Bytef *)source->data; /* zlib does not write there */
    stream->avail_in = (uInt)piece;
    source->data += piece;
    source->left -= piece;
    return true;
}

enum row { ROW_DONE, ROW_LAST, ROW_MISSING, ROW_BROKEN, ROW_NO_MEMORY };

/* One row into a stored block (several when it is long) at png->end. ROW_LAST: the stream ended
 * with it. */
static enum row inflate_row(struct png *png, struct source *source, z_stream *stream, size_t size)
{
    int result = Z_OK;
    for (size_t done = 0; done < size;) {
        size_t block = size - done < BLOCK ? size - done : BLOCK;
        uint8_t *frame = png->end;
        frame[0] = 0;
        frame[1] = (uint8_t)block;
        frame[2] = (uint8_t)(block >> 8);
        frame[3] = (uint8_t)~frame[1];
        frame[4] = (uint8_t)~frame[2];
        png->end += BLOCK_FRAME + block;
        done += block;
        if (!stream) /* black */
            continue;
        stream->next_out = frame + BLOCK_FRAME;
        stream->avail_out = (uInt)block;
        while (stream->avail_out) {
            if (!stream->avail_in && !next_piece(source, stream))
                return ROW_MISSING;
            result = inflate(stream, Z_NO_FLUSH);
            if (result < 0 && result != Z_BUF_ERROR)
                return result == Z_MEM_ERROR ? ROW_NO_MEMORY : ROW_BROKEN;
            if (stream->avail_out) /* the piece gives no more */
                stream->avail_in = 0;
        }
    }
    return result == Z_STREAM_END ? ROW_LAST : ROW_DONE;
}

static int no_memory(const struct png *png)
{
    return nc_error(NC_FAILED, "%s: no memory to inflate it", png->coded->where);
}

/* Behind the last row: the stream's own end, which PIL does not wait for. */
static int check_end(struct png *png, struct source *source, z_stream *stream)
{
    uint8_t surplus[64];
    int result;
    do {
        if (!stream->avail_in && !next_piece(source, stream))
            return nc_image_note_damage(png->coded, png->image, "the compressed pixels do not end");
        stream->next_out = surplus;
        stream->avail_out = sizeof surplus;
        result = inflate(stream, Z_NO_FLUSH);
        if (stream->avail_out < sizeof surplus)
            return nc_image_note_damage(png->coded, png->image, "bytes behind the last pixel");
    } while (result == Z_OK || result == Z_BUF_ERROR);
    if (result == Z_MEM_ERROR)
        return no_memory(png);
    if (result != Z_STREAM_END)
        return nc_image_note_damage(png->coded, png->image, "the pixels' checksum is wrong");
    return NC_OK;
}

static int inflate_rows(struct png *png)
{
    struct source source = {png, png->first_data, NULL, 0};
    z_stream stream = {0}, *open = &stream;
    int result = inflateInit(&stream), status = NC_OK;
    if (result != Z_OK)
        return no_memory(png);
    png->end = png->stored;
    *png->end++ = 0x78;
    *png->end++ = 0x01;
    enum row row = ROW_DONE;
    for (size_t pass = 0; pass < PASSES && status == NC_OK; pass++)
        for (size_t y = 0; y < png->rows[pass] && status == NC_OK; y++) {
            if (row == ROW_LAST && open) {
                open = NULL;
                status = nc_image_note_damage(png->coded, png->image,
                                              "pixels are missing, which makes them black");
            }
            row = inflate_row(png, &source, open, png->row_bytes[pass]);
            if (row == ROW_MISSING)
                status = truncated(png);
            if (row == ROW_NO_MEMORY)
                status = no_memory(png);
            if (row == ROW_BROKEN)
                status = stream.msg && strstr(stream.msg, "check")
                             ? damaged(png, "its pixels do not match their checksum")
                             : damaged(png, "its pixels cannot be inflated");
        }
    if (status == NC_OK && row == ROW_DONE && open)
        status = check_end(png, &source, &stream);
    static const uint8_t last[BLOCK_FRAME + 4] = {1, 0, 0, 0xff, 0xff};
    if (status == NC_OK)
        memcpy(png->end, last, sizeof last);
    inflateEnd(&stream);
    return status;
}

/* ---- pixels ---- */

/* What stb_image gets: header, palette of full size, transparency where it matters, rows. Profiles,
 * text and what it would trip over stay behind. */
static int rewrite(struct png *png, bool alpha, uint8_t **out, size_t *size)
{
    size_t compressed = 0, position = png->first_data, length;
    const uint8_t *data;
    while (next_data(png, position, &data, &length) && compressed <= png->coded->size) {
        compressed += length;
        position += length + FRAME < png->coded->size - position ? length + FRAME
                                                                 : png->coded->size - position;
    }
    lay_out(png);
    /* Deflate makes at most 1032 bytes of one: a lying header allocates nothing. */
    if (png->stored_size / 1050 > compressed)
        return nc_error(NC_BAD_INPUT, "%s: truncated PNG: %zu bytes cannot hold %zu x %zu pixels",
                        png->coded->where, compressed, png->width, png->height);
    *size =
        SIGNATURE + FRAME + 13 + FRAME + PALETTE + FRAME + 256 + FRAME + png->stored_size + FRAME;
    *out = calloc(1, *size); /* checksums are not looked at */
    if (!*out)
        return nc_error(NC_FAILED, "%s: no memory for %zu bytes", png->coded->where, *size);
    uint8_t *end = *out;
    memcpy(end, png->coded->bytes, SIGNATURE);
    end = put_big_endian(end + SIGNATURE, 13);
    memcpy(end, "IHDR", 4);
    end = put_big_endian(end + 4, (uint32_t)png->width);
    end = put_big_endian(end, (uint32_t)png->height);
    *end++ = (uint8_t)png->depth;
    *end++ = (uint8_t)png->color;
    *end = *(end + 1) = 0;
    end[2] = png->interlaced;
    end += 3 + 4;
    if (png->color == INDEXED) {
        memcpy(put_big_endian(end, PALETTE), "PLTE", 4);
        if (png->palette)
            memcpy(end + 8, png->palette, png->palette_size / 3 * 3);
        end += FRAME + PALETTE;
    }
    size_t key = png->color == INDEXED ? 256 : png->color == RGB ? 6 : 2;
    if (alpha && png->key && !(png->color & 4)) {
        memcpy(put_big_endian(end, (uint32_t)key), "tRNS", 4);
        memset(end + 8, 255, key);
        memcpy(end + 8, png->key, png->key_size < key ? png->key_size : key);
        end += FRAME + key;
    }
    memcpy(put_big_endian(end, (uint32_t)png->stored_size), "IDAT", 4);
    png->stored = end + 8;
    memcpy(png->stored + png->stored_size + 4 + 4, "IEND", 4);
    return NC_OK;
}

/* PIL holds 16-bit grey as such, and cuts what is above 255 when it makes RGB of it. */
static void expand_grey16(const struct png *png, const stbi_us *grey, size_t count, uint8_t *pixels)
{
    bool keyed = png->coded->reading.transparency == NC_TRANSPARENCY_WHITE && png->key;
    unsigned key = keyed ? (unsigned)(png->key[0] << 8 | png->key[1]) : 65536;
    for (size_t i = 0; i < count; i++)
        memset(pixels + 3 * i, grey[i] > 255 || grey[i] == key ? 255 : grey[i], 3);
}

static int expand(struct png *png, const uint8_t *bytes, size_t size, bool alpha)
{
    size_t pixels = png->width * png->height;
    bool grey16 = png->color == GREY && png->depth == 16;
    int width, height, channels;
    allocation_limit = 24 * pixels + 4 * png->height + 2 * size + 65536;
    void *decoded =
        grey16 ? (void *)stbi_load_16_from_memory(bytes, (int)size, &width, &height, &channels, 1)
               : stbi_load_from_memory(bytes, (int)size, &width, &height, &channels, alpha ? 4 : 3);
    if (!decoded) {
        const char *reason = stbi_failure_reason();
        if (reason && strcmp(reason, "outofmem") == 0)
            return nc_error(NC_FAILED, "%s: no memory for %zu pixels", png->coded->where, pixels);
        return damaged(png, reason ? reason : "unknown");
    }
    struct nc_image *image = png->image;
    image->width = png->width;
    image->height = png->height;
    image->pixels = decoded;
    if (grey16 || alpha) {
        image->pixels = malloc(3 * pixels);
        if (image->pixels && grey16)
            expand_grey16(png, decoded, pixels, image->pixels);
        else if (image->pixels)
            nc_image_drop_alpha(NC_TRANSPARENCY_WHITE, decoded, pixels, image->pixels);
        free(decoded);
    }
    return image->pixels
               ? NC_OK
               : nc_error(NC_FAILED, "%s: no memory for %zu pixels", png->coded->where, pixels);
}

int nc_png_decode(const struct nc_coded *coded, struct nc_image *image)
{
    struct png png = {.coded = coded, .image = image};
    uint8_t *bytes = NULL;
    size_t size = 0;
    int status = read_parts(&png);
    if (status != NC_OK)
        return status;
    bool white = coded->reading.transparency == NC_TRANSPARENCY_WHITE;
    bool alpha = white && (png.color & 4 || png.key);
    size_t key = png.color == INDEXED ? 0 : png.color == RGB ? 6 : 2;
    if (png.key && !(png.color & 4) &&
        (png.key_size < key || (png.color == INDEXED && white && png.key_size > 256)))
        return damaged(&png, "a wrong list of transparent colours");
    status = rewrite(&png, alpha, &bytes, &size);
    if (status == NC_OK)
        status = inflate_rows(&png);
    if (status == NC_OK)
        status = expand(&png, bytes, size, alpha);
    if (status == NC_OK)
        status = check_rest(&png);
    free(bytes);
    return status;
}
