/* Finds the members of a zip archive. */
#include "nclip/formats/zip.h"

#include "nclip/support/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_HEADER = 30,
    DIRECTORY_ENTRY = 46,
    END_RECORD = 22,
    END_LOCATOR_64 = 20,
    END_RECORD_64 = 56,
    LONGEST_COMMENT = 0xffff,
    ENCRYPTED = 1, /* bit of the flags */
    MOST_MEMBERS = 1 << 22,
};

struct nc_zip {
    struct nc_zip_member *members; /* sorted by name */
    size_t count;
};

/* The archive while it is opened. */
struct archive {
    const char *path;
    const uint8_t *bytes;
    size_t size;
};

/* Where the directory is. */
struct directory {
    uint64_t entries, size, offset;
};

static uint64_t number(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | at[bytes];
    return value;
}

static bool is_signature(const uint8_t *at, int third, int fourth)
{
    return at[0] == 'P' && at[1] == 'K' && at[2] == third && at[3] == fourth;
}

static int damaged(const struct archive *archive, uint64_t offset, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: a damaged zip archive: %s at byte %llu; get the file anew",
                    archive->path, what, (unsigned long long)offset);
}

/* Whether `count` bytes from `offset` on are in the archive. */
static bool inside(const struct archive *archive, uint64_t offset, uint64_t count)
{
    return offset <= archive->size && count <= archive->size - offset;
}

/* The record at the end, which may have a comment behind it. */
static int find_end(const struct archive *archive, size_t *end)
{
    size_t lowest = archive->size > END_RECORD + LONGEST_COMMENT
                        ? archive->size - END_RECORD - LONGEST_COMMENT
                        : 0;
    for (size_t at = archive->size < END_RECORD ? 0 : archive->size - END_RECORD + 1;
         at > lowest;) {
        const uint8_t *record = archive->bytes + --at;
        if (is_signature(record, 5, 6) &&
            number(record + 20, 2) == archive->size - at - END_RECORD) {
            *end = at;
            return NC_OK;
        }
    }
    return nc_error(
        NC_BAD_INPUT,
        "%s: a zip archive without its directory: it is cut short (%zu bytes are here), "
        "so get the file anew",
        archive->path, archive->size);
}

static int find_directory(const struct archive *archive, struct directory *directory)
{
    size_t end = 0;
    int status = find_end(archive, &end);
    if (status != NC_OK)
        return status;
    const uint8_t *record = archive->bytes + end;
    *directory =
        (struct directory){number(record + 10, 2), number(record + 12, 4), number(record + 16, 4)};
    uint64_t parts = number(record + 4, 2) | number(record + 6, 2);
    uint64_t here = number(record + 8, 2);
    const uint8_t *locator = end >= END_LOCATOR_64 ? record - END_LOCATOR_64 : NULL;
    if (locator && is_signature(locator, 6, 7)) {
        uint64_t offset = number(locator + 8, 8);
        if (!inside(archive, offset, END_RECORD_64) || !is_signature(archive->bytes + offset, 6, 6))
            return damaged(archive, end - END_LOCATOR_64, "a wrong zip64 locator");
        record = archive->bytes + offset;
        *directory = (struct directory){number(record + 32, 8), number(record + 40, 8),
                                        number(record + 48, 8)};
        parts = number(record + 16, 4) | number(record + 20, 4);
        here = number(record + 24, 8);
    }
    if (parts || here != directory->entries)
        return nc_error(NC_BAD_INPUT, "%s: a zip archive in several parts, which is not read",
                        archive->path);
    if (!inside(archive, directory->offset, directory->size))
        return damaged(archive, end, "a directory that is said to lie outside the file");
    if (directory->entries > MOST_MEMBERS || directory->entries > directory->size / DIRECTORY_ENTRY)
        return damaged(archive, end, "a directory too small for its entries");
    return NC_OK;
}

/* Sizes and place that do not fit into 32 bits stand in an extra field, those alone that do not. */
static bool read_extra(const uint8_t *extra, size_t size, uint64_t *unpacked, uint64_t *packed,
                       uint64_t *offset)
{
    uint64_t *const wanted[] = {unpacked, packed, offset};
    bool complete = *unpacked != 0xffffffff && *packed != 0xffffffff && *offset != 0xffffffff;
    while (!complete && size >= 4) {
        size_t length = number(extra + 2, 2);
        if (length > size - 4)
            return false;
        if (number(extra, 2) == 1) {
            const uint8_t *value = extra + 4, *stop = value + length;
            for (size_t i = 0; i < 3; i++) {
                if (*wanted[i] != 0xffffffff)
                    continue;
                if (stop - value < 8)
                    return false;
                *wanted[i] = number(value, 8);
                value += 8;
            }
            complete = true;
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    return complete;
}

/* One entry of the directory at *at, which moves behind it. */
static int read_member(const struct archive *archive, uint64_t *at, uint64_t end,
                       struct nc_zip_member *member)
{
    const uint8_t *entry = archive->bytes + *at;
    if (end - *at < DIRECTORY_ENTRY || !is_signature(entry, 1, 2))
        return damaged(archive, *at, "no entry of the directory");
    uint64_t packed = number(entry + 20, 4), unpacked = number(entry + 24, 4);
    uint64_t offset = number(entry + 42, 4);
    size_t name = number(entry + 28, 2), extra = number(entry + 30, 2);
    size_t length = DIRECTORY_ENTRY + name + extra + number(entry + 32, 2);
    if (length > end - *at)
        return damaged(archive, *at, "an entry longer than the directory");
    if (!read_extra(entry + DIRECTORY_ENTRY + name, extra, &unpacked, &packed, &offset))
        return damaged(archive, *at, "an entry without its size");
    member->name = (const char *)entry + DIRECTORY_ENTRY;
    member->name_length = name;
    member->method = (unsigned)number(entry + 10, 2);
    member->checksum = (uint32_t)number(entry + 16, 4);
    if (number(entry + 8, 2) & ENCRYPTED)
        return nc_error(NC_BAD_INPUT, "%s: member %.*s is encrypted", archive->path, (int)name,
                        member->name);
    if (!inside(archive, offset, LOCAL_HEADER) || !is_signature(archive->bytes + offset, 3, 4))
        return damaged(archive, *at, "an entry that leads to no member");
    const uint8_t *local = archive->bytes + offset;
    uint64_t data = offset + LOCAL_HEADER + number(local + 26, 2) + number(local + 28, 2);
    if (!inside(archive, data, packed) || (!member->method && packed != unpacked))
        return damaged(archive, offset, "a member that leads out of the file");
    if (number(local + 26, 2) != name || memcmp(local + LOCAL_HEADER, member->name, name) != 0)
        return damaged(archive, offset, "a member of another name than in the directory");
    member->data = archive->bytes + data;
    member->size = packed;
    *at += length;
    return NC_OK;
}

static int compare(const struct nc_zip_member *member, const char *name, size_t length)
{
    size_t both = member->name_length < length ? member->name_length : length;
    int order = both ? memcmp(member->name, name, both) : 0;
    return order ? order : (member->name_length > length) - (member->name_length < length);
}

static int by_name(const void *left, const void *right)
{
    const struct nc_zip_member *other = right;
    return compare(left, other->name, other->name_length);
}

static int read_members(const struct archive *archive, struct nc_zip *zip)
{
    struct directory directory;
    int status = find_directory(archive, &directory);
    if (status != NC_OK)
        return status;
    zip->members = calloc(directory.entries + 1, sizeof *zip->members);
    if (!zip->members)
        return nc_error(NC_FAILED, "%s: no memory for its directory", archive->path);
    uint64_t at = directory.offset, end = directory.offset + directory.size;
    while (status == NC_OK && zip->count < directory.entries) {
        status = read_member(archive, &at, end, &zip->members[zip->count]);
        zip->count += status == NC_OK;
    }
    if (status == NC_OK)
        qsort(zip->members, zip->count, sizeof *zip->members, by_name);
    for (size_t i = 1; i < zip->count && status == NC_OK; i++)
        if (by_name(&zip->members[i - 1], &zip->members[i]) == 0)
            status = nc_error(NC_BAD_INPUT, "%s: member %.*s is there twice", archive->path,
                              (int)zip->members[i].name_length, zip->members[i].name);
    return status;
}

int nc_zip_open(const char *path, const uint8_t *bytes, size_t size, struct nc_zip **out)
{
    *out = NULL;
    const struct archive archive = {path, bytes, size};
    struct nc_zip *zip = calloc(1, sizeof *zip);
    int status = zip ? read_members(&archive, zip) : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK)
        *out = zip;
    else
        nc_zip_close(zip);
    return status;
}

void nc_zip_close(struct nc_zip *zip)
{
    if (!zip)
        return;
    free(zip->members);
    free(zip);
}

size_t nc_zip_count(const struct nc_zip *zip)
{
    return zip->count;
}

const struct nc_zip_member *nc_zip_at(const struct nc_zip *zip, size_t index)
{
    return &zip->members[index];
}

const struct nc_zip_member *nc_zip_find(const struct nc_zip *zip, const char *name)
{
    size_t low = 0, high = zip->count, length = strlen(name);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(&zip->members[middle], name, length);
        if (order == 0)
            return &zip->members[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
