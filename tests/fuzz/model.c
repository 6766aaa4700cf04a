/* The configs of a model's folder. The first byte: config.json, preprocessor_config.json,
 * processor_config.json or open_clip_config.json. */
#include "fuzz.h"

#include "../../host/checkpoints/exchange.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_model_shape shape;
    struct nc_preprocess preprocess;
    fuzz_remove("preprocessor_config.json");
    fuzz_remove("processor_config.json");
    switch (fuzz_choose(&data, &size, 4)) {
    case 0:
        fuzz_expect_sentence(nc_model_shape_read(fuzz_file("config.json", data, size), &shape));
        break;
    case 1:
        fuzz_file("preprocessor_config.json", data, size);
        fuzz_expect_sentence(nc_preprocess_load(fuzz_folder(), 224, &preprocess));
        break;
    case 2:
        fuzz_file("processor_config.json", data, size);
        fuzz_expect_sentence(nc_preprocess_load(fuzz_folder(), 224, &preprocess));
        break;
    default:
        fuzz_expect_sentence(nc_open_clip_config_read(
            fuzz_file("open_clip_config.json", data, size), false, &shape, &preprocess));
    }
    return 0;
}
