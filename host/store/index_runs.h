/* Entries of keys in sorted runs: sorted in memory a part at a time, put into a file without a
 * name, and merged. So the memory does not grow with the number of keys. */
#ifndef NCLIP_HOST_STORE_INDEX_RUNS_H
#define NCLIP_HOST_STORE_INDEX_RUNS_H

#include "index.h"

struct nc_key_runs;

/* `folder`: where the file is made, unless nothing can be written there. */
int nc_key_runs_create(const char *folder, struct nc_key_runs **runs);
void nc_key_runs_destroy(struct nc_key_runs *runs); /* NULL is allowed */

/* Adds an entry; rows must come in their order. */
int nc_key_runs_add(struct nc_key_runs *runs, struct nc_key_entry entry);
/* Adds entries that are sorted already and stay where they are, of rows before the others. */
int nc_key_runs_borrow(struct nc_key_runs *runs, const struct nc_key_entry *entries, size_t count);

/* After the last one. It may be called again: then the merge starts from the beginning. */
int nc_key_runs_merge(struct nc_key_runs *runs);
/* The next entry, sorted by hash, then by row; *more false behind the last. */
int nc_key_runs_next(struct nc_key_runs *runs, struct nc_key_entry *entry, bool *more);

/* A file that has no name, in `folder` (not with NULL) or else where temporary files are. */
int nc_scratch_open(const char *folder, int *file);

#endif
