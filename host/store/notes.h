/* skipped.jsonl and damaged.jsonl: notes on pictures, one each, {"key", "reason"} a line. */
#ifndef NCLIP_HOST_STORE_NOTES_H
#define NCLIP_HOST_STORE_NOTES_H

#include "nclip/support/string_map.h"

#include <stdbool.h>
#include <stddef.h>

#define NC_SKIPPED_FILE "skipped.jsonl"
#define NC_DAMAGED_FILE "damaged.jsonl"

struct nc_skipped {
    size_t count, capacity;
    char **keys;                   /* [count], owned */
    char **reasons;                /* [count], owned; NULL: taken back */
    size_t noted;                  /* entries that are not taken back */
    struct nc_string_map *numbers; /* key -> its place */
};

/* A missing file is empty. */
int nc_skipped_load(const char *folder, const char *name, struct nc_skipped *skipped);
int nc_skipped_save(const char *folder, const char *name, const struct nc_skipped *skipped);
int nc_skipped_note(struct nc_skipped *skipped, const char *key, const char *reason);
bool nc_skipped_take_back(struct nc_skipped *skipped, const char *key); /* true: it was noted */
void nc_skipped_free(struct nc_skipped *skipped);

#endif
