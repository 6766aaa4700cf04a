/* Which rows a key may have: what a writer remembers of the keys that it wrote itself. */
#ifndef NCLIP_HOST_STORE_KEY_TABLE_H
#define NCLIP_HOST_STORE_KEY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_key_table;

int nc_key_table_create(struct nc_key_table **table);
void nc_key_table_destroy(struct nc_key_table *table); /* NULL is allowed */

/* `row` below 2^40. */
int nc_key_table_add(struct nc_key_table *table, uint64_t hash, size_t row);

/* Goes through the rows that were added with that hash, and by chance through others (one in
 * millions). Begin with *at 0; false: there are no more. */
bool nc_key_table_next(const struct nc_key_table *table, uint64_t hash, size_t *at, size_t *row);

#endif
