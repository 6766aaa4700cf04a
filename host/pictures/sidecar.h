/* Where the sidecars of a tar are. */
#ifndef NCLIP_HOST_PICTURES_SIDECAR_H
#define NCLIP_HOST_PICTURES_SIDECAR_H

#include "entries.h"
#include "nclip/formats/tar.h"

/* A member that may hold the caption of a sample. */
struct nc_sidecar {
    char *sample; /* the member's name up to the first dot of the file's name; owned */
    uint64_t offset, size;
    bool json;
};

struct nc_sidecars {
    struct nc_sidecar *items;
    size_t count, capacity;
    struct nc_string_map *numbers; /* sample -> the item that counts: a .txt before a .json */
};

/* Of every member in turn. */
int nc_sidecars_note(struct nc_image_source *source, const struct nc_tar_member *member);
void nc_sidecars_free(struct nc_sidecars *sidecars);

#endif
