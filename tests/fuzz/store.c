/* A shard of a store, whose checksum is made to fit, and the list of what was skipped. */
#include "fuzz.h"

#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    struct nc_embedding_store *store;
    fuzz_cut(data, size, parts, 2);
    size_t shard = parts[0].size;
    uint8_t *bytes = malloc(shard + 1);
    memcpy(bytes, parts[0].data, shard);
    if (shard >= 8) {
        uint64_t checksum = XXH3_64bits(bytes, shard - 8);
        memcpy(bytes + shard - 8, &checksum, sizeof checksum);
    }
    fuzz_file("shard-000000.embeddings", bytes, shard);
    free(bytes);
    fuzz_remove("skipped.jsonl");
    if (parts[1].size)
        fuzz_file("skipped.jsonl", parts[1].data, parts[1].size);
    int status = nc_embedding_store_open(fuzz_folder(), &store);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    const struct nc_embedding_info *info = nc_embedding_store_info(store);
    float *row = malloc(info->dimension * sizeof *row);
    for (size_t i = 0; row && i < nc_embedding_store_count(store); i++) {
        size_t found;
        if (!nc_embedding_store_find(store, nc_embedding_store_key(store, i), &found) || found != i)
            abort();
        nc_embedding_store_row_unit(store, i, row);
    }
    free(row);
    nc_embedding_store_close(store);
    return 0;
}
