/* JSON as it comes: one event after the other, in a window of memory.
 *
 * The grammar is RFC 8259's, with what Python's json also reads and writes: NaN, Infinity and
 * -Infinity are null, and half of a surrogate pair is U+FFFD. Every JSON that nclip reads goes
 * through this reader: as a tree through nclip/formats/json.h, as it comes in the scan.
 *
 * Values may be nested NC_JSON_DEEPEST deep. A byte order mark before the first value is passed
 * over. Bytes that are not UTF-8 are passed on. */
#ifndef NCLIP_FORMATS_JSON_READER_H
#define NCLIP_FORMATS_JSON_READER_H

#include "nclip/formats/byte_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_JSON_DEEPEST = 1000 };

enum nc_json_event {
    NC_JSON_END,   /* of the text, behind whole values */
    NC_JSON_WRONG, /* not JSON, or a failure: see nc_json_reader_status() */
    NC_JSON_OBJECT,
    NC_JSON_OBJECT_END,
    NC_JSON_ARRAY,
    NC_JSON_ARRAY_END,
    NC_JSON_KEY,
    NC_JSON_STRING,
    NC_JSON_NUMBER,
    NC_JSON_TRUE,
    NC_JSON_FALSE,
    NC_JSON_NULL,
};

struct nc_json_reader {
    /* Of a key, string or number: its characters, until the next event; not zero-terminated. They
     * lie in the text itself where they can, else in `decoded`. */
    const char *text;
    size_t length;
    size_t depth; /* of open objects and arrays */
    size_t limit; /* longer texts are cut there when they must be decoded */
    /* The rest is the reader's own. */
    const char *at, *end, *window; /* the window holds [window, end) */
    uint64_t offset;               /* of the window in the whole */
    uint64_t line_ends;            /* before the window */
    struct nc_byte_stream *stream; /* NULL: all is in memory */
    char *buffer;                  /* the window of a stream; owned */
    size_t buffer_size;
    char *decoded; /* owned */
    size_t decoded_size, decoded_capacity;
    const char *wrong; /* static */
    int status;
    enum { NC_JSON_AT_VALUE, NC_JSON_AT_FIRST, NC_JSON_BEHIND_KEY, NC_JSON_BEHIND_VALUE } state;
    uint8_t is_object[NC_JSON_DEEPEST / 8 + 1];
};

/* Reads what a stream holds, `window` bytes at a time; several values may stand behind each other.
 * NC_FAILED without memory. The stream stays the caller's. */
int nc_json_reader_open(struct nc_json_reader *reader, struct nc_byte_stream *stream,
                        size_t window);

/* Reads `size` bytes in memory. A reader may be used again for others, and keeps its buffer; it
 * begins as {0}. */
void nc_json_reader_begin(struct nc_json_reader *reader, const char *text, size_t size);
void nc_json_reader_free(struct nc_json_reader *reader); /* {0} is allowed */

enum nc_json_event nc_json_next(struct nc_json_reader *reader);

/* Behind NC_JSON_OBJECT or NC_JSON_ARRAY: reads to its end. False: NC_JSON_WRONG. */
bool nc_json_pass(struct nc_json_reader *reader);

uint64_t nc_json_reader_offset(const struct nc_json_reader *reader); /* of the next byte */

/* What went wrong, as an error: NC_FAILED without memory, the stream's own, or NC_BAD_INPUT with
 * "WHERE: not valid JSON[ in PLACE] at line 3, byte 120: no colon behind a member's name". `place`
 * ("annotations[7].caption") may be NULL. */
int nc_json_reader_error(const struct nc_json_reader *reader, const char *where,
                         const char *place);

#endif
