/* Streams the records of files of captions, run by run. */
#include "nclip/captions/records.h"

#include "coco_file.h"
#include "nclip/formats/byte_stream.h"
#include "nclip/formats/json.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "reader.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    BEGINNING = 1 << 20,   /* bytes by which a format is told */
    RUN = 2 << 20,         /* bytes of a run of lines */
    LONGEST_LINE = 64 << 20,
    RUN_RECORDS = 1 << 14, /* of a COCO file */
};
static const size_t LARGEST_COCO = (size_t)4 << 30;

struct nc_caption_stream {
    const char *const *paths;
    size_t count, next; /* of the files; the one that is opened next */
    uint64_t total, before; /* bytes on disk: of all, of the files that are done */
    uint64_t records, in_file;
    XXH3_state_t *hash;
    /* the file at hand */
    struct nc_byte_stream *bytes; /* lines; NULL: none is open */
    bool ended;                   /* nothing is left to be read of it */
    size_t line_number;           /* lines before the rest */
    char *rest;                   /* the beginning of a line that goes on; owned */
    size_t rest_size, rest_capacity;
    struct nc_caption_file *file; /* COCO */
    size_t file_next;
};

int nc_caption_stream_open(const char *const *paths, size_t count,
                           struct nc_caption_stream **out)
{
    *out = NULL;
    size_t inputs = 0;
    for (size_t i = 0; i < count; i++)
        inputs += strcmp(paths[i], "-") == 0;
    if (inputs > 1)
        return nc_error(NC_USAGE, "standard input (-) holds one file of captions, not %zu", inputs);
    struct nc_caption_stream *stream = calloc(1, sizeof *stream);
    if (stream)
        stream->hash = XXH3_createState();
    if (!stream || !stream->hash) {
        free(stream);
        return nc_error(NC_FAILED, "captions: no memory");
    }
    XXH3_64bits_reset(stream->hash);
    stream->paths = paths;
    stream->count = count;
    bool known = true;
    for (size_t i = 0; i < count; i++) {
        struct stat information;
        if (strcmp(paths[i], "-") != 0 && stat(paths[i], &information) == 0 &&
            S_ISREG(information.st_mode))
            stream->total += (uint64_t)information.st_size;
        else
            known = false;
    }
    if (!known)
        stream->total = 0;
    *out = stream;
    return NC_OK;
}

static void close_file(struct nc_caption_stream *stream)
{
    if (stream->bytes)
        stream->before += nc_byte_stream_consumed(stream->bytes);
    nc_byte_stream_close(stream->bytes);
    stream->bytes = NULL;
    captions_file_release(stream->file);
    stream->file = NULL;
    stream->rest_size = 0;
}

void nc_caption_stream_close(struct nc_caption_stream *stream)
{
    if (!stream)
        return;
    close_file(stream);
    XXH3_freeState(stream->hash);
    free(stream->rest);
    free(stream);
}

uint64_t nc_caption_stream_bytes(const struct nc_caption_stream *stream)
{
    return stream->total;
}

/* ---- text ---- */

static int grow(const char *name, char **text, size_t *capacity, size_t size)
{
    if (size <= *capacity)
        return NC_OK;
    char *larger = realloc(*text, size);
    if (!larger)
        return nc_error(NC_FAILED, "%s: no memory for %zu bytes of captions", name, size);
    *text = larger;
    *capacity = size;
    return NC_OK;
}

/* Behind the last whole line of the text, 0 when there is none. A return may have its newline
 * in what follows. */
static size_t whole_lines(const char *text, size_t size)
{
    const char *end = memrchr(text, '\n', size);
    if (!end && size > 1)
        end = memrchr(text, '\r', size - 1);
    return end ? (size_t)(end - text) + 1 : 0;
}

static int refuse_zero(const struct nc_caption_stream *stream, const char *name, const char *text,
                       size_t zero)
{
    struct nc_lines lines = nc_lines_of(text, zero + 1);
    size_t length;
    for (const char *line; nc_lines_next(&lines, &line, &length);)
        ;
    return nc_error(NC_BAD_INPUT, "%s: not a text file: it holds a zero byte in line %zu", name,
                    stream->line_number + lines.number);
}

/* Fills batch->text from *used on, until it holds a whole line at least. */
static int read_lines(struct nc_caption_stream *stream, struct nc_caption_batch *batch,
                      size_t *used, size_t *whole)
{
    const char *name = nc_byte_stream_name(stream->bytes);
    size_t wanted = RUN, got;
    *whole = 0;
    while (!*whole) {
        if (*used >= LONGEST_LINE)
            return nc_error(NC_BAD_INPUT, "%s: line %zu is longer than %d MiB: no caption", name,
                            stream->line_number + 1, LONGEST_LINE >> 20);
        wanted = *used + RUN / 2 > wanted ? 2 * wanted : wanted;
        int status = grow(name, &batch->text, &batch->capacity, wanted + 1);
        if (status == NC_OK)
            status = nc_byte_stream_read(stream->bytes, batch->text + *used, wanted - *used, &got);
        if (status != NC_OK)
            return status;
        const char *zero = memchr(batch->text + *used, 0, got);
        stream->ended = got < wanted - *used;
        *used += got;
        if (zero)
            return refuse_zero(stream, name, batch->text, (size_t)(zero - batch->text));
        *whole = stream->ended ? *used : whole_lines(batch->text, *used);
        if (stream->ended)
            break;
    }
    return NC_OK;
}

/* Looks for the lines of batch->text[size] that are not blank. */
static int find_lines(struct nc_caption_stream *stream, struct nc_caption_batch *batch, size_t size)
{
    struct nc_lines lines = nc_lines_of(batch->text, size);
    const char *line;
    size_t length;
    while (nc_lines_next(&lines, &line, &length)) {
        if (nc_is_blank(line, length))
            continue;
        struct nc_caption_line *list =
            captions_grow(batch->lines, batch->count, &batch->line_capacity, sizeof *list);
        if (!list)
            return nc_error(NC_FAILED, "%s: no memory for the captions", batch->source);
        batch->lines = list;
        list[batch->count++] = (struct nc_caption_line){(size_t)(line - batch->text), length,
                                                        stream->line_number + lines.number};
    }
    stream->line_number += lines.number;
    return NC_OK;
}

static int keep_rest(struct nc_caption_stream *stream, const char *name, const char *text,
                     size_t size)
{
    int status = grow(name, &stream->rest, &stream->rest_capacity, size);
    if (status == NC_OK && size)
        memcpy(stream->rest, text, size);
    stream->rest_size = status == NC_OK ? size : 0;
    return status;
}

/* The next lines of the file at hand; none when it has ended. */
static int next_lines(struct nc_caption_stream *stream, struct nc_caption_batch *batch)
{
    batch->source = nc_byte_stream_name(stream->bytes);
    while (!batch->count && !(stream->ended && !stream->rest_size)) {
        size_t used = stream->rest_size, whole;
        int status = grow(batch->source, &batch->text, &batch->capacity, RUN + 1);
        if (status == NC_OK)
            status = grow(batch->source, &batch->text, &batch->capacity, used + 1);
        if (status != NC_OK)
            return status;
        if (used)
            memcpy(batch->text, stream->rest, used);
        stream->rest_size = 0;
        whole = used;
        if (!stream->ended)
            status = read_lines(stream, batch, &used, &whole);
        if (status == NC_OK)
            status = find_lines(stream, batch, whole);
        if (status == NC_OK)
            status = keep_rest(stream, batch->source, batch->text + whole, used - whole);
        if (status != NC_OK)
            return status;
        XXH3_64bits_update(stream->hash, batch->text, whole);
    }
    return NC_OK;
}

/* ---- files ---- */

/* Reads what is left of a file of COCO captions, behind the text that is there. */
static int read_whole(struct nc_caption_stream *stream, const char *name, char **text,
                      size_t *capacity, size_t size)
{
    size_t got = 1;
    int status = NC_OK;
    while (status == NC_OK && got) {
        if (size > LARGEST_COCO)
            return nc_error(NC_BAD_INPUT,
                            "%s: COCO JSON of more than 4 GiB: give captions of that size as "
                            "JSONL, one object a line",
                            name);
        if (*capacity - size < RUN)
            status = grow(name, text, capacity, 2 * *capacity + RUN);
        if (status == NC_OK)
            status = nc_byte_stream_read(stream->bytes, *text + size, *capacity - size - 1, &got);
        size += got;
    }
    if (status != NC_OK)
        return status;
    (*text)[size] = 0;
    const char *start = *text;
    status = nc_text_check(name, &start, &size);
    if (status != NC_OK)
        return status;
    XXH3_64bits_update(stream->hash, start, size);
    return captions_file_read(name, start, size, &stream->file);
}

/* Opens the next file, looks at its beginning and tells what it is. */
static int open_file(struct nc_caption_stream *stream, struct nc_caption_batch *batch)
{
    const char *path = stream->paths[stream->next++];
    int status = nc_byte_stream_open(path, &stream->bytes);
    if (status != NC_OK)
        return status;
    const char *name = nc_byte_stream_name(stream->bytes), *start;
    enum captions_format format = CAPTIONS_UNSURE;
    size_t size, checked;
    stream->ended = false;
    stream->line_number = stream->in_file = stream->file_next = 0;
    status = grow(name, &batch->text, &batch->capacity, BEGINNING + 1);
    if (status == NC_OK)
        status = nc_byte_stream_read(stream->bytes, batch->text, BEGINNING, &size);
    if (status != NC_OK)
        return status;
    start = batch->text;
    checked = size;
    bool whole = size < BEGINNING;
    status = nc_text_check(name, &start, &checked);
    if (status == NC_OK)
        status = captions_detect(name, start, checked, whole, &format);
    if (status != NC_OK)
        return status;
    if (format != CAPTIONS_LINES) {
        status = read_whole(stream, name, &batch->text, &batch->capacity, size);
        free(batch->text); /* the records do not lie in it */
        batch->text = NULL;
        batch->capacity = 0;
        return status;
    }
    stream->ended = whole;
    return keep_rest(stream, name, start, checked);
}

static void next_annotations(struct nc_caption_stream *stream, struct nc_caption_batch *batch)
{
    size_t left = captions_file_count(stream->file) - stream->file_next;
    batch->count = left < RUN_RECORDS ? left : RUN_RECORDS;
    if (!batch->count)
        return;
    batch->file = captions_file_share(stream->file);
    batch->file_first = stream->file_next;
    stream->file_next += batch->count;
}

static int next_in_file(struct nc_caption_stream *stream, struct nc_caption_batch *batch)
{
    if (!stream->file)
        return next_lines(stream, batch);
    next_annotations(stream, batch);
    return NC_OK;
}

int nc_caption_stream_next(struct nc_caption_stream *stream, struct nc_caption_batch *batch)
{
    captions_file_release(batch->file);
    batch->file = NULL;
    batch->count = 0;
    batch->first = stream->records;
    for (;;) {
        int status = NC_OK;
        if (!stream->bytes && stream->next == stream->count)
            return NC_OK;
        if (!stream->bytes)
            status = open_file(stream, batch);
        if (status == NC_OK)
            status = next_in_file(stream, batch);
        if (status != NC_OK)
            return status;
        if (batch->count)
            break;
        if (!stream->in_file)
            return nc_error(NC_BAD_INPUT, "%s: holds no captions",
                            nc_byte_stream_name(stream->bytes));
        close_file(stream);
    }
    batch->source = stream->paths[stream->next - 1];
    if (strcmp(batch->source, "-") == 0)
        batch->source = "standard input";
    stream->in_file += batch->count;
    stream->records += batch->count;
    batch->hash = XXH3_64bits_digest(stream->hash);
    batch->position = stream->before + nc_byte_stream_consumed(stream->bytes);
    return NC_OK;
}

void nc_caption_batch_free(struct nc_caption_batch *batch)
{
    captions_file_release(batch->file);
    free(batch->text);
    free(batch->lines);
    *batch = (struct nc_caption_batch){0};
}

/* ---- records ---- */

int nc_caption_batch_read(const struct nc_caption_batch *batch, size_t i,
                          struct nc_caption_parser *parser, struct nc_caption_record *record)
{
    if (batch->file) {
        snprintf(parser->where, sizeof parser->where, "%s: annotations[%zu]", batch->source,
                 batch->file_first + i);
        captions_file_record(batch->file, batch->file_first + i, record);
        return NC_OK;
    }
    const struct nc_caption_line *line = &batch->lines[i];
    snprintf(parser->where, sizeof parser->where, "%s line %zu", batch->source, line->number);
    cJSON_Delete(parser->tree);
    parser->tree = NULL;
    cJSON *tree;
    int status = nc_json_parse(parser->where, batch->text + line->offset, line->length, &tree);
    if (status != NC_OK)
        return status;
    parser->tree = tree;
    status = captions_record_texts(parser->where, tree, record);
    if (status == NC_OK)
        status = captions_record_pictures(parser->where, tree, record);
    return status == NC_OK ? captions_record_roles(parser->where, tree, parser, record) : status;
}
