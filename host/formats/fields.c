/* Splits lines into fields between tabs. */
#include "nclip/formats/fields.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static int add_line(struct nc_fields *lines, char *text, size_t number, size_t least, size_t most)
{
    struct nc_fields_line line = {.number = number};
    size_t fields = 0;
    for (char *at = text; at; fields++) {
        char *tab = strchr(at, '\t');
        if (fields < NC_MOST_FIELDS)
            line.fields[fields] = at;
        if (tab)
            *tab++ = 0;
        at = tab;
    }
    if (fields < least || fields > most)
        return nc_error(NC_BAD_INPUT, "%s line %zu: has %zu fields between tabs (expected %zu%s)",
                        lines->name, number, fields, most, least < most ? ", or fewer" : "");
    for (size_t i = 0; i < fields; i++)
        if (!*line.fields[i])
            return nc_error(NC_BAD_INPUT, "%s line %zu: field %zu is empty", lines->name, number,
                            i + 1);
    if ((lines->count & (lines->count - 1)) == 0) {
        struct nc_fields_line *larger =
            realloc(lines->lines, (lines->count ? 2 * lines->count : 1) * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", lines->name);
        lines->lines = larger;
    }
    lines->lines[lines->count++] = line;
    return NC_OK;
}

int nc_fields_split(const char *name, char *text, size_t size, size_t least, size_t most,
                    struct nc_fields *fields)
{
    *fields = (struct nc_fields){.name = name, .text = text};
    struct nc_lines lines = nc_lines_of(text, size);
    size_t length;
    int status = NC_OK;
    for (char *line; status == NC_OK && (line = nc_lines_cut(&lines, &length));)
        if (!nc_is_blank(line, length) && *line != '#')
            status = add_line(fields, line, lines.number, least, most);
    if (status == NC_OK && !fields->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no line", name);
    if (status != NC_OK)
        nc_fields_free(fields);
    return status;
}

void nc_fields_free(struct nc_fields *fields)
{
    free(fields->text);
    free(fields->lines);
    *fields = (struct nc_fields){0};
}
