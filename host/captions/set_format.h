/* The head and table of a shard of a prepared set: what its writer and its reader share. */
#ifndef NCLIP_HOST_CAPTIONS_SET_FORMAT_H
#define NCLIP_HOST_CAPTIONS_SET_FORMAT_H

#include "nclip/captions/set.h"

enum {
    SET_VERSION = 1,
    SET_HEAD_LIMIT = 4096, /* bytes before the table */
    SET_SUM_BYTES = 8,
    SET_BODY_ALIGNMENT = 64, /* of the distractors' embeddings in a body */
};

/* A block in the table, as it lies in the file. */
struct set_entry {
    uint64_t first_row, rows;
    uint64_t examples, texts, tokens, distractors;
    struct set_entry_part {
        uint64_t offset, bytes, sum;
    } heads, body;
};
_Static_assert(sizeof(struct set_entry) == 96, "12 numbers");

static inline uint64_t set_round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static inline unsigned set_role_count(unsigned roles)
{
    return (unsigned)__builtin_popcount(roles);
}

/* Bytes of the parts of a block. */
uint64_t set_heads_bytes(const struct nc_set_shard_head *head, const struct set_entry *entry);
uint64_t set_body_bytes(const struct nc_set_shard_head *head, const struct set_entry *entry);

/* Where the table starts; *bytes is the packed head, for free(). NC_FAILED without memory. */
int set_pack_head(const struct nc_set_shard_head *head, void **bytes, size_t *table_offset);

/* Reads and checks head and table of the shard against each other and the file's size. *entries
 * [head->blocks] is the caller's; *sum is the head's own. */
int set_read_shard(const char *path, struct nc_set_shard_head *head, struct set_entry **entries,
                   uint64_t *sum);

/* "FOLDER/examples-000012.set", for free(); NULL without memory. */
char *set_shard_path(const char *folder, size_t number);

/* ---- set.json ---- */

/* What it says of a shard. */
struct set_listed {
    size_t first_block, blocks;
    uint64_t sum;
};

int set_write_info(const char *folder, const struct nc_set_info *info,
                   const struct set_listed *shards, size_t count);

/* What set.json holds; freed by set_free_info(). */
struct set_description {
    struct nc_set_info info;
    struct set_listed *shards;
    size_t count;
    void *tree, *lists; /* what the strings lie in */
};
int set_read_info(const char *folder, struct set_description *description);
void set_free_info(struct set_description *description);

#endif
