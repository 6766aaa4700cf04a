/* JSON as it comes: values of any size in a window of memory. The grammar is RFC 8259; numbers are
 * passed over without a look at their digits. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    WINDOW = 1 << 18,
    DEEPEST = 1024, /* nested values */
    LOOKED_AT = 8,  /* depths of objects whose members are read */
    MOST_KEY = 256, /* bytes of a member's name that are compared */
};

struct level { /* an object that may hold a caption */
    struct scan_text caption;
    int rank; /* of the caption found so far */
    uint64_t offset;
};

struct reader {
    const char *at, *end;
    const struct nc_scan_options *options;
    /* A stream: more comes into `window`. */
    struct scan_file *file;
    const struct scan_watch *watch;
    char *window;
    size_t window_size;
    uint64_t window_offset; /* of window[0], unpacked */
    int status;             /* of the stream, or NC_FAILED without memory */
    const char *wrong;      /* static: what is not JSON; NULL: all well */
    size_t depth;
    uint8_t is_object[DEEPEST / 8];
    struct level levels[LOOKED_AT];
    size_t most_levels; /* 1: only the outermost object's members */
    int (*found)(struct reader *reader, struct level *level);
    void *context;
};

void scan_text_free(struct scan_text *text)
{
    free(text->bytes);
    *text = (struct scan_text){0};
}

static bool append(struct reader *reader, struct scan_text *text, const char *bytes, size_t size)
{
    size_t room = text->size < NC_SCAN_CAPTION ? NC_SCAN_CAPTION - text->size : 0;
    if (size > room)
        size = room;
    if (!text->bytes || text->size + size > text->capacity) {
        size_t capacity = 2 * (text->size + size) + 64;
        char *larger = realloc(text->bytes, capacity);
        if (!larger) {
            reader->status = nc_error(NC_FAILED, "scan: no memory for a caption");
            return false;
        }
        text->bytes = larger;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    return true;
}

static uint64_t offset_of(const struct reader *reader)
{
    return reader->window_offset + (uint64_t)(reader->at - reader->window);
}

static bool refill(struct reader *reader)
{
    size_t got = 0;
    if (!reader->file || reader->status != NC_OK)
        return false;
    reader->window_offset += (uint64_t)(reader->end - reader->window);
    reader->status =
        nc_byte_stream_read(reader->file->stream, reader->window, reader->window_size, &got);
    reader->at = reader->window;
    reader->end = reader->window + got;
    if (reader->watch)
        reader->watch->moved(reader->watch->context, reader->file);
    return got > 0;
}

/* The byte at hand, or -1 at the end. */
static int peek(struct reader *reader)
{
    return reader->at < reader->end || refill(reader) ? (uint8_t)*reader->at : -1;
}

static int peek_behind_blanks(struct reader *reader)
{
    int byte;
    while ((byte = peek(reader)) == ' ' || byte == '\n' || byte == '\t' || byte == '\r')
        reader->at++;
    return byte;
}

static bool wrong(struct reader *reader, const char *what)
{
    if (!reader->wrong)
        reader->wrong = peek(reader) < 0 ? "it breaks off" : what;
    return false;
}

/* ---- Strings --------------------------------------------------------------------------- */

static bool hex4(struct reader *reader, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        int byte = peek(reader);
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return wrong(reader, "a wrong \\u");
        *code = *code << 4 | (uint32_t)digit;
        reader->at++;
    }
    return true;
}

static bool append_code(struct reader *reader, struct scan_text *text, uint32_t code)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t size = utf8proc_encode_char((utf8proc_int32_t)code, bytes);
    return append(reader, text, (const char *)bytes, (size_t)size);
}

/* Behind a backslash. A half of a pair without the other becomes U+FFFD. */
static bool escape(struct reader *reader, struct scan_text *text)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    int byte = peek(reader);
    const char *name = byte > 0 ? strchr(names, byte) : NULL;
    if (name) {
        reader->at++;
        return !text || append(reader, text, &values[name - names], 1);
    }
    if (byte != 'u')
        return wrong(reader, "a wrong escape");
    reader->at++;
    uint32_t code, low;
    if (!hex4(reader, &code))
        return false;
    while (code >= 0xd800 && code < 0xdc00 && peek(reader) == '\\') {
        reader->at++;
        if (peek(reader) != 'u')
            return (!text || append_code(reader, text, 0xfffd)) && escape(reader, text);
        reader->at++;
        if (!hex4(reader, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
        } else {
            if (text && !append_code(reader, text, 0xfffd))
                return false;
            code = low;
        }
    }
    if (code >= 0xd800 && code < 0xe000)
        code = 0xfffd;
    return !text || append_code(reader, text, code);
}

/* Bytes that end a run inside a string. */
static bool special(char byte)
{
    return byte == '"' || byte == '\\' || (uint8_t)byte < 0x20;
}

/* At its quote. `text` NULL: passed over. */
static bool string(struct reader *reader, struct scan_text *text)
{
    reader->at++;
    for (;;) {
        if (peek(reader) < 0)
            return wrong(reader, "it breaks off");
        const char *start = reader->at, *at = start, *end = reader->end;
        while (at < end && !special(*at))
            at++;
        reader->at = at;
        if (text && !append(reader, text, start, (size_t)(at - start)))
            return false;
        if (at == end)
            continue;
        if (*at == '"') {
            reader->at++;
            return true;
        }
        if (*at != '\\')
            return wrong(reader, "a control character in a string");
        reader->at++;
        if (!escape(reader, text))
            return false;
    }
}

/* ---- Values ---------------------------------------------------------------------------- */

/* true, null, numbers: without a look at their digits. */
static bool plain_value(struct reader *reader)
{
    size_t length = 0;
    for (int byte; (byte = peek(reader)) >= 0; reader->at++, length++)
        if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || byte == '-' ||
              byte == '+' || byte == '.' || byte == 'E' || byte == 'N' || byte == 'I'))
            break;
    return length || wrong(reader, "no value");
}

static struct level *level_of(struct reader *reader)
{
    return reader->depth <= reader->most_levels ? &reader->levels[reader->depth - 1] : NULL;
}

static bool open_value(struct reader *reader, bool object)
{
    if (reader->depth == DEEPEST)
        return wrong(reader, "values nested too deep");
    uint64_t offset = offset_of(reader);
    size_t bit = reader->depth++;
    reader->is_object[bit / 8] =
        (uint8_t)((reader->is_object[bit / 8] & ~(1u << bit % 8)) | (unsigned)object << bit % 8);
    struct level *level = level_of(reader);
    if (level) {
        level->rank = SCAN_NO_FIELD;
        level->offset = offset;
    }
    reader->at++;
    return true;
}

static bool in_object(const struct reader *reader)
{
    size_t bit = reader->depth - 1;
    return reader->is_object[bit / 8] >> bit % 8 & 1;
}

static bool close_value(struct reader *reader)
{
    struct level *level = level_of(reader);
    bool object = in_object(reader);
    reader->at++;
    reader->depth--;
    if (!object || !level || level->rank == SCAN_NO_FIELD || reader->status != NC_OK)
        return true;
    reader->status = reader->found(reader, level);
    return reader->status == NC_OK;
}

/* A member's name and colon; *rank says whether its value may be the caption. */
static bool member(struct reader *reader, int *rank)
{
    char key[MOST_KEY];
    struct level *level = level_of(reader);
    if (peek_behind_blanks(reader) != '"')
        return wrong(reader, "no member's name");
    /* Most names lie whole in the window. */
    const char *start = reader->at + 1, *at = start;
    while (at < reader->end && !special(*at))
        at++;
    *rank = SCAN_NO_FIELD;
    if (at < reader->end && *at == '"') {
        if (level)
            *rank = scan_field_rank(reader->options, start, (size_t)(at - start));
        reader->at = at + 1;
    } else {
        struct scan_text text = {.bytes = NULL};
        bool whole = string(reader, &text);
        size_t length = text.size < MOST_KEY ? text.size : MOST_KEY;
        if (length)
            memcpy(key, text.bytes, length);
        scan_text_free(&text);
        if (!whole)
            return false;
        if (level && length < MOST_KEY)
            *rank = scan_field_rank(reader->options, key, length);
    }
    if (peek_behind_blanks(reader) != ':')
        return wrong(reader, "no colon behind a member's name");
    reader->at++;
    /* A more wanted one was there before. */
    if (level && level->rank != SCAN_NO_FIELD && *rank > level->rank)
        *rank = SCAN_NO_FIELD;
    return true;
}

/* Reads one value whole: on return the depth is what it was. */
static bool value(struct reader *reader)
{
    size_t outside = reader->depth;
    int rank = SCAN_NO_FIELD;
    for (;;) {
        int byte = peek_behind_blanks(reader);
        bool opened = byte == '{' || byte == '[';
        if (opened) {
            if (!open_value(reader, byte == '{'))
                return false;
        } else if (byte == '"') {
            struct level *level = rank != SCAN_NO_FIELD ? level_of(reader) : NULL;
            if (level) {
                level->rank = rank;
                level->caption.size = 0;
            }
            if (!string(reader, level ? &level->caption : NULL))
                return false;
        } else if (!plain_value(reader)) {
            return false;
        }
        for (;;) { /* what may stand behind a value, or behind an opening bracket */
            if (reader->depth == outside)
                return true;
            byte = peek_behind_blanks(reader);
            if (byte == (in_object(reader) ? '}' : ']')) {
                if (!close_value(reader))
                    return false;
                opened = false;
                continue;
            }
            if (!opened && byte != ',')
                return wrong(reader, "no comma or closing bracket");
            if (!opened)
                reader->at++;
            rank = SCAN_NO_FIELD;
            if (in_object(reader) && !member(reader, &rank))
                return false;
            break;
        }
    }
}

/* ---- A stream of values ---------------------------------------------------------------- */

struct counting {
    struct scan_tally *tally;
    size_t index;
};

static int count(struct reader *reader, struct level *level)
{
    const struct counting *counting = reader->context;
    return scan_tally_caption(counting->tally, counting->index, level->offset,
                              level->caption.bytes ? level->caption.bytes : "",
                              level->caption.size);
}

static struct reader *reader_create(const struct nc_scan_options *options, size_t levels)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader) {
        reader->options = options;
        reader->most_levels = levels;
    }
    return reader;
}

int scan_json_stream(struct scan_file *file, size_t index, struct scan_tally *tally,
                     const struct scan_watch *watch)
{
    struct counting counting = {tally, index};
    struct reader *reader = reader_create(tally->options, LOOKED_AT);
    size_t size = tally->options->block ? tally->options->block : WINDOW;
    char *window = malloc(size);
    int status = reader && window ? NC_OK : nc_error(NC_FAILED, "%s: no memory", file->path);
    if (status != NC_OK)
        goto done;
    reader->window = window;
    reader->window_size = size;
    reader->at = reader->end = window;
    reader->file = file;
    reader->watch = watch;
    reader->found = count;
    reader->context = &counting;
    if (refill(reader) && reader->end - reader->at >= 3 &&
        memcmp(reader->at, "\xef\xbb\xbf", 3) == 0)
        reader->at += 3;
    bool whole = true;
    while (whole && peek_behind_blanks(reader) >= 0)
        whole = value(reader);
    status = reader->status;
    if (status == NC_OK && !whole)
        status = nc_error(NC_BAD_INPUT, "%s: not valid JSON at byte %llu: %s",
                          nc_byte_stream_name(file->stream), (unsigned long long)offset_of(reader),
                          reader->wrong);
    tally->bytes += offset_of(reader);
done:
    for (size_t i = 0; reader && i < LOOKED_AT; i++)
        scan_text_free(&reader->levels[i].caption);
    free(window);
    free(reader);
    return status;
}

/* ---- One object in memory ---------------------------------------------------------------- */

static int note(struct reader *reader, struct level *level)
{
    (void)level;
    *(bool *)reader->context = true;
    return NC_OK;
}

bool scan_json_object(const char *text, size_t size, const struct nc_scan_options *options,
                      struct scan_text *caption, bool *found, bool *no_memory)
{
    struct reader reader; /* all but the levels behind the first, which are not used */
    memset(&reader, 0, offsetof(struct reader, levels) + sizeof reader.levels[0]);
    *found = *no_memory = false;
    reader.at = text;
    reader.end = text + size;
    reader.window = (char *)text;
    reader.options = options;
    reader.file = NULL;
    reader.status = NC_OK;
    reader.levels[0].caption = *caption;
    reader.most_levels = 1;
    reader.found = note;
    reader.context = found;
    bool object =
        peek_behind_blanks(&reader) == '{' && value(&reader) && peek_behind_blanks(&reader) < 0;
    *caption = reader.levels[0].caption;
    *no_memory = reader.status != NC_OK;
    if (!caption->bytes) /* an empty one */
        *no_memory |= *found && !append(&reader, caption, "", 0);
    return object;
}
