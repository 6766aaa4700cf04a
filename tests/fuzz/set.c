/* A prepared set: set.json and one shard, whose sums are made to fit. */
#include "fuzz.h"

#include "nclip/captions/set.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { TABLE = 256, ENTRY = 96, HEADS = 48, BODY = 72 }; /* as the writer lays a shard out */

static uint64_t number_at(const uint8_t *bytes, size_t at)
{
    uint64_t number;
    memcpy(&number, bytes + at, sizeof number);
    return number;
}

/* The sum of a part that the table has at `at`, where it lies in the file. */
static void fit_part(uint8_t *bytes, size_t size, size_t at)
{
    uint64_t offset = number_at(bytes, at), length = number_at(bytes, at + 8), sum;
    if (offset > size || length > size - offset)
        return;
    sum = XXH3_64bits(bytes + offset, length);
    memcpy(bytes + at + 16, &sum, sizeof sum);
}

static uint64_t fit_sums(uint8_t *bytes, size_t size, size_t blocks)
{
    size_t end = TABLE + blocks * ENTRY;
    if (size < end + 8)
        return 0;
    for (size_t i = 0; i < blocks; i++) {
        fit_part(bytes, size, TABLE + i * ENTRY + HEADS);
        fit_part(bytes, size, TABLE + i * ENTRY + BODY);
    }
    uint64_t sum = XXH3_64bits(bytes, end);
    memcpy(bytes + end, &sum, sizeof sum);
    return sum;
}

static volatile uint64_t touched;

static void read_block(const struct nc_set *set, size_t b)
{
    const struct nc_set_info *info = nc_set_info(set);
    struct nc_set_block block;
    struct nc_set_heads heads;
    nc_set_block(set, b, &block);
    uint64_t *bytes = malloc(block.heads.bytes + 1), *body = malloc(block.body.bytes + 1);
    int32_t *tokens = malloc(block.tokens * sizeof *tokens + 1);
    const void *distractors;
    int status = nc_set_read_heads(set, b, bytes);
    fuzz_expect_sentence(status);
    if (status == NC_OK)
        status = nc_set_decode_heads(set, b, bytes, &heads);
    for (size_t i = 0; status == NC_OK && i < heads.examples; i++)
        if (heads.row[i] >= block.rows || heads.ordinal[i] >= info->captions)
            abort();
    if (status == NC_OK)
        status = nc_set_read_body(set, b, body);
    if (status == NC_OK)
        status = nc_set_decode_body(set, b, body, tokens, &distractors);
    fuzz_expect_sentence(status);
    for (size_t i = 0; status == NC_OK && i < block.tokens; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= info->vocabulary)
            abort();
    size_t last = block.distractors * info->dimension * nc_type_size(info->type);
    if (status == NC_OK && last)
        touched += ((const uint8_t *)distractors)[last - 1];
    free(bytes);
    free(body);
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    size_t blocks = 1 + fuzz_choose(&data, &size, 3);
    fuzz_cut(data, size, parts, 2);
    uint8_t *shard = malloc(parts[1].size + 1);
    char *json = malloc(parts[0].size + 1), hex[17];
    memcpy(shard, parts[1].data, parts[1].size);
    memcpy(json, parts[0].data, parts[0].size);
    json[parts[0].size] = 0;
    snprintf(hex, sizeof hex, "%016llx",
             (unsigned long long)fit_sums(shard, parts[1].size, blocks));
    char *sum = strstr(json, "\"sum\": \"");
    if (sum && strlen(sum) > 8 + 16)
        memcpy(sum + 8, hex, 16);
    fuzz_file("examples-000000.set", shard, parts[1].size);
    fuzz_file("set.json", (const uint8_t *)json, parts[0].size);
    free(shard);
    free(json);
    struct nc_set *set;
    int status = nc_set_open(fuzz_folder(), &set);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    for (size_t b = 0; b < nc_set_blocks(set); b++)
        read_block(set, b);
    nc_set_close(set);
    return 0;
}
