/* The parts of the embedding store that reader and writer share: the header of a
 * shard, its list of keys, the list of skipped pictures. */
#ifndef NCLIP_HOST_STORE_FORMAT_H
#define NCLIP_HOST_STORE_FORMAT_H

#include "nclip/store/store.h"
#include "nclip/support/string_map.h"

#include <msgpack.h>

enum { NC_SHARD_HEADER_LIMIT = 1 << 16, NC_SHARD_VERSION = 1, NC_SHARD_CHECKSUM_BYTES = 8 };

struct nc_shard_text { /* in the file: not terminated */
    const char *data;
    size_t size;
};

struct nc_shard_header {
    struct nc_shard_text model_hash, preprocessing;
    enum nc_type type;
    bool normalized;
    uint64_t dimension, rows, rows_offset, keys_offset, keys_bytes;
};

/* Packs the header; false without memory. Its size depends on the values, so that
 * rows_offset and keys_offset are found by the caller, from a first try. */
bool nc_shard_pack_header(const struct nc_shard_header *header, msgpack_sbuffer *out);

/* Parses and checks the header against the size of the file. `path` is for messages. */
int nc_shard_parse_header(const char *path, const uint8_t *bytes, size_t size,
                          struct nc_shard_header *header);

/* Copies the keys, each with a zero behind it, into text[keys_bytes] and sets keys[rows]. */
int nc_shard_parse_keys(const char *path, const uint8_t *bytes, size_t size, size_t rows,
                        char *text, const char **keys);

/* "shard-000012.embeddings" is number 12; false for any other name. */
bool nc_shard_number(const char *name, size_t *number);

/* ---- skipped.jsonl, damaged.jsonl ---- */

#define NC_SKIPPED_FILE "skipped.jsonl"
#define NC_DAMAGED_FILE "damaged.jsonl"

/* Notes on pictures, one each: {"key", "reason"} a line of a file of such a name. */
struct nc_skipped {
    size_t count, capacity;
    char **keys;                   /* [count], owned */
    char **reasons;                /* [count], owned; NULL: taken back */
    size_t noted;                  /* entries that are not taken back */
    struct nc_string_map *numbers; /* key -> its place */
};

/* A missing file is empty. */
int nc_skipped_load(const char *folder, const char *name, struct nc_skipped *skipped);
int nc_skipped_save(const char *folder, const char *name, const struct nc_skipped *skipped);
int nc_skipped_note(struct nc_skipped *skipped, const char *key, const char *reason);
bool nc_skipped_take_back(struct nc_skipped *skipped, const char *key); /* true: it was noted */
void nc_skipped_free(struct nc_skipped *skipped);

#endif
