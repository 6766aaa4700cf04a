/* Text files: read whole, unpacked and checked, then line by line.
 *
 * Lines end with \n, \r\n or \r, as in Python's text mode; the last one needs no end. A byte order
 * mark at the start is no part of the text. What is no UTF-8 is left as it is: who needs characters
 * checks them. */
#ifndef NCLIP_FORMATS_TEXT_H
#define NCLIP_FORMATS_TEXT_H

#include "nclip/formats/kind.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Reads a file ("-": standard input) of at most `limit` bytes, unpacked where it is packed with
 * gzip or zstd, with a zero behind it that is not counted in *size. The caller frees *text.
 * NC_BAD_INPUT names what is no text: another kind of file (UTF-16, a Git LFS pointer, a picture,
 * ...) with what to do, and the line of a zero byte. */
int nc_text_read(const char *path, size_t limit, char **text, size_t *size);

/* The same of bytes in memory: checks them, and moves *text behind a byte order mark. */
int nc_text_check(const char *where, const char **text, size_t *size);

/* What the text is, by its first lines: the kind (nclip/formats/kind.h) of what a file holds,
 * unpacked. NC_BAD_INPUT when it cannot be read. */
int nc_text_kind_of_file(const char *path, enum nc_kind *kind);

/* Bytes of the byte order mark at the start, 0 or 3. */
static inline size_t nc_text_mark(const char *text, size_t size)
{
    return size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

struct nc_lines {
    const char *at, *end;
    size_t number;    /* of the line returned last, from 1 */
    bool has_returns; /* some line may end with \r */
};

static inline struct nc_lines nc_lines_of(const char *text, size_t size)
{
    return (struct nc_lines){text, text + size, 0, size && memchr(text, '\r', size)};
}

/* The next line without its end; false when there is none. */
static inline bool nc_lines_next(struct nc_lines *lines, const char **line, size_t *length)
{
    if (lines->at >= lines->end)
        return false;
    size_t left = (size_t)(lines->end - lines->at);
    const char *newline = (const char *)memchr(lines->at, '\n', left);
    const char *end = newline ? newline : lines->end, *next = newline ? newline + 1 : lines->end;
    if (lines->has_returns) {
        const char *returned =
            (const char *)memchr(lines->at, '\r', (size_t)(end - lines->at));
        if (returned) {
            next = returned + 1 < end ? returned + 1 : next;
            end = returned;
        }
    }
    *line = lines->at;
    *length = (size_t)(end - lines->at);
    lines->at = next;
    lines->number++;
    return true;
}

/* The same in a text that may be changed: a zero takes the place of the line's end, and stands
 * behind the last line already. */
static inline char *nc_lines_cut(struct nc_lines *lines, size_t *length)
{
    const char *line;
    if (!nc_lines_next(lines, &line, length))
        return NULL;
    ((char *)line)[*length] = 0;
    return (char *)line;
}

/* Only blanks and tabs. */
static inline bool nc_is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] != ' ' && (text[i] < '\t' || text[i] > '\r'))
            return false;
    return true;
}

#endif
