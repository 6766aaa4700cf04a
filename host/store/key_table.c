/* Hash tables of 8 bytes a slot: 24 bits of the hash and 40 of the row. A table does not hold
 * enough of the hash to be made larger, so each is followed by one of twice its size. With slots
 * that are free, a key takes 11 to 22 bytes. */
#include "key_table.h"

#include "nclip/support/error.h"

#include <stdlib.h>

enum { LEVELS = 32, FIRST_BITS = 12 };

#define ROW_BITS 40
#define ROW_MASK (((uint64_t)1 << ROW_BITS) - 1)

/* Level l has 2^(FIRST_BITS + l) slots; a slot is 0 when free, else a tag and row + 1. */
struct nc_key_table {
    uint64_t *slots[LEVELS];
    size_t levels, count; /* of the last level */
};

int nc_key_table_create(struct nc_key_table **table)
{
    *table = calloc(1, sizeof **table);
    return *table ? NC_OK : nc_error(NC_FAILED, "no memory for a table of keys");
}

void nc_key_table_destroy(struct nc_key_table *t)
{
    for (size_t i = 0; t && i < t->levels; i++)
        free(t->slots[i]);
    free(t);
}

/* The place in a level comes from the hash's low bits, the tag from its high ones. */
static uint64_t tag_of(uint64_t hash)
{
    return hash & ~ROW_MASK;
}

static size_t mask_of(size_t level)
{
    return ((size_t)1 << (FIRST_BITS + level)) - 1;
}

int nc_key_table_add(struct nc_key_table *t, uint64_t hash, size_t row)
{
    if (row >= ROW_MASK)
        return nc_error(NC_FAILED, "more than %llu keys", (unsigned long long)ROW_MASK);
    if (!t->levels || t->count >= (mask_of(t->levels - 1) + 1) / 4 * 3) {
        uint64_t *slots = t->levels < LEVELS ? calloc(mask_of(t->levels) + 1, sizeof *slots) : NULL;
        if (!slots)
            return nc_error(NC_FAILED, "no memory for a table of keys");
        t->slots[t->levels++] = slots;
        t->count = 0;
    }
    uint64_t *slots = t->slots[t->levels - 1];
    size_t mask = mask_of(t->levels - 1), place = (size_t)hash & mask;
    while (slots[place])
        place = (place + 1) & mask;
    slots[place] = tag_of(hash) | (row + 1);
    t->count++;
    return NC_OK;
}

bool nc_key_table_next(const struct nc_key_table *t, uint64_t hash, size_t *at, size_t *row)
{
    /* *at: the level, and how far behind its first place, of the slot to look at next. */
    for (size_t level = *at >> 40; level < t->levels; level++, *at = level << 40) {
        size_t mask = mask_of(level);
        for (;;) {
            uint64_t slot = t->slots[level][((size_t)hash + (*at & ROW_MASK)) & mask];
            if (!slot)
                break;
            ++*at;
            if (tag_of(slot) == tag_of(hash)) {
                *row = (size_t)(slot & ROW_MASK) - 1;
                return true;
            }
        }
    }
    return false;
}
