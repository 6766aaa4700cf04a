/* Reads CelebA's attributes and its partition into train, valid and test. */
#include "celeba.h"

#include "known_files.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"

#include <stdlib.h>
#include <string.h>

void faces_free(struct faces *faces)
{
    free(faces->text);
    free(faces->partition_text);
    free(faces->pictures);
    free(faces->labels);
    nc_string_map_destroy(faces->wanted);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static int read_text(const char *path, char **text, struct nc_lines *lines)
{
    size_t size;
    int status = nc_text_read(path, (size_t)1 << 30, text, &size);
    *lines = nc_lines_of(*text ? *text : "", size);
    return status;
}

static int read_partition(const char *path, const char *split, struct faces *faces)
{
    static const char *const splits[] = {"train", "valid", "test"};
    size_t length, present;
    char wanted = 0;
    for (int i = 0; i < 3; i++)
        if (strcmp(split, splits[i]) == 0)
            wanted = (char)('0' + i);
    if (!wanted)
        return nc_error(NC_USAGE,
                        "evaluate attributes: --split is train, valid, test or all, not \"%s\"",
                        split);
    struct nc_lines lines = {0};
    int status = nc_string_map_create(&faces->wanted);
    if (status == NC_OK)
        status = read_text(path, &faces->partition_text, &lines);
    for (char *line; status == NC_OK && (line = nc_lines_cut(&lines, &length));) {
        char *save, *name = strtok_r(line, " \t", &save), *part = strtok_r(NULL, " \t", &save);
        if (!name)
            continue;
        if (!part || !part[0] || part[1] || !strchr("012", part[0]) || strtok_r(NULL, " \t", &save))
            return nc_error(NC_BAD_INPUT, "%s line %zu: expected a picture's name and 0, 1 or 2",
                            path, lines.number);
        if (*part == wanted)
            status = nc_string_map_add(faces->wanted, name, lines.number, &present);
    }
    return status;
}

/* The first line is how many pictures the file holds, the second what their attributes are. */
static int read_names(const char *path, struct nc_lines *lines, size_t *stated, struct faces *faces)
{
    size_t length;
    char *line = nc_lines_cut(lines, &length), *end = line, *save;
    if (line)
        *stated = strtoul(line, &end, 10);
    if (!line || end == line || end[strspn(end, " \t")] || !(line = nc_lines_cut(lines, &length)))
        return nc_error(NC_BAD_INPUT,
                        "%s: expected a line with the number of pictures and one with the "
                        "attributes' names",
                        path);
    for (char *name = strtok_r(line, " \t", &save); name; name = strtok_r(NULL, " \t", &save)) {
        if (faces->attribute_count == MOST_ATTRIBUTES)
            return nc_error(NC_BAD_INPUT, "%s line %zu: has over %d attributes", path, lines->number,
                            MOST_ATTRIBUTES);
        faces->attributes[faces->attribute_count++] = name;
    }
    return faces->attribute_count
               ? NC_OK
               : nc_error(NC_BAD_INPUT, "%s line %zu: names no attribute", path, lines->number);
}

static int reserve(struct faces *faces)
{
    if (faces->count < faces->capacity)
        return NC_OK;
    size_t larger = faces->capacity ? 2 * faces->capacity : 1024;
    const char **pictures = realloc(faces->pictures, larger * sizeof *pictures);
    if (pictures)
        faces->pictures = pictures;
    bool *labels = realloc(faces->labels, larger * faces->attribute_count);
    if (labels)
        faces->labels = labels;
    if (!pictures || !labels)
        return nc_error(NC_FAILED, "evaluate: no memory for %zu pictures", larger);
    faces->capacity = larger;
    return NC_OK;
}

static int read_face(const char *path, size_t number, char *line, struct faces *faces)
{
    char *save, *name = strtok_r(line, " \t", &save);
    char *value;
    size_t index, count = 0;
    if (!name || (faces->wanted && !nc_string_map_find(faces->wanted, name, &index)))
        return NC_OK;
    int status = reserve(faces);
    if (status != NC_OK)
        return status;
    bool *labels = faces->labels + faces->count * faces->attribute_count;
    for (; (value = strtok_r(NULL, " \t", &save)); count++) {
        bool yes = strcmp(value, "1") == 0;
        if (count == faces->attribute_count || (!yes && strcmp(value, "-1") != 0))
            break;
        labels[count] = yes;
    }
    if (count != faces->attribute_count || value)
        return nc_error(NC_BAD_INPUT,
                        "%s line %zu: expected a picture's name and %zu numbers, each 1 or -1",
                        path, number, faces->attribute_count);
    faces->pictures[faces->count++] = name;
    return NC_OK;
}

static int read_faces(const char *path, const char *partition, const char *split,
                      struct faces *faces)
{
    struct nc_lines lines = {0};
    size_t stated = 0, listed = 0, length;
    int status = strcmp(split, "all") == 0 ? NC_OK : read_partition(partition, split, faces);
    if (status == NC_OK)
        status = read_text(path, &faces->text, &lines);
    if (status == NC_OK)
        status = read_names(path, &lines, &stated, faces);
    for (char *line; status == NC_OK && (line = nc_lines_cut(&lines, &length));) {
        listed += !nc_is_blank(line, length);
        status = read_face(path, lines.number, line, faces);
    }
    if (status == NC_OK && listed != stated)
        status = nc_error(NC_BAD_INPUT,
                          "%s: its first line says %zu pictures, and it lists %zu: is it cut off?",
                          path, stated, listed);
    if (status == NC_OK && !faces->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no picture of the split \"%s\"", path, split);
    if (status == NC_OK && strcmp(split, "test") == 0)
        known_file_check(path, "list_attr_celeba.txt", faces->count);
    return status;
}

int faces_load(const char *path, const char *split, struct faces *faces)
{
    const char *slash = strrchr(path, '/');
    bool folder = nc_folder_exists(path);
    char *parent = folder  ? strdup(path)
                   : slash ? strndup(path, (size_t)(slash - path) + 1)
                           : strdup(".");
    char *attributes =
        folder && parent ? nc_path_join(parent, "list_attr_celeba.txt") : strdup(path);
    char *partition = parent ? nc_path_join(parent, "list_eval_partition.txt") : NULL;
    int status = parent && attributes && partition ? read_faces(attributes, partition, split, faces)
                                                   : nc_error(NC_FAILED, "evaluate: no memory");
    free(parent);
    free(attributes);
    free(partition);
    return status;
}
