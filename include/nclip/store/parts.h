/* A store whose shards are written one by one, each under a number that its writer chooses: by many
 * processes at once, of which one holds the folder (nc_embedding_writer_open()), and sees to it at
 * the end that no key is there twice. */
#ifndef NCLIP_STORE_PARTS_H
#define NCLIP_STORE_PARTS_H

#include "nclip/store/store.h"

/* ---- one shard ---- */

struct nc_embedding_part;

/* Room for `most` rows; info's strings are borrowed until it is destroyed. */
int nc_embedding_part_create(const struct nc_embedding_info *info, size_t most,
                             struct nc_embedding_part **part);
void nc_embedding_part_destroy(struct nc_embedding_part *part); /* NULL is allowed */

/* Appends row[dimension], converted to the info's type. A key that is empty or longer than
 * NC_EMBEDDING_MAX_KEY, and a value that is not finite in that type, are NC_BAD_INPUT. Keys are not
 * compared. At most `most` rows. */
int nc_embedding_part_add(struct nc_embedding_part *part, const char *key, const float *row);
/* The same of a row that is in the info's type already. */
int nc_embedding_part_copy(struct nc_embedding_part *part, const char *key, const void *row);
size_t nc_embedding_part_count(const struct nc_embedding_part *part);
/* Keeps the first `count` rows. */
void nc_embedding_part_cut(struct nc_embedding_part *part, size_t count);

/* Writes the rows, at least one, as shard `number`, which appears by rename; an older one is
 * replaced. The rows stay. */
int nc_embedding_part_write(const struct nc_embedding_part *part, const char *folder,
                            size_t number);

/* The path of that shard, for free(); NULL without memory. */
char *nc_embedding_shard_path(const char *folder, size_t number);

/* ---- all of them ---- */

int nc_embedding_has_shards(const char *folder, bool *has); /* a store has at least one */

/* Where a row is. */
struct nc_embedding_shard {
    size_t number, first_row, rows;
};
struct nc_embedding_shard nc_embedding_store_shard(const struct nc_embedding_store *store,
                                                   size_t row);

/* Calls `tell` for each row whose key an earlier row has, in no order that matters: in memory that
 * does not grow with the store. */
int nc_embedding_store_doubles(const struct nc_embedding_store *store,
                               int (*tell)(void *context, size_t first, size_t row), void *context);

#endif
