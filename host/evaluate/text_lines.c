#include "text_lines.h"

#include "built_in.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

static int read_text(const char *path, struct text_lines *lines, size_t *size)
{
    lines->name = path;
    for (size_t i = 0; !nc_file_exists(path) && nc_benchmark_file_names[i]; i++) {
        if (strcmp(nc_benchmark_file_names[i], path) != 0)
            continue;
        *size = strlen(nc_benchmark_file_texts[i]);
        lines->text = strdup(nc_benchmark_file_texts[i]);
        return lines->text ? NC_OK : nc_error(NC_FAILED, "%s: no memory", path);
    }
    int status = nc_file_read(path, (size_t)1 << 28, &lines->text, size);
    if (status == NC_OK && memchr(lines->text, 0, *size))
        status = nc_error(NC_BAD_INPUT, "%s: not a text file: it holds a zero byte", path);
    return status;
}

static int add_line(struct text_lines *lines, char *text, size_t number, size_t least, size_t most)
{
    struct text_line line = {.number = number};
    size_t fields = 0;
    for (char *at = text; at; fields++) {
        char *tab = strchr(at, '\t');
        if (fields < MOST_FIELDS)
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
        struct text_line *larger =
            realloc(lines->lines, (lines->count ? 2 * lines->count : 1) * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", lines->name);
        lines->lines = larger;
    }
    lines->lines[lines->count++] = line;
    return NC_OK;
}

int text_lines_load(const char *path, size_t least, size_t most, struct text_lines *lines)
{
    size_t size, number = 0;
    *lines = (struct text_lines){0};
    int status = read_text(path, lines, &size);
    for (char *at = lines->text, *next; status == NC_OK && at && *at; at = next) {
        size_t length = strcspn(at, "\n");
        next = at + length + (at[length] == '\n');
        at[length] = 0;
        if (length && at[length - 1] == '\r')
            at[length - 1] = 0;
        number++;
        if (at[strspn(at, " \t")] && *at != '#')
            status = add_line(lines, at, number, least, most);
    }
    if (status == NC_OK && !lines->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no line", path);
    if (status != NC_OK)
        text_lines_free(lines);
    return status;
}

void text_lines_free(struct text_lines *lines)
{
    free(lines->text);
    free(lines->lines);
    *lines = (struct text_lines){0};
}
