/* Reads a table whole, and finds its columns and cells. */
#include "nclip/formats/csv.h"

#include "nclip/formats/kind.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loader {
    struct nc_csv *csv;
    const char *name;
    struct nc_csv_form form;
    struct nc_csv_field *fields; /* of one record */
    size_t field_capacity, cell_count, cell_capacity, row_capacity;
    char *to; /* where the next cell goes: behind the text, whose zeros need room */
};

/* `array` with room for `wanted` items. */
static int reserve(const struct loader *loader, void *array, size_t *capacity, size_t wanted,
                   size_t item)
{
    void **at = array;
    if (wanted <= *capacity)
        return NC_OK;
    size_t larger = wanted < 128 ? 256 : 2 * wanted;
    void *moved = reallocarray(*at, larger, item);
    if (!moved)
        return nc_error(NC_FAILED, "%s: no memory", loader->name);
    *at = moved;
    *capacity = larger;
    return NC_OK;
}

static int wrong_record(const struct loader *loader, size_t line,
                        const struct nc_csv_record *record)
{
    if (record->fields && record->fields != loader->form.columns)
        return nc_error(NC_BAD_INPUT,
                        "%s line %zu: has %zu fields, but the first line names %zu columns",
                        loader->name, line, record->fields, loader->form.columns);
    return nc_error(NC_BAD_INPUT, "%s line %zu: %s", loader->name, line, record->wrong);
}

/* Copies the record's fields into cells, behind each other. */
static int add_row(struct loader *loader, size_t row, size_t line, const char *at, const char *end,
                   struct nc_csv_record *record)
{
    struct nc_csv *csv = loader->csv;
    const struct nc_csv_form *form = &loader->form;
    nc_csv_next(form, at, end, true, 0, loader->fields, loader->field_capacity, record);
    if (record->wrong)
        return wrong_record(loader, line, record);
    int status = NC_OK;
    if (record->fields > loader->field_capacity) {
        status = reserve(loader, &loader->fields, &loader->field_capacity, record->fields,
                         sizeof *loader->fields);
        if (status == NC_OK)
            nc_csv_next(form, at, end, true, 0, loader->fields, loader->field_capacity, record);
    }
    if (status == NC_OK)
        status = reserve(loader, &csv->cells, &loader->cell_capacity,
                         loader->cell_count + record->fields, sizeof *csv->cells);
    if (status == NC_OK)
        status = reserve(loader, &csv->lines, &loader->row_capacity, row + 1, sizeof *csv->lines);
    if (status != NC_OK)
        return status;
    csv->lines[row] = line;
    for (size_t i = 0; i < record->fields; i++) {
        csv->cells[loader->cell_count++] = loader->to;
        loader->to += nc_csv_unquote(&loader->fields[i], loader->to);
        *loader->to++ = 0;
    }
    return NC_OK;
}

static size_t count_lines(const char *at, const char *end)
{
    struct nc_lines lines = nc_lines_of(at, (size_t)(end - at));
    size_t length;
    for (const char *line; nc_lines_next(&lines, &line, &length);)
        ;
    return lines.number;
}

static int read_rows(struct loader *loader, const char *text, size_t size)
{
    struct nc_csv *csv = loader->csv;
    size_t row = 0, line = 1;
    const char *end = text + size;
    int status = NC_OK;
    struct nc_csv_record record;
    for (const char *at = text; at < end && status == NC_OK; at = record.end) {
        if (*at == '\n' || *at == '\r') {
            record.end = at + 1 + (*at == '\r' && at + 1 < end && at[1] == '\n');
            line++;
            continue;
        }
        status = add_row(loader, row, line, at, end, &record);
        if (status == NC_OK && row++ == 0)
            csv->columns = loader->form.columns = record.fields;
        line += count_lines(at, record.end);
    }
    if (status == NC_OK && row < 2)
        status = nc_error(NC_BAD_INPUT,
                          "%s: expected a CSV file: a line of column names, then rows",
                          loader->name);
    csv->rows = row ? row - 1 : 0;
    return status;
}

int nc_csv_load(const char *path, struct nc_csv *csv)
{
    char *text;
    size_t size;
    *csv = (struct nc_csv){.path = path};
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    if (status != NC_OK)
        return status;
    struct loader loader = {.csv = csv, .name = path, .form = {',', NC_CSV_QUOTED, 0}};
    if (nc_kind_of(text, size, true) == NC_KIND_TSV)
        loader.form = (struct nc_csv_form){'\t', NC_CSV_FITTING, 0};
    /* A cell takes its characters and a zero, for which its delimiter or line end makes room. */
    loader.to = csv->text = malloc(size + 2);
    if (!csv->text)
        status = nc_error(NC_FAILED, "%s: no memory", path);
    else
        status = read_rows(&loader, text, size);
    free(loader.fields);
    free(text);
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
    if (!nc_csv_find(csv, column, index))
        return nc_error(NC_BAD_INPUT, "%s: has no column \"%s\"", csv->path, column);
    for (size_t i = *index + 1; i < csv->columns; i++)
        if (strcmp(csv->cells[i], column) == 0)
            return nc_error(NC_BAD_INPUT,
                            "%s: names the column \"%s\" twice (%zu and %zu): rename one of them",
                            csv->path, column, *index + 1, i + 1);
    return NC_OK;
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

int nc_csv_strings(const struct nc_csv *csv, size_t row, size_t column, const char ***strings,
                   size_t *count)
{
    char where[4300];
    snprintf(where, sizeof where, "%s line %zu: \"%s\"", csv->path, csv->lines[row + 1],
             csv->cells[column]);
    return nc_python_strings(where, nc_csv_cell(csv, row, column), strings, count);
}
