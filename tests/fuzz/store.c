/* A shard of a store, of either version, whose checksums are made to fit; the list of what was
 * skipped; an index of keys, whose checksums are made to fit too. */
#include "fuzz.h"

#include "../../host/store/format.h"
#include "../../host/store/index.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void put(uint8_t *at, uint64_t sum)
{
    memcpy(at, &sum, sizeof sum);
}

static void mend_shard(uint8_t *bytes, size_t size)
{
    struct nc_shard_header h;
    if (nc_shard_parse_header("shard", bytes, size, size, &h, NULL) != NC_OK)
        return;
    if (h.version == 1) {
        put(bytes + size - 8, XXH3_64bits(bytes, size - 8));
        return;
    }
    size_t row_bytes = (size_t)h.dimension * nc_type_size(h.type),
           head = (size_t)nc_shard_head_bytes(&h);
    size_t blocks = (size_t)nc_shard_head_blocks(&h);
    for (size_t i = 0; i < blocks && !h.linked; i++) {
        size_t first = i * (size_t)h.block_rows, left = (size_t)h.rows - first;
        size_t rows = left < h.block_rows ? left : (size_t)h.block_rows;
        put(bytes + h.sums_offset + 8 * i,
            XXH3_64bits(bytes + h.rows_offset + first * row_bytes, rows * row_bytes));
    }
    put(bytes + h.sums_offset + 8 * blocks,
        XXH3_64bits(bytes + h.keys_offset, (size_t)h.keys_bytes));
    put(bytes + head - 8, XXH3_64bits(bytes, head - 8));
}

/* Entries and directory as they come; the tail is that of the store. */
static void write_index(const struct nc_embedding_store *store, const struct fuzz_part *part)
{
    size_t rows = nc_embedding_store_count(store);
    struct nc_index_tail tail = {.magic = NC_INDEX_MAGIC,
                                 .rows = rows,
                                 .bits = nc_index_bits(rows),
                                 .fingerprint = nc_embedding_store_fingerprint(store)};
    size_t entries = rows * sizeof(struct nc_key_entry);
    size_t buckets = (size_t)1 << tail.bits, directory = buckets * sizeof(struct nc_index_bucket);
    uint8_t *bytes = calloc(1, entries + directory + sizeof tail);
    size_t given = part->size < entries + directory ? part->size : entries + directory;
    if (!bytes)
        return;
    memcpy(bytes, part->data, given);
    struct nc_index_bucket *bucket = (struct nc_index_bucket *)(void *)(bytes + entries);
    if (given % 2 == 0) /* else the ends are as they came */
        bucket[buckets - 1].end = rows;
    for (uint64_t i = 0, start = 0; i < buckets && bucket[i].end <= rows && bucket[i].end >= start;
         i++) {
        bucket[i].sum = XXH3_64bits(bytes + start * sizeof(struct nc_key_entry),
                                    (bucket[i].end - start) * sizeof(struct nc_key_entry));
        start = bucket[i].end;
    }
    memcpy(bytes + entries + directory, &tail, sizeof tail);
    put(bytes + entries + directory + sizeof tail - 8,
        XXH3_64bits(bytes + entries, directory + sizeof tail - 8));
    fuzz_file(NC_INDEX_FILE, bytes, entries + directory + sizeof tail);
    free(bytes);
}

/* From the last row to the first, so that the index is asked; with a lying one a key may be missed,
 * but no other row is taken for it. */
static void read_all(const struct nc_embedding_store *store, bool honest)
{
    size_t dimension = nc_embedding_store_info(store)->dimension, found, skipped;
    float *row = malloc(dimension * sizeof *row);
    fuzz_expect_sentence(nc_embedding_store_skipped(store, &skipped));
    for (size_t i = row ? nc_embedding_store_count(store) : 0; i-- > 0;) {
        const char *key;
        int status = nc_embedding_store_key(store, i, &key);
        fuzz_expect_sentence(status);
        if (status == NC_OK) {
            status = nc_embedding_store_find(store, key, &found);
            fuzz_expect_sentence(status);
            if (status == NC_OK && found != i && (honest || found != NC_EMBEDDING_NONE))
                abort();
        }
        fuzz_expect_sentence(nc_embedding_store_row_unit(store, i, row));
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[3];
    struct nc_embedding_store *store;
    fuzz_cut(data, size, parts, 3);
    uint8_t *bytes = malloc(parts[0].size + 1);
    memcpy(bytes, parts[0].data, parts[0].size);
    mend_shard(bytes, parts[0].size);
    fuzz_file("shard-000000.embeddings", bytes, parts[0].size);
    free(bytes);
    fuzz_remove("skipped.jsonl");
    fuzz_remove(NC_INDEX_FILE);
    if (parts[1].size)
        fuzz_file("skipped.jsonl", parts[1].data, parts[1].size);
    for (int round = 0; round < 2; round++) {
        int status = nc_embedding_store_open(fuzz_folder(), &store);
        fuzz_expect_sentence(status);
        if (status != NC_OK)
            return 0;
        if (round == 0 && parts[2].size)
            write_index(store, &parts[2]);
        read_all(store, round == 1 || !parts[2].size);
        nc_embedding_store_close(store);
        fuzz_remove(NC_INDEX_FILE);
    }
    return 0;
}
