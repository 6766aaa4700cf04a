/* A safetensors file, or (first byte) an index of shards with one shard. */
#include "fuzz.h"

#include "nclip/checkpoints/safetensors.h"
#include "nclip/support/error.h"

#include <stdlib.h>

static volatile uint8_t touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_safetensors *file;
    struct fuzz_part parts[2] = {{data, size}};
    fuzz_remove("model.safetensors");
    fuzz_remove("model.safetensors.index.json");
    fuzz_remove("model-1.safetensors");
    if (fuzz_choose(&data, &size, 2)) {
        fuzz_cut(data, size, parts, 2);
        fuzz_file("model.safetensors.index.json", parts[0].data, parts[0].size);
        fuzz_file("model-1.safetensors", parts[1].data, parts[1].size);
    } else {
        fuzz_file("model.safetensors", data, size);
    }
    int status = nc_safetensors_open(fuzz_folder(), &file);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    for (size_t i = 0; i < nc_safetensors_count(file); i++) {
        const struct nc_safetensor *tensor = nc_safetensors_at(file, i);
        for (size_t b = 0; b < tensor->bytes; b++)
            touched ^= tensor->data[b];
        if (nc_safetensors_find(file, tensor->name) != tensor)
            abort();
        (void)nc_safetensors_path(file, tensor);
    }
    nc_safetensors_close(file);
    return 0;
}
