/* The prepared set: captions as tokens, joined to the rows of an embedding store, on disk.
 *
 * `nclip prepare` makes it once, `nclip train --examples` reads it. Examples lie in the order of
 * the store's rows, and block b of the set holds the examples of the rows of block b of the store:
 * a block of examples needs exactly one block of rows. A folder of shards, each with the next few
 * blocks, and set.json, which appears last:
 *
 *     set.json        format "nclip examples", version, store {path, fingerprint, rows, blocks,
 *                     dimension, element_type, model_hash}, tokenizer, vocabulary, context,
 *                     id_bytes, too_long, roles [names], distractors, counts {...},
 *                     left_out [{reason, count, first}], sources [{path, bytes}],
 *                     shards [{file, first_block, blocks, sum}]
 *
 * A shard "examples-NNNNNN.set", all of it little-endian:
 *
 *     msgpack map     format, version, shard, first_block, blocks, first_row, roles (a mask),
 *                     id_bytes, row_bytes (of a distractor's embedding; 0: the set has none),
 *                     table_offset
 *     zeros           up to table_offset, a multiple of 8
 *     table           for each block first_row, rows, examples, texts, tokens, distractors,
 *                     heads {offset, bytes, sum}, body {offset, bytes, sum}: uint64 each
 *     uint64          XXH3 (64 bits, seed 0) of all bytes before it
 *     sections        heads and body of each block in turn, each at a multiple of 4096, zeros
 *                     between them and behind the last one up to such a multiple
 *
 * The heads say what the examples are, the body what they hold:
 *
 *     heads   uint64 ordinal[n]       place in the captions as they were given, over all sources
 *             uint64 distractor[n]    row of the store, or NC_SET_NO_ROW; only where the set has
 *                                     distractors
 *             uint32 row[n]           from the block's first row
 *             uint16 lengths[texts]   tokens of each text: example after example, and within one
 *                                     role after role
 *             uint8  counts[roles][n] texts of each role that the set has; of captions always 1
 *     body    ids of the texts in that order, uint16 or uint32, each text cut behind its
 *             end-of-text token (nc_caption_end) and not padded; zeros up to a multiple of 64;
 *             then the embedding of each distractor, in the store's type, in the examples' order
 *
 * Examples are sorted by row, and those of one row by ordinal. Damaged and lying files are
 * NC_BAD_INPUT and name the file and the block.
 */
#ifndef NCLIP_CAPTIONS_SET_H
#define NCLIP_CAPTIONS_SET_H

#include "nclip/support/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a text of an example is to it. A mask of roles has bit 1u << role. */
enum nc_text_role {
    NC_TEXT_CAPTION,       /* each example has one */
    NC_TEXT_CONTRADICTION, /* false of the picture */
    NC_TEXT_ABSENCE,       /* true, says what is absent */
    NC_TEXT_PARAPHRASE,
    NC_TEXT_CHOICES, /* false, any number */
    NC_TEXT_ROLES
};
const char *nc_text_role_name(enum nc_text_role role); /* "caption", ...: also its key in JSONL */

enum {
    NC_SET_ALIGNMENT = 4096,
    NC_SET_MOST_TEXTS = 255, /* of one role of an example */
    NC_SET_LONGEST = 65535,  /* tokens of a text */
};
#define NC_SET_NO_ROW UINT64_MAX

/* Something that was left out, and how often. */
struct nc_set_left_out {
    const char *reason; /* "picture_not_in_store", ...: stable, for scripts */
    uint64_t count;
    const char *first; /* the first one, for people: its picture or text */
};

struct nc_set_info {
    /* the store it was joined to */
    const char *store; /* path, from the root */
    uint64_t store_fingerprint;
    size_t store_rows, blocks; /* the set's blocks are the store's */
    size_t dimension;
    enum nc_type type;
    const char *model_hash;
    /* how texts became tokens */
    uint64_t tokenizer; /* hash of its files */
    size_t vocabulary, context;
    size_t id_bytes;      /* 2 or 4 */
    const char *too_long; /* "truncate", "skip" or "error": of captions longer than the context */
    /* what it holds */
    unsigned roles; /* mask of those that some example has */
    bool has_distractors;
    uint64_t captions; /* as given, with those that were left out */
    uint64_t examples, texts, tokens;
    uint64_t pictures;    /* rows with an example */
    uint64_t distractors; /* examples with one */
    uint64_t truncated, negation_lost; /* captions that were cut, and that lost a negation by it */
    size_t longest_text, longest_example; /* tokens; of all texts of an example */
    size_t largest_block;                 /* examples */
    const struct nc_set_left_out *left_out;
    size_t left_out_count;
    const char *const *sources;   /* paths as given */
    const uint64_t *source_bytes; /* of each on disk; 0: it was none (a pipe) */
    size_t source_count;
};

/* ---- reading ---- */

struct nc_set;

struct nc_set_part { /* of a file */
    uint64_t offset; /* a multiple of NC_SET_ALIGNMENT; the file goes on to the next one */
    size_t bytes;
    uint64_t sum; /* XXH3 of these bytes */
};

struct nc_set_block {
    const char *path; /* of the shard; valid until close */
    size_t first_row, rows;
    size_t examples, texts, tokens, distractors;
    struct nc_set_part heads, body; /* 0 bytes in a block without examples */
};

/* Reads set.json and the shards' tables, in memory that grows by a block's entry; nothing else.
 * An open set is read-only: any number of threads may use it. A folder without set.json is
 * NC_BAD_INPUT; where a `nclip prepare` was stopped, the message says how to go on. */
int nc_set_open(const char *folder, struct nc_set **set);
void nc_set_close(struct nc_set *set); /* NULL is allowed */
const struct nc_set_info *nc_set_info(const struct nc_set *set); /* valid until close */
size_t nc_set_shards(const struct nc_set *set);

/* NC_BAD_INPUT, naming what differs and the command that makes the right one, unless the set was
 * made with these. Of `has` model_hash, dimension, tokenizer, vocabulary, context, store_fingerprint
 * and store (its path, for the message) are read; NULL and 0 are not compared. */
int nc_set_expect(const struct nc_set *set, const struct nc_set_info *has);

size_t nc_set_blocks(const struct nc_set *set);
void nc_set_block(const struct nc_set *set, size_t b, struct nc_set_block *block);

/* Checks the sum of what was read of a part. */
int nc_set_check_heads(const struct nc_set *set, size_t b, const void *bytes);
int nc_set_check_body(const struct nc_set *set, size_t b, const void *bytes);

/* The heads as they lie in memory. */
struct nc_set_heads {
    size_t examples, texts, tokens;
    const uint64_t *ordinal;    /* [examples] */
    const uint64_t *distractor; /* [examples], or NULL: the set has none */
    const uint32_t *row;        /* [examples] */
    const uint16_t *lengths;    /* [texts] */
    const uint8_t *counts[NC_TEXT_ROLES]; /* each [examples], or NULL: no example of the set has any */
};

/* Views into bytes[heads.bytes], 8-aligned and of the caller's keeping, in which everything adds
 * up: rows are the block's, in order; texts and tokens are as many as the block says. */
int nc_set_decode_heads(const struct nc_set *set, size_t b, const void *bytes,
                        struct nc_set_heads *heads);

/* tokens[block.tokens]: the ids of all texts, each below the vocabulary. *distractors (may be NULL)
 * points into `bytes` at [block.distractors, dimension] of the store's type. */
int nc_set_decode_body(const struct nc_set *set, size_t b, const void *bytes, int32_t *tokens,
                       const void **distractors);

/* Reads a part of a block with pread, and checks its sum. `bytes` has room for part.bytes. */
int nc_set_read_heads(const struct nc_set *set, size_t b, void *bytes);
int nc_set_read_body(const struct nc_set *set, size_t b, void *bytes);

/* ---- writing: shard after shard, then set.json ---- */

struct nc_set_shard;

/* What a shard's head says. */
struct nc_set_shard_head {
    size_t number, first_block, blocks, first_row;
    unsigned roles;
    size_t id_bytes;
    size_t row_bytes; /* of a distractor's embedding; 0: the set has none */
};

/* Begins shard head->number; it appears by rename when all its blocks were added. */
int nc_set_shard_create(const char *folder, const struct nc_set_shard_head *head,
                        struct nc_set_shard **shard);
/* Adds the next block: `rows` rows behind those of the last one, with the examples of `heads`
 * (roles and distractors as the shard's head has them), their tokens, and the distractors'
 * embeddings end to end. */
int nc_set_shard_add(struct nc_set_shard *shard, size_t rows, const struct nc_set_heads *heads,
                     const int32_t *tokens, const void *distractors);
int nc_set_shard_commit(struct nc_set_shard *shard); /* frees it, also on failure */
void nc_set_shard_abort(struct nc_set_shard *shard); /* NULL is allowed */

/* Looks through the shards 0 .. count - 1, which must follow each other and hold info->blocks
 * blocks, and writes set.json. */
int nc_set_finish(const char *folder, const struct nc_set_info *info, size_t count);

#define NC_SET_FILE "set.json"
#define NC_SET_WORK "prepare.partial" /* folder in a set that is being made */

#endif
