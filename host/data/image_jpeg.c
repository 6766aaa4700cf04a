#include "image_jpeg.h"

#include "nclip/error.h"

#include <stdlib.h>
#include <string.h>

enum {
    SOF0 = 0xc0,
    SOF1 = 0xc1,
    SOF2 = 0xc2,
    SOF15 = 0xcf,
    DHT = 0xc4,
    JPG = 0xc8,
    DAC = 0xcc,
    RST0 = 0xd0,
    RST7 = 0xd7,
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    DQT = 0xdb,
    DRI = 0xdd,
    APP0 = 0xe0,
    APP14 = 0xee,
    TEM = 0x01,
};

/* A progressive file of a few bytes a scan must not keep a processor busy for
 * hours. Encoders write about ten scans. */
enum { MAX_SCANS = 256 };

struct component {
    int id;
    unsigned horizontal, vertical; /* sampling factors */
    unsigned quantization_index, dc, ac;
    size_t width, height;            /* samples that the picture needs */
    size_t blocks_wide, blocks_high; /* as stored: whole MCUs */
    uint16_t quantization[64];       /* natural order; as of the component's first scan */
    bool started;
    uint32_t dc_prediction;
    int16_t *coefficients; /* [blocks_high, blocks_wide, 64]; progressive files */
    uint8_t *samples;      /* [blocks_high * 8, blocks_wide * 8] */
    int8_t missing[64];    /* zigzag order: bits of each coefficient still to come; -1: all */
};

struct decoder {
    const char *where;
    const uint8_t *bytes;
    size_t size, position;
    size_t width, height;
    bool progressive;
    unsigned count; /* components; 0 before the frame header */
    struct component components[4];
    unsigned horizontal_max, vertical_max;
    size_t mcus_wide, mcus_high;
    size_t restart_interval;
    size_t scans;
    bool jfif, adobe;
    int adobe_transform;
    bool quantization_defined[4];
    uint16_t quantization[4][64]; /* natural order */
    struct nc_jpeg_huffman dc[4], ac[4];
};

static int damaged(const struct decoder *d, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: damaged JPEG: %s near byte %zu", d->where, what,
                    d->position);
}

static int unsupported(const struct decoder *d, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: %s; save it as an 8-bit baseline or progressive JPEG",
                    d->where, what);
}

/* The code behind the next FF that starts a marker; skips what is not one. */
static int next_marker(struct decoder *d, int *marker)
{
    while (d->size - d->position >= 2) {
        const uint8_t *here = d->bytes + d->position;
        if (here[0] == 0xff && here[1] != 0 && here[1] != 0xff) {
            *marker = here[1];
            d->position += 2;
            return NC_OK;
        }
        d->position++;
    }
    return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: %zu bytes and no end", d->where, d->size);
}

/* The content of a marker segment; the position moves behind it. */
static int segment(struct decoder *d, const uint8_t **content, size_t *size)
{
    const uint8_t *here = d->bytes + d->position;
    size_t left = d->size - d->position;
    size_t length = left >= 2 ? (size_t)here[0] << 8 | here[1] : 0;
    if (length < 2 || length > left)
        return damaged(d, "a segment longer than the file");
    *content = here + 2;
    *size = length - 2;
    d->position += length;
    return NC_OK;
}

static int read_quantization(struct decoder *d, const uint8_t *content, size_t size)
{
    while (size) {
        unsigned wide = content[0] >> 4, index = content[0] & 15;
        size_t need = 1 + (wide ? 128 : 64);
        if (wide > 1 || index > 3 || size < need)
            return damaged(d, "a wrong quantization table");
        for (size_t i = 0; i < 64; i++)
            d->quantization[index][nc_jpeg_zigzag[i]] =
                wide ? (uint16_t)(content[1 + 2 * i] << 8 | content[2 + 2 * i]) : content[1 + i];
        d->quantization_defined[index] = true;
        content += need;
        size -= need;
    }
    return NC_OK;
}

static int read_huffman(struct decoder *d, const uint8_t *content, size_t size)
{
    while (size) {
        size_t total = 0;
        for (size_t i = 1; i <= 16 && i < size; i++)
            total += content[i];
        unsigned is_ac = content[0] >> 4, index = content[0] & 15;
        if (size < 17 || is_ac > 1 || index > 3 || total > 256 || size - 17 < total ||
            !nc_jpeg_huffman_build(is_ac ? &d->ac[index] : &d->dc[index], content + 1, content + 17,
                                   total))
            return damaged(d, "a wrong Huffman table");
        content += 17 + total;
        size -= 17 + total;
    }
    return NC_OK;
}

static int read_frame(struct decoder *d, const uint8_t *content, size_t size)
{
    if (d->count)
        return damaged(d, "a second frame");
    if (size < 6 || size != 6 + 3 * (size_t)content[5])
        return damaged(d, "a wrong frame header");
    if (content[0] != 8)
        return unsupported(d, "a JPEG with more than 8 bits a sample");
    d->height = (size_t)content[1] << 8 | content[2];
    d->width = (size_t)content[3] << 8 | content[4];
    unsigned count = content[5];
    if (d->width == 0 || d->height == 0)
        return damaged(d, "a picture without pixels");
    if (d->width * d->height > NC_IMAGE_MAX_PIXELS)
        return nc_error(NC_BAD_INPUT, "%s: %zu x %zu pixels, more than the %d allowed", d->where,
                        d->width, d->height, NC_IMAGE_MAX_PIXELS);
    if (count != 1 && count != 3 && count != 4)
        return unsupported(d, "a JPEG that is not grey, colour or CMYK");

    for (unsigned i = 0; i < count; i++) {
        struct component *c = &d->components[i];
        c->id = content[6 + 3 * i];
        c->horizontal = content[7 + 3 * i] >> 4;
        c->vertical = content[7 + 3 * i] & 15;
        c->quantization_index = content[8 + 3 * i];
        if (c->horizontal < 1 || c->horizontal > 4 || c->vertical < 1 || c->vertical > 4 ||
            c->quantization_index > 3)
            return damaged(d, "a wrong frame header");
        if (c->horizontal > d->horizontal_max)
            d->horizontal_max = c->horizontal;
        if (c->vertical > d->vertical_max)
            d->vertical_max = c->vertical;
        memset(c->missing, -1, sizeof c->missing);
    }
    d->mcus_wide = (d->width + 8 * d->horizontal_max - 1) / (8 * d->horizontal_max);
    d->mcus_high = (d->height + 8 * d->vertical_max - 1) / (8 * d->vertical_max);

    size_t blocks = 0;
    for (unsigned i = 0; i < count; i++) {
        struct component *c = &d->components[i];
        if (d->horizontal_max % c->horizontal || d->vertical_max % c->vertical)
            return unsupported(d, "a JPEG with fractional sampling of a component");
        c->width = (d->width * c->horizontal + d->horizontal_max - 1) / d->horizontal_max;
        c->height = (d->height * c->vertical + d->vertical_max - 1) / d->vertical_max;
        c->blocks_wide = d->mcus_wide * c->horizontal;
        c->blocks_high = d->mcus_high * c->vertical;
        blocks += ((c->width + 7) / 8) * ((c->height + 7) / 8);
    }
    /* Every block takes a bit at least, so that a lying header allocates nothing. */
    if (blocks / 8 > d->size)
        return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: %zu bytes cannot hold %zu x %zu pixels",
                        d->where, d->size, d->width, d->height);
    for (unsigned i = 0; i < count; i++) {
        struct component *c = &d->components[i];
        size_t samples = c->blocks_wide * c->blocks_high * 64;
        c->samples = malloc(samples);
        if (d->progressive)
            c->coefficients = calloc(samples, sizeof *c->coefficients);
        if (!c->samples || (d->progressive && !c->coefficients))
            return nc_error(NC_FAILED, "%s: no memory for %zu x %zu pixels", d->where, d->width,
                            d->height);
    }
    d->count = count;
    return NC_OK;
}

struct scan {
    unsigned count;
    struct component *components[4];
    struct nc_jpeg_band band;
    uint32_t end_of_band_run;
    struct nc_jpeg_bits bits;
};

static int read_scan_header(struct decoder *d, const uint8_t *content, size_t size,
                            struct scan *scan)
{
    if (!d->count)
        return damaged(d, "a scan before the frame");
    if (++d->scans > MAX_SCANS)
        return damaged(d, "hundreds of scans");
    scan->count = size ? content[0] : 0;
    if (scan->count < 1 || scan->count > d->count || size != 4 + 2 * (size_t)scan->count)
        return damaged(d, "a wrong scan header");

    const uint8_t *tail = content + 1 + 2 * scan->count;
    scan->band = (struct nc_jpeg_band){.last = 63};
    if (d->progressive) {
        scan->band = (struct nc_jpeg_band){tail[0], tail[1], tail[2] >> 4, tail[2] & 15};
        bool is_dc = scan->band.first == 0;
        if (scan->band.last > 63 || scan->band.first > scan->band.last ||
            (is_dc && scan->band.last != 0) || (!is_dc && scan->count != 1) ||
            scan->band.low > 13 || (scan->band.high && scan->band.high - 1 != scan->band.low))
            return damaged(d, "a wrong progressive scan");
    }

    size_t blocks_per_mcu = 0;
    for (unsigned i = 0; i < scan->count; i++) {
        struct component *c = NULL;
        for (unsigned j = 0; j < d->count && !c; j++)
            if (d->components[j].id == content[1 + 2 * i])
                c = &d->components[j];
        for (unsigned j = 0; j < i && c; j++)
            if (scan->components[j] == c)
                c = NULL;
        if (!c)
            return damaged(d, "a scan of a component that is not there");
        scan->components[i] = c;
        blocks_per_mcu += (size_t)c->horizontal * c->vertical;
        c->dc = content[2 + 2 * i] >> 4;
        c->ac = content[2 + 2 * i] & 15;
        bool needs_dc = !d->progressive || (scan->band.first == 0 && scan->band.high == 0);
        bool needs_ac = !d->progressive || scan->band.first > 0;
        if (c->dc > 3 || c->ac > 3 || (needs_dc && !d->dc[c->dc].defined) ||
            (needs_ac && !d->ac[c->ac].defined))
            return damaged(d, "a missing Huffman table");
        if (!c->started) {
            if (!d->quantization_defined[c->quantization_index])
                return damaged(d, "a missing quantization table");
            memcpy(c->quantization, d->quantization[c->quantization_index], sizeof c->quantization);
            c->started = true;
        }
        for (int k = scan->band.first; k <= scan->band.last; k++)
            c->missing[k] = (int8_t)scan->band.low;
    }
    if (scan->count > 1 && blocks_per_mcu > 10)
        return damaged(d, "more than 10 blocks in a unit");
    return NC_OK;
}

static bool decode_block(struct decoder *d, struct scan *scan, struct component *c, size_t row,
                         size_t column)
{
    const struct nc_jpeg_huffman *dc = &d->dc[c->dc], *ac = &d->ac[c->ac];
    if (d->progressive) {
        int16_t *block = c->coefficients + (row * c->blocks_wide + column) * 64;
        return scan->band.first == 0
                   ? nc_jpeg_block_dc(&scan->bits, dc, &scan->band, &c->dc_prediction, block)
                   : nc_jpeg_block_ac(&scan->bits, ac, &scan->band, &scan->end_of_band_run, block);
    }
    int16_t block[64];
    if (!nc_jpeg_block_sequential(&scan->bits, dc, ac, &c->dc_prediction, block))
        return false;
    size_t stride = c->blocks_wide * 8;
    nc_jpeg_inverse_dct(block, c->quantization, c->samples + row * 8 * stride + column * 8, stride);
    return true;
}

static bool decode_mcu(struct decoder *d, struct scan *scan, size_t row, size_t column)
{
    if (scan->count == 1)
        return decode_block(d, scan, scan->components[0], row, column);
    for (unsigned i = 0; i < scan->count; i++) {
        struct component *c = scan->components[i];
        for (unsigned y = 0; y < c->vertical; y++)
            for (unsigned x = 0; x < c->horizontal; x++)
                if (!decode_block(d, scan, c, row * c->vertical + y, column * c->horizontal + x))
                    return false;
    }
    return true;
}

/* The entropy coder starts anew, at the start of a scan and behind a restart marker. */
static void start_interval(struct decoder *d, struct scan *scan)
{
    nc_jpeg_bits_start(&scan->bits, d->bytes + d->position, d->bytes + d->size);
    scan->end_of_band_run = 0;
    for (unsigned i = 0; i < scan->count; i++)
        scan->components[i]->dc_prediction = 0;
}

static int decode_scan(struct decoder *d, struct scan *scan)
{
    size_t wide = d->mcus_wide, high = d->mcus_high;
    if (scan->count == 1) { /* a lone component has no padding blocks */
        wide = (scan->components[0]->width + 7) / 8;
        high = (scan->components[0]->height + 7) / 8;
    }
    start_interval(d, scan);
    size_t left = d->restart_interval, restarts = 0;
    for (size_t row = 0; row < high; row++) {
        for (size_t column = 0; column < wide; column++) {
            if (d->restart_interval && left-- == 0) {
                int marker = 0;
                d->position = (size_t)(scan->bits.next - d->bytes);
                int status = next_marker(d, &marker);
                if (status != NC_OK)
                    return status;
                if (marker != RST0 + (int)(restarts++ % 8))
                    return damaged(d, "a missing restart marker");
                start_interval(d, scan);
                left = d->restart_interval - 1;
            }
            bool good = decode_mcu(d, scan, row, column);
            if (!good || nc_jpeg_bits_overrun(&scan->bits)) {
                d->position = (size_t)(scan->bits.next - d->bytes);
                if (d->position + 2 > d->size)
                    return nc_error(NC_BAD_INPUT,
                                    "%s: truncated JPEG: it ends at byte %zu, in row "
                                    "%zu of %zu",
                                    d->where, d->size, row * d->height / high, d->height);
                return damaged(d, good ? "data that ends early" : "a code that is in no table");
            }
        }
    }
    d->position = (size_t)(scan->bits.next - d->bytes);
    return NC_OK;
}

static void read_application(struct decoder *d, int marker, const uint8_t *content, size_t size)
{
    if (marker == APP0 && size >= 14 && memcmp(content, "JFIF", 5) == 0)
        d->jfif = true;
    if (marker == APP14 && size >= 12 && memcmp(content, "Adobe", 5) == 0) {
        d->adobe = true;
        d->adobe_transform = content[11];
    }
}

/* Everything up to the end of the picture. */
static int read_markers(struct decoder *d)
{
    for (;;) {
        int marker = 0;
        int status = next_marker(d, &marker);
        if (status != NC_OK)
            return status;
        if (marker == EOI)
            return NC_OK;
        if (marker == SOI || marker == TEM || (marker >= RST0 && marker <= RST7))
            continue;
        const uint8_t *content = NULL;
        size_t size = 0;
        status = segment(d, &content, &size);
        if (status != NC_OK)
            return status;
        if (marker == SOF0 || marker == SOF1 || marker == SOF2) {
            d->progressive = marker == SOF2;
            status = read_frame(d, content, size);
        } else if (marker == DHT) {
            status = read_huffman(d, content, size);
        } else if (marker > SOF2 && marker <= SOF15 && marker != JPG && marker != DAC) {
            status = unsupported(d, "a JPEG with lossless, hierarchical or arithmetic coding");
        } else if (marker == DQT) {
            status = read_quantization(d, content, size);
        } else if (marker == DRI && size == 2) {
            d->restart_interval = (size_t)content[0] << 8 | content[1];
        } else if (marker == SOS) {
            struct scan scan;
            status = read_scan_header(d, content, size, &scan);
            if (status == NC_OK)
                status = decode_scan(d, &scan);
        } else {
            read_application(d, marker, content, size);
        }
        if (status != NC_OK)
            return status;
    }
}

/* All components have arrived, in full: libjpeg would smooth over the blocks of a
 * progressive file whose first ten coefficients have not. */
static int check_complete(const struct decoder *d)
{
    if (!d->count)
        return damaged(d, "no frame");
    for (unsigned i = 0; i < d->count; i++)
        for (int k = 0; k < 10; k++)
            if (d->components[i].missing[k] != 0)
                return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: scans are missing", d->where);
    return NC_OK;
}

static void invert_progressive(struct decoder *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        struct component *c = &d->components[i];
        size_t stride = c->blocks_wide * 8;
        for (size_t row = 0; row < (c->height + 7) / 8; row++)
            for (size_t column = 0; column < (c->width + 7) / 8; column++)
                nc_jpeg_inverse_dct(c->coefficients + (row * c->blocks_wide + column) * 64,
                                    c->quantization, c->samples + row * 8 * stride + column * 8,
                                    stride);
    }
}

/* The rules of libjpeg's default_decompress_parms(). */
static enum nc_jpeg_color color_of(const struct decoder *d)
{
    if (d->count == 1)
        return NC_JPEG_GREY;
    if (d->count == 4)
        return d->adobe && d->adobe_transform != 0 ? NC_JPEG_YCCK : NC_JPEG_CMYK;
    if (d->jfif)
        return NC_JPEG_YCC;
    if (d->adobe)
        return d->adobe_transform == 0 ? NC_JPEG_RGB : NC_JPEG_YCC;
    const struct component *c = d->components;
    return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B' ? NC_JPEG_RGB : NC_JPEG_YCC;
}

int nc_jpeg_decode(const char *where, const uint8_t *bytes, size_t size, struct nc_image *image)
{
    *image = (struct nc_image){0};
    struct decoder *d = calloc(1, sizeof *d);
    if (!d)
        return nc_error(NC_FAILED, "%s: no memory", where);
    d->where = where;
    d->bytes = bytes;
    d->size = size;
    int status = read_markers(d);
    if (status == NC_OK)
        status = check_complete(d);
    if (status != NC_OK)
        goto done;
    if (d->progressive)
        invert_progressive(d);

    struct nc_jpeg_plane planes[4] = {0};
    for (unsigned i = 0; i < d->count; i++) {
        const struct component *c = &d->components[i];
        planes[i] = (struct nc_jpeg_plane){
            .samples = c->samples,
            .width = c->width,
            .height = c->height,
            .stride = c->blocks_wide * 8,
            .horizontal = d->horizontal_max / c->horizontal,
            .vertical = d->vertical_max / c->vertical,
        };
    }
    *image = (struct nc_image){d->width, d->height, malloc(d->width * d->height * 3)};
    if (!image->pixels || !nc_jpeg_convert(planes, color_of(d), image)) {
        nc_image_free(image);
        status =
            nc_error(NC_FAILED, "%s: no memory for %zu x %zu pixels", where, d->width, d->height);
    }
done:
    for (unsigned i = 0; i < 4; i++) {
        free(d->components[i].samples);
        free(d->components[i].coefficients);
    }
    free(d);
    return status;
}
