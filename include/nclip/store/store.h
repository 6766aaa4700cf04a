/* The embedding store: each picture's embedding, computed once, streamed from disk.
 *
 * A store is a folder of shards "shard-000000.embeddings", ... (6 to 12 digits). Each is written
 * once and appears by rename when complete. Version 2, all of it little-endian:
 *
 *     msgpack map     format, version (2), model_hash, preprocessing, dimension, element_type
 *                     ("fp32", "bf16", "fp16"), normalized, rows, block_rows, sums_offset,
 *                     rows_offset, keys_offset, keys_bytes; and where the rows lie in another
 *                     file: rows_file (its path, from the store's folder if relative) and
 *                     rows_file_bytes (its size)
 *     zeros           up to sums_offset, a multiple of 8
 *     uint64 sums     XXH3 (64 bits, seed 0) of each block of rows, then of the keys' section
 *     uint64          XXH3 of all bytes before it: the head's sum
 *     zeros           up to rows_offset, a multiple of 4096 (with rows_file: rows_offset is where
 *                     the rows start in that file, and the keys follow here)
 *     rows            [rows, dimension] of element_type, no padding between rows
 *     zeros           up to keys_offset, a multiple of 8
 *     keys            uint64 end[rows]: where the text of each key ends, its zero included; then
 *                     the text, each key with a zero behind it; keys_bytes in all
 *
 * A block is block_rows rows, the last one fewer: nc_embedding_block_rows(). It can be read, with
 * direct I/O, and checked alone. Opening reads heads only; a block or a section of keys is checked
 * when it is first read.
 *
 * Version 1 is read as it was, but no longer written: the map (format, version, model_hash,
 * preprocessing, dimension, element_type, normalized, rows, rows_offset, keys_offset,
 * keys_bytes), zeros, rows, a msgpack array of keys, and the XXH3 of all bytes before it, which
 * is checked when the store is opened. One store may hold shards of both versions.
 *
 * "keys.index" finds the rows of keys in shards of version 2. It is written when a writer closes,
 * and made anew where it is missing or of other shards; so it may be removed.
 *
 * Pictures that could not be embedded are in "skipped.jsonl", one object a line
 * with "key" and "reason". Rows are numbered through all shards in the order of their numbers.
 *
 * Damaged, truncated and lying shards are NC_BAD_INPUT, naming the shard and the block; a full
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

#define NC_EMBEDDING_NONE SIZE_MAX /* the row of a key that is not there */

/* ---- writing ---- */

struct nc_embedding_writer;

/* Creates the store, or continues one (of either version; new shards are of version 2): its keys
 * are then known to nc_embedding_writer_has(). `shard_rows`: rows between flushes (0: the
 * default); a kill loses at most these. Partial files of an earlier kill are removed.
 * Continuing with another model, preprocessing, dimension, type or normalisation
 * is NC_BAD_INPUT, naming both. One process writes at a time (NC_FAILED otherwise);
 * within it, calls on a writer must not overlap. Of a key that was written it keeps 11 to 22 bytes
 * in memory. */
int nc_embedding_writer_open(const char *folder, const struct nc_embedding_info *info,
                             size_t shard_rows, struct nc_embedding_writer **writer);

size_t nc_embedding_writer_count(const struct nc_embedding_writer *writer); /* rows, old and new */
int nc_embedding_writer_has(struct nc_embedding_writer *writer, const char *key, bool *has);

/* Appends row[dimension], converted to the store's type. A key that is there
 * already, and a value that is not finite in the store's type, are NC_BAD_INPUT;
 * the writer stays usable. A failed flush (NC_FAILED) leaves the rows in memory:
 * a later flush tries again. */
int nc_embedding_writer_append(struct nc_embedding_writer *writer, const char *key,
                               const float *row);

/* Flushes, then adds a shard whose rows stay where they are: `count` rows of the store's dimension
 * and type from byte `offset` of `rows_file` on (a multiple of the type's size), without padding.
 * They are read once, for their sums. A relative path starts at the store's folder. Fails as append
 * does; then no row of it is in the store. */
int nc_embedding_writer_link(struct nc_embedding_writer *writer, const char *rows_file,
                             uint64_t offset, size_t count, const char *const *keys);

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

/* Flushes and writes keys.index; frees the writer also when that fails. */
int nc_embedding_writer_close(struct nc_embedding_writer *writer);

/* Frees the writer; rows since the last flush are lost. NULL is allowed. */
void nc_embedding_writer_abandon(struct nc_embedding_writer *writer);

/* ---- reading ---- */

struct nc_embedding_store;

/* Reads the heads of all shards (of version 1: all bytes, with their checksums and keys). A folder
 * without a shard, shards that do not belong together, and a rows_file that is missing or of
 * another size are NC_BAD_INPUT. An open store is read-only: any number of threads may use it. */
int nc_embedding_store_open(const char *folder, struct nc_embedding_store **store);
void nc_embedding_store_close(struct nc_embedding_store *store); /* NULL is allowed */

/* Strings and rows are valid until close. */
const char *nc_embedding_store_folder(const struct nc_embedding_store *store);
const struct nc_embedding_info *nc_embedding_store_info(const struct nc_embedding_store *store);
size_t nc_embedding_store_count(const struct nc_embedding_store *store); /* rows */
size_t nc_embedding_store_shards(const struct nc_embedding_store *store);
size_t nc_embedding_store_old_shards(const struct nc_embedding_store *store); /* of version 1 */
/* Of the sums of all heads (version 1: of all checksums): another where any shard is another. */
uint64_t nc_embedding_store_fingerprint(const struct nc_embedding_store *store);
/* Lines of skipped.jsonl, which is read for it. */
int nc_embedding_store_skipped(const struct nc_embedding_store *store, size_t *skipped);

/* By row. A shard is mapped when it is first touched, a block checked when it is first read: a
 * damaged one, or a file that was changed since the store was opened, is named. */
int nc_embedding_store_key(const struct nc_embedding_store *store, size_t row, const char **key);
/* Row `row` in the store's own type, and as fp32. */
int nc_embedding_store_row(const struct nc_embedding_store *store, size_t row, const void **data);
int nc_embedding_store_row_float(const struct nc_embedding_store *store, size_t row, float *out);

/* Row `row` as fp32 of length 1: as it is stored where that says so in fp32 (bf16 keeps lengths
 * only nearly). A row of zeros stays. */
int nc_embedding_store_row_unit(const struct nc_embedding_store *store, size_t row, float *out);

/* out[count, dimension] = rows[0..count), converted to `type`. */
int nc_embedding_store_gather(const struct nc_embedding_store *store, const size_t *rows,
                              size_t count, enum nc_type type, void *out);

/* *row: where the key is, or NC_EMBEDDING_NONE. Cheapest in the order of the rows: the row behind
 * the one found last is tried before the index. */
int nc_embedding_store_find(const struct nc_embedding_store *store, const char *key, size_t *row);

/* Opens the index of keys, or makes it: in the folder, or where that cannot be, in a temporary file
 * without a name. In at most about 64 MiB of memory, whatever the size (and one byte for 8 keys). A
 * key that is there twice is NC_BAD_INPUT, naming both shards. nc_embedding_store_find() does it
 * where it must. */
int nc_embedding_store_index(const struct nc_embedding_store *store);

/* NC_BAD_INPUT, naming both sides and the command that makes the right store,
 * unless the store was made by the model `model_hash` with `dimension` columns.
 * A NULL hash checks the dimension only. */
int nc_embedding_store_expect(const struct nc_embedding_store *store, const char *model_hash,
                              size_t dimension);

/* NC_FAILED when one of its files was written to since it was opened (nc_mapping_check()), or one
 * that is not mapped was removed or replaced. */
int nc_embedding_store_check(const struct nc_embedding_store *store);

/* ---- blocks: for those who read the files themselves ---- */

/* Rows of a block: the smallest count whose bytes are a multiple of 4096 and at least 1 MiB; where
 * that takes more than 16 MiB, the smallest of at least 1 MiB. */
size_t nc_embedding_block_rows(size_t row_bytes);

/* Neighbouring rows of one shard, of either version. */
struct nc_embedding_block {
    const char *path; /* of the file that holds the rows; valid until the store is closed */
    uint64_t offset;  /* in that file; a multiple of 4096, but for linked rows and very wide ones */
    size_t bytes, first_row, rows;
    size_t number; /* in its shard */
    uint64_t sum;  /* XXH3 of the bytes */
    bool has_sum;  /* not in version 1, whose bytes were checked at opening */
};

/* All blocks of all shards, in the order of the rows. */
size_t nc_embedding_store_blocks(const struct nc_embedding_store *store);
void nc_embedding_store_block(const struct nc_embedding_store *store, size_t number,
                              struct nc_embedding_block *block);
size_t nc_embedding_store_block_of(const struct nc_embedding_store *store, size_t row);

/* NC_BAD_INPUT, naming file and block, unless bytes[block->bytes] have the block's sum. */
int nc_embedding_block_check(const struct nc_embedding_block *block, const void *bytes);

/* ---- whole stores ---- */

struct nc_embedding_verified {
    uint64_t bytes; /* read */
    double seconds;
    size_t blocks, damaged; /* blocks; sections of keys are counted as blocks */
};

/* Reads and checks every block and every section of keys, in several threads, with progress, then
 * the index. Each damaged block is told on stderr; the first is NC_BAD_INPUT, when all were read.
 */
int nc_embedding_store_verify(const struct nc_embedding_store *store,
                              struct nc_embedding_verified *verified);

struct nc_embedding_upgraded {
    size_t shards, written; /* of `shards`; the others were of version 2 already */
    uint64_t bytes;         /* written */
};

/* Writes shards of version 1 anew, shard by shard, with progress: in their place (`out` NULL), or
 * all shards into the store `out`. Killed or stopped in the middle, it goes on when it is called
 * again. Rows, keys and numbers stay. */
int nc_embedding_store_upgrade(const char *folder, const char *out,
                               struct nc_embedding_upgraded *upgraded);

#endif
