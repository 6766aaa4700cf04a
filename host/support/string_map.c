/* The map from strings to numbers: a hash table with open addressing and linear probing, at most
 * two thirds full. */
#include "nclip/support/string_map.h"

#include "nclip/support/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct slot {
    const char *key; /* NULL: free */
    uint64_t hash;
    size_t value;
};

struct nc_string_map {
    struct slot *slots;
    size_t capacity; /* a power of two */
    size_t count;
};

int nc_string_map_create(struct nc_string_map **out)
{
    *out = NULL;
    struct nc_string_map *map = calloc(1, sizeof *map);
    if (map) {
        map->capacity = 64;
        map->slots = calloc(map->capacity, sizeof *map->slots);
    }
    if (!map || !map->slots) {
        free(map);
        return nc_error(NC_FAILED, "no memory for a table of names");
    }
    *out = map;
    return NC_OK;
}

void nc_string_map_destroy(struct nc_string_map *map)
{
    if (!map)
        return;
    free(map->slots);
    free(map);
}

static uint64_t hash_of(const char *key)
{
    return XXH3_64bits(key, strlen(key));
}

/* The slot that holds the key, or the free one where it belongs. */
static struct slot *probe(const struct nc_string_map *map, const char *key, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &map->slots[i];
        if (!slot->key || (slot->hash == hash && strcmp(slot->key, key) == 0))
            return slot;
    }
}

static bool grow(struct nc_string_map *map)
{
    struct nc_string_map larger = {.capacity = map->capacity * 2, .count = map->count};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].key)
            *probe(&larger, map->slots[i].key, map->slots[i].hash) = map->slots[i];
    }
    free(map->slots);
    *map = larger;
    return true;
}

int nc_string_map_add(struct nc_string_map *map, const char *key, size_t value, size_t *present)
{
    *present = value;
    uint64_t hash = hash_of(key);
    struct slot *slot = probe(map, key, hash);
    if (slot->key) {
        *present = slot->value;
        return NC_OK;
    }
    if ((map->count + 1) * 3 > map->capacity * 2) {
        if (!grow(map))
            return nc_error(NC_FAILED, "no memory for a table of %zu names", map->count);
        slot = probe(map, key, hash);
    }
    *slot = (struct slot){key, hash, value};
    map->count++;
    return NC_OK;
}

bool nc_string_map_find(const struct nc_string_map *map, const char *key, size_t *value)
{
    const struct slot *slot = probe(map, key, hash_of(key));
    if (!slot->key)
        return false;
    *value = slot->value;
    return true;
}

size_t nc_string_map_count(const struct nc_string_map *map)
{
    return map->count;
}
