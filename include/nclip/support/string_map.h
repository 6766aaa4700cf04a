/* A map from strings to numbers: ids, file names, keys. Keys are borrowed, not copied. */
#ifndef NCLIP_SUPPORT_STRING_MAP_H
#define NCLIP_SUPPORT_STRING_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct nc_string_map;

int nc_string_map_create(struct nc_string_map **map);
void nc_string_map_destroy(struct nc_string_map *map); /* NULL is allowed */

/* Adds key -> value, unless the key is there: then the map stays as it is. *present (always set)
 * is the value under which the key is found afterwards; equal to `value` when it was added. The
 * key must outlive the map. NC_FAILED without memory. */
int nc_string_map_add(struct nc_string_map *map, const char *key, size_t value, size_t *present);
bool nc_string_map_find(const struct nc_string_map *map, const char *key, size_t *value);
size_t nc_string_map_count(const struct nc_string_map *map);

#endif
