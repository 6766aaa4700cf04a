/* Finds the pictures in a tar. */
#include "source_tar.h"

#include "sidecar.h"

#include "nclip/formats/byte_stream.h"
#include "nclip/formats/tar.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A link to another member, whose content may come later. */
struct link {
    size_t index;   /* of its entry */
    char *leads_to; /* the member's name */
};

struct links {
    struct link *items;
    size_t count, capacity;
};

/* Where a link leads, as a member's name; NULL without memory. */
static char *link_target(const struct nc_tar_member *member)
{
    const char *link = member->link, *slash = strrchr(member->name, '/');
    while (link[0] == '.' && link[1] == '/')
        link += 2;
    if (member->type == NC_TAR_HARD_LINK || !slash || *link == '/')
        return strdup(link);
    char *target;
    return asprintf(&target, "%.*s/%s", (int)(slash - member->name), member->name, link) < 0
               ? NULL
               : target;
}

static int add_link(struct nc_image_source *source, const struct nc_tar_member *member,
                    struct links *links)
{
    if (links->count == links->capacity) {
        size_t capacity = links->capacity ? 2 * links->capacity : 64;
        struct link *larger = reallocarray(links->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", source->path);
        links->items = larger;
        links->capacity = capacity;
    }
    char *target = link_target(member);
    if (!target)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    links->items[links->count++] = (struct link){source->count - 1, target};
    return NC_OK;
}

static int add_member(struct nc_image_source *source, const struct nc_tar_member *member,
                      struct links *links)
{
    const char *name = member->name, *slash = strrchr(name, '/');
    size_t length = strlen(name);
    bool hidden = (slash ? slash[1] : name[0]) == '.';
    bool link = member->type == NC_TAR_HARD_LINK || member->type == NC_TAR_SYMBOLIC_LINK;
    if (hidden || !nc_image_source_is_picture(name, length) || member->type == NC_TAR_OTHER ||
        (link && !*member->link))
        return NC_OK;
    if (*name == '/' || nc_path_climbs(name))
        return nc_error(NC_BAD_INPUT, "%s: its member %s leads out of the folder: pack it anew",
                        source->path, name);
    if (member->type == NC_TAR_SPARSE)
        return nc_tar_refuse_sparse(source->path, member);
    int status = nc_image_source_add(source, name, length, member->content, member->size);
    return status == NC_OK && link ? add_link(source, member, links) : status;
}

/* A link gets the content of the member that it leads to. */
static int follow_links(struct nc_image_source *source, struct links *links)
{
    struct nc_string_map *files = NULL;
    size_t present, next = 0;
    int status = links->count ? nc_string_map_create(&files) : NC_OK;
    for (size_t i = 0; links->count && i < source->count && status == NC_OK; i++) {
        if (next < links->count && links->items[next].index == i)
            next++;
        else
            status = nc_string_map_add(files, source->entries[i].key, i, &present);
    }
    for (size_t i = 0; i < links->count; i++) {
        struct nc_image_entry *entry = &source->entries[links->items[i].index];
        if (status == NC_OK && nc_string_map_find(files, links->items[i].leads_to, &present)) {
            entry->offset = source->entries[present].offset;
            entry->size = source->entries[present].size;
            free(links->items[i].leads_to);
        } else {
            entry->missing = links->items[i].leads_to;
        }
    }
    nc_string_map_destroy(files);
    free(links->items);
    return status;
}

int nc_tar_index(struct nc_image_source *source)
{
    struct nc_byte_stream *stream = NULL;
    struct nc_tar *tar = NULL;
    struct nc_tar_member member;
    struct links links = {0};
    bool more = true;
    source->tar = open(source->path, O_RDONLY | O_CLOEXEC);
    int status = source->tar < 0 ? nc_error_read(source->path)
                                 : nc_byte_stream_open(source->path, &stream);
    if (status == NC_OK)
        status = nc_tar_open(stream, &tar);
    while (status == NC_OK && more) {
        status = nc_tar_next(tar, &member, &more);
        if (status == NC_OK && more)
            status = add_member(source, &member, &links);
        if (status == NC_OK && more)
            status = nc_sidecars_note(source, &member);
    }
    int followed = follow_links(source, &links);
    nc_tar_close(tar);
    nc_byte_stream_close(stream);
    return status == NC_OK ? followed : status;
}

int nc_tar_content(const struct nc_image_source *source, const char *key, uint64_t offset,
                   size_t size, uint8_t **bytes)
{
    uint8_t *buffer = malloc(size + 1);
    if (!buffer)
        return nc_error(NC_FAILED, "%s: %s: no memory for %zu bytes", source->path, key, size);
    size_t used = 0;
    while (used < size) {
        ssize_t count =
            pread(source->tar, buffer + used, size - used, (off_t)(offset + used));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            int cause = errno; /* the whole tar is at fault, not this picture */
            free(buffer);
            return nc_error(NC_FAILED, "%s: %s: cannot read: %s", source->path, key,
                            count < 0 ? strerror(cause) : "the file became shorter");
        }
        used += (size_t)count;
    }
    *bytes = buffer;
    return NC_OK;
}
