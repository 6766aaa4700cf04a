/* An open prepared set. */
#ifndef NCLIP_HOST_CAPTIONS_SET_OPEN_H
#define NCLIP_HOST_CAPTIONS_SET_OPEN_H

#include "set_format.h"

struct set_shard {
    char *path;
    size_t first_block;
};

struct nc_set {
    char *folder;
    struct set_description description;
    struct set_shard *shards; /* [description.count] */
    struct set_entry *entries; /* [description.info.blocks], of all shards */
};

/* The shard that holds block b. */
const struct set_shard *set_shard_of(const struct nc_set *set, size_t b);

#endif
