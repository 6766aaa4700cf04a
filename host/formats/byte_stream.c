/* Reads a file or standard input, and unpacks gzip and zstd on the way. */
#include "nclip/formats/byte_stream.h"

#include "nclip/formats/kind.h"
#include "nclip/support/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { BUFFER = 1 << 17 };

struct nc_byte_stream {
    char *name;
    int descriptor;
    bool ended;  /* the file */
    bool inside; /* a member or frame has begun and not ended */
    bool seekable;
    size_t file_size;  /* 0: not known */
    uint64_t consumed; /* bytes of the file that were used */
    char *head;        /* peeked at, and not read yet: [head_start, head_end) */
    size_t head_start, head_end;
    enum { PLAIN, GZIP, ZSTD } packing;
    z_stream gzip;
    ZSTD_DStream *zstd;
    size_t start, end; /* of what is not used yet in `buffer` */
    uint8_t buffer[BUFFER];
};

static int damaged(const struct nc_byte_stream *stream, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: %s at byte %llu", stream->name, what,
                    (unsigned long long)stream->consumed);
}

/* Reads straight from the file. *got is 0 only at its end. */
static int read_file(struct nc_byte_stream *stream, void *buffer, size_t size, size_t *got)
{
    *got = 0;
    while (!stream->ended) {
        ssize_t count = read(stream->descriptor, buffer, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return nc_error_read(stream->name);
        stream->ended = count == 0;
        *got = (size_t)count;
        break;
    }
    return NC_OK;
}

static int refill(struct nc_byte_stream *stream)
{
    size_t got;
    if (stream->start < stream->end)
        return NC_OK;
    int status = read_file(stream, stream->buffer, BUFFER, &got);
    stream->start = 0;
    stream->end = got;
    return status;
}

static int read_plain(struct nc_byte_stream *stream, uint8_t *out, size_t size, size_t *got)
{
    size_t held = stream->end - stream->start;
    if (held) { /* what was read to see the packing */
        *got = held < size ? held : size;
        memcpy(out, stream->buffer + stream->start, *got);
        stream->start += *got;
    } else {
        int status = read_file(stream, out, size, got);
        if (status != NC_OK)
            return status;
    }
    stream->consumed += *got;
    return NC_OK;
}

/* Behind a gzip member only another one may stand, or zeros (tapes were padded so). */
static int next_member(struct nc_byte_stream *stream, bool *done)
{
    for (;;) {
        int status = refill(stream);
        *done = stream->start == stream->end;
        if (status != NC_OK || *done)
            return status;
        if (stream->buffer[stream->start])
            break;
        stream->start++;
        stream->consumed++;
    }
    if (stream->buffer[stream->start] != 0x1f)
        return damaged(stream, "something that is not gzip stands behind its end,");
    stream->inside = true;
    return inflateReset(&stream->gzip) == Z_OK ? NC_OK : damaged(stream, "cannot unpack gzip");
}

static int read_gzip(struct nc_byte_stream *stream, uint8_t *out, size_t size, size_t *got)
{
    z_stream *gzip = &stream->gzip;
    *got = 0;
    while (!*got) {
        bool done = false;
        int status = stream->inside ? refill(stream) : next_member(stream, &done);
        if (status != NC_OK || done)
            return status;
        if (stream->start == stream->end)
            return damaged(stream, "gzip data that is cut off");
        uInt input = (uInt)(stream->end - stream->start);
        uInt room = size < (1u << 30) ? (uInt)size : 1u << 30;
        gzip->next_in = stream->buffer + stream->start;
        gzip->avail_in = input;
        gzip->next_out = out;
        gzip->avail_out = room;
        int result = inflate(gzip, Z_NO_FLUSH);
        stream->start += input - gzip->avail_in;
        stream->consumed += input - gzip->avail_in;
        *got = room - gzip->avail_out;
        if (result == Z_STREAM_END)
            stream->inside = false;
        else if (result == Z_MEM_ERROR)
            return nc_error(NC_FAILED, "%s: no memory to unpack it", stream->name);
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return damaged(stream, "damaged gzip data");
    }
    return NC_OK;
}

static int read_zstd(struct nc_byte_stream *stream, uint8_t *out, size_t size, size_t *got)
{
    *got = 0;
    while (!*got) {
        int status = refill(stream);
        if (status != NC_OK)
            return status;
        if (stream->start == stream->end && !stream->inside)
            return NC_OK;
        ZSTD_inBuffer input = {stream->buffer, stream->end, stream->start};
        ZSTD_outBuffer output = {out, size, 0};
        size_t result = ZSTD_decompressStream(stream->zstd, &output, &input);
        bool moved = input.pos > stream->start || output.pos;
        stream->consumed += input.pos - stream->start;
        stream->start = input.pos;
        *got = output.pos;
        switch (ZSTD_isError(result) ? ZSTD_getErrorCode(result) : ZSTD_error_no_error) {
        case ZSTD_error_no_error:
            break;
        case ZSTD_error_memory_allocation:
            return nc_error(NC_FAILED, "%s: no memory to unpack it", stream->name);
        case ZSTD_error_frameParameter_windowTooLarge:
            return nc_error(NC_BAD_INPUT,
                            "%s: packed with a larger window than the usual (zstd --long); unpack "
                            "it with unzstd --long=31 first",
                            stream->name);
        case ZSTD_error_prefix_unknown:
            if (!stream->inside)
                return damaged(stream, "something that is not zstd stands behind its end,");
            /* fall through */
        default:
            return damaged(stream, "damaged zstd data");
        }
        stream->inside = result != 0;
        if (!moved)
            return damaged(stream, "zstd data that is cut off");
    }
    return NC_OK;
}

static int read_unpacked(struct nc_byte_stream *stream, void *buffer, size_t size, size_t *got)
{
    while (*got < size) {
        size_t part;
        uint8_t *out = (uint8_t *)buffer + *got;
        int status = stream->packing == GZIP   ? read_gzip(stream, out, size - *got, &part)
                     : stream->packing == ZSTD ? read_zstd(stream, out, size - *got, &part)
                                               : read_plain(stream, out, size - *got, &part);
        if (status != NC_OK)
            return status;
        if (!part)
            break;
        *got += part;
    }
    return NC_OK;
}

int nc_byte_stream_peek(struct nc_byte_stream *stream, const void **head, size_t *size, bool *whole)
{
    int status = NC_OK;
    if (!stream->head) {
        stream->head = malloc(NC_KIND_HEAD + 1);
        if (!stream->head)
            return nc_error(NC_FAILED, "%s: no memory", stream->name);
        status = read_unpacked(stream, stream->head, NC_KIND_HEAD + 1, &stream->head_end);
    }
    *head = stream->head;
    *size = stream->head_end < NC_KIND_HEAD ? stream->head_end : NC_KIND_HEAD;
    *whole = stream->head_end <= NC_KIND_HEAD;
    return status;
}

int nc_byte_stream_read(struct nc_byte_stream *stream, void *buffer, size_t size, size_t *got)
{
    size_t held = stream->head_end - stream->head_start;
    *got = held < size ? held : size;
    if (*got)
        memcpy(buffer, stream->head + stream->head_start, *got);
    stream->head_start += *got;
    return read_unpacked(stream, buffer, size, got);
}

int nc_byte_stream_skip(struct nc_byte_stream *stream, uint64_t size)
{
    uint8_t waste[1 << 14];
    struct stat information;
    uint64_t peeked = stream->head_end - stream->head_start;
    peeked = peeked < size ? peeked : size;
    stream->head_start += peeked;
    size -= peeked;
    uint64_t held = stream->end - stream->start;
    if (stream->packing == PLAIN && stream->seekable && size > held + sizeof waste &&
        fstat(stream->descriptor, &information) == 0) {
        off_t here = lseek(stream->descriptor, 0, SEEK_CUR);
        uint64_t left =
            here >= 0 && here <= information.st_size ? (uint64_t)(information.st_size - here) : 0;
        if (size - held > left)
            return damaged(stream, "it ends too early: what begins");
        if (lseek(stream->descriptor, (off_t)(size - held), SEEK_CUR) < 0)
            return nc_error_read(stream->name);
        stream->start = stream->end = 0;
        stream->consumed += size;
        return NC_OK;
    }
    while (size) {
        size_t got, part = size < sizeof waste ? (size_t)size : sizeof waste;
        int status = nc_byte_stream_read(stream, waste, part, &got);
        if (status != NC_OK)
            return status;
        if (got < part)
            return damaged(stream, "it ends too early,");
        size -= part;
    }
    return NC_OK;
}

/* What the first bytes say. */
static int recognize(struct nc_byte_stream *stream)
{
    while (stream->end < NC_KIND_PACKING && !stream->ended) {
        size_t got;
        int status = read_file(stream, stream->buffer + stream->end, BUFFER - stream->end, &got);
        if (status != NC_OK)
            return status;
        stream->end += got;
    }
    enum nc_kind kind = nc_kind_of_packing(stream->buffer, stream->end);
    switch (kind) {
    case NC_KIND_GZIP:
        stream->packing = GZIP;
        stream->inside = true;
        if (inflateInit2(&stream->gzip, 15 + 16) != Z_OK)
            return nc_error(NC_FAILED, "%s: no memory to unpack it", stream->name);
        break;
    case NC_KIND_ZSTD:
        stream->packing = ZSTD;
        stream->inside = true; /* the first frame must be one */
        stream->zstd = ZSTD_createDStream();
        if (!stream->zstd || ZSTD_isError(ZSTD_initDStream(stream->zstd)))
            return nc_error(NC_FAILED, "%s: no memory to unpack it", stream->name);
        break;
    case NC_KIND_UNKNOWN:
        break;
    default:
        return nc_kind_refuse(stream->name, kind, "with gzip or zstd, which are unpacked", NULL);
    }
    return NC_OK;
}

int nc_byte_stream_open(const char *path, struct nc_byte_stream **out)
{
    *out = NULL;
    bool standard_input = strcmp(path, "-") == 0;
    struct nc_byte_stream *stream = malloc(sizeof *stream);
    if (!stream)
        return nc_error(NC_FAILED, "%s: no memory", path);
    memset(stream, 0, offsetof(struct nc_byte_stream, buffer));
    stream->name = strdup(standard_input ? "standard input" : path);
    stream->descriptor = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat information;
    int status = NC_OK;
    if (!stream->name)
        status = nc_error(NC_FAILED, "%s: no memory", path);
    else if (stream->descriptor < 0)
        status = nc_error_read(path);
    else if (fstat(stream->descriptor, &information) == 0 && S_ISREG(information.st_mode)) {
        stream->seekable = true;
        stream->file_size = (size_t)information.st_size;
    }
    if (status == NC_OK)
        status = recognize(stream);
    if (status != NC_OK)
        nc_byte_stream_close(stream);
    else
        *out = stream;
    return status;
}

void nc_byte_stream_close(struct nc_byte_stream *stream)
{
    if (!stream)
        return;
    if (stream->packing == GZIP)
        inflateEnd(&stream->gzip);
    ZSTD_freeDStream(stream->zstd);
    if (stream->descriptor > STDIN_FILENO)
        close(stream->descriptor);
    free(stream->head);
    free(stream->name);
    free(stream);
}

bool nc_byte_stream_packed(const struct nc_byte_stream *stream)
{
    return stream->packing != PLAIN;
}

size_t nc_byte_stream_size(const struct nc_byte_stream *stream)
{
    return stream->file_size;
}

const char *nc_byte_stream_name(const struct nc_byte_stream *stream)
{
    return stream->name;
}

uint64_t nc_byte_stream_consumed(const struct nc_byte_stream *stream)
{
    return stream->consumed;
}
