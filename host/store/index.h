/* "keys.index": from the hash of a key to its row, for the shards of version 2. Little-endian:
 *
 *     entries      {uint64 hash, uint64 row} of each key, sorted by hash, then by row
 *     directory    {uint64 end, uint64 sum} of each bucket: the entry where it ends, and the XXH3
 * of its entries. Bucket b of 2^bits holds the hashes that begin with the bits b. tail struct
 * nc_index_tail
 *
 * The hash is XXH3 (64 bits, seed 0) of the key without its zero. What is found is confirmed by the
 * key itself, so that equal hashes do no harm; a bucket is checked whenever it is read, so that a
 * damaged file cannot hide a key. */
#ifndef NCLIP_HOST_STORE_INDEX_H
#define NCLIP_HOST_STORE_INDEX_H

#include "nclip/store/store.h"

#define NC_INDEX_FILE "keys.index"

struct nc_key_entry {
    uint64_t hash, row;
};

struct nc_index_bucket {
    uint64_t end, sum;
};

struct nc_index_tail {
    char magic[16];       /* NC_INDEX_MAGIC */
    uint64_t fingerprint; /* of the store's shards, of both versions */
    uint64_t rows, bits;
    uint64_t sum; /* XXH3 of the directory and of the tail before this */
};

#define NC_INDEX_MAGIC "nclip keys 1"

enum { NC_INDEX_BUCKET = 256 }; /* entries, at most on average */

struct nc_key_index;

unsigned nc_index_bits(uint64_t rows);
static inline size_t nc_index_bucket_of(uint64_t hash, unsigned bits)
{
    return bits ? (size_t)(hash >> (64 - bits)) : 0;
}

uint64_t nc_key_hash(const char *key, size_t length);

/* *index is NULL, with NC_OK, where the file is missing, damaged, or of other shards. */
int nc_key_index_open(const char *path, uint64_t fingerprint, uint64_t rows,
                      struct nc_key_index **index);
/* Likewise, of an open file, which may then be closed. */
int nc_key_index_map(int file, const char *path, uint64_t fingerprint, uint64_t rows,
                     struct nc_key_index **index);
void nc_key_index_close(struct nc_key_index *index); /* NULL is allowed */

uint64_t nc_key_index_rows(const struct nc_key_index *index);
const struct nc_key_entry *nc_key_index_entries(const struct nc_key_index *index);

/* The entries with that hash. A damaged bucket is NC_BAD_INPUT. */
int nc_key_index_find(const struct nc_key_index *index, uint64_t hash,
                      const struct nc_key_entry **first, size_t *count);

/* Checks every bucket. */
int nc_key_index_verify(const struct nc_key_index *index);

#endif
