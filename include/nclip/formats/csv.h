/* CSV as pandas writes it (RFC 4180): fields between commas, quoted where they hold commas,
 * quotes or line feeds, a quote inside doubled. The first row names the columns. Also the cells
 * in which a column holds a list, written as Python writes a list of strings.
 */
#ifndef NCLIP_FORMATS_CSV_H
#define NCLIP_FORMATS_CSV_H

#include <stdbool.h>
#include <stddef.h>

struct nc_csv {
    size_t columns, rows; /* rows: without the first one */
    char **cells;         /* [rows + 1, columns], zero-terminated; row 0 holds the names */
    char *text;           /* that the cells point into */
    const char *path;     /* borrowed; for messages */
    size_t *lines;        /* [rows + 1] on which line of the file a row starts */
};

/* "-" is standard input; at most 4 GiB. NC_BAD_INPUT names the file and the line: no rows, a row
 * with too few or too many fields, an open quote, a zero byte. Empty lines are passed over. */
int nc_csv_load(const char *path, struct nc_csv *csv);
void nc_csv_free(struct nc_csv *csv); /* {0} is allowed */

bool nc_csv_find(const struct nc_csv *csv, const char *column, size_t *index);
int nc_csv_column(const struct nc_csv *csv, const char *column, size_t *index); /* must be there */
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
