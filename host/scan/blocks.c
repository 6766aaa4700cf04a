/* Files of lines and records, cut into blocks that threads count on their own. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 }; /* read at once, unless the options say otherwise */

/* ---- Reading ------------------------------------------------------------------------- */

static int grow(char **bytes, size_t *capacity, size_t wanted)
{
    if (*capacity >= wanted)
        return NC_OK;
    char *larger = realloc(*bytes, wanted);
    if (!larger)
        return nc_error(NC_FAILED, "scan: no memory for %zu bytes", wanted);
    *bytes = larger;
    *capacity = wanted;
    return NC_OK;
}

static char delimiter(const struct scan_file *file)
{
    return file->format == NC_SCAN_TSV ? '\t' : ',';
}

static bool has_columns(const struct scan_file *file)
{
    return file->format == NC_SCAN_CSV || file->format == NC_SCAN_TSV;
}

/* Bytes of the byte order mark, if the file begins with one. */
static size_t mark(const char *bytes, size_t size, uint64_t offset)
{
    return offset == 0 && size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* The quote that closes the one at `at`, or NULL. In between, two stand for one. */
static const char *closing_quote(const char *at, const char *end)
{
    for (at++; at < end; at += 2) {
        at = memchr(at, '"', (size_t)(end - at));
        if (!at || at + 1 == end || at[1] != '"')
            return at;
    }
    return NULL;
}

/* Where a record ends, behind its line feed, if it does within [at, end); else NULL. A quote opens
 * a field only at its start. */
static const char *record_end(const char *at, const char *end, char comma)
{
    while (at < end) {
        if (*at == '"') {
            at = closing_quote(at, end);
            if (!at)
                return NULL;
            at++;
        }
        while (at < end && *at != comma && *at != '\n')
            at++;
        if (at == end)
            return NULL;
        if (*at++ == '\n')
            return at;
    }
    return NULL;
}

/* Bytes of whole lines or records at the start of the block. */
static size_t whole(const struct scan_file *file, const char *bytes, size_t size)
{
    if (!has_columns(file)) {
        const char *newline = memrchr(bytes, '\n', size);
        return newline ? (size_t)(newline + 1 - bytes) : 0;
    }
    const char *at = bytes, *next, *start = bytes + mark(bytes, size, file->offset);
    while ((next = record_end(at == bytes ? start : at, bytes + size, delimiter(file))))
        at = next;
    return (size_t)(at - bytes);
}

static int too_long(const struct scan_file *file)
{
    return nc_error(NC_BAD_INPUT, "%s: %s of more than %d MiB at byte %llu%s",
                    nc_byte_stream_name(file->stream), has_columns(file) ? "a record" : "a line",
                    NC_SCAN_LONGEST >> 20, (unsigned long long)file->offset,
                    has_columns(file) ? ": is a quote missing before?" : "");
}

static int read_header(struct scan_file *file, const struct nc_scan_options *options,
                       struct scan_block *block);

int scan_block_read(struct scan_file *file, const struct nc_scan_options *options,
                    struct scan_block *block)
{
    size_t used = file->carry_size, complete = 0, usual = options->block ? options->block : BLOCK;
    size_t wanted = 2 * used > usual ? 2 * used : usual;
    int status = grow(&block->bytes, &block->capacity, wanted);
    block->size = 0;
    block->last = false;
    if (status != NC_OK)
        return status;
    if (used)
        memcpy(block->bytes, file->carry, used);
    for (;;) {
        size_t got;
        status = nc_byte_stream_read(file->stream, block->bytes + used, wanted - used, &got);
        if (status != NC_OK)
            return status;
        bool end = used + got < wanted;
        used += got;
        complete = end ? used : whole(file, block->bytes, used);
        if (end || complete)
            break;
        if (used >= NC_SCAN_LONGEST)
            return too_long(file);
        wanted = 2 * used;
        status = grow(&block->bytes, &block->capacity, wanted);
        if (status != NC_OK)
            return status;
    }
    file->carry_size = used - complete;
    status = grow(&file->carry, &file->carry_capacity, file->carry_size ? file->carry_size : 1);
    if (status != NC_OK)
        return status;
    memcpy(file->carry, block->bytes + complete, file->carry_size);
    block->size = complete;
    block->offset = file->offset;
    file->offset += complete;
    block->last = complete == 0;
    if (!file->began) {
        file->began = true;
        if (has_columns(file))
            status = read_header(file, options, block);
    }
    return status;
}

void scan_block_free(struct scan_block *block)
{
    free(block->bytes);
    free(block->scratch);
    if (block->text)
        scan_text_free(block->text);
    free(block->text);
    *block = (struct scan_block){0};
}

/* ---- Records of columns ------------------------------------------------------------------ */

struct field {
    const char *text;
    size_t length;
    bool there, quoted, open; /* open: its quote is never closed */
};

/* Field `column` of the record at `at`; *end is behind the record. */
static struct field field_of(const char *at, const char *stop, char comma, size_t column,
                             const char **end)
{
    struct field field = {0};
    for (size_t i = 0;; i++) {
        const char *start = at, *closed = NULL;
        bool open = false;
        if (at < stop && *at == '"') {
            const char *quote = closing_quote(at, stop);
            open = quote == NULL;
            closed = open ? stop : quote;
            at = open ? stop : quote + 1;
        }
        while (at < stop && *at != comma && *at != '\n')
            at++;
        if (i == column) {
            field = (struct field){start, (size_t)(at - start), true, closed != NULL, open};
            if (closed) {
                field.text = start + 1;
                field.length = (size_t)(closed - start - 1);
            } else if (field.length && (at == stop || *at == '\n') && at[-1] == '\r') {
                field.length--;
            }
        }
        if (at == stop || *at == '\n') {
            *end = at == stop ? at : at + 1;
            return field;
        }
        at++;
    }
}

/* The text without its quotes: "" stands for ". */
static int unquote(struct scan_block *block, struct field *field)
{
    if (!field->quoted || !memchr(field->text, '"', field->length))
        return NC_OK;
    int status = grow(&block->scratch, &block->scratch_capacity, field->length);
    if (status != NC_OK)
        return status;
    size_t used = 0;
    for (size_t i = 0; i < field->length; i++) {
        block->scratch[used++] = field->text[i];
        i += field->text[i] == '"' && i + 1 < field->length && field->text[i + 1] == '"';
    }
    field->text = block->scratch;
    field->length = used;
    return NC_OK;
}

/* Finds the column. Its number means that there is no header. */
static int read_header(struct scan_file *file, const struct nc_scan_options *options,
                       struct scan_block *block)
{
    const char *name = nc_byte_stream_name(file->stream), *wanted = options->field;
    if (wanted && *wanted && wanted[strspn(wanted, "0123456789")] == 0) {
        unsigned long number = strlen(wanted) < 9 ? strtoul(wanted, NULL, 10) : 0;
        if (!number)
            return nc_error(NC_USAGE, "--field %s: columns are numbered from 1", wanted);
        file->column = number - 1;
        return NC_OK;
    }
    const char *start = block->bytes, *stop = start + block->size, *end = start;
    start += mark(start, block->size, block->offset);
    int best = SCAN_NO_FIELD;
    for (size_t i = 0; block->size; i++) {
        struct field field = field_of(start, stop, delimiter(file), i, &end);
        if (!field.there)
            break;
        int status = unquote(block, &field);
        if (status != NC_OK)
            return status;
        int rank = scan_field_rank(options, field.text, field.length);
        if (rank != SCAN_NO_FIELD && (best == SCAN_NO_FIELD || rank < best)) {
            best = rank;
            file->column = i;
        }
    }
    if (best == SCAN_NO_FIELD && block->size)
        return nc_error(NC_BAD_INPUT,
                        wanted ? "%s: its first line names no column \"%s\""
                               : "%s: its first line names no column of captions: give --field and "
                                 "the column's name or number%s",
                        name, wanted ? wanted : "");
    size_t header = (size_t)(end - block->bytes);
    memmove(block->bytes, block->bytes + header, block->size - header);
    block->size -= header;
    block->offset += header;
    return NC_OK;
}

/* ---- Counting -------------------------------------------------------------------------- */

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r\n\f\v", text[i]) || !text[i])
            return false;
    return true;
}

static int count_object(size_t index, uint64_t offset, const char *line, size_t length,
                        struct scan_block *block, struct scan_tally *tally)
{
    bool found, no_memory;
    if (!block->text && !(block->text = calloc(1, sizeof *block->text)))
        return nc_error(NC_FAILED, "scan: no memory");
    bool whole_object =
        scan_json_object(line, length, tally->options, block->text, &found, &no_memory);
    if (no_memory)
        return nc_error(NC_FAILED, "scan: no memory for a caption");
    if (whole_object && found)
        return scan_tally_caption(tally, index, offset, block->text->bytes, block->text->size);
    scan_tally_unread(tally, index, offset,
                      whole_object ? "no caption in the object" : "not one JSON object");
    return NC_OK;
}

static int count_lines(const struct scan_file *file, size_t index, struct scan_block *block,
                       struct scan_tally *tally)
{
    const char *at = block->bytes, *stop = at + block->size;
    int status = NC_OK;
    at += mark(at, block->size, block->offset);
    while (at < stop && status == NC_OK) {
        const char *newline = memchr(at, '\n', (size_t)(stop - at));
        size_t length = (size_t)((newline ? newline : stop) - at);
        size_t end = length && at[length - 1] == '\r' ? length - 1 : length;
        uint64_t offset = block->offset + (uint64_t)(at - block->bytes);
        if (!is_blank(at, end))
            status = file->format == NC_SCAN_TEXT
                         ? scan_tally_caption(tally, index, offset, at, end)
                         : count_object(index, offset, at, end, block, tally);
        at += length + 1;
    }
    return status;
}

static int count_records(const struct scan_file *file, size_t index, struct scan_block *block,
                         struct scan_tally *tally)
{
    const char *at = block->bytes, *stop = at + block->size, *end;
    at += mark(at, block->size, block->offset);
    for (; at < stop; at = end) {
        uint64_t offset = block->offset + (uint64_t)(at - block->bytes);
        struct field field = field_of(at, stop, delimiter(file), file->column, &end);
        if (is_blank(at, (size_t)(end - at)))
            continue;
        if (!field.there || field.open) {
            scan_tally_unread(tally, index, offset,
                              field.open ? "a quote that is never closed" : "too few columns");
            continue;
        }
        int status = unquote(block, &field);
        if (status == NC_OK)
            status = scan_tally_caption(tally, index, offset, field.text, field.length);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

int scan_block_count(const struct scan_file *file, size_t index, struct scan_block *block,
                     struct scan_tally *tally)
{
    tally->bytes += block->size;
    return has_columns(file) ? count_records(file, index, block, tally)
                             : count_lines(file, index, block, tally);
}
