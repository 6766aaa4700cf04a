/* A safetensors file, or (first byte) an index of shards with one shard. */
#include "fuzz.h"

#include "nclip/checkpoints/tensors.h"
#include "nclip/support/error.h"

#include <stdlib.h>

static volatile uint8_t touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_tensors *file;
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
    int status = nc_tensors_open(fuzz_folder(), &file);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    for (size_t i = 0; i < nc_tensors_count(file); i++) {
        const struct nc_tensor *tensor = nc_tensors_at(file, i);
        for (size_t b = 0; b < tensor->bytes; b++)
            touched ^= tensor->data[b];
        if (nc_tensors_find(file, tensor->name) != tensor)
            abort();
        (void)nc_tensors_path(file, tensor);
    }
    nc_tensors_close(file);
    return 0;
}
