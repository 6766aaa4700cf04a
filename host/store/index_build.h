/* Makes keys.index. */
#ifndef NCLIP_HOST_STORE_INDEX_BUILD_H
#define NCLIP_HOST_STORE_INDEX_BUILD_H

#include "index.h"
#include "shard.h"

/* Under the store's lock. `old`: an index of the first shards of version 2, or NULL; its entries
 * are taken over. `keep`: it is an error where the folder cannot be written; else a file without a
 * name takes its place. Another process that makes the same one is waited for. */
int nc_key_index_make(const struct nc_embedding_store *store, const struct nc_key_index *old,
                      bool keep, struct nc_key_index **index);

/* Opens the file that is there; NULL where it does not fit. */
int nc_key_index_take(const struct nc_embedding_store *store, struct nc_key_index **index);

/* Of any row, under the store's lock; valid until the store is closed. */
int nc_store_key(const struct nc_embedding_store *store, size_t row, const char **key);

#endif
