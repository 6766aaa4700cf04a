/* Webdataset tars: the members of a sample stand together, and share their name up to its first
 * dot. A sample has one caption: its .txt, or else the field of its .json; --field asks for the
 * .json. */
#include "parts.h"

#include "nclip/formats/tar.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

struct sample {
    char *key; /* NULL: none yet */
    uint64_t offset;
    char *caption;
    size_t size;
    bool has_text, from_json, has_other;
    const char *reason; /* why its .json gave none */
};

struct tar {
    struct scan_file *file;
    size_t index;
    struct scan_tally *tally;
    struct sample sample;
    struct scan_text text;
    uint64_t position;
};

static int damaged(const struct tar *tar, uint64_t offset, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: damaged tar: %s at byte %llu",
                    nc_byte_stream_name(tar->file->stream), what, (unsigned long long)offset);
}

/* Counts the sample that is complete. */
static int flush(struct tar *tar)
{
    struct sample *sample = &tar->sample;
    int status = NC_OK;
    if (sample->has_text)
        status = scan_tally_caption(tar->tally, tar->index, sample->offset, sample->caption,
                                    sample->size);
    else if (sample->key && sample->reason)
        scan_tally_unread(tar->tally, tar->index, sample->offset, sample->reason);
    else if (sample->key && sample->has_other)
        scan_tally_unread(tar->tally, tar->index, sample->offset, "a sample without a caption");
    free(sample->key);
    free(sample->caption);
    *sample = (struct sample){0};
    return status;
}

static int read_content(struct tar *tar, size_t size, char **content)
{
    size_t got;
    *content = malloc(size + 1);
    if (!*content)
        return nc_error(NC_FAILED, "%s: no memory", tar->file->path);
    int status = nc_byte_stream_read(tar->file->stream, *content, size, &got);
    (*content)[got] = 0;
    if (status == NC_OK && got < size)
        status = damaged(tar, tar->position + got, "it ends in the middle of a member");
    tar->position += got;
    return status;
}

/* The caption in a .txt or .json. */
static int take(struct tar *tar, bool json, char *content, size_t size)
{
    struct sample *sample = &tar->sample;
    bool prefers_json = tar->tally->options->field != NULL;
    if (sample->has_text && sample->from_json == prefers_json)
        return NC_OK; /* the better one is there */
    if (json) {
        bool found, no_memory;
        bool whole =
            scan_json_object(content, size, tar->tally->options, &tar->text, &found, &no_memory);
        if (no_memory)
            return nc_error(NC_FAILED, "%s: no memory", tar->file->path);
        if (!whole || !found) {
            sample->reason = whole ? "no caption in the sample's .json" : "a .json that is none";
            return NC_OK;
        }
        content = tar->text.bytes;
        size = tar->text.size;
    } else {
        while (size && strchr(" \t\r\n", content[size - 1]) && content[size - 1])
            size--;
    }
    char *copy = malloc(size + 1);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory", tar->file->path);
    memcpy(copy, content, size);
    free(sample->caption);
    sample->caption = copy;
    sample->size = size;
    sample->has_text = true;
    sample->from_json = json;
    return NC_OK;
}

static int read_member(struct tar *tar, const char *name, uint64_t offset, uint64_t size)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const char *dot = strchr(base, '.');
    if (!*base || *base == '.' || !dot)
        return NC_OK;
    size_t length = (size_t)(dot - name);
    struct sample *sample = &tar->sample;
    int status = NC_OK;
    if (!sample->key || strncmp(sample->key, name, length) != 0 || sample->key[length]) {
        status = flush(tar);
        sample->key = strndup(name, length);
        sample->offset = offset;
        if (status == NC_OK && !sample->key)
            status = nc_error(NC_FAILED, "%s: no memory", tar->file->path);
    }
    bool json = strcmp(dot, ".json") == 0;
    if (!json && strcmp(dot, ".txt") != 0) {
        sample->has_other = true;
        return status;
    }
    if (size > NC_SCAN_CAPTION) {
        sample->reason = "a caption or .json of more than a MiB";
        return status;
    }
    char *content = NULL;
    if (status == NC_OK)
        status = read_content(tar, (size_t)size, &content);
    if (status == NC_OK)
        status = take(tar, json, content, (size_t)size);
    free(content);
    return status;
}

static int read_extension(struct tar *tar, char type, uint64_t size, struct nc_tar_next *next)
{
    char *text;
    if (size > NC_TAR_EXTENSION_LIMIT)
        return damaged(tar, tar->position, "a name of more than a MiB");
    uint64_t here = tar->position;
    int status = read_content(tar, (size_t)size, &text);
    if (status == NC_OK && !nc_tar_extension_read(type, text, (size_t)size, next))
        status = damaged(tar, here, "a wrong extended header");
    free(text);
    return status;
}

static int skip_to(struct tar *tar, uint64_t end)
{
    int status = nc_byte_stream_skip(tar->file->stream, end - tar->position);
    tar->position = end;
    return status;
}

/* One member; *more is false at the tar's end. */
static int step(struct tar *tar, struct nc_tar_next *next, bool *more)
{
    uint8_t block[NC_TAR_BLOCK];
    struct nc_tar_header header;
    char joined[NC_TAR_NAME];
    uint64_t here = tar->position;
    size_t got;
    int status = nc_byte_stream_read(tar->file->stream, block, sizeof block, &got);
    *more = status == NC_OK && got && !(got == sizeof block && nc_tar_is_end(block));
    if (!*more)
        return status;
    if (got < sizeof block)
        return damaged(tar, here, "it ends in the middle of a header");
    if (!nc_tar_header_read(block, next, &header))
        return damaged(tar, here, "no member's header");
    tar->position += NC_TAR_BLOCK;
    if (header.size > UINT64_MAX / 2)
        return damaged(tar, here, "a member longer than any file");
    uint64_t end = tar->position + (header.size + NC_TAR_BLOCK - 1) / NC_TAR_BLOCK * NC_TAR_BLOCK;
    if (header.type == 'x' || header.type == 'L')
        status = read_extension(tar, header.type, header.size, next);
    else if (header.type == '0' || header.type == 0 || header.type == '7')
        status = read_member(tar, nc_tar_member_name(block, next, joined), here, header.size);
    if (status == NC_OK)
        status = skip_to(tar, end);
    if (!header.extension) {
        free(next->name);
        *next = (struct nc_tar_next){0};
    }
    return status;
}

int scan_tar_stream(struct scan_file *file, size_t index, struct scan_tally *tally,
                    const struct scan_watch *watch)
{
    struct tar tar = {.file = file, .index = index, .tally = tally};
    struct nc_tar_next next = {0};
    bool more = true;
    int status = NC_OK;
    for (uint64_t members = 0; more && status == NC_OK; members++) {
        status = step(&tar, &next, &more);
        if (watch && members % 64 == 0)
            watch->moved(watch->context, file);
    }
    if (status == NC_OK)
        status = flush(&tar);
    tally->bytes += tar.position;
    free(next.name);
    free(tar.sample.key);
    free(tar.sample.caption);
    scan_text_free(&tar.text);
    return status;
}
