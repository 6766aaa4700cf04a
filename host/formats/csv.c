#include "nclip/formats/csv.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct parser {
    struct nc_csv *csv;
    const char *name;
    char *at, *end;
    size_t line, cell_count, cell_capacity, row_capacity;
};

static int add_cell(struct parser *parser, char *cell)
{
    struct nc_csv *csv = parser->csv;
    if (parser->cell_count == parser->cell_capacity) {
        size_t larger = parser->cell_capacity ? 2 * parser->cell_capacity : 256;
        char **cells = realloc(csv->cells, larger * sizeof *cells);
        if (!cells)
            return nc_error(NC_FAILED, "%s: no memory", parser->name);
        csv->cells = cells;
        parser->cell_capacity = larger;
    }
    csv->cells[parser->cell_count++] = cell;
    return NC_OK;
}

static int add_line(struct parser *parser, size_t row, size_t line)
{
    struct nc_csv *csv = parser->csv;
    if (row == parser->row_capacity) {
        size_t larger = parser->row_capacity ? 2 * parser->row_capacity : 64;
        size_t *lines = realloc(csv->lines, larger * sizeof *lines);
        if (!lines)
            return nc_error(NC_FAILED, "%s: no memory", parser->name);
        csv->lines = lines;
        parser->row_capacity = larger;
    }
    csv->lines[row] = line;
    return NC_OK;
}

/* Reads one field and decodes it in place. *last: it ends its row. */
static int read_field(struct parser *parser, bool *last)
{
    char *to = parser->at, *cell = to;
    size_t began = parser->line;
    bool quoted = parser->at < parser->end && *parser->at == '"';
    if (quoted) {
        for (parser->at++;; parser->at++) {
            if (parser->at == parser->end)
                return nc_error(NC_BAD_INPUT, "%s line %zu: a quote is never closed", parser->name,
                                began);
            if (*parser->at == '"') {
                if (parser->at[1] != '"')
                    break;
                parser->at++;
            }
            parser->line += *parser->at == '\n';
            *to++ = *parser->at;
        }
        parser->at++;
    }
    while (parser->at < parser->end && *parser->at != ',' && *parser->at != '\n')
        *to++ = *parser->at++;
    *last = parser->at == parser->end || *parser->at == '\n';
    if (parser->at < parser->end)
        parser->line += *parser->at++ == '\n';
    if (*last && to > cell && to[-1] == '\r')
        to--;
    *to = 0;
    return add_cell(parser, cell);
}

static bool blank_line(struct parser *parser)
{
    char *at = parser->at;
    at += at < parser->end && *at == '\r';
    if (at < parser->end && *at != '\n')
        return false;
    parser->at = at < parser->end ? at + 1 : at;
    parser->line++;
    return true;
}

static int read_rows(struct parser *parser)
{
    struct nc_csv *csv = parser->csv;
    size_t row = 0;
    while (parser->at < parser->end) {
        if (blank_line(parser))
            continue;
        size_t first = parser->cell_count, line = parser->line;
        bool last = false;
        int status = add_line(parser, row, line);
        while (status == NC_OK && !last)
            status = read_field(parser, &last);
        if (status != NC_OK)
            return status;
        size_t fields = parser->cell_count - first;
        if (row == 0)
            csv->columns = fields;
        else if (fields != csv->columns)
            return nc_error(NC_BAD_INPUT,
                            "%s line %zu: has %zu fields, but the first line names %zu columns",
                            parser->name, line, fields, csv->columns);
        row++;
    }
    if (row < 2)
        return nc_error(NC_BAD_INPUT, "%s: expected a CSV file: a line of column names, then rows",
                        parser->name);
    csv->rows = row - 1;
    return NC_OK;
}

int nc_csv_load(const char *path, struct nc_csv *csv)
{
    size_t size;
    *csv = (struct nc_csv){.path = path};
    int status = nc_file_read(path, (size_t)4 << 30, &csv->text, &size);
    if (status != NC_OK)
        return status;
    struct parser parser = {
        .csv = csv, .name = path, .at = csv->text, .end = csv->text + size, .line = 1};
    if (memchr(csv->text, 0, size))
        status = nc_error(NC_BAD_INPUT, "%s: not a text file: it holds a zero byte", path);
    if (size >= 3 && memcmp(csv->text, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
        parser.at += 3;
    if (status == NC_OK)
        status = read_rows(&parser);
    if (status != NC_OK)
        nc_csv_free(csv);
    return status;
}

void nc_csv_free(struct nc_csv *csv)
{
    free(csv->cells);
    free(csv->text);
    free(csv->lines);
    *csv = (struct nc_csv){0};
}

bool nc_csv_find(const struct nc_csv *csv, const char *column, size_t *index)
{
    for (size_t i = 0; i < csv->columns; i++) {
        if (strcmp(csv->cells[i], column) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

int nc_csv_column(const struct nc_csv *csv, const char *column, size_t *index)
{
    return nc_csv_find(csv, column, index)
               ? NC_OK
               : nc_error(NC_BAD_INPUT, "%s: has no column \"%s\"", csv->path, column);
}

char *nc_csv_cell(const struct nc_csv *csv, size_t row, size_t column)
{
    return csv->cells[(row + 1) * csv->columns + column];
}

static int wrong_cell(const struct nc_csv *csv, size_t row, size_t column, const char *expected)
{
    return nc_error(NC_BAD_INPUT, "%s line %zu: \"%s\" is \"%.40s\" (expected %s)", csv->path,
                    csv->lines[row + 1], csv->cells[column], nc_csv_cell(csv, row, column),
                    expected);
}

int nc_csv_number(const struct nc_csv *csv, size_t row, size_t column, double *value)
{
    const char *text = nc_csv_cell(csv, row, column);
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value) ? NC_OK
                                                    : wrong_cell(csv, row, column, "a number");
}

int nc_csv_size(const struct nc_csv *csv, size_t row, size_t column, size_t *value)
{
    double number;
    if (nc_csv_number(csv, row, column, &number) != NC_OK || number < 0 || number > 0x1p53 ||
        number != floor(number))
        return wrong_cell(csv, row, column, "a whole number");
    *value = (size_t)number;
    return NC_OK;
}

/* ---- Python's lists of strings ------------------------------------------------------------- */

/* Decodes the escape behind the backslash at *at. What it stands for is never longer. */
static bool escape(char **at, char **to)
{
    static const char letters[] = "nrtabfv\\'\"", values[] = "\n\r\t\a\b\f\v\\'\"";
    char letter = *(*at)++;
    const char *known = letter ? strchr(letters, letter) : NULL;
    if (known) {
        *(*to)++ = values[known - letters];
        return true;
    }
    size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (!digits || strspn(*at, "0123456789abcdefABCDEF") < digits)
        return false;
    char text[9] = "";
    memcpy(text, *at, digits);
    *at += digits;
    unsigned long code = strtoul(text, NULL, 16);
    if (!code || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return false;
    *to += utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)*to);
    return true;
}

static bool read_string(char **at, const char **string)
{
    char quote = **at, *to = *at + 1;
    *string = to;
    for ((*at)++; **at != quote;) {
        if (!**at)
            return false;
        if (**at == '\\') {
            (*at)++;
            if (!escape(at, &to))
                return false;
        } else {
            *to++ = *(*at)++;
        }
    }
    (*at)++;
    *to = 0;
    return true;
}

static char *skip_blank(char *at)
{
    return at + strspn(at, " \t\r\n");
}

int nc_python_strings(const char *where, char *cell, const char ***strings, size_t *count)
{
    size_t capacity = 0;
    char *at = skip_blank(cell);
    char close = *at == '[' ? ']' : *at == '(' ? ')' : 0;
    *strings = NULL;
    *count = 0;
    if (close)
        at = skip_blank(at + 1);
    while (close && *at != close) {
        const char *string;
        if ((*at != '\'' && *at != '"') || !read_string(&at, &string)) {
            close = 0;
            break;
        }
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 8;
            const char **larger = realloc(*strings, capacity * sizeof *larger);
            if (!larger) {
                free(*strings);
                *strings = NULL;
                return nc_error(NC_FAILED, "%s: no memory", where);
            }
            *strings = larger;
        }
        (*strings)[(*count)++] = string;
        at = skip_blank(at);
        if (*at == ',')
            at = skip_blank(at + 1);
        else if (*at != close)
            close = 0;
    }
    if (close && !*skip_blank(at + 1))
        return NC_OK;
    free(*strings);
    *strings = NULL;
    return nc_error(NC_BAD_INPUT,
                    "%s: expected a list of strings as Python writes it, ['...', '...']", where);
}

int nc_csv_strings(const struct nc_csv *csv, size_t row, size_t column, const char ***strings,
                   size_t *count)
{
    char where[4300];
    snprintf(where, sizeof where, "%s line %zu: \"%s\"", csv->path, csv->lines[row + 1],
             csv->cells[column]);
    return nc_python_strings(where, nc_csv_cell(csv, row, column), strings, count);
}
