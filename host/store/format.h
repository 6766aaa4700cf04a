/* The bytes of a shard, as store.h describes them: the head of both versions, the keys of both. */
#ifndef NCLIP_HOST_STORE_FORMAT_H
#define NCLIP_HOST_STORE_FORMAT_H

#include "nclip/formats/msgpack.h"
#include "nclip/store/store.h"

#include <msgpack.h>

enum {
    NC_SHARD_HEADER_LIMIT = 1 << 16, /* bytes of the msgpack map */
    NC_SHARD_VERSION = 2,            /* what is written */
    NC_SHARD_CHECKSUM_BYTES = 8,
};

struct nc_shard_header {
    uint64_t version;
    struct nc_msgpack_text model_hash, preprocessing;
    enum nc_type type;
    bool normalized;
    uint64_t dimension, rows, rows_offset, keys_offset, keys_bytes;
    /* version 2 */
    uint64_t block_rows, sums_offset;
    bool linked; /* the rows are in rows_file */
    struct nc_msgpack_text rows_file;
    uint64_t rows_file_bytes;
};

/* Packs the map of version 2; false without memory. Its size depends on the values, so that the
 * offsets are found by the caller, from a first try. */
bool nc_shard_pack_header(const struct nc_shard_header *header, msgpack_sbuffer *out);

/* Parses the map of either version in the first `size` bytes of a file of `file_size`, and checks
 * it against that size. `path` is for messages. *whole (NULL is allowed): false where the bytes
 * ended too soon. */
int nc_shard_parse_header(const char *path, const uint8_t *bytes, size_t size, uint64_t file_size,
                          struct nc_shard_header *header, bool *whole);

/* The bytes of a head of version 2 up to and with its sum; the map must have been parsed. */
uint64_t nc_shard_head_bytes(const struct nc_shard_header *header);
uint64_t nc_shard_head_blocks(const struct nc_shard_header *header);

/* Version 1: copies the keys, each with a zero behind it, into text[keys_bytes] and sets
 * keys[rows]. */
int nc_shard_parse_keys(const char *path, const uint8_t *bytes, size_t size, size_t rows,
                        char *text, const char **keys);

/* Version 2: the section of keys, checked. */
struct nc_key_section {
    const uint8_t *ends; /* uint64[rows] */
    const char *text;
};
int nc_key_section_check(const char *path, const uint8_t *bytes, size_t size, size_t rows,
                         uint64_t sum, struct nc_key_section *section);

/* Key `row` of a section that was checked, with the zero behind it; *length without. */
const char *nc_key_section_key(const struct nc_key_section *section, size_t row, size_t *length);

/* "shard-000012.embeddings" is number 12; false for any other name. */
bool nc_shard_number(const char *name, size_t *number);

#endif
