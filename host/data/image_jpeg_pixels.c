#include "image_jpeg.h"

#include <stdlib.h>
#include <string.h>

static inline uint8_t clip(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* ---- inverse DCT ----
 *
 * Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11
 * multiplications", in 13-bit fixed point, as in jidctint.c. Between the passes values
 * carry 2 more bits. Unsigned, because damaged files overflow: then the pixels mean
 * nothing, but the behaviour is defined. */

enum { CONSTANT_BITS = 13, BETWEEN_BITS = 2 };

#define FIXED(x) ((uint32_t)(int32_t)((x) * (1 << CONSTANT_BITS) + ((x) < 0 ? -0.5 : 0.5)))

/* One pass over the columns of in[8][8]: out[k][i] is output k of column i,
 * (sum + rounding) >> shift. The loop over i is the vector. */
static inline void dct_pass(const int32_t *restrict in, int32_t *restrict out, int shift)
{
    const uint32_t rounding = 1u << (shift - 1);
    for (int i = 0; i < 8; i++) {
        uint32_t s0 = (uint32_t)in[i], s1 = (uint32_t)in[8 + i], s2 = (uint32_t)in[16 + i],
                 s3 = (uint32_t)in[24 + i], s4 = (uint32_t)in[32 + i], s5 = (uint32_t)in[40 + i],
                 s6 = (uint32_t)in[48 + i], s7 = (uint32_t)in[56 + i];

        uint32_t z = (s2 + s6) * FIXED(0.541196100);
        uint32_t e2 = z + s6 * FIXED(-1.847759065);
        uint32_t e3 = z + s2 * FIXED(0.765366865);
        uint32_t e0 = (s0 + s4) << CONSTANT_BITS;
        uint32_t e1 = (s0 - s4) << CONSTANT_BITS;
        uint32_t even0 = e0 + e3 + rounding, even3 = e0 - e3 + rounding;
        uint32_t even1 = e1 + e2 + rounding, even2 = e1 - e2 + rounding;

        uint32_t z5 = (s7 + s3 + s5 + s1) * FIXED(1.175875602);
        uint32_t z1 = (s7 + s1) * FIXED(-0.899976223);
        uint32_t z2 = (s5 + s3) * FIXED(-2.562915447);
        uint32_t z3 = (s7 + s3) * FIXED(-1.961570560) + z5;
        uint32_t z4 = (s5 + s1) * FIXED(-0.390180644) + z5;
        uint32_t odd0 = s7 * FIXED(0.298631336) + z1 + z3;
        uint32_t odd1 = s5 * FIXED(2.053119869) + z2 + z4;
        uint32_t odd2 = s3 * FIXED(3.072711026) + z2 + z3;
        uint32_t odd3 = s1 * FIXED(1.501321110) + z1 + z4;

        out[i] = (int32_t)(even0 + odd3) >> shift;
        out[56 + i] = (int32_t)(even0 - odd3) >> shift;
        out[8 + i] = (int32_t)(even1 + odd2) >> shift;
        out[48 + i] = (int32_t)(even1 - odd2) >> shift;
        out[16 + i] = (int32_t)(even2 + odd1) >> shift;
        out[40 + i] = (int32_t)(even2 - odd1) >> shift;
        out[24 + i] = (int32_t)(even3 + odd0) >> shift;
        out[32 + i] = (int32_t)(even3 - odd0) >> shift;
    }
}

static inline void transpose(const int32_t *restrict in, int32_t *restrict out)
{
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            out[i * 8 + j] = in[j * 8 + i];
}

void nc_jpeg_inverse_dct(const int16_t block[64], const uint16_t quantization[64], uint8_t *pixels,
                         size_t stride)
{
    int any = 0;
    for (int i = 1; i < 64; i++)
        any |= block[i];
    if (!any) { /* flat: the passes reduce to one rounding */
        int16_t dc = (int16_t)(block[0] * (int32_t)quantization[0]);
        uint8_t level = clip(((dc + 4) >> 3) + 128);
        for (int i = 0; i < 8; i++)
            memset(pixels + (size_t)i * stride, level, 8);
        return;
    }

    int32_t a[64], b[64];
    for (int i = 0; i < 64; i++) /* 16 bits, as libjpeg-turbo's vector code has it */
        a[i] = (int16_t)(block[i] * (int32_t)quantization[i]);
    dct_pass(a, b, CONSTANT_BITS - BETWEEN_BITS);
    transpose(b, a);
    dct_pass(a, b, CONSTANT_BITS + BETWEEN_BITS + 3);
    transpose(b, a);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            pixels[(size_t)i * stride + (size_t)j] = clip(a[i * 8 + j] + 128);
}

/* ---- upsampling ----
 *
 * By two, a pixel takes 3/4 of the nearer sample and 1/4 of the further one
 * ("fancy upsampling"); rounding alternates so that no level is favoured. */

/* One row of `width` samples, twice as wide; width is 3 or more. */
static void widen(const uint8_t *restrict in, size_t width, uint8_t *restrict out)
{
    out[0] = in[0];
    out[1] = (uint8_t)((3 * in[0] + in[1] + 2) >> 2);
    for (size_t i = 1; i + 1 < width; i++) {
        out[2 * i] = (uint8_t)((3 * in[i] + in[i - 1] + 1) >> 2);
        out[2 * i + 1] = (uint8_t)((3 * in[i] + in[i + 1] + 2) >> 2);
    }
    size_t last = width - 1;
    out[2 * last] = (uint8_t)((3 * in[last] + in[last - 1] + 1) >> 2);
    out[2 * last + 1] = in[last];
}

/* The same of near * 3 + far, for two rows at once; sums[width] is scratch. */
static void widen_between(const uint8_t *restrict near, const uint8_t *restrict far, size_t width,
                          uint16_t *restrict sums, uint8_t *restrict out)
{
    for (size_t i = 0; i < width; i++)
        sums[i] = (uint16_t)(3 * near[i] + far[i]);
    out[0] = (uint8_t)((4 * sums[0] + 8) >> 4);
    out[1] = (uint8_t)((3 * sums[0] + sums[1] + 7) >> 4);
    for (size_t i = 1; i + 1 < width; i++) {
        out[2 * i] = (uint8_t)((3 * sums[i] + sums[i - 1] + 8) >> 4);
        out[2 * i + 1] = (uint8_t)((3 * sums[i] + sums[i + 1] + 7) >> 4);
    }
    size_t last = width - 1;
    out[2 * last] = (uint8_t)((3 * sums[last] + sums[last - 1] + 8) >> 4);
    out[2 * last + 1] = (uint8_t)((4 * sums[last] + 7) >> 4);
}

/* Row y of the picture, from one plane: a row of the plane itself where nothing
 * is to be done, else written to `out`, which holds plane->width * horizontal samples. */
static const uint8_t *upsample_row(const struct nc_jpeg_plane *plane, size_t y, uint16_t *sums,
                                   uint8_t *out)
{
    size_t row = y / plane->vertical;
    const uint8_t *near = plane->samples + row * plane->stride;
    /* The row on the other side of this pixel; the border repeats itself. */
    bool below = y % plane->vertical;
    size_t other = below ? (row + 1 < plane->height ? row + 1 : row) : (row ? row - 1 : 0);
    const uint8_t *far = plane->samples + other * plane->stride;
    size_t width = plane->width;

    if (plane->horizontal == 1 && plane->vertical == 1)
        return near;
    if (plane->horizontal == 1 && plane->vertical == 2) {
        int rounding = below ? 2 : 1;
        for (size_t i = 0; i < width; i++)
            out[i] = (uint8_t)((3 * near[i] + far[i] + rounding) >> 2);
    } else if (plane->horizontal == 2 && plane->vertical == 1 && width > 2) {
        widen(near, width, out);
    } else if (plane->horizontal == 2 && plane->vertical == 2 && width > 2) {
        widen_between(near, far, width, sums, out);
    } else {
        for (size_t i = 0; i < width; i++)
            for (size_t j = 0; j < plane->horizontal; j++)
                *out++ = near[i];
        return out - width * plane->horizontal;
    }
    return out;
}

/* ---- colour ---- */

/* ITU-R BT.601 in 16-bit fixed point, as in jdcolor.c. */
static inline void ycc_to_rgb(int y, int blue, int red, int rgb[3])
{
    blue -= 128;
    red -= 128;
    rgb[0] = y + ((91881 * red + 32768) >> 16);
    rgb[1] = y + ((-22554 * blue - 46802 * red + 32768) >> 16);
    rgb[2] = y + ((116130 * blue + 32768) >> 16);
}

static void convert_ycc(const uint8_t *restrict y, const uint8_t *restrict blue,
                        const uint8_t *restrict red, size_t width, uint8_t *restrict out)
{
    for (size_t i = 0; i < width; i++) {
        int rgb[3];
        ycc_to_rgb(y[i], blue[i], red[i], rgb);
        out[3 * i] = clip(rgb[0]);
        out[3 * i + 1] = clip(rgb[1]);
        out[3 * i + 2] = clip(rgb[2]);
    }
}

/* CMYK is stored inverted (Adobe's convention, which PIL assumes of every file):
 * row[c] is 255 - ink. Then PIL's cmyk2rgb: black's complement, less ink of it. */
static void convert_cmyk(const uint8_t *const row[4], bool ycc, size_t width, uint8_t *out)
{
    for (size_t i = 0; i < width; i++) {
        int stored[3] = {row[0][i], row[1][i], row[2][i]};
        if (ycc) {
            int rgb[3];
            ycc_to_rgb(stored[0], stored[1], stored[2], rgb);
            for (int c = 0; c < 3; c++)
                stored[c] = clip(255 - rgb[c]);
        }
        int white = row[3][i];
        for (int c = 0; c < 3; c++) {
            int product = (255 - stored[c]) * white + 128;
            out[3 * i + (size_t)c] = clip(white - (((product >> 8) + product) >> 8));
        }
    }
}

bool nc_jpeg_convert(const struct nc_jpeg_plane planes[4], enum nc_jpeg_color color,
                     struct nc_image *image)
{
    size_t count = color == NC_JPEG_GREY ? 1 : color == NC_JPEG_RGB || color == NC_JPEG_YCC ? 3 : 4;
    size_t width = image->width;
    size_t room = width + 8; /* a plane's last sample may reach past the picture */
    uint8_t *rows = malloc(room * count);
    uint16_t *sums = malloc(room * sizeof *sums);
    bool good = rows && sums;
    for (size_t y = 0; good && y < image->height; y++) {
        const uint8_t *row[4] = {0};
        for (size_t c = 0; c < count; c++)
            row[c] = upsample_row(&planes[c], y, sums, rows + c * room);
        uint8_t *out = image->pixels + y * width * 3;
        switch (color) {
        case NC_JPEG_GREY:
            for (size_t i = 0; i < width; i++)
                out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = row[0][i];
            break;
        case NC_JPEG_RGB:
            for (size_t i = 0; i < width; i++)
                for (size_t c = 0; c < 3; c++)
                    out[3 * i + c] = row[c][i];
            break;
        case NC_JPEG_YCC:
            convert_ycc(row[0], row[1], row[2], width, out);
            break;
        case NC_JPEG_CMYK:
        case NC_JPEG_YCCK:
            convert_cmyk(row, color == NC_JPEG_YCCK, width, out);
            break;
        }
    }
    free(rows);
    free(sums);
    return good;
}
