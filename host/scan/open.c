/* Opens a file and decides its format: the one that its name says if its first bytes can be of it,
 * else the one that they are of. */
#include "parts.h"

#include "nclip/formats/kind.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <string.h>

bool scan_file_in_blocks(const struct scan_file *file)
{
    return file->format != NC_SCAN_JSON && file->format != NC_SCAN_TAR;
}

void scan_file_close(struct scan_file *file)
{
    nc_blocks_close(file->blocks);
    file->blocks = NULL;
    nc_byte_stream_close(file->stream);
    file->stream = NULL;
}

/* Whether the first record names a column of captions. */
static bool names_column(const struct nc_scan_options *options, const char *head, size_t size,
                         char delimiter)
{
    enum { MOST = 64 };
    const struct nc_csv_form form = {delimiter, NC_CSV_QUOTED, 0};
    struct nc_csv_field fields[MOST];
    struct nc_csv_record record;
    size_t mark = nc_text_mark(head, size);
    if (mark == size)
        return false;
    nc_csv_next(&form, head + mark, head + size, true, 0, fields, MOST, &record);
    for (size_t i = 0; i < record.fields && i < MOST; i++)
        if (scan_field_rank(options, fields[i].text, fields[i].length) != SCAN_NO_FIELD)
            return true;
    return false;
}

/* A table of one column, or with records that are wrong, looks like lines of text but for the names
 * of its columns. */
static enum nc_scan_format table_or_text(const struct nc_scan_options *options, const char *head,
                                         size_t size)
{
    return names_column(options, head, size, ',')    ? NC_SCAN_CSV
           : names_column(options, head, size, '\t') ? NC_SCAN_TSV
                                                     : NC_SCAN_TEXT;
}

static int refuse(const struct scan_file *file, enum nc_kind kind)
{
    const char *name = nc_byte_stream_name(file->stream);
    if (kind == NC_KIND_PARQUET || kind == NC_KIND_ARROW)
        return nc_error(NC_BAD_INPUT,
                        "%s: %s is not read: let DuckDB pipe its texts in, as `nclip scan --help` "
                        "shows",
                        name, nc_kind_name(kind));
    if (kind == NC_KIND_UNKNOWN)
        return nc_error(NC_BAD_INPUT,
                        "%s: neither its name nor its first bytes tell its format: give --format "
                        "text, jsonl, json, csv, tsv or tar",
                        name);
    return nc_kind_refuse(name, kind, "captions (text, JSON, CSV, TSV or a tar)", NULL);
}

static int tell_format(struct scan_file *file, const struct nc_scan_options *options)
{
    const void *head;
    size_t size;
    bool whole;
    int status = nc_byte_stream_peek(file->stream, &head, &size, &whole);
    if (status != NC_OK)
        return status;
    enum nc_kind kind = nc_kind_of(head, size, whole);
    if (file->format != NC_SCAN_BY_NAME) {
        bool possible = nc_kind_is_text(kind) || kind == NC_KIND_UNKNOWN ||
                        (kind == NC_KIND_TAR && file->format == NC_SCAN_TAR);
        return possible ? NC_OK : refuse(file, kind);
    }
    switch (kind) {
    case NC_KIND_JSON:
        file->format = NC_SCAN_JSON;
        break;
    case NC_KIND_JSONL:
        file->format = NC_SCAN_JSONL;
        break;
    case NC_KIND_CSV:
        file->format = NC_SCAN_CSV;
        break;
    case NC_KIND_TSV:
        file->format = NC_SCAN_TSV;
        break;
    case NC_KIND_TAR:
        file->format = NC_SCAN_TAR;
        break;
    case NC_KIND_EMPTY:
    case NC_KIND_TEXT:
        file->format = table_or_text(options, head, size);
        break;
    default:
        return refuse(file, kind);
    }
    return NC_OK;
}

static struct nc_csv_form form_of(const struct scan_file *file,
                                  const struct nc_scan_options *options)
{
    bool tabs = file->format == NC_SCAN_TSV;
    struct nc_csv_form form = {tabs ? '\t' : ',', tabs ? NC_CSV_FITTING : NC_CSV_QUOTED, 0};
    if (options->quotes)
        form.quotes = strcmp(options->quotes, "none") == 0 ? NC_CSV_UNQUOTED : NC_CSV_QUOTED;
    return form;
}

int scan_file_open(struct scan_file *file, const struct nc_scan_options *options)
{
    int status = nc_byte_stream_open(file->path, &file->stream);
    if (status == NC_OK)
        status = tell_format(file, options);
    if (status != NC_OK || !scan_file_in_blocks(file))
        return status;
    bool table = file->format == NC_SCAN_CSV || file->format == NC_SCAN_TSV;
    struct nc_csv_form form = form_of(file, options);
    return nc_blocks_open(file->stream, table ? &form : NULL, options->block, &file->blocks);
}
