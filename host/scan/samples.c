/* Counts the captions of webdataset tars, in which the members of a sample stand together. A
 * sample has one caption: its .txt, or else the field of its .json; --field asks for the .json. */
#include "parts.h"

#include "nclip/formats/kind.h"
#include "nclip/formats/tar.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

struct sample {
    char *key; /* NULL: none yet */
    uint64_t offset;
    char *caption;
    size_t size;
    bool has_text, from_json, has_other;
    const char *reason; /* why its .txt or .json gave none */
};

struct samples {
    const char *path;
    size_t index;
    struct scan_tally *tally;
    struct nc_tar *tar;
    struct sample sample;
    struct scan_work work;
};

static int no_memory(const struct samples *samples)
{
    return nc_error(NC_FAILED, "%s: no memory", samples->path);
}

/* Counts the sample that is complete. */
static int flush(struct samples *samples)
{
    struct sample *sample = &samples->sample;
    int status = NC_OK;
    if (sample->has_text)
        status = scan_tally_caption(samples->tally, samples->index, sample->offset,
                                    sample->caption, sample->size);
    else if (sample->key && sample->reason)
        scan_tally_unread(samples->tally, samples->index, sample->offset, sample->reason);
    else if (sample->key && sample->has_other)
        scan_tally_unread(samples->tally, samples->index, sample->offset,
                          "a sample without a caption");
    free(sample->key);
    free(sample->caption);
    *sample = (struct sample){0};
    return status;
}

/* Why a .txt is no caption; NULL: it is one. */
static const char *why_no_text(const char *content, size_t size)
{
    enum nc_kind kind = nc_kind_of(content, size, true);
    if (nc_kind_is_text(kind))
        return size && memchr(content, 0, size) ? "a .txt with a zero byte in it" : NULL;
    return kind == NC_KIND_UNKNOWN ? "a .txt that is no text" : nc_kind_name(kind);
}

/* The caption in a .txt or .json. */
static int take(struct samples *samples, bool json, const char *content, size_t size)
{
    struct sample *sample = &samples->sample;
    const char *reason = json ? NULL : why_no_text(content, size);
    if (json) {
        int status = scan_object_caption(content, size, samples->tally->options, &samples->work,
                                         &content, &size, &reason);
        if (status != NC_OK)
            return status;
    } else if (!reason) {
        size_t mark = nc_text_mark(content, size);
        content += mark;
        size -= mark;
        while (size && nc_is_blank(content + size - 1, 1))
            size--;
    }
    if (reason) {
        sample->reason = reason;
        return NC_OK;
    }
    char *copy = malloc(size + 1);
    if (!copy)
        return no_memory(samples);
    memcpy(copy, content, size);
    free(sample->caption);
    sample->caption = copy;
    sample->size = size;
    sample->has_text = true;
    sample->from_json = json;
    return NC_OK;
}

/* Why a member's content is not read; NULL: it is. */
static const char *why_passed_over(const struct nc_tar_member *member)
{
    switch (member->type) {
    case NC_TAR_FILE:
        return member->size > NC_SCAN_CAPTION ? "a caption or .json of more than a MiB" : NULL;
    case NC_TAR_SPARSE:
        return "a sparse member, which is not read: pack the tar anew without --sparse (-S)";
    default:
        return "a link, which is not followed: pack the tar anew with --dereference "
               "--hard-dereference";
    }
}

static int read_member(struct samples *samples, const struct nc_tar_member *member)
{
    struct sample *sample = &samples->sample;
    char suffix[NC_TAR_SUFFIX];
    size_t length;
    int status = NC_OK;
    if (member->type == NC_TAR_OTHER || !nc_tar_sample(member->name, &length, suffix))
        return NC_OK;
    if (!sample->key || strncmp(sample->key, member->name, length) != 0 || sample->key[length]) {
        status = flush(samples);
        sample->key = strndup(member->name, length);
        sample->offset = member->header;
        if (status == NC_OK && !sample->key)
            status = no_memory(samples);
    }
    bool json = strcmp(suffix, "json") == 0;
    if (!json && strcmp(suffix, "txt") != 0) {
        sample->has_other = true;
        return status;
    }
    bool prefers_json = samples->tally->options->field != NULL;
    if (status != NC_OK || (sample->has_text && sample->from_json == prefers_json))
        return status; /* the better one is there */
    const char *reason = why_passed_over(member);
    if (reason) {
        sample->reason = reason;
        return NC_OK;
    }
    char *content = malloc((size_t)member->size + 1);
    if (!content)
        return no_memory(samples);
    status = nc_tar_read(samples->tar, content, (size_t)member->size);
    if (status == NC_OK)
        status = take(samples, json, content, (size_t)member->size);
    free(content);
    return status;
}

int scan_samples_count(struct scan_file *file, size_t index, struct scan_tally *tally,
                       const struct scan_watch *watch)
{
    struct samples samples = {.path = nc_byte_stream_name(file->stream), .index = index, .tally = tally};
    struct nc_tar_member member;
    bool more = true;
    int status = nc_tar_open(file->stream, &samples.tar);
    for (uint64_t members = 0; more && status == NC_OK; members++) {
        status = nc_tar_next(samples.tar, &member, &more);
        if (status == NC_OK && more)
            status = read_member(&samples, &member);
        if (watch && members % 64 == 0)
            watch->moved(watch->context, file);
    }
    if (status == NC_OK)
        status = flush(&samples);
    if (samples.tar)
        tally->bytes += nc_tar_position(samples.tar);
    nc_tar_close(samples.tar);
    free(samples.sample.key);
    free(samples.sample.caption);
    scan_work_free(&samples.work);
    return status;
}
