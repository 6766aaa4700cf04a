/* Reads text files whole, and walks through their lines. */
#include "nclip/formats/text.h"

#include "nclip/formats/byte_stream.h"
#include "nclip/support/error.h"

#include <stdlib.h>

int nc_text_check(const char *where, const char **text, size_t *size)
{
    enum nc_kind kind = nc_kind_of(*text, *size, true);
    const char *zero = *size ? memchr(*text, 0, *size) : NULL;
    if (!nc_kind_is_text(kind) && !(kind == NC_KIND_UNKNOWN && zero))
        return nc_kind_refuse(where, kind, "text in UTF-8", NULL);
    if (zero) {
        struct nc_lines lines = nc_lines_of(*text, (size_t)(zero - *text) + 1);
        size_t length;
        for (const char *line; nc_lines_next(&lines, &line, &length);)
            ;
        return nc_error(NC_BAD_INPUT, "%s: not a text file: it holds a zero byte at %zu (line %zu)",
                        where, (size_t)(zero - *text), lines.number);
    }
    size_t mark = nc_text_mark(*text, *size);
    *text += mark;
    *size -= mark;
    return NC_OK;
}

int nc_text_kind_of_file(const char *path, enum nc_kind *kind)
{
    struct nc_byte_stream *stream;
    const void *head;
    size_t size;
    bool whole;
    *kind = NC_KIND_UNKNOWN;
    int status = nc_byte_stream_open(path, &stream);
    if (status != NC_OK)
        return status;
    status = nc_byte_stream_peek(stream, &head, &size, &whole);
    if (status == NC_OK)
        *kind = nc_kind_of(head, size, whole);
    nc_byte_stream_close(stream);
    return status;
}

/* All of the stream, with a zero behind it. */
static int read_all(const char *name, struct nc_byte_stream *stream, size_t limit, char **text,
                    size_t *size)
{
    size_t used = 0, capacity = nc_byte_stream_size(stream) + 2;
    capacity = capacity < 1 << 16 ? 1 << 16 : capacity;
    char *buffer = NULL;
    int status = NC_OK;
    for (size_t got = 1; status == NC_OK && got;) {
        if (!buffer || capacity - used < 2) {
            capacity *= buffer ? 2 : 1;
            char *larger = realloc(buffer, capacity);
            if (!larger) {
                status = nc_error(NC_FAILED, "%s: no memory for %zu bytes", name, capacity);
                break;
            }
            buffer = larger;
        }
        status = nc_byte_stream_read(stream, buffer + used, capacity - used - 1, &got);
        used += got;
        if (status == NC_OK && used > limit)
            status = nc_error(NC_BAD_INPUT, "%s: larger than the %zu MiB allowed here", name,
                              limit >> 20);
    }
    if (status != NC_OK) {
        free(buffer);
        return status;
    }
    buffer[used] = 0;
    *text = buffer;
    *size = used;
    return NC_OK;
}

int nc_text_read(const char *path, size_t limit, char **text, size_t *size)
{
    struct nc_byte_stream *stream;
    *text = NULL;
    *size = 0;
    int status = nc_byte_stream_open(path, &stream);
    if (status != NC_OK)
        return status;
    const char *name = nc_byte_stream_name(stream);
    status = read_all(name, stream, limit, text, size);
    const char *start = *text;
    if (status == NC_OK)
        status = nc_text_check(name, &start, size);
    if (status != NC_OK) {
        free(*text);
        *text = NULL;
        *size = 0;
    } else if (start != *text) {
        memmove(*text, start, *size + 1);
    }
    nc_byte_stream_close(stream);
    return status;
}
