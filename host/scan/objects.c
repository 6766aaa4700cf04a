/* Counts the captions in JSON: of every object down to some depth in a stream, or of one object. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 1 << 18,
    LOOKED_AT = 8,      /* depths of objects whose members are read */
    TOLD_EVERY = 1 << 12, /* events between two words about progress */
};

static const char no_string[] = "a caption that is not a string";

/* ---- A stream ---------------------------------------------------------------------------- */

struct level { /* an object that may hold a caption */
    char *caption;
    size_t size, capacity;
    int rank;       /* of the caption found so far */
    bool no_string; /* a member of such a name was there, without a text */
    uint64_t offset;
};

static int keep(struct level *level, const struct nc_json_reader *reader)
{
    if (reader->length + 1 > level->capacity) {
        char *larger = realloc(level->caption, 2 * reader->length + 64);
        if (!larger)
            return nc_error(NC_FAILED, "scan: no memory for a caption");
        level->caption = larger;
        level->capacity = 2 * reader->length + 64;
    }
    level->size = reader->length < NC_SCAN_CAPTION ? reader->length : NC_SCAN_CAPTION;
    memcpy(level->caption, reader->text, level->size);
    return NC_OK;
}

static int close_object(struct level *level, size_t index, struct scan_tally *tally)
{
    if (level->rank != SCAN_NO_FIELD)
        return scan_tally_caption(tally, index, level->offset, level->caption, level->size);
    if (level->no_string)
        scan_tally_unread(tally, index, level->offset, no_string);
    return NC_OK;
}

static int read_values(struct nc_json_reader *reader, struct scan_file *file, size_t index,
                       struct scan_tally *tally, const struct scan_watch *watch)
{
    struct level levels[LOOKED_AT] = {0};
    enum nc_json_event event;
    int rank = SCAN_NO_FIELD, status = NC_OK; /* rank: of the value that comes next */
    for (uint64_t events = 0; status == NC_OK; events++) {
        if (watch && events % TOLD_EVERY == 0)
            watch->moved(watch->context, file);
        event = nc_json_next(reader);
        if (event == NC_JSON_END || event == NC_JSON_WRONG)
            break;
        size_t depth = reader->depth;
        struct level *level = depth && depth <= LOOKED_AT ? &levels[depth - 1] : NULL;
        switch (event) {
        case NC_JSON_KEY:
            rank = level ? scan_field_rank(tally->options, reader->text, reader->length)
                         : SCAN_NO_FIELD;
            /* A more wanted one was there before. */
            if (rank != SCAN_NO_FIELD && level->rank != SCAN_NO_FIELD && rank > level->rank)
                rank = SCAN_NO_FIELD;
            continue;
        case NC_JSON_STRING:
            if (rank != SCAN_NO_FIELD) {
                status = keep(level, reader);
                level->rank = rank;
            }
            break;
        case NC_JSON_OBJECT:
        case NC_JSON_ARRAY:
            if (rank != SCAN_NO_FIELD && event == NC_JSON_ARRAY && depth >= 2)
                levels[depth - 2].no_string = true;
            if (level) {
                level->rank = SCAN_NO_FIELD;
                level->no_string = false;
                level->offset = nc_json_reader_offset(reader) - 1;
            }
            break;
        case NC_JSON_OBJECT_END:
            if (depth < LOOKED_AT)
                status = close_object(&levels[depth], index, tally);
            break;
        case NC_JSON_ARRAY_END:
            break;
        default: /* null, a number, ... */
            if (rank != SCAN_NO_FIELD)
                level->no_string = true;
        }
        rank = SCAN_NO_FIELD;
    }
    for (size_t i = 0; i < LOOKED_AT; i++)
        free(levels[i].caption);
    if (status == NC_OK && event == NC_JSON_WRONG)
        status = nc_json_reader_error(reader, nc_byte_stream_name(file->stream), NULL);
    return status;
}

int scan_objects_count(struct scan_file *file, size_t index, struct scan_tally *tally,
                       const struct scan_watch *watch)
{
    struct nc_json_reader reader;
    size_t window = tally->options->block ? tally->options->block : WINDOW;
    int status = nc_json_reader_open(&reader, file->stream, window);
    reader.limit = NC_SCAN_CAPTION;
    if (status == NC_OK)
        status = read_values(&reader, file, index, tally, watch);
    tally->bytes += nc_json_reader_offset(&reader);
    nc_json_reader_free(&reader);
    return status;
}

/* ---- One object in memory ---------------------------------------------------------------- */

/* Keeps the string that the reader holds: in the text it stays, elsewhere it does not. */
static int hold(struct scan_work *work, const char *text, size_t size, const char **caption,
                size_t *length)
{
    const struct nc_json_reader *reader = &work->reader;
    *length = reader->length;
    *caption = reader->text;
    if (reader->text >= text && reader->text < text + size)
        return NC_OK;
    if (reader->length > work->scratch_capacity || !work->scratch) {
        char *larger = realloc(work->scratch, 2 * reader->length + 64);
        if (!larger)
            return nc_error(NC_FAILED, "scan: no memory for a caption");
        work->scratch = larger;
        work->scratch_capacity = 2 * reader->length + 64;
    }
    memcpy(work->scratch, reader->text, reader->length);
    *caption = work->scratch;
    return NC_OK;
}

int scan_object_caption(const char *text, size_t size, const struct nc_scan_options *options,
                        struct scan_work *work, const char **caption, size_t *length,
                        const char **reason)
{
    struct nc_json_reader *reader = &work->reader;
    int best = SCAN_NO_FIELD, rank = SCAN_NO_FIELD;
    nc_json_reader_begin(reader, text, size);
    *reason = "not one JSON object";
    if (nc_json_next(reader) != NC_JSON_OBJECT)
        return reader->status;
    const char *without = "no caption in the object";
    while (reader->depth) {
        enum nc_json_event event = nc_json_next(reader);
        if (event == NC_JSON_WRONG)
            return reader->status;
        if (event == NC_JSON_KEY && reader->depth == 1) {
            rank = scan_field_rank(options, reader->text, reader->length);
            if (best != SCAN_NO_FIELD && rank > best)
                rank = SCAN_NO_FIELD;
            continue;
        }
        if (rank != SCAN_NO_FIELD && event == NC_JSON_STRING) {
            int status = hold(work, text, size, caption, length);
            if (status != NC_OK)
                return status;
            best = rank;
        } else if (rank != SCAN_NO_FIELD) {
            without = no_string;
        }
        rank = SCAN_NO_FIELD;
    }
    if (nc_json_next(reader) != NC_JSON_END)
        return reader->status;
    *reason = best == SCAN_NO_FIELD ? without : NULL;
    return NC_OK;
}
