/* A whole checkpoint, as nclip doctor --model looks at it: all of nclip import but the writing. The
 * first byte: open_clip's folder, transformers', or a config alone. Parts: the header of the
 * weights, whose numbers are zeros; the config; tokenizer.json. */
#include "fuzz.h"

#include "nclip/checkpoints/identify.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 20 };

/* How many bytes of numbers the header asks for. */
static size_t numbers(const uint8_t *header, size_t size)
{
    cJSON *root = nc_json_try((const char *)header, size);
    const cJSON *tensor;
    double most = 0;
    cJSON_ArrayForEach(tensor, root)
    {
        const cJSON *end = cJSON_GetArrayItem(nc_json_member(tensor, "data_offsets"), 1);
        if (cJSON_IsNumber(end) && end->valuedouble > most)
            most = end->valuedouble;
    }
    cJSON_Delete(root);
    return most < MOST ? (size_t)most : 0;
}

static void put_weights(const char *name, const uint8_t *header, size_t size)
{
    size_t zeros = numbers(header, size);
    uint8_t *bytes = calloc(1, 8 + size + zeros);
    if (!bytes)
        abort();
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)size >> (8 * i));
    memcpy(bytes + 8, header, size);
    fuzz_file(name, bytes, 8 + size + zeros);
    free(bytes);
}

static void look(const char *path, FILE *out)
{
    struct nc_identity identity;
    int status = nc_checkpoint_identify(path, &identity);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return;
    fuzz_expect_sentence(nc_identity_print(&identity, out, false));
    fuzz_expect_sentence(nc_identity_print(&identity, out, true));
    nc_identity_free(&identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"open_clip_model.safetensors", "open_clip_config.json",
                                        "model.safetensors", "config.json", "tokenizer.json"};
    static FILE *out;
    struct fuzz_part parts[3];
    if (!out && !(out = fopen("/dev/null", "we")))
        abort();
    unsigned choice = fuzz_choose(&data, &size, 3);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fuzz_remove(names[i]);
    if (choice == 2) {
        look(fuzz_file("open_clip_config.json", data, size), out);
        return 0;
    }
    fuzz_cut(data, size, parts, 3);
    put_weights(names[2 * choice], parts[0].data, parts[0].size);
    if (parts[1].size)
        fuzz_file(names[2 * choice + 1], parts[1].data, parts[1].size);
    if (parts[2].size)
        fuzz_file("tokenizer.json", parts[2].data, parts[2].size);
    look(fuzz_folder(), out);
    return 0;
}
