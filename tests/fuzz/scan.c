/* Captions of any form, packed or not, in blocks of any size. The first byte: the form. */
#include "fuzz.h"

#include "nclip/scan/scan.h"
#include "nclip/support/error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct nc_negation_list *words;
    if (!words && nc_negation_list_load(NULL, &words) != NC_OK)
        abort();
    unsigned choice = fuzz_choose(&data, &size, 24);
    struct nc_scan_options options = {.words = words, .format = (enum nc_scan_format)(1 + choice % 6),
                                      .threads = 1, .block = choice < 12 ? 0 : 48, .examples = 3};
    struct nc_scan_result result = {0};
    const char *path = fuzz_file("captions", data, size);
    int status = nc_scan(&path, 1, &options, &result);
    fuzz_expect_sentence(status);
    if (status == NC_OK && result.negated > result.captions)
        abort();
    nc_scan_result_free(&result);
    return 0;
}
