/* COCO JSON and JSONL. */
#include "fuzz.h"

#include "nclip/captions/captions.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static volatile size_t touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_captions captions;
    int status = nc_captions_load(fuzz_file("captions.json", data, size), &captions);
    fuzz_expect_sentence(status);
    for (size_t i = 0; status == NC_OK && i < captions.count; i++) {
        if (captions.items[i].image >= captions.image_count)
            abort();
        touched += strlen(captions.items[i].text) + strlen(captions.images[captions.items[i].image]);
    }
    if (status == NC_OK)
        nc_captions_free(&captions);
    return 0;
}
