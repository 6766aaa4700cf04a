/* The embedding store: each picture's embedding, computed once, streamed from disk.
 *
 * A store is a folder of shards "shard-000000.embeddings", ... Each is written once
 * and appears by rename when complete. A shard, all of it little-endian:
 *
 *     msgpack map     format, version, model_hash, preprocessing, dimension, element_type
 *                     ("fp32", "bf16", "fp16"), normalized, rows, rows_offset,
 *                     keys_offset, keys_bytes
 *     zeros           up to rows_offset, a multiple of 4096
 *     rows            [rows, dimension] of element_type, no padding between rows
 *     msgpack array   `rows` keys (strings), at keys_offset, keys_bytes long
 *     uint64          XXH3 (64 bits, seed 0) of all bytes before it
 *
 * Pictures that could not be embedded are in "skipped.jsonl", one object a line
 * with "key" and "reason". Rows are numbered through all shards in the order in
 * which they were written.
 *
 * Damaged, truncated and lying shards are NC_BAD_INPUT, naming the shard; a full
 * disk is NC_FAILED and leaves only complete shards behind.
 */
#ifndef NCLIP_STORE_STORE_H
#define NCLIP_STORE_STORE_H

#include "nclip/support/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all rows of a store have in common. The strings are borrowed. */
struct nc_embedding_info {
    const char *model_hash;    /* names the model; compared and shown, never interpreted */
    const char *preprocessing; /* nc_preprocess_describe() */
    size_t dimension;
    enum nc_type type;
    bool normalized; /* rows have L2 norm 1 (up to rounding) */
};

enum {
    NC_EMBEDDING_ALIGNMENT = 4096,  /* bytes, of the block of rows in a shard */
    NC_EMBEDDING_SHARD_ROWS = 8192, /* the default */
    NC_EMBEDDING_MAX_KEY = 65535,   /* bytes */
    NC_EMBEDDING_MAX_DIMENSION = 1 << 20,
};

/* ---- writing ---- */

struct nc_embedding_writer;

/* Creates the store, or continues one: its keys are then known to
 * nc_embedding_writer_has(). `shard_rows`: rows between flushes (0: the default);
 * a kill loses at most these. Partial files of an earlier kill are removed.
 * Continuing with another model, preprocessing, dimension, type or normalisation
 * is NC_BAD_INPUT, naming both. One process writes at a time (NC_FAILED otherwise);
 * within it, calls on a writer must not overlap. */
int nc_embedding_writer_open(const char *folder, const struct nc_embedding_info *info,
                             size_t shard_rows, struct nc_embedding_writer **writer);

size_t nc_embedding_writer_count(const struct nc_embedding_writer *writer); /* rows, old and new */
bool nc_embedding_writer_has(const struct nc_embedding_writer *writer, const char *key);

/* Appends row[dimension], converted to the store's type. A key that is there
 * already, and a value that is not finite in the store's type, are NC_BAD_INPUT;
 * the writer stays usable. A failed flush (NC_FAILED) leaves the rows in memory:
 * a later flush tries again. */
int nc_embedding_writer_append(struct nc_embedding_writer *writer, const char *key,
                               const float *row);

/* Notes a picture without an embedding. A later append of the key takes the note back. */
int nc_embedding_writer_skip(struct nc_embedding_writer *writer, const char *key,
                             const char *reason);
size_t nc_embedding_writer_skipped(const struct nc_embedding_writer *writer);

/* Notes what is wrong with the file of a picture that has an embedding all the same. */
int nc_embedding_writer_note_damage(struct nc_embedding_writer *writer, const char *key,
                                    const char *damage);
size_t nc_embedding_writer_damaged(const struct nc_embedding_writer *writer);

/* Writes what is in memory as one shard, skipped.jsonl and damaged.jsonl when they changed. */
int nc_embedding_writer_flush(struct nc_embedding_writer *writer);

/* Flushes; frees the writer also when that fails. */
int nc_embedding_writer_close(struct nc_embedding_writer *writer);

/* Frees the writer; rows since the last flush are lost. NULL is allowed. */
void nc_embedding_writer_abandon(struct nc_embedding_writer *writer);

/* ---- reading ---- */

struct nc_embedding_store;

/* Maps and checks all shards, their checksums included, and indexes the keys.
 * A key in two shards is NC_BAD_INPUT, naming both. A folder without a shard is
 * NC_BAD_INPUT. An open store is read-only: any number of threads may use it. */
int nc_embedding_store_open(const char *folder, struct nc_embedding_store **store);
void nc_embedding_store_close(struct nc_embedding_store *store); /* NULL is allowed */

/* Strings and rows are valid until close. */
const struct nc_embedding_info *nc_embedding_store_info(const struct nc_embedding_store *store);
size_t nc_embedding_store_count(const struct nc_embedding_store *store); /* rows */
size_t nc_embedding_store_shards(const struct nc_embedding_store *store);
size_t
nc_embedding_store_skipped(const struct nc_embedding_store *store); /* lines of skipped.jsonl */
const char *nc_embedding_store_key(const struct nc_embedding_store *store, size_t row);
bool nc_embedding_store_find(const struct nc_embedding_store *store, const char *key, size_t *row);

/* Row `row` in the store's own type, and as fp32. */
const void *nc_embedding_store_row(const struct nc_embedding_store *store, size_t row);
void nc_embedding_store_row_float(const struct nc_embedding_store *store, size_t row, float *out);

/* Row `row` as fp32 of length 1: as it is stored where that says so in fp32 (bf16 keeps lengths only
 * nearly). A row of zeros stays. */
void nc_embedding_store_row_unit(const struct nc_embedding_store *store, size_t row, float *out);

/* out[count, dimension] = rows[0..count), converted to `type`. */
void nc_embedding_store_gather(const struct nc_embedding_store *store, const size_t *rows,
                               size_t count, enum nc_type type, void *out);

/* NC_BAD_INPUT, naming both sides and the command that makes the right store,
 * unless the store was made by the model `model_hash` with `dimension` columns.
 * A NULL hash checks the dimension only. */
int nc_embedding_store_expect(const struct nc_embedding_store *store, const char *model_hash,
                              size_t dimension);

/* NC_FAILED when one of its files was written to since it was opened (nc_mapping_check()). */
int nc_embedding_store_check(const struct nc_embedding_store *store);

#endif
