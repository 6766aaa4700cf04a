/* Reads named columns of strings by the reader of the table's format. */
#include "nclip/formats/table.h"

#include "nclip/formats/csv.h"
#include "nclip/formats/json.h"
#include "nclip/formats/kind.h"
#include "nclip/formats/parquet.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/text_pool.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(const char *path)
{
    return nc_error(NC_FAILED, "%s: no memory for its columns", path);
}

/* A copy that the table owns, or NULL for NULL. */
static bool keep(struct nc_table *table, const char *text, const char **copy)
{
    struct nc_text_pool *pool = table->pool;
    *copy = text ? nc_text_pool_copy(&pool, text) : NULL;
    table->pool = pool;
    return *copy || !text;
}

static int make_room(const char *path, struct nc_table *table, size_t rows)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const char **larger =
            reallocarray(table->columns[i].cells, rows ? rows : 1, sizeof *larger);
        if (!larger)
            return no_memory(path);
        table->columns[i].cells = larger;
    }
    return NC_OK;
}

/* ---- JSON lines ------------------------------------------------------------------------------- */

struct lines {
    const char *path;
    struct nc_table *table;
    size_t capacity;
};

static int read_object(void *context, const char *where, const cJSON *object)
{
    struct lines *lines = context;
    struct nc_table *table = lines->table;
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: not an object", where);
    if (table->rows == lines->capacity) {
        lines->capacity = lines->capacity ? 2 * lines->capacity : 1024;
        int status = make_room(lines->path, table, lines->capacity);
        if (status != NC_OK)
            return status;
    }
    for (size_t i = 0; i < table->column_count; i++) {
        struct nc_table_column *column = &table->columns[i];
        const cJSON *member = nc_json_member(object, column->name);
        char number[NC_JSON_ID];
        const char *text = NULL;
        column->found |= member != NULL;
        if (member && !cJSON_IsNull(member)) {
            int status = nc_json_id(where, object, column->name, number, &text);
            if (status != NC_OK)
                return status;
        }
        if (!keep(table, text, &column->cells[table->rows]))
            return no_memory(lines->path);
    }
    table->rows++;
    return NC_OK;
}

static int read_json(const char *path, struct nc_table *table)
{
    struct lines lines = {.path = path, .table = table};
    int status = nc_json_lines_load(path, false, read_object, &lines);
    for (size_t i = 0; i < table->column_count && status == NC_OK; i++)
        if (!table->columns[i].found && !table->columns[i].optional)
            status = nc_error(NC_BAD_INPUT, "%s: no line has a \"%s\"", path,
                              table->columns[i].name);
    return status;
}

/* ---- CSV, TSV --------------------------------------------------------------------------------- */

static int read_csv(const char *path, struct nc_table *table)
{
    struct nc_csv csv;
    int status = nc_csv_load(path, &csv);
    if (status != NC_OK)
        return status;
    status = make_room(path, table, csv.rows);
    for (size_t i = 0; i < table->column_count && status == NC_OK; i++) {
        struct nc_table_column *column = &table->columns[i];
        size_t index = 0;
        column->found = nc_csv_find(&csv, column->name, &index);
        if (column->found || !column->optional)
            status = nc_csv_column(&csv, column->name, &index);
        for (size_t row = 0; row < csv.rows && status == NC_OK; row++) {
            const char *text = column->found ? nc_csv_cell(&csv, row, index) : NULL;
            if (!keep(table, text, &column->cells[row]))
                status = no_memory(path);
        }
    }
    table->rows = csv.rows;
    nc_csv_free(&csv);
    return status;
}

/* ---- Lines ------------------------------------------------------------------------------------ */

static int read_text(const char *path, struct nc_table *table)
{
    char *text;
    size_t size, length, capacity = 0;
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    if (status != NC_OK)
        return status;
    struct nc_lines lines = nc_lines_of(text, size);
    table->plain = true;
    table->columns[0].found = true;
    for (char *line; status == NC_OK && (line = nc_lines_cut(&lines, &length));) {
        /* A CSV of one column has no comma to tell it by, but its column's name. */
        if (nc_is_blank(line, length) ||
            (!table->rows && lines.number == 1 && strcmp(line, table->columns[0].name) == 0))
            continue;
        if (table->rows == capacity)
            status = make_room(path, table, capacity = capacity ? 2 * capacity : 1024);
        if (status == NC_OK && !keep(table, line, &table->columns[0].cells[table->rows++]))
            status = no_memory(path);
        for (size_t i = 1; i < table->column_count && status == NC_OK; i++)
            table->columns[i].cells[table->rows - 1] = NULL;
    }
    free(text);
    for (size_t i = 1; i < table->column_count && status == NC_OK; i++)
        if (!table->columns[i].optional)
            status = nc_error(NC_BAD_INPUT,
                              "%s: plain lines, where columns \"%s\" and \"%s\" are needed", path,
                              table->columns[0].name, table->columns[i].name);
    return status;
}

/* ----------------------------------------------------------------------------------------------- */

static int read_any(const char *path, struct nc_table *table)
{
    enum nc_kind kind;
    int status = nc_kind_of_file(path, &kind);
    if (status == NC_OK && kind == NC_KIND_PARQUET)
        return nc_parquet_read(path, table);
    if (status == NC_OK)
        status = nc_text_kind_of_file(path, &kind);
    if (status != NC_OK)
        return status;
    if (kind == NC_KIND_JSONL || kind == NC_KIND_JSON)
        return read_json(path, table);
    if (kind == NC_KIND_CSV || kind == NC_KIND_TSV)
        return read_csv(path, table);
    if (nc_kind_is_text(kind))
        return read_text(path, table);
    return nc_kind_refuse(path, kind, "Parquet, CSV, TSV, JSON lines or text", NULL);
}

int nc_table_read(const char *path, struct nc_table_column *columns, size_t count,
                  struct nc_table *table)
{
    *table = (struct nc_table){.columns = columns, .column_count = count};
    for (size_t i = 0; i < count; i++) {
        columns[i].found = false;
        columns[i].cells = NULL;
    }
    int status = read_any(path, table);
    if (status != NC_OK)
        nc_table_free(table);
    return status;
}

void nc_table_free(struct nc_table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        free(table->columns[i].cells);
        table->columns[i].cells = NULL;
    }
    nc_text_pool_free(table->pool);
    *table = (struct nc_table){0};
}
