/* Training configs. */
#include "fuzz.h"

#include "nclip/support/error.h"
#include "nclip/train/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_config *config;
    int status = nc_config_load(fuzz_file("config.yaml", data, size), NULL, 0, &config);
    fuzz_expect_sentence(status);
    if (status == NC_OK)
        nc_config_free(config);
    return 0;
}
