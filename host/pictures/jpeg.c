/* JPEG by libjpeg-turbo, set up as PIL sets it up, so that the pixels are PIL's. */
#include "jpeg.h"

#include "limits.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

/* A progressive file of a few bytes a scan must not keep a processor busy for hours.
 * Encoders write about ten scans. */
enum { MAX_SCANS = 256 };

/* PIL's picture needs the first ten coefficients in full: libjpeg would smooth over the
 * blocks of a progressive file where they have not come. */
enum { NEEDED_COEFFICIENTS = 10 };

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    const char *where;
    int status;
    uint8_t *row; /* of a CMYK picture */
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
        d->status = nc_error(NC_FAILED, "%s: no memory to decode it", d->where);
    else
        d->status = nc_error(NC_BAD_INPUT, "%s: damaged JPEG: %s", d->where, sentence);
    longjmp(d->back, 1);
}

/* libjpeg warns and goes on with grey blocks; a training set is better off without those. */
static void warn(j_common_ptr jpeg, int level)
{
    switch (level < 0 ? jpeg->err->msg_code : JMSG_NOMESSAGE) {
    case JMSG_NOMESSAGE:
    case JWRN_ADOBE_XFORM: /* what follows leaves the pixels whole */
    case JWRN_JFIF_MAJOR:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_TOO_MUCH_DATA:
    case JWRN_BOGUS_ICC:
        break;
    case JWRN_JPEG_EOF:
        of(jpeg)->status = nc_error(NC_BAD_INPUT, "%s: truncated JPEG", of(jpeg)->where);
        longjmp(of(jpeg)->back, 1);
    default:
        fail(jpeg);
    }
}

static void limit_scans(j_common_ptr jpeg)
{
    struct decoder *d = of(jpeg);
    if (d->jpeg.input_scan_number <= MAX_SCANS)
        return;
    d->status = nc_error(NC_BAD_INPUT, "%s: damaged JPEG: more than %d scans", d->where, MAX_SCANS);
    longjmp(d->back, 1);
}

static void silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

/* What the header claims, before anything of that size is allocated. A block takes a bit
 * at the very least. */
static int check_size(const struct decoder *d, size_t bytes)
{
    size_t width = d->jpeg.image_width, height = d->jpeg.image_height;
    int status = nc_image_check_size(d->where, width, height);
    if (status != NC_OK)
        return status;
    if ((width / 8) * (height / 8) / 8 > bytes)
        return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: %zu bytes cannot hold %zu x %zu pixels",
                        d->where, bytes, width, height);
    return NC_OK;
}

static int check_complete(const struct decoder *d)
{
    for (int i = 0; d->jpeg.progressive_mode && i < d->jpeg.num_components; i++)
        for (int k = 0; k < NEEDED_COEFFICIENTS; k++)
            if (d->jpeg.coef_bits[i][k] != 0)
                return nc_error(NC_BAD_INPUT, "%s: truncated JPEG: scans are missing", d->where);
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

/* Row `y` is where libjpeg wrote it: turn it into RGB, in place or from d->row. */
static void finish_row(const struct decoder *d, uint8_t *pixels, size_t width)
{
    if (d->jpeg.out_color_components == 4)
        cmyk_to_rgb(d->row, width, pixels);
    if (d->jpeg.out_color_components == 1)
        for (size_t i = width; i-- > 0;) /* from the end: the grey stands at the beginning */
            pixels[3 * i] = pixels[3 * i + 1] = pixels[3 * i + 2] = pixels[i];
}

static int decode(struct decoder *d, const uint8_t *bytes, size_t size, struct nc_image *image)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_mem_src(jpeg, bytes, (unsigned long)size);
    jpeg_read_header(jpeg, TRUE);
    int status = check_size(d, size);
    if (status != NC_OK)
        return status;
    jpeg->out_color_space = jpeg->num_components == 1   ? JCS_GRAYSCALE
                            : jpeg->num_components == 4 ? JCS_CMYK
                                                        : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(jpeg); /* a progressive file is read to its end here */
    status = check_complete(d);
    if (status != NC_OK)
        return status;

    size_t width = jpeg->output_width, height = jpeg->output_height;
    *image = (struct nc_image){width, height, malloc(width * height * 3)};
    d->row = malloc(width * 4);
    if (!image->pixels || !d->row)
        return nc_error(NC_FAILED, "%s: no memory for %zu x %zu pixels", d->where, width, height);
    for (size_t y = 0; y < height; y++) {
        uint8_t *pixels = image->pixels + y * width * 3;
        JSAMPROW row = jpeg->out_color_components == 4 ? d->row : pixels;
        jpeg_read_scanlines(jpeg, &row, 1);
        finish_row(d, pixels, width);
    }
    jpeg_finish_decompress(jpeg);
    return NC_OK;
}

int nc_jpeg_decode(const char *where, const uint8_t *bytes, size_t size, struct nc_image *image)
{
    *image = (struct nc_image){0};
    struct decoder *d = calloc(1, sizeof *d); /* not on the stack: longjmp leaves it alone */
    if (!d)
        return nc_error(NC_FAILED, "%s: no memory", where);
    d->where = where;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = fail;
    d->errors.emit_message = warn;
    d->errors.output_message = silent;
    d->progress.progress_monitor = limit_scans;
    if (setjmp(d->back) == 0) {
        jpeg_create_decompress(&d->jpeg);
        d->jpeg.progress = &d->progress;
        d->status = decode(d, bytes, size, image);
    }
    int status = d->status;
    jpeg_destroy_decompress(&d->jpeg);
    if (status != NC_OK) {
        free(image->pixels);
        *image = (struct nc_image){0};
    }
    free(d->row);
    free(d);
    return status;
}
