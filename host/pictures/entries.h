/* A source of pictures as a list of entries, which source.c (folders, lists) and source_tar.c
 * fill. */
#ifndef NCLIP_HOST_PICTURES_ENTRIES_H
#define NCLIP_HOST_PICTURES_ENTRIES_H

#include "nclip/pictures/source.h"
#include "nclip/support/string_map.h"

struct nc_sidecars;

struct nc_image_entry {
    char *key;       /* owned */
    uint64_t offset; /* of the bytes in a tar */
    uint64_t size;   /* in a tar */
    char *missing;   /* of a link in a tar that leads to no picture there: its name; owned */
};

struct nc_image_source {
    char *path;   /* as given */
    char *folder; /* that keys are relative to; "" for the current one */
    int tar;      /* descriptor; -1 when it is no tar */
    bool walked;  /* a folder, each of whose pictures was there when it was opened */
    struct nc_image_entry *entries;
    size_t count, capacity;
    struct nc_string_map *numbers; /* key -> index of its first entry */
    struct nc_sidecars *sidecars;  /* of a tar, where captions are wanted; or NULL */
};

/* Appends an entry with a copy of `size` bytes of key. */
int nc_image_source_add(struct nc_image_source *source, const char *key, size_t key_size,
                        uint64_t offset, uint64_t size);

/* Reads `size` bytes at `offset` of the tar; the caller frees *bytes. `key` is for messages. */
int nc_tar_content(const struct nc_image_source *source, const char *key, uint64_t offset,
                   size_t size, uint8_t **bytes);

/* Does a name end as those of pictures do? Kinds that cannot be decoded count. */
bool nc_image_source_is_picture(const char *name, size_t size);

#endif
