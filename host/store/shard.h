/* A shard that is open, of either version, and the store that holds it. */
#ifndef NCLIP_HOST_STORE_SHARD_H
#define NCLIP_HOST_STORE_SHARD_H

#include "format.h"

#include "nclip/support/files.h"
#include "nclip/support/string_map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct nc_key_index;

/* What a file was when the store was opened. */
struct nc_file_state {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
};

struct nc_shard {
    size_t number; /* in its name */
    char *path;
    bool old;                                    /* version 1 */
    size_t rows, first_row, blocks, first_block; /* the firsts: in the store */
    uint64_t rows_offset, keys_offset, keys_bytes;
    uint64_t sum; /* the head's; version 1: the checksum */
    struct nc_file_state state;
    struct nc_mapping mapping; /* version 2: when it is first touched, under the store's lock */

    /* Version 2. The pointers are set when what they point at may be used. */
    uint64_t *sums;             /* [blocks + 1] */
    _Atomic(uint64_t) *checked; /* a bit a block: its sum is right */
    char *rows_path;            /* of rows that lie in another file, or NULL */
    struct nc_file_state rows_state;
    struct nc_mapping rows_mapping;
    _Atomic(const uint8_t *) row_bytes;
    struct nc_key_section keys;
    _Atomic(bool) keys_checked;

    /* Version 1. */
    char *key_text;
    const char **old_keys; /* [rows] */
};

struct nc_embedding_store {
    char *folder;
    struct nc_embedding_info info;
    char *model_hash, *preprocessing; /* owned copies, for info */
    size_t row_bytes, block_rows;
    struct nc_shard *shards;
    size_t shard_count, shard_capacity, old_shards;
    size_t rows, old_rows, blocks;
    struct nc_string_map *old_numbers; /* key -> row, of the shards of version 1; or NULL */
    struct nc_store_state *state;
};

/* What changes in a store that is open. */
struct nc_store_state {
    pthread_mutex_t lock; /* of what is mapped and indexed when it is first needed */
    _Atomic(struct nc_key_index *) index;
    _Atomic(size_t) found; /* the row that was found last */
};

/* ---- shard.c ---- */

/* Opens shard->path (owned by the shard, number set). The texts of *header are in *head, which the
 * caller frees, or in the mapping of version 1. */
int nc_shard_open(struct nc_shard *shard, const char *folder, struct nc_shard_header *header,
                  uint8_t **head);
void nc_shard_close(struct nc_shard *shard);

/* NC_BAD_INPUT unless both belong into one store; `first` and `path` are for messages. */
int nc_shard_compare(const char *first, const struct nc_embedding_info *info, const char *path,
                     const struct nc_shard_header *header);

/* Maps what is not mapped, and checks the keys; under the store's lock. */
int nc_shard_map(struct nc_shard *shard);
int nc_shard_map_rows(struct nc_shard *shard);
int nc_shard_map_keys(struct nc_shard *shard);

/* NC_FAILED when a file of it is no longer what it was. */
int nc_shard_check(const struct nc_shard *shard);

/* ---- folder.c ---- */

/* The shards of a folder, in the order of their numbers, each with its number and path. */
int nc_shards_list(const char *folder, struct nc_shard **shards, size_t *count);

/* ---- store.c ---- */

/* A store without a shard. */
int nc_store_create(const char *folder, const struct nc_embedding_info *info,
                    struct nc_embedding_store **store);
/* Adds the shard of version 2 `path` behind the others. */
int nc_store_add(struct nc_embedding_store *store, const char *path, size_t number);
/* The shard that holds the row, the block. */
struct nc_shard *nc_store_shard_of(const struct nc_embedding_store *store, size_t row);

#endif
