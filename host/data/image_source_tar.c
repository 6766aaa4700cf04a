/* Plain tar files: POSIX ustar and pax, GNU long names.
 *
 * A tar is a row of members; each is a header block of 512 bytes, then the content,
 * padded to whole blocks. A header of type 'x' (pax) or 'L' (GNU) holds the long name
 * (and pax the size) of the member behind it. Source: POSIX.1-2017, pax. */
#include "image_source_internal.h"

#include "nclip/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512, EXTENSION_LIMIT = 1 << 20 };

enum { NAME = 0, SIZE = 124, CHECKSUM = 148, TYPE = 156, MAGIC = 257, PREFIX = 345 };
enum { NAME_LENGTH = 100, SIZE_LENGTH = 12, CHECKSUM_LENGTH = 8, PREFIX_LENGTH = 155 };

/* Octal digits between spaces and zeros, or with the top bit set a big-endian number. */
static bool read_number(const uint8_t *field, size_t length, uint64_t *value)
{
    *value = 0;
    if (field[0] & 0x80) {
        for (size_t i = 0; i < length; i++) {
            if (*value >> 55)
                return false;
            *value = *value << 8 | (i ? field[i] : field[i] & 0x7f);
        }
        return true;
    }
    size_t i = 0;
    while (i < length && field[i] == ' ')
        i++;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value << 3 | (uint64_t)(field[i] - '0'); /* 12 digits: 36 bits */
    for (; i < length; i++)
        if (field[i] != ' ' && field[i] != 0)
            return false;
    return true;
}

/* The sum of the header's bytes, its own field taken as spaces. */
static bool checksum_fits(const uint8_t block[BLOCK])
{
    uint64_t stated, sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_LENGTH ? ' ' : block[i];
    return read_number(block + CHECKSUM, CHECKSUM_LENGTH, &stated) && stated == sum;
}

bool nc_tar_recognize(const uint8_t block[BLOCK])
{
    return block[0] && checksum_fits(block);
}

struct member {
    char *name; /* from an extension header; NULL: in the member's own */
    bool has_size;
    uint64_t size;
};

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

/* Records "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static bool read_pax(const char *text, size_t size, struct member *next)
{
    while (size) {
        size_t length = 0, digits = 0;
        while (digits < size && text[digits] >= '0' && text[digits] <= '9' && length <= size)
            length = length * 10 + (size_t)(text[digits++] - '0');
        if (!digits || length > size || length < digits + 3 || text[digits] != ' ' ||
            text[length - 1] != '\n')
            return false;
        const char *key = text + digits + 1, *end = text + length - 1;
        const char *equals = memchr(key, '=', (size_t)(end - key));
        if (!equals)
            return false;
        const char *value = equals + 1;
        if (equals - key == 4 && memcmp(key, "path", 4) == 0) {
            free(next->name);
            next->name = strndup(value, (size_t)(end - value));
            if (!next->name)
                return false;
        } else if (equals - key == 4 && memcmp(key, "size", 4) == 0) {
            next->size = 0;
            next->has_size = end > value;
            for (; value < end; value++) {
                if (*value < '0' || *value > '9' || next->size > UINT64_MAX / 20)
                    return false;
                next->size = next->size * 10 + (uint64_t)(*value - '0');
            }
        }
        text += length;
        size -= length;
    }
    return true;
}

/* An extension header: `size` bytes at `offset` about the member that follows. */
static int read_extension(const struct nc_image_source *source, char type, uint64_t offset,
                          uint64_t size, struct member *next)
{
    if (size > EXTENSION_LIMIT)
        return damaged(source, offset, "a name of more than a MiB");
    char *text = malloc((size_t)size + 1);
    if (!text)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    int status = read_at(source, offset, text, (size_t)size);
    text[size] = 0;
    if (status == NC_OK && type == 'L') {
        free(next->name);
        next->name = text;
        return NC_OK;
    }
    if (status == NC_OK && !read_pax(text, (size_t)size, next))
        status = damaged(source, offset, "a wrong extended header");
    free(text);
    return status;
}

static int add_member(struct nc_image_source *source, const uint8_t block[BLOCK],
                      const struct member *next, uint64_t offset, uint64_t size)
{
    char joined[PREFIX_LENGTH + 1 + NAME_LENGTH + 1];
    const char *name = next->name;
    if (!name) {
        size_t used = 0;
        /* Old GNU headers keep times where POSIX has the prefix. */
        if (memcmp(block + MAGIC, "ustar", 6) == 0 && block[PREFIX]) {
            used = strnlen((const char *)block + PREFIX, PREFIX_LENGTH);
            memcpy(joined, block + PREFIX, used);
            joined[used++] = '/';
        }
        size_t length = strnlen((const char *)block + NAME, NAME_LENGTH);
        memcpy(joined + used, block + NAME, length);
        joined[used + length] = 0;
        name = joined;
    }
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    size_t length = strlen(name);
    const char *slash = strrchr(name, '/');
    bool hidden = (slash ? slash[1] : name[0]) == '.';
    if (hidden || !nc_image_source_is_picture(name, length))
        return NC_OK;
    return nc_image_source_add(source, name, length, offset, size);
}

int nc_tar_index(struct nc_image_source *source)
{
    struct stat information;
    if (fstat(source->tar, &information) != 0)
        return nc_error(NC_BAD_INPUT, "%s: cannot read: %s", source->path, strerror(errno));
    uint64_t end = (uint64_t)information.st_size, position = 0;
    struct member next = {0};
    int status = NC_OK;
    while (status == NC_OK && position < end) {
        uint8_t block[BLOCK];
        uint64_t here = position, size;
        status = read_at(source, position, block, sizeof block);
        if (status != NC_OK)
            break;
        if (block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0)
            break; /* the end is marked by blocks of zeros */
        if (!checksum_fits(block) || !read_number(block + SIZE, SIZE_LENGTH, &size)) {
            status = damaged(source, here, "no member's header");
            break;
        }
        position += BLOCK;
        char type = (char)block[TYPE];
        bool extension = type == 'x' || type == 'g' || type == 'L' || type == 'K';
        if (next.has_size && !extension)
            size = next.size;
        uint64_t padded = size <= end ? (size + BLOCK - 1) / BLOCK * BLOCK : size;
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
        if (!extension) {
            free(next.name);
            next = (struct member){0};
        }
    }
    free(next.name);
    return status;
}
