/* Counts the captions of a block: lines of text, lines of JSON, records of a table. */
#include "parts.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static const char zero_byte[] = "a zero byte in it: not text";

void scan_work_free(struct scan_work *work)
{
    nc_block_free(&work->block);
    free(work->scratch);
    nc_json_reader_free(&work->reader);
    *work = (struct scan_work){0};
}

static bool is_table(const struct scan_file *file)
{
    return file->format == NC_SCAN_CSV || file->format == NC_SCAN_TSV;
}

/* ---- Which column ------------------------------------------------------------------------ */

/* The field without its quotes: *text, *length. */
static int unquote(struct scan_work *work, const struct nc_csv_field *field, const char **text,
                   size_t *length)
{
    *text = field->text;
    *length = field->length;
    if (!field->doubled)
        return NC_OK;
    if (field->length > work->scratch_capacity) {
        char *larger = realloc(work->scratch, field->length);
        if (!larger)
            return nc_error(NC_FAILED, "scan: no memory for %zu bytes", field->length);
        work->scratch = larger;
        work->scratch_capacity = field->length;
    }
    *length = nc_csv_unquote(field, work->scratch);
    *text = work->scratch;
    return NC_OK;
}

static int find_column(struct scan_file *file, const struct nc_scan_options *options,
                       struct scan_work *work, const struct nc_csv_field *fields, size_t count)
{
    int best = SCAN_NO_FIELD;
    size_t twice = 0; /* a second column of that name */
    for (size_t i = 0; i < count; i++) {
        const char *text;
        size_t length;
        int status = unquote(work, &fields[i], &text, &length);
        if (status != NC_OK)
            return status;
        int rank = scan_field_rank(options, text, length);
        if (rank == SCAN_NO_FIELD || (best != SCAN_NO_FIELD && rank > best))
            continue;
        twice = rank == best ? i : 0;
        if (rank != best)
            file->column = i;
        best = rank;
    }
    const char *name = nc_byte_stream_name(file->stream);
    if (best != SCAN_NO_FIELD && twice)
        return nc_error(NC_BAD_INPUT,
                        "%s: its first line names the captions' column twice (%zu and %zu): give "
                        "--field and its number, without the first line",
                        name, file->column + 1, twice + 1);
    if (best != SCAN_NO_FIELD)
        return NC_OK;
    if (options->field)
        return nc_error(NC_BAD_INPUT, "%s: its first line names no column \"%s\"", name,
                        options->field);
    return nc_error(NC_BAD_INPUT,
                    "%s: its first line names no column of captions: give --field and the "
                    "column's name or number",
                    name);
}

/* Reads the names of columns and takes them, and blank lines before them, off the block. */
static int read_names(struct scan_file *file, const struct nc_scan_options *options,
                      struct scan_work *work)
{
    struct nc_block *block = &work->block;
    const char *at = block->bytes, *end = at + block->size;
    struct nc_csv_record record;
    while (nc_csv_next(&work->form, at, end, true, 0, NULL, 0, &record) &&
           nc_is_blank(at, (size_t)(record.end - at)))
        at = record.end;
    struct nc_csv_field *fields = calloc(record.fields + 1, sizeof *fields);
    if (!fields)
        return nc_error(NC_FAILED, "scan: no memory for %zu columns", record.fields);
    nc_csv_next(&work->form, at, end, true, 0, fields, record.fields, &record);
    int status = find_column(file, options, work, fields, record.fields);
    free(fields);
    size_t names = (size_t)(record.end - block->bytes);
    memmove(block->bytes, record.end, block->size - names);
    block->size -= names;
    block->offset += names;
    return status;
}

/* A number means that no names are there. */
static bool is_number(const char *field)
{
    return field && *field && field[strspn(field, "0123456789")] == 0;
}

int scan_lines_read(struct scan_file *file, const struct nc_scan_options *options,
                    struct scan_work *work)
{
    struct nc_block *block = &work->block;
    int status = nc_blocks_read(file->blocks, block);
    work->form = *nc_blocks_form(file->blocks);
    if (status != NC_OK || !is_table(file) || file->named || !work->form.columns)
        return status;
    file->named = true;
    if (is_number(options->field)) {
        unsigned long number = strlen(options->field) < 9 ? strtoul(options->field, NULL, 10) : 0;
        file->column = number - 1;
        return number ? NC_OK
                      : nc_error(NC_USAGE, "--field %s: columns are numbered from 1",
                                 options->field);
    }
    return read_names(file, options, work);
}

/* ---- Counting ---------------------------------------------------------------------------- */

static int count_line(const struct scan_file *file, size_t index, uint64_t offset, const char *line,
                      size_t length, struct scan_work *work, struct scan_tally *tally)
{
    if (file->format == NC_SCAN_TEXT)
        return scan_tally_caption(tally, index, offset, line, length);
    const char *caption, *reason;
    size_t size;
    int status =
        scan_object_caption(line, length, tally->options, work, &caption, &size, &reason);
    if (status == NC_OK && !reason)
        status = scan_tally_caption(tally, index, offset, caption, size);
    else if (status == NC_OK)
        scan_tally_unread(tally, index, offset, reason);
    return status;
}

static int count_lines(const struct scan_file *file, size_t index, bool zeros,
                       struct scan_work *work, struct scan_tally *tally)
{
    const struct nc_block *block = &work->block;
    struct nc_lines lines = nc_lines_of(block->bytes, block->size);
    const char *line;
    size_t length;
    int status = NC_OK;
    while (status == NC_OK && nc_lines_next(&lines, &line, &length)) {
        uint64_t offset = block->offset + (uint64_t)(line - block->bytes);
        if (nc_is_blank(line, length))
            continue;
        if (zeros && memchr(line, 0, length))
            scan_tally_unread(tally, index, offset, zero_byte);
        else
            status = count_line(file, index, offset, line, length, work, tally);
    }
    return status;
}

static int count_records(const struct scan_file *file, size_t index, bool zeros,
                         struct scan_work *work, struct scan_tally *tally)
{
    const struct nc_block *block = &work->block;
    const char *at = block->bytes, *end = at + block->size;
    struct nc_csv_record record;
    int status = NC_OK;
    for (; at < end && status == NC_OK; at = record.end) {
        struct nc_csv_field field;
        uint64_t offset = block->offset + (uint64_t)(at - block->bytes);
        nc_csv_next(&work->form, at, end, true, file->column, &field, 1, &record);
        size_t size = (size_t)(record.end - at);
        if (nc_is_blank(at, size))
            continue;
        const char *wrong = record.wrong;
        if (!wrong && file->column >= record.fields)
            wrong = "too few columns";
        if (!wrong && zeros && memchr(at, 0, size))
            wrong = zero_byte;
        if (!wrong && nc_is_blank(field.text, field.length))
            wrong = "an empty cell";
        if (wrong) {
            scan_tally_unread(tally, index, offset, wrong);
            continue;
        }
        const char *text;
        size_t length;
        status = unquote(work, &field, &text, &length);
        if (status == NC_OK)
            status = scan_tally_caption(tally, index, offset, text, length);
    }
    return status;
}

int scan_lines_count(const struct scan_file *file, size_t index, struct scan_work *work,
                     struct scan_tally *tally)
{
    const struct nc_block *block = &work->block;
    tally->bytes += block->size;
    bool zeros = block->size && memchr(block->bytes, 0, block->size);
    return is_table(file) ? count_records(file, index, zeros, work, tally)
                          : count_lines(file, index, zeros, work, tally);
}
