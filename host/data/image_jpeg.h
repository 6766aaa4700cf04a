/* A JPEG decoder whose pixels are those of libjpeg-turbo, and so of PIL, bit for bit.
 *
 * stb_image's decoder is not used for this kind: measured against PIL it is up to 5
 * grey levels away on photographs and up to 106 in the last columns of 4:2:2 pictures,
 * and the version that Debian ships writes behind its Huffman tables when a file asks
 * for more than 256 symbols.
 *
 * Sequential (baseline and extended) and progressive Huffman-coded files of 8 bits,
 * with 1, 3 or 4 components. Source: ITU-T T.81; the arithmetic of the inverse DCT,
 * of chroma upsampling and of the colour conversion is the Independent JPEG Group's
 * (jidctint.c, jdsample.c, jdcolor.c).
 *
 * Read in this order: image_jpeg.c (markers, frame, scans), image_jpeg_huffman.c
 * (bits to coefficients), image_jpeg_pixels.c (coefficients to pixels).
 */
#ifndef NCLIP_HOST_DATA_IMAGE_JPEG_H
#define NCLIP_HOST_DATA_IMAGE_JPEG_H

#include "nclip/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int nc_jpeg_decode(const char *where, const uint8_t *bytes, size_t size, struct nc_image *image);

/* ---- image_jpeg_huffman.c ---- */

enum { NC_JPEG_FAST_BITS = 10 };

struct nc_jpeg_huffman {
    bool defined;
    uint8_t symbols[256];
    uint16_t fast[1 << NC_JPEG_FAST_BITS]; /* length << 8 | symbol; 0: a longer code */
    /* AC tables: value << 8 | run << 4 | length of code and value together, for the
     * codes whose value fits as well; 0 otherwise */
    int16_t fast_value[1 << NC_JPEG_FAST_BITS];
    uint32_t limit[17]; /* first code of length n + 1 or more, left-aligned to 16 bits */
    int32_t offset[17]; /* symbol index = code + offset[length] */
};

/* `counts[i]` codes of length i + 1, `total` symbols. False when it is no prefix code. */
bool nc_jpeg_huffman_build(struct nc_jpeg_huffman *table, const uint8_t counts[16],
                           const uint8_t *symbols, size_t total);

/* The entropy-coded bits of a scan. Behind the last byte, or at a marker, zeros
 * follow; nc_jpeg_bits_overrun() tells whether any of them was used. */
struct nc_jpeg_bits {
    uint64_t buffer; /* the next bits, from the top */
    int count;       /* valid ones */
    int padded;      /* how many zeros were ever appended; they are the last of `count` */
    const uint8_t *next, *end;
};

void nc_jpeg_bits_start(struct nc_jpeg_bits *bits, const uint8_t *next, const uint8_t *end);
static inline bool nc_jpeg_bits_overrun(const struct nc_jpeg_bits *bits)
{
    return bits->padded > bits->count;
}

/* Coefficients are in natural order, [8 rows, 8 columns]. False: the bits are damaged. */
bool nc_jpeg_block_sequential(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *dc,
                              const struct nc_jpeg_huffman *ac, uint32_t *dc_prediction,
                              int16_t block[64]);

struct nc_jpeg_band { /* what a progressive scan refines */
    int first, last;  /* coefficients in zigzag order */
    int high, low;    /* bit positions; high 0: first scan of the band */
};
bool nc_jpeg_block_dc(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *dc,
                      const struct nc_jpeg_band *band, uint32_t *dc_prediction, int16_t block[64]);
bool nc_jpeg_block_ac(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *ac,
                      const struct nc_jpeg_band *band, uint32_t *end_of_band_run,
                      int16_t block[64]);

/* Natural position of the i-th coefficient in zigzag order. */
extern const uint8_t nc_jpeg_zigzag[64];

/* ---- image_jpeg_pixels.c ---- */

/* pixels[8 rows of `stride`] = inverse DCT of block * quantization + 128. */
void nc_jpeg_inverse_dct(const int16_t block[64], const uint16_t quantization[64], uint8_t *pixels,
                         size_t stride);

struct nc_jpeg_plane {
    const uint8_t *samples;
    size_t width, height, stride;  /* of the component */
    unsigned horizontal, vertical; /* how many pixels share a sample: 1, 2, 3 or 4 */
};

enum nc_jpeg_color { NC_JPEG_GREY, NC_JPEG_RGB, NC_JPEG_YCC, NC_JPEG_CMYK, NC_JPEG_YCCK };

/* Upsamples the planes and converts them to image->pixels, which has room.
 * False without memory. */
bool nc_jpeg_convert(const struct nc_jpeg_plane planes[4], enum nc_jpeg_color color,
                     struct nc_image *image);

#endif
