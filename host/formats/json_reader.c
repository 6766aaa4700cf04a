/* Reads JSON as a series of events. */
#include "nclip/formats/json_reader.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- The window -------------------------------------------------------------------------- */

static uint64_t count_line_ends(const char *at, const char *end)
{
    uint64_t count = 0;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        count++;
        at++;
    }
    return count;
}

static bool refill(struct nc_json_reader *reader)
{
    size_t got = 0;
    if (!reader->stream || reader->status != NC_OK)
        return false;
    reader->offset += (uint64_t)(reader->end - reader->window);
    reader->line_ends += count_line_ends(reader->window, reader->end);
    reader->status =
        nc_byte_stream_read(reader->stream, reader->buffer, reader->buffer_size, &got);
    reader->at = reader->window = reader->buffer;
    reader->end = reader->buffer + got;
    return got > 0;
}

/* The byte at hand, or -1 at the end. */
static inline int peek(struct nc_json_reader *reader)
{
    return reader->at < reader->end || refill(reader) ? (uint8_t)*reader->at : -1;
}

static inline int peek_behind_blanks(struct nc_json_reader *reader)
{
    int byte;
    while ((byte = peek(reader)) == ' ' || byte == '\n' || byte == '\t' || byte == '\r')
        reader->at++;
    return byte;
}

static enum nc_json_event wrong(struct nc_json_reader *reader, const char *what)
{
    if (!reader->wrong)
        reader->wrong = peek(reader) < 0 ? "it breaks off" : what;
    return NC_JSON_WRONG;
}

int nc_json_reader_open(struct nc_json_reader *reader, struct nc_byte_stream *stream, size_t window)
{
    *reader = (struct nc_json_reader){.stream = stream, .limit = SIZE_MAX};
    reader->buffer = malloc(window);
    reader->buffer_size = window;
    if (!reader->buffer)
        return nc_error(NC_FAILED, "%s: no memory", nc_byte_stream_name(stream));
    reader->at = reader->end = reader->window = reader->buffer;
    /* The mark is three bytes: a window may hold one. */
    static const char mark[] = "\xef\xbb\xbf";
    for (size_t i = 0; i < 3 && peek(reader) == (uint8_t)mark[i]; i++)
        reader->at++;
    return reader->status;
}

void nc_json_reader_begin(struct nc_json_reader *reader, const char *text, size_t size)
{
    reader->window = text;
    reader->at = text + nc_text_mark(text, size);
    reader->end = text + size;
    reader->offset = reader->line_ends = 0;
    reader->stream = NULL;
    reader->depth = 0;
    reader->wrong = NULL;
    reader->status = NC_OK;
    reader->state = NC_JSON_AT_VALUE;
    reader->limit = SIZE_MAX;
}

void nc_json_reader_free(struct nc_json_reader *reader)
{
    free(reader->buffer);
    free(reader->decoded);
    *reader = (struct nc_json_reader){0};
}

uint64_t nc_json_reader_offset(const struct nc_json_reader *reader)
{
    return reader->offset + (uint64_t)(reader->at - reader->window);
}

int nc_json_reader_error(const struct nc_json_reader *reader, const char *where, const char *place)
{
    if (reader->status != NC_OK)
        return reader->status;
    bool placed = place && *place;
    uint64_t line = 1 + reader->line_ends + count_line_ends(reader->window, reader->at);
    return nc_error(NC_BAD_INPUT, "%s: not valid JSON%s%s at line %llu, byte %llu: %s", where,
                    placed ? " in " : "", placed ? place : "", (unsigned long long)line,
                    (unsigned long long)nc_json_reader_offset(reader),
                    reader->wrong ? reader->wrong : "it breaks off");
}

/* ---- Strings ----------------------------------------------------------------------------- */

static bool append(struct nc_json_reader *reader, const char *bytes, size_t size)
{
    size_t used = reader->decoded_size;
    size_t room = used < reader->limit ? reader->limit - used : 0;
    if (size > room)
        size = room;
    if (used + size + 1 > reader->decoded_capacity) {
        size_t capacity = 2 * (used + size) + 64;
        char *larger = realloc(reader->decoded, capacity);
        if (!larger) {
            reader->status = nc_error(NC_FAILED, "no memory for a string of JSON");
            return false;
        }
        reader->decoded = larger;
        reader->decoded_capacity = capacity;
    }
    memcpy(reader->decoded + used, bytes, size);
    reader->decoded_size += size;
    return true;
}

static bool hex4(struct nc_json_reader *reader, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        int byte = peek(reader);
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            wrong(reader, "a wrong \\u");
            return false;
        }
        *code = *code << 4 | (uint32_t)digit;
        reader->at++;
    }
    return true;
}

static bool append_code(struct nc_json_reader *reader, uint32_t code)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t size = utf8proc_encode_char((utf8proc_int32_t)code, bytes);
    return append(reader, (const char *)bytes, (size_t)size);
}

/* Behind a backslash. A half of a pair without the other becomes U+FFFD. */
static bool escape(struct nc_json_reader *reader)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    int byte = peek(reader);
    const char *name = byte > 0 ? strchr(names, byte) : NULL;
    if (name) {
        reader->at++;
        return append(reader, &values[name - names], 1);
    }
    if (byte != 'u') {
        wrong(reader, "a wrong escape");
        return false;
    }
    reader->at++;
    uint32_t code, low;
    if (!hex4(reader, &code))
        return false;
    while (code >= 0xd800 && code < 0xdc00 && peek(reader) == '\\') {
        reader->at++;
        if (peek(reader) != 'u')
            return append_code(reader, 0xfffd) && escape(reader);
        reader->at++;
        if (!hex4(reader, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
        } else {
            if (!append_code(reader, 0xfffd))
                return false;
            code = low;
        }
    }
    if (code >= 0xd800 && code < 0xe000)
        code = 0xfffd;
    return append_code(reader, code);
}

/* Bytes that end a run inside a string. */
static inline bool special(char byte)
{
    return byte == '"' || byte == '\\' || (uint8_t)byte < 0x20;
}

/* The first such byte in [at, end), else `end`. Eight bytes are looked at at once: the sum tells
 * whether one of them is a quote, a backslash or below a blank. */
static const char *find_special(const char *at, const char *end)
{
    const uint64_t each = 0x0101010101010101u;
    while (end - at >= 8) {
        uint64_t bytes;
        memcpy(&bytes, at, sizeof bytes);
        uint64_t quote = bytes ^ each * '"', slash = bytes ^ each * '\\';
        if ((((quote - each) & ~quote) | ((slash - each) & ~slash) |
             ((bytes - each * 0x20) & ~bytes)) & each << 7)
            break;
        at += 8;
    }
    while (at < end && !special(*at))
        at++;
    return at;
}

/* At its quote. Most strings lie whole in the window. */
static bool string(struct nc_json_reader *reader)
{
    const char *start = ++reader->at, *end = reader->end, *at = find_special(start, end);
    if (at < end && *at == '"') {
        reader->text = start;
        reader->length = (size_t)(at - start);
        reader->at = at + 1;
        return true;
    }
    reader->decoded_size = 0;
    for (;;) {
        if (peek(reader) < 0) {
            wrong(reader, "it breaks off");
            return false;
        }
        start = reader->at;
        end = reader->end;
        at = find_special(start, end);
        reader->at = at;
        if (!append(reader, start, (size_t)(at - start)))
            return false;
        if (at == end)
            continue;
        if (*at == '"') {
            reader->at++;
            reader->text = reader->decoded;
            reader->length = reader->decoded_size;
            return true;
        }
        if (*at != '\\') {
            wrong(reader, "a control character in a string (a line end or tab must be written "
                          "\\n, \\t)");
            return false;
        }
        reader->at++;
        if (!escape(reader))
            return false;
    }
}

/* ---- Numbers and words ------------------------------------------------------------------- */

/* RFC 8259, section 6. */
static bool is_number(const char *at, const char *end)
{
    at += at < end && *at == '-';
    const char *digits = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    if (at == digits || (*digits == '0' && at > digits + 1))
        return false;
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        if (at == fraction)
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        const char *exponent = at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        if (at == exponent)
            return false;
    }
    return at == end;
}

static bool is_word(const struct nc_json_reader *reader, const char *word)
{
    return strlen(word) == reader->length && memcmp(reader->text, word, reader->length) == 0;
}

static inline bool plain(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '+' || byte == '.' || byte == '_';
}

static enum nc_json_event plain_value(struct nc_json_reader *reader)
{
    const char *start = reader->at, *at = start;
    while (at < reader->end && plain(*at))
        at++;
    reader->text = start;
    reader->length = (size_t)(at - start);
    reader->at = at;
    if (at == reader->end && reader->stream) { /* it may go on behind the window */
        reader->decoded_size = 0;
        if (!append(reader, start, (size_t)(at - start)))
            return NC_JSON_WRONG;
        for (int byte; (byte = peek(reader)) >= 0 && plain((char)byte); reader->at++)
            if (!append(reader, reader->at, 1))
                return NC_JSON_WRONG;
        reader->text = reader->decoded;
        reader->length = reader->decoded_size;
    }
    if (!reader->length)
        return wrong(reader, "no value");
    if (is_number(reader->text, reader->text + reader->length))
        return NC_JSON_NUMBER;
    if (is_word(reader, "true"))
        return NC_JSON_TRUE;
    if (is_word(reader, "false"))
        return NC_JSON_FALSE;
    if (is_word(reader, "null") || is_word(reader, "NaN") || is_word(reader, "Infinity") ||
        is_word(reader, "-Infinity"))
        return NC_JSON_NULL;
    if (reader->text == start && reader->at < reader->end) /* the place is where the value begins */
        reader->at = start;
    return wrong(reader, "no value");
}

/* ---- Values ------------------------------------------------------------------------------ */

static inline bool in_object(const struct nc_json_reader *reader)
{
    size_t bit = reader->depth - 1;
    return reader->is_object[bit / 8] >> bit % 8 & 1;
}

static enum nc_json_event open_value(struct nc_json_reader *reader, bool object)
{
    if (reader->depth == NC_JSON_DEEPEST)
        return wrong(reader, "values nested too deep");
    size_t bit = reader->depth++;
    reader->is_object[bit / 8] =
        (uint8_t)((reader->is_object[bit / 8] & ~(1u << bit % 8)) | (unsigned)object << bit % 8);
    reader->at++;
    reader->state = NC_JSON_AT_FIRST;
    return object ? NC_JSON_OBJECT : NC_JSON_ARRAY;
}

static enum nc_json_event close_value(struct nc_json_reader *reader)
{
    bool object = in_object(reader);
    reader->at++;
    reader->depth--;
    reader->state = NC_JSON_BEHIND_VALUE;
    return object ? NC_JSON_OBJECT_END : NC_JSON_ARRAY_END;
}

static enum nc_json_event key(struct nc_json_reader *reader)
{
    if (peek_behind_blanks(reader) != '"')
        return wrong(reader, "no member's name");
    if (!string(reader))
        return NC_JSON_WRONG;
    reader->state = NC_JSON_BEHIND_KEY;
    return NC_JSON_KEY;
}

static enum nc_json_event value(struct nc_json_reader *reader, int byte)
{
    if (byte == '{' || byte == '[')
        return open_value(reader, byte == '{');
    reader->state = NC_JSON_BEHIND_VALUE;
    if (byte == '"')
        return string(reader) ? NC_JSON_STRING : NC_JSON_WRONG;
    return plain_value(reader);
}

enum nc_json_event nc_json_next(struct nc_json_reader *reader)
{
    if (reader->wrong || reader->status != NC_OK)
        return NC_JSON_WRONG;
    int byte = peek_behind_blanks(reader);
    if (!reader->depth) { /* values may stand behind each other */
        if (byte >= 0)
            return value(reader, byte);
        return reader->status == NC_OK ? NC_JSON_END : NC_JSON_WRONG;
    }
    if (reader->state == NC_JSON_BEHIND_KEY) {
        /* The name's characters may be in the window that goes: they were the caller's till now. */
        if (byte != ':')
            return wrong(reader, "no colon behind a member's name");
        reader->at++;
        return value(reader, peek_behind_blanks(reader));
    }
    bool object = in_object(reader);
    if (byte == (object ? '}' : ']'))
        return close_value(reader);
    if (reader->state == NC_JSON_BEHIND_VALUE) {
        if (byte != ',')
            return wrong(reader, "no comma or closing bracket");
        reader->at++;
        reader->state = NC_JSON_AT_VALUE;
        byte = peek_behind_blanks(reader);
    }
    return object ? key(reader) : value(reader, byte);
}

bool nc_json_pass(struct nc_json_reader *reader)
{
    size_t outside = reader->depth - 1;
    while (reader->depth > outside)
        if (nc_json_next(reader) == NC_JSON_WRONG)
            return false;
    return true;
}
