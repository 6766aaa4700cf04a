/* The pictures in a tar. */
#include "source_tar.h"

#include "nclip/formats/tar.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int damaged(const struct nc_image_source *source, uint64_t offset, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: damaged tar: %s at byte %llu", source->path, what,
                    (unsigned long long)offset);
}

static int read_at(const struct nc_image_source *source, uint64_t offset, void *out, size_t size)
{
    for (size_t used = 0; used < size;) {
        ssize_t count = pread(source->tar, (char *)out + used, size - used, (off_t)(offset + used));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return nc_error(NC_BAD_INPUT, "%s: cannot read: %s", source->path, strerror(errno));
        if (count == 0)
            return damaged(source, offset + used, "it ends in the middle of a member");
        used += (size_t)count;
    }
    return NC_OK;
}

/* An extension header: `size` bytes at `offset` about the member that follows. */
static int read_extension(const struct nc_image_source *source, char type, uint64_t offset,
                          uint64_t size, struct nc_tar_next *next)
{
    if (size > NC_TAR_EXTENSION_LIMIT)
        return damaged(source, offset, "a name of more than a MiB");
    char *text = malloc((size_t)size + 1);
    if (!text)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    int status = read_at(source, offset, text, (size_t)size);
    text[size] = 0;
    if (status == NC_OK && !nc_tar_extension_read(type, text, (size_t)size, next))
        status = damaged(source, offset, "a wrong extended header");
    free(text);
    return status;
}

static int add_member(struct nc_image_source *source, const uint8_t block[NC_TAR_BLOCK],
                      const struct nc_tar_next *next, uint64_t offset, uint64_t size)
{
    char joined[NC_TAR_NAME];
    const char *name = nc_tar_member_name(block, next, joined);
    size_t length = strlen(name);
    const char *slash = strrchr(name, '/');
    bool hidden = (slash ? slash[1] : name[0]) == '.';
    if (hidden || !nc_image_source_is_picture(name, length))
        return NC_OK;
    if (*name == '/' || nc_path_climbs(name))
        return nc_error(NC_BAD_INPUT, "%s: its member %s leads out of the folder: pack it anew",
                        source->path, name);
    return nc_image_source_add(source, name, length, offset, size);
}

int nc_tar_index(struct nc_image_source *source)
{
    struct stat information;
    if (fstat(source->tar, &information) != 0)
        return nc_error(NC_BAD_INPUT, "%s: cannot read: %s", source->path, strerror(errno));
    uint64_t end = (uint64_t)information.st_size, position = 0;
    struct nc_tar_next next = {0};
    int status = NC_OK;
    while (status == NC_OK && position < end) {
        uint8_t block[NC_TAR_BLOCK];
        uint64_t here = position;
        struct nc_tar_header header;
        status = read_at(source, position, block, sizeof block);
        if (status != NC_OK || nc_tar_is_end(block))
            break;
        if (!nc_tar_header_read(block, &next, &header)) {
            status = damaged(source, here, "no member's header");
            break;
        }
        position += NC_TAR_BLOCK;
        char type = header.type;
        uint64_t size = header.size;
        uint64_t padded =
            size <= end ? (size + NC_TAR_BLOCK - 1) / NC_TAR_BLOCK * NC_TAR_BLOCK : size;
        if (padded > end - position) {
            status = damaged(source, here, "a member longer than the file");
            break;
        }
        if (type == 'x' || type == 'L')
            status = read_extension(source, type, position, size, &next);
        else if (type == '0' || type == 0 || type == '7')
            status = add_member(source, block, &next, position, size);
        else if (type == 'S')
            status = damaged(source, here, "a sparse member, which is not read,");
        position += padded;
        if (!header.extension) {
            free(next.name);
            next = (struct nc_tar_next){0};
        }
    }
    free(next.name);
    return status;
}
