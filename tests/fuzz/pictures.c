/* JPEG, PNG and WebP, and the preprocessing of what they hold. The first byte: how to read, and whether
 * a PNG's checksums are made to fit. */
#include "fuzz.h"

#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <zlib.h>

enum { MOST_PIXELS = 1 << 21, SIZE = 32 };

static void mend_png(uint8_t *bytes, size_t size)
{
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
                        (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (length > size - at - 12)
            return;
        uint32_t crc = (uint32_t)crc32(0, bytes + at + 4, (uInt)length + 4);
        for (size_t i = 0; i < 4; i++)
            bytes[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += length + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = fuzz_choose(&data, &size, 8);
    struct nc_image_reading reading = {(enum nc_transparency)(choice & 1), choice & 2};
    struct nc_image image;
    int width, height;
    /* A few bytes of WebP may truly be a large picture of one colour, which only takes time. */
    if (WebPGetInfo(data, size, &width, &height) && (long long)width * height > MOST_PIXELS)
        return 0;
    uint8_t *mended = NULL;
    if (choice & 4 && (mended = malloc(size + 1))) {
        memcpy(mended, data, size);
        mend_png(mended, size);
    }
    int status = nc_image_decode("fuzz", mended ? mended : data, size, &reading, &image);
    free(mended);
    fuzz_expect_sentence(status);
    if (status == NC_OK && (!image.pixels || (reading.strict && image.damage[0])))
        abort();
    if (status != NC_OK && image.pixels)
        abort();
    if (status == NC_OK && image.width * image.height <= MOST_PIXELS) {
        static float out[3 * SIZE * SIZE];
        struct nc_preprocess preprocess;
        nc_preprocess_default(SIZE, &preprocess);
        preprocess.resample = (enum nc_resample)(1 + size % 3);
        fuzz_expect_sentence(nc_image_preprocess(&preprocess, &image, NULL, out));
    }
    nc_image_free(&image);
    return 0;
}
