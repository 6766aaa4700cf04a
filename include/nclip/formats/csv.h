/* Tables: CSV and TSV. The first record names the columns.
 *
 * CSV is RFC 4180's: a field that begins with a quote ends at the next one that is not doubled.
 * Lines end with \n, \r\n or \r. A record is wrong, and never guessed at, when it has more or fewer
 * fields than the first one, or text behind a closing quote; reading goes on at the next line, so
 * that a lone quote costs one record and not all behind it.
 *
 * TSV has no quotes by its definition, and lone ones in real files (CC3M, CC12M); pandas quotes
 * nevertheless. So a cell that is quoted from end to end loses its quotes, and a line that opens a
 * quote is joined to those behind it only when together they have the right number of fields and
 * none of those behind it has it alone. Any other quote is a character.
 *
 * Also the cells in which a column holds a list, written as Python writes a list of strings.
 */
#ifndef NCLIP_FORMATS_CSV_H
#define NCLIP_FORMATS_CSV_H

#include <stdbool.h>
#include <stddef.h>

enum nc_csv_quotes {
    NC_CSV_QUOTED,   /* as RFC 4180 has it */
    NC_CSV_FITTING,  /* as the number of fields tells: TSV */
    NC_CSV_UNQUOTED, /* a quote is a character */
};

struct nc_csv_form {
    char delimiter;
    enum nc_csv_quotes quotes;
    size_t columns; /* of every record; 0: not known yet */
};

struct nc_csv_field {
    const char *text; /* without the quotes around it */
    size_t length;
    bool doubled; /* it holds quotes that are doubled: nc_csv_unquote() */
};

struct nc_csv_record {
    const char *end; /* behind its line's end */
    size_t fields;
    const char *wrong; /* static, why it is no record: "too many columns ..."; NULL: all well */
};

/* The record at `at` < `end`. Fields `first` to `first + count - 1` go to `fields` (as far as there
 * are such). False: its end is not within [at, end), and there is more behind (`!whole`). */
bool nc_csv_next(const struct nc_csv_form *form, const char *at, const char *end, bool whole,
                 size_t first, struct nc_csv_field *fields, size_t count,
                 struct nc_csv_record *record);

/* Copies the field with its doubled quotes as one; `to` has room for field->length bytes. Returns
 * how many it took. */
size_t nc_csv_unquote(const struct nc_csv_field *field, char *to);

struct nc_csv {
    size_t columns, rows; /* rows: without the first one */
    char **cells;         /* [rows + 1, columns], zero-terminated; row 0 holds the names */
    char *text;           /* that the cells point into */
    const char *path;     /* borrowed; for messages */
    size_t *lines;        /* [rows + 1] on which line of the file a row starts */
};

/* "-" is standard input; at most 4 GiB, packed or not. TSV is told from CSV by its first lines.
 * NC_BAD_INPUT names the file and the line: no rows, a record that is wrong, what is no text. Empty
 * lines are passed over. */
int nc_csv_load(const char *path, struct nc_csv *csv);
void nc_csv_free(struct nc_csv *csv); /* {0} is allowed */

bool nc_csv_find(const struct nc_csv *csv, const char *column, size_t *index);
/* The column must be there, and once. */
int nc_csv_column(const struct nc_csv *csv, const char *column, size_t *index);
char *nc_csv_cell(const struct nc_csv *csv, size_t row, size_t column);         /* row from 0 */

/* The cell as a finite number, or as a whole number from 0. NC_BAD_INPUT names file, line, column.
 */
int nc_csv_number(const struct nc_csv *csv, size_t row, size_t column, double *value);
int nc_csv_size(const struct nc_csv *csv, size_t row, size_t column, size_t *value);

/* "['a', \"it's\"]": a Python list or tuple of strings. Decodes the strings inside the cell, which
 * is changed, and points *strings at them; the caller frees the array. `where` names the cell. */
int nc_python_strings(const char *where, char *cell, const char ***strings, size_t *count);
int nc_csv_strings(const struct nc_csv *csv, size_t row, size_t column, const char ***strings,
                   size_t *count);

#endif
