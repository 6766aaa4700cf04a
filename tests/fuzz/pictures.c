/* JPEG, PNG and WebP, and the preprocessing of what they hold. The first byte: how to read. */
#include "fuzz.h"

#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <webp/decode.h>

enum { MOST_PIXELS = 1 << 21, SIZE = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = fuzz_choose(&data, &size, 4);
    struct nc_image_reading reading = {(enum nc_transparency)(choice & 1), choice & 2};
    struct nc_image image;
    int width, height;
    /* A few bytes of WebP may truly be a large picture of one colour, which only takes time. */
    if (WebPGetInfo(data, size, &width, &height) && (long long)width * height > MOST_PIXELS)
        return 0;
    int status = nc_image_decode("fuzz", data, size, &reading, &image);
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
