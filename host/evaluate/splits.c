/* Reads captions with their affirmed and denied parts. */
#include "splits.h"

#include "nclip/formats/csv.h"
#include "nclip/formats/json.h"
#include "nclip/negation/words.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 1 << 30 };

struct part {
    char *caption;
    struct nc_negation_split split;
};

struct splits {
    const char *path; /* NULL: by rules */
    struct part *items;
    size_t count, capacity;
    struct nc_string_map *by_caption;
};

void splits_free(struct splits *splits)
{
    if (!splits)
        return;
    for (size_t i = 0; i < splits->count; i++) {
        free(splits->items[i].caption);
        nc_negation_split_free(&splits->items[i].split);
    }
    free(splits->items);
    nc_string_map_destroy(splits->by_caption);
    free(splits);
}

static int no_memory(void)
{
    return nc_error(NC_FAILED, "evaluate: no memory for the splits");
}

/* NULL and "" are no part. */
static int copy_part(const char *text, char **copy)
{
    *copy = text && *text ? strdup(text) : NULL;
    return *copy || !text || !*text ? NC_OK : no_memory();
}

static int add(struct splits *splits, const char *where, const char *caption, const char *affirmed,
               const char *denied)
{
    size_t present;
    if (!*caption)
        return nc_error(NC_BAD_INPUT, "%s: the caption is empty", where);
    if (splits->count == splits->capacity) {
        size_t capacity = splits->capacity ? 2 * splits->capacity : 256;
        struct part *larger = reallocarray(splits->items, capacity, sizeof *larger);
        if (!larger)
            return no_memory();
        splits->items = larger;
        splits->capacity = capacity;
    }
    struct part *part = &splits->items[splits->count];
    *part = (struct part){.caption = strdup(caption)};
    if (!part->caption)
        return no_memory();
    splits->count++;
    int status = copy_part(affirmed, &part->split.affirmed);
    if (status == NC_OK)
        status = copy_part(denied, &part->split.denied);
    if (status == NC_OK)
        status = nc_string_map_add(splits->by_caption, part->caption, splits->count - 1, &present);
    if (status != NC_OK || present == splits->count - 1)
        return status;
    const struct nc_negation_split *first = &splits->items[present].split;
    bool same = strcmp(first->affirmed ? first->affirmed : "", affirmed ? affirmed : "") == 0 &&
                strcmp(first->denied ? first->denied : "", denied ? denied : "") == 0;
    return same ? NC_OK
                : nc_error(NC_BAD_INPUT, "%s: \"%.80s\" stands there already, split otherwise",
                           where, caption);
}

static int read_line(struct splits *splits, const char *where, const char *text, size_t size)
{
    cJSON *object = NULL;
    const char *caption = NULL, *affirmed = NULL, *denied = NULL;
    int status = nc_json_parse(where, text, size, &object);
    if (status == NC_OK && !cJSON_IsObject(object))
        status = nc_error(NC_BAD_INPUT, "%s: is not an object", where);
    if (status == NC_OK)
        status = nc_json_string(where, object, "caption", &caption);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "affirmed", &affirmed);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "denied", &denied);
    if (status == NC_OK)
        status = add(splits, where, caption, affirmed, denied);
    cJSON_Delete(object);
    return status;
}

static int load_lines(struct splits *splits, const char *path)
{
    char *text;
    size_t size, number = 0;
    int status = nc_file_read(path, LARGEST_FILE, &text, &size);
    if (status != NC_OK)
        return status;
    for (size_t at = 0; at < size && status == NC_OK;) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - text) : size;
        char where[512];
        snprintf(where, sizeof where, "%.400s line %zu", path, ++number);
        size_t blank = at;
        while (blank < end && strchr(" \t\r", text[blank]) && text[blank])
            blank++;
        if (blank < end)
            status = read_line(splits, where, text + at, end - at);
        at = end + 1;
    }
    free(text);
    return status;
}

/* Columns by the names that files of splits use. */
static int find_columns(const struct nc_csv *csv, size_t columns[3])
{
    static const char *const names[][3] = {
        {"caption", "affirmed", "denied"},
        {"original sentence", "affirmative part", "negation part"},
        {"Prompts", "Affirmative", "Negated"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!nc_csv_find(csv, names[i][0], &columns[0]))
            continue;
        int status = nc_csv_column(csv, names[i][1], &columns[1]);
        return status == NC_OK ? nc_csv_column(csv, names[i][2], &columns[2]) : status;
    }
    return nc_error(NC_BAD_INPUT, "%s: no column \"caption\", \"original sentence\" or \"Prompts\"",
                    csv->path);
}

static int load_table(struct splits *splits, const char *path)
{
    struct nc_csv csv = {0};
    size_t columns[3];
    int status = nc_csv_load(path, &csv);
    if (status == NC_OK)
        status = find_columns(&csv, columns);
    for (size_t row = 0; row < csv.rows && status == NC_OK; row++) {
        char where[512];
        snprintf(where, sizeof where, "%.400s line %zu", path, csv.lines[row + 1]);
        status = add(splits, where, nc_csv_cell(&csv, row, columns[0]),
                     nc_csv_cell(&csv, row, columns[1]), nc_csv_cell(&csv, row, columns[2]));
    }
    nc_csv_free(&csv);
    return status;
}

int splits_load(const char *path, struct splits **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return no_memory();
    (*out)->path = path;
    int status = nc_string_map_create(&(*out)->by_caption);
    if (status == NC_OK && path)
        status = nc_path_ends(path, ".csv") ? load_table(*out, path) : load_lines(*out, path);
    if (status == NC_OK && path && !(*out)->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no split caption", path);
    if (status != NC_OK) {
        splits_free(*out);
        *out = NULL;
    }
    return status;
}

int splits_find(const struct splits *splits, const char *caption, struct nc_negation_split *split)
{
    struct nc_negation_match match;
    size_t index;
    *split = (struct nc_negation_split){0};
    if (!splits->path)
        return nc_negation_split(caption, split);
    if (!nc_string_map_find(splits->by_caption, caption, &index)) {
        if (nc_denial_find(caption, strlen(caption), 0, &match))
            return nc_error(NC_BAD_INPUT,
                            "%s: does not tell how \"%.200s\" is split: add it, or leave --splits "
                            "out",
                            splits->path, caption);
        return copy_part(caption, &split->affirmed);
    }
    int status = copy_part(splits->items[index].split.affirmed, &split->affirmed);
    if (status == NC_OK)
        status = copy_part(splits->items[index].split.denied, &split->denied);
    if (status != NC_OK)
        nc_negation_split_free(split);
    return status;
}
