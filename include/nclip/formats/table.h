/* Columns of strings, by their names, from a table of any kind: Parquet, CSV, TSV, JSON lines; or
 * the lines of a text, which are its one column, whatever it is called (a first line that is the
 * column's name is no cell).
 *
 * Whole numbers count as strings (42). A cell that is null or missing is NULL. */
#ifndef NCLIP_FORMATS_TABLE_H
#define NCLIP_FORMATS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct nc_table_column {
    const char *name;
    bool optional;      /* else NC_BAD_INPUT where there is none */
    bool found;         /* set on return: in JSON lines, on any line */
    const char **cells; /* [rows] */
};

struct nc_table {
    size_t rows;
    bool plain; /* a text: its lines went to the first column, and others were not found */
    void *pool; /* of the strings */
    struct nc_table_column *columns; /* the caller's */
    size_t column_count;
};

/* Reads the named columns of a whole file (texts: at most 4 GiB, packed or not). Strings belong to
 * the table, and stay until it is freed. Empty lines of texts and JSON lines are passed over.
 * NC_BAD_INPUT names the file, and the line or row: a cell that is no string, a required column
 * that is missing, with those that are there, a file of another kind; Parquet where this build does
 * not read it, with the line that turns it into JSON lines. */
int nc_table_read(const char *path, struct nc_table_column *columns, size_t count,
                  struct nc_table *table);
void nc_table_free(struct nc_table *table); /* {0} is allowed */

#endif
