/* Lists and tars of pictures. */
#include "fuzz.h"

#include "nclip/pictures/source.h"
#include "nclip/support/error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_image_source *source;
    int status = nc_image_source_open(fuzz_file("pictures", data, size), &source);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    size_t count = nc_image_source_count(source), index;
    for (size_t i = 0; i < count && i < 64; i++) {
        uint8_t *bytes;
        size_t length;
        if (!nc_image_source_find(source, nc_image_source_key(source, i), &index) || index > i)
            abort();
        fuzz_expect_sentence(nc_image_source_read(source, i, &bytes, &length));
        free(bytes);
    }
    nc_image_source_close(source);
    return 0;
}
