#include "nclip/formats/tar.h"

#include <stdlib.h>
#include <string.h>

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
static bool checksum_fits(const uint8_t block[NC_TAR_BLOCK])
{
    uint64_t stated, sum = 0;
    for (size_t i = 0; i < NC_TAR_BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_LENGTH ? ' ' : block[i];
    return read_number(block + CHECKSUM, CHECKSUM_LENGTH, &stated) && stated == sum;
}

bool nc_tar_recognize(const uint8_t block[NC_TAR_BLOCK])
{
    return block[0] && checksum_fits(block);
}

bool nc_tar_is_end(const uint8_t block[NC_TAR_BLOCK])
{
    return block[0] == 0 && memcmp(block, block + 1, NC_TAR_BLOCK - 1) == 0;
}

bool nc_tar_header_read(const uint8_t block[NC_TAR_BLOCK], const struct nc_tar_next *next,
                        struct nc_tar_header *header)
{
    if (!checksum_fits(block) || !read_number(block + SIZE, SIZE_LENGTH, &header->size))
        return false;
    header->type = (char)block[TYPE];
    header->extension =
        header->type == 'x' || header->type == 'g' || header->type == 'L' || header->type == 'K';
    if (next->has_size && !header->extension)
        header->size = next->size;
    return true;
}

/* Records "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static bool read_pax(const char *text, size_t size, struct nc_tar_next *next)
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

bool nc_tar_extension_read(char type, const char *text, size_t size, struct nc_tar_next *next)
{
    if (type == 'x')
        return read_pax(text, size, next);
    free(next->name);
    next->name = strdup(text);
    return next->name != NULL;
}

const char *nc_tar_member_name(const uint8_t block[NC_TAR_BLOCK], const struct nc_tar_next *next,
                               char joined[NC_TAR_NAME])
{
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
    return name;
}
