/* JPEG by libjpeg-turbo, set up and fed as PIL does it, so that the pixels are PIL's.
 *
 * stb_image's decoder is not used for this kind: measured against PIL it is up to 5
 * grey levels away on photographs and up to 106 in the last columns of 4:2:2 pictures,
 * and the version that Debian ships writes behind its Huffman tables when a file asks
 * for more than 256 symbols.
 *
 * PIL feeds libjpeg from a source that suspends: where the file ends, decoding stops, and what has
 * not all its rows by then is refused as truncated. What libjpeg only warns of, PIL does not hear.
 */
#include "codec.h"

#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

/* Each scan of a progressive file goes over all its blocks, however few bytes it has: a small file
 * could keep a processor busy for long. Encoders write about ten scans. */
enum { FREE_SCANS = 32, MAX_SCANS = 1000, MORE_SCANNED_BLOCKS = 1 << 22 };

/* libjpeg smooths over the blocks of a progressive file where one of the first ten coefficients
 * has not come in full. */
enum { SMOOTHED_COEFFICIENTS = 10 };

enum { ROWS = 4 }; /* at once; libjpeg makes one or two */

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_source_mgr source;
    jmp_buf back;
    const struct nc_coded *coded;
    struct nc_image *image;
    int status;
    uint8_t *cmyk; /* [ROWS, width, 4] */
};

static struct decoder *of(j_common_ptr jpeg)
{
    return (struct decoder *)(void *)jpeg; /* the first member */
}

/* libjpeg's own sentence becomes the message, and control returns to nc_jpeg_decode(). */
static void fail(j_common_ptr jpeg)
{
    struct decoder *d = of(jpeg);
    char sentence[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, sentence);
    if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY)
        d->status = nc_error(NC_FAILED, "%s: no memory to decode it", d->coded->where);
    else
        d->status = nc_error(NC_BAD_INPUT, "%s: damaged JPEG: %s", d->coded->where, sentence);
    longjmp(d->back, 1);
}

static void warn(j_common_ptr jpeg, int level)
{
    char sentence[JMSG_LENGTH_MAX];
    switch (level < 0 ? jpeg->err->msg_code : JMSG_NOMESSAGE) {
    case JMSG_NOMESSAGE:
    case JWRN_ADOBE_XFORM: /* no damage: odd marks of odd programs */
    case JWRN_JFIF_MAJOR:
    case JWRN_BOGUS_ICC:
        return;
    }
    struct decoder *d = of(jpeg);
    if (d->image->damage[0])
        return;
    jpeg->err->format_message(jpeg, sentence);
    d->status = nc_image_note_damage(d->coded, d->image, "%s", sentence);
    if (d->status != NC_OK)
        longjmp(d->back, 1);
}

static void silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void limit_scans(j_common_ptr jpeg)
{
    struct decoder *d = of(jpeg);
    size_t scans = (size_t)d->jpeg.input_scan_number;
    size_t blocks =
        ((size_t)d->jpeg.image_width + 7) / 8 * (((size_t)d->jpeg.image_height + 7) / 8);
    if (scans <= FREE_SCANS ||
        (scans <= MAX_SCANS && (scans - FREE_SCANS) * blocks <= MORE_SCANNED_BLOCKS))
        return;
    d->status = nc_error(NC_BAD_INPUT,
                         "%s: a JPEG of more than %zu scans, which would take too long at %u x %u "
                         "pixels",
                         d->coded->where, scans - 1, d->jpeg.image_width, d->jpeg.image_height);
    longjmp(d->back, 1);
}

/* ---- the source: all bytes at once, then none ---- */

static void ignore(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean suspend(j_decompress_ptr jpeg)
{
    (void)jpeg;
    return FALSE;
}

static void skip(j_decompress_ptr jpeg, long count)
{
    size_t left = jpeg->src->bytes_in_buffer, take = count > 0 ? (size_t)count : 0;
    take = take < left ? take : left; /* behind the end there is nothing to decode */
    jpeg->src->next_input_byte += take;
    jpeg->src->bytes_in_buffer -= take;
}

/* ---- pixels ---- */

static int truncated(const struct decoder *d)
{
    return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: its pixels are incomplete after %zu bytes",
                    d->coded->where, d->coded->size);
}

/* What the header claims, before anything of that size is allocated. A block takes a bit
 * at the very least. */
static int check_size(const struct decoder *d)
{
    size_t width = d->jpeg.image_width, height = d->jpeg.image_height, bytes = d->coded->size;
    int status = nc_image_check_size(d->coded->where, width, height);
    if (status != NC_OK)
        return status;
    if ((width / 8) * (height / 8) / 8 > bytes)
        return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: %zu bytes cannot hold %zu x %zu pixels",
                        d->coded->where, bytes, width, height);
    return NC_OK;
}

static int note_missing_scans(const struct decoder *d)
{
    for (int i = 0; d->jpeg.progressive_mode && i < d->jpeg.num_components; i++)
        for (int k = 0; k < SMOOTHED_COEFFICIENTS; k++)
            if (d->jpeg.coef_bits[i][k] != 0)
                return nc_image_note_damage(d->coded, d->image, "scans are missing");
    return NC_OK;
}

/* As PIL: libjpeg hands out inverted CMYK (Adobe's convention). Libimaging's MULDIV255. */
static void cmyk_to_rgb(const uint8_t *from, size_t width, uint8_t *to)
{
    for (size_t i = 0; i < width; i++)
        for (size_t k = 0; k < 3; k++) {
            unsigned white = from[4 * i + 3], product = (255u - from[4 * i + k]) * white + 128;
            to[3 * i + k] = (uint8_t)(white - (((product >> 8) + product) >> 8));
        }
}

static int read_rows(struct decoder *d)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    size_t width = jpeg->output_width, height = jpeg->output_height;
    bool cmyk = jpeg->out_color_space == JCS_CMYK;
    d->image->width = width;
    d->image->height = height;
    d->image->pixels = malloc(width * height * 3);
    d->cmyk = cmyk ? malloc(ROWS * width * 4) : NULL;
    if (!d->image->pixels || (cmyk && !d->cmyk))
        return nc_error(NC_FAILED, "%s: no memory for %zu x %zu pixels", d->coded->where, width,
                        height);
    for (size_t y = 0; y < height;) {
        uint8_t *pixels = d->image->pixels + y * width * 3;
        JSAMPROW rows[ROWS];
        size_t rest = height - y < ROWS ? height - y : ROWS;
        for (size_t r = 0; r < rest; r++)
            rows[r] = cmyk ? d->cmyk + r * width * 4 : pixels + r * width * 3;
        size_t count = jpeg_read_scanlines(jpeg, rows, (JDIMENSION)rest);
        if (!count)
            return truncated(d);
        if (cmyk)
            cmyk_to_rgb(d->cmyk, count * width, pixels);
        y += count;
    }
    return NC_OK;
}

static int decode(struct decoder *d)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK)
        return truncated(d);
    int status = check_size(d);
    if (status != NC_OK)
        return status;
    jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    if (!jpeg_start_decompress(jpeg)) /* a progressive file is read to its end here */
        return truncated(d);
    status = note_missing_scans(d);
    if (status == NC_OK)
        status = read_rows(d);
    if (status == NC_OK && !jpeg_finish_decompress(jpeg))
        status = nc_image_note_damage(d->coded, d->image, "its end marker is missing");
    return status;
}

int nc_jpeg_decode(const struct nc_coded *coded, struct nc_image *image)
{
    struct decoder *d = calloc(1, sizeof *d); /* not on the stack: longjmp leaves it alone */
    if (!d)
        return nc_error(NC_FAILED, "%s: no memory", coded->where);
    d->coded = coded;
    d->image = image;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = fail;
    d->errors.emit_message = warn;
    d->errors.output_message = silent;
    d->progress.progress_monitor = limit_scans;
    d->source = (struct jpeg_source_mgr){.next_input_byte = coded->bytes,
                                         .bytes_in_buffer = coded->size,
                                         .init_source = ignore,
                                         .fill_input_buffer = suspend,
                                         .skip_input_data = skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = ignore};
    if (setjmp(d->back) == 0) {
        jpeg_create_decompress(&d->jpeg);
        d->jpeg.progress = &d->progress;
        d->jpeg.src = &d->source;
        d->status = decode(d);
    }
    int status = d->status;
    jpeg_destroy_decompress(&d->jpeg);
    free(d->cmyk);
    free(d);
    return status;
}
