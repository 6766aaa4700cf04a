/* Walks through the members of a tar. */
#include "nclip/formats/tar.h"

#include "nclip/support/error.h"
#include "tar_header.h"

#include <stdlib.h>
#include <string.h>

enum { NAME = 0, SIZE = 124, TYPE = 156, LINK = 157, MAGIC = 257, PREFIX = 345 };
enum { SPARSE_MORE = 482, SPARSE_MORE_AGAIN = 504, EXTENSION_LIMIT = 1 << 20 };
enum { NAME_LENGTH = 100, SIZE_LENGTH = 12, PREFIX_LENGTH = 155 };

static bool is_end(const uint8_t block[NC_TAR_BLOCK])
{
    return block[0] == 0 && memcmp(block, block + 1, NC_TAR_BLOCK - 1) == 0;
}

/* What extension headers say of the member behind them. */
struct next {
    char *name, *link; /* owned; NULL: in the member's own header */
    bool has_size, sparse, sparse_name;
    uint64_t size;
};

/* ---- Headers about the member behind them ------------------------------------------------ */

static bool set(char **text, const char *value, size_t size)
{
    free(*text);
    *text = strndup(value, size);
    return *text != NULL;
}

static bool is_key(const char *key, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(key, name, size) == 0;
}

/* Records "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static bool read_pax(const char *text, size_t size, struct next *next)
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
        size_t key_size = (size_t)(equals - key), value_size = (size_t)(end - value);
        if (is_key(key, key_size, "path")) {
            if (!next->sparse_name && !set(&next->name, value, value_size))
                return false;
        } else if (is_key(key, key_size, "GNU.sparse.name")) {
            next->sparse_name = true; /* "path" is then a made-up one */
            if (!set(&next->name, value, value_size))
                return false;
        } else if (is_key(key, key_size, "linkpath")) {
            if (!set(&next->link, value, value_size))
                return false;
        } else if (is_key(key, key_size, "size")) {
            next->size = 0;
            next->has_size = end > value;
            for (; value < end; value++) {
                if (*value < '0' || *value > '9' || next->size > UINT64_MAX / 20)
                    return false;
                next->size = next->size * 10 + (uint64_t)(*value - '0');
            }
        }
        next->sparse |= key_size > 11 && memcmp(key, "GNU.sparse.", 11) == 0;
        text += length;
        size -= length;
    }
    return true;
}

static void clear(struct next *next)
{
    free(next->name);
    free(next->link);
    *next = (struct next){0};
}

/* ---- Members ----------------------------------------------------------------------------- */

struct nc_tar {
    struct nc_byte_stream *stream;
    uint64_t position; /* in the unpacked tar */
    uint64_t start;    /* of the last header */
    uint64_t end;      /* of the member at hand, its padding included */
    bool ended;        /* zeros were seen behind the last member */
    struct next next;
    char *name, *link; /* of the member at hand, owned */
};

int nc_tar_open(struct nc_byte_stream *stream, struct nc_tar **tar)
{
    *tar = calloc(1, sizeof **tar);
    if (!*tar)
        return nc_error(NC_FAILED, "%s: no memory", nc_byte_stream_name(stream));
    (*tar)->stream = stream;
    return NC_OK;
}

void nc_tar_close(struct nc_tar *tar)
{
    if (!tar)
        return;
    clear(&tar->next);
    free(tar->name);
    free(tar->link);
    free(tar);
}

uint64_t nc_tar_position(const struct nc_tar *tar)
{
    return tar->position;
}

static int damaged(const struct nc_tar *tar, uint64_t offset, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: damaged tar: %s at byte %llu",
                    nc_byte_stream_name(tar->stream), what, (unsigned long long)offset);
}

static int no_memory(const struct nc_tar *tar)
{
    return nc_error(NC_FAILED, "%s: no memory", nc_byte_stream_name(tar->stream));
}

int nc_tar_read(struct nc_tar *tar, void *content, size_t size)
{
    size_t got;
    int status = nc_byte_stream_read(tar->stream, content, size, &got);
    tar->position += got;
    if (status == NC_OK && got < size)
        status = damaged(tar, tar->position, "it ends in the middle of a member");
    return status;
}

/* The block that comes next; *more is false at the end of the file. */
static int read_block(struct nc_tar *tar, uint8_t block[NC_TAR_BLOCK], bool *more)
{
    size_t got;
    int status = nc_byte_stream_read(tar->stream, block, NC_TAR_BLOCK, &got);
    *more = status == NC_OK && got > 0;
    if (status == NC_OK && got && got < NC_TAR_BLOCK) {
        memset(block + got, 0, NC_TAR_BLOCK - got);
        *more = false;
        if (!tar->ended || !is_end(block))
            status = damaged(tar, tar->position, "it ends in the middle of a header");
    }
    tar->position += got;
    return status;
}

static int read_extension(struct nc_tar *tar, char type, uint64_t size)
{
    uint64_t here = tar->position;
    if (size > EXTENSION_LIMIT)
        return damaged(tar, here, "a name of more than a MiB");
    char *text = malloc((size_t)size + 1);
    if (!text)
        return no_memory(tar);
    int status = nc_tar_read(tar, text, (size_t)size);
    text[size] = 0;
    bool good = status == NC_OK;
    if (good && (type == 'x' || type == 'X'))
        good = read_pax(text, (size_t)size, &tar->next);
    else if (good)
        good = set(type == 'L' ? &tar->next.name : &tar->next.link, text, strlen(text));
    if (status == NC_OK && !good)
        status = damaged(tar, here, "a wrong extended header");
    free(text);
    return status;
}

/* The name in the header itself: a prefix, a slash, a name. */
static char *header_name(const uint8_t block[NC_TAR_BLOCK])
{
    char joined[PREFIX_LENGTH + NAME_LENGTH + 2];
    size_t used = 0, length = strnlen((const char *)block + NAME, NAME_LENGTH);
    /* Old GNU headers keep times where POSIX has the prefix. */
    if (memcmp(block + MAGIC, "ustar", 6) == 0 && block[PREFIX]) {
        used = strnlen((const char *)block + PREFIX, PREFIX_LENGTH);
        memcpy(joined, block + PREFIX, used);
        joined[used++] = '/';
    }
    memcpy(joined + used, block + NAME, length);
    return strndup(joined, used + length);
}

static int name_member(struct nc_tar *tar, const uint8_t block[NC_TAR_BLOCK],
                       struct nc_tar_member *member)
{
    free(tar->name);
    free(tar->link);
    tar->name = tar->next.name ? tar->next.name : header_name(block);
    tar->link = tar->next.link ? tar->next.link
                               : strndup((const char *)block + LINK, NAME_LENGTH);
    tar->next.name = tar->next.link = NULL;
    if (!tar->name || !tar->link)
        return no_memory(tar);
    member->name = tar->name;
    while (member->name[0] == '.' && member->name[1] == '/')
        member->name += 2;
    member->link = tar->link;
    return NC_OK;
}

static enum nc_tar_type type_of(const struct nc_tar *tar, char type)
{
    switch (type) {
    case '0':
    case 0:
    case '7':
        return tar->next.sparse ? NC_TAR_SPARSE : NC_TAR_FILE;
    case 'S':
        return NC_TAR_SPARSE;
    case '1':
        return NC_TAR_HARD_LINK;
    case '2':
        return NC_TAR_SYMBOLIC_LINK;
    default:
        return NC_TAR_OTHER;
    }
}

/* GNU's old sparse header goes on in blocks of its own, each with a mark that another follows. */
static int pass_sparse_headers(struct nc_tar *tar, const uint8_t header[NC_TAR_BLOCK])
{
    uint8_t block[NC_TAR_BLOCK];
    int status = NC_OK;
    for (bool more = header[SPARSE_MORE] != 0; more && status == NC_OK;
         more = block[SPARSE_MORE_AGAIN] != 0)
        status = nc_tar_read(tar, block, sizeof block);
    return status;
}

/* The header that `block` is, and what it says of its member; *is_member is false for one about the
 * member behind it. */
static int read_header(struct nc_tar *tar, const uint8_t block[NC_TAR_BLOCK],
                       struct nc_tar_member *member, bool *is_member)
{
    uint64_t here = tar->position - NC_TAR_BLOCK, size;
    char type = (char)block[TYPE];
    bool extension = type == 'x' || type == 'X' || type == 'L' || type == 'K';
    *is_member = !extension && type != 'g';
    if (!tar_checksum_fits(block) || !tar_number(block + SIZE, SIZE_LENGTH, &size))
        return damaged(tar, here, "no member's header");
    if (tar->next.has_size && *is_member)
        size = tar->next.size;
    if (size > UINT64_MAX / 2)
        return damaged(tar, here, "a member longer than any file");
    int status = type == 'S' ? pass_sparse_headers(tar, block) : NC_OK;
    if (status != NC_OK)
        return status;
    tar->end = tar->position + (size + NC_TAR_BLOCK - 1) / NC_TAR_BLOCK * NC_TAR_BLOCK;
    if (extension)
        return read_extension(tar, type, size);
    if (!*is_member)
        return NC_OK;
    *member = (struct nc_tar_member){
        .type = type_of(tar, type), .header = here, .content = tar->position, .size = size};
    /* A link has no content, whatever some writers put into its size. */
    if (member->type == NC_TAR_HARD_LINK || member->type == NC_TAR_SYMBOLIC_LINK)
        member->size = 0;
    status = name_member(tar, block, member);
    clear(&tar->next);
    return status;
}

/* What is whole so far may be all that was left of a longer one. */
static int unfinished(const struct nc_tar *tar)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: this tar breaks off at byte %llu, without the zeros that end one: fetch it "
                    "again, or append 1024 zero bytes if it is whole",
                    nc_byte_stream_name(tar->stream), (unsigned long long)tar->position);
}

int nc_tar_next(struct nc_tar *tar, struct nc_tar_member *member, bool *more)
{
    bool is_member = false;
    *more = true;
    while (!is_member) {
        uint8_t block[NC_TAR_BLOCK];
        int status = NC_OK;
        if (tar->end > tar->position) {
            uint64_t rest = tar->end - tar->position;
            status = nc_byte_stream_skip(tar->stream, rest);
            if (status != NC_OK && status != NC_FAILED && !nc_byte_stream_packed(tar->stream))
                status = damaged(tar, tar->start, "a member longer than the file");
            tar->position = tar->end;
        }
        tar->start = tar->position;
        if (status == NC_OK)
            status = read_block(tar, block, more);
        if (status != NC_OK)
            return status;
        if (!*more)
            return tar->ended ? NC_OK : unfinished(tar);
        if (is_end(block)) {
            tar->ended = true;
            continue;
        }
        if (tar->ended && !tar_checksum_fits(block))
            return damaged(tar, tar->start, "something that is no tar stands behind its end,");
        tar->ended = false;
        status = read_header(tar, block, member, &is_member);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

int nc_tar_refuse_sparse(const char *path, const struct nc_tar_member *member)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: %s at byte %llu is a sparse member, which is not read: pack the tar anew "
                    "without --sparse (-S)",
                    path, member->name, (unsigned long long)member->header);
}

bool nc_tar_sample(const char *name, size_t *key, char suffix[NC_TAR_SUFFIX])
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const char *dot = strchr(base, '.');
    if (!*base || *base == '.' || !dot)
        return false;
    *key = (size_t)(dot - name);
    size_t length = 0;
    for (const char *at = dot + 1; *at && length + 1 < NC_TAR_SUFFIX; at++)
        suffix[length++] = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
    suffix[length] = 0;
    return true;
}
