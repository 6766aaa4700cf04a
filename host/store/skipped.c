/* skipped.jsonl: the pictures without an embedding, and why. damaged.jsonl: those that were
 * embedded although their files are damaged. */
#include "notes.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* Room for one entry more. */
static bool grow(struct nc_skipped *s)
{
    if (s->count < s->capacity)
        return true;
    size_t capacity = s->capacity ? 2 * s->capacity : 64;
    char **keys = realloc(s->keys, capacity * sizeof *keys);
    if (keys)
        s->keys = keys;
    char **reasons = realloc(s->reasons, capacity * sizeof *reasons);
    if (reasons)
        s->reasons = reasons;
    if (!keys || !reasons)
        return false;
    s->capacity = capacity;
    return true;
}

int nc_skipped_note(struct nc_skipped *s, const char *key, const char *reason)
{
    int status = s->numbers ? NC_OK : nc_string_map_create(&s->numbers);
    size_t number;
    if (status == NC_OK && !nc_string_map_find(s->numbers, key, &number)) {
        char *copy = grow(s) ? strdup(key) : NULL;
        status = copy ? nc_string_map_add(s->numbers, copy, s->count, &number)
                      : nc_error(NC_FAILED, "%s: no memory", key);
        if (status == NC_OK) {
            s->keys[s->count] = copy;
            s->reasons[s->count++] = NULL;
        } else {
            free(copy);
        }
    }
    if (status != NC_OK)
        return status;
    char *copy = strdup(reason);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory", key);
    s->noted += !s->reasons[number];
    free(s->reasons[number]);
    s->reasons[number] = copy;
    return NC_OK;
}

bool nc_skipped_take_back(struct nc_skipped *s, const char *key)
{
    size_t number;
    if (!s->numbers || !nc_string_map_find(s->numbers, key, &number) || !s->reasons[number])
        return false;
    free(s->reasons[number]);
    s->reasons[number] = NULL;
    s->noted--;
    return true;
}

void nc_skipped_free(struct nc_skipped *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->keys[i]);
        free(s->reasons[i]);
    }
    free(s->keys);
    free(s->reasons);
    nc_string_map_destroy(s->numbers);
    *s = (struct nc_skipped){0};
}

static int load_line(void *context, const char *where, const cJSON *object)
{
    const char *key = NULL, *reason = NULL;
    int status = nc_json_string(where, object, "key", &key);
    if (status == NC_OK)
        status = nc_json_string(where, object, "reason", &reason);
    return status == NC_OK ? nc_skipped_note(context, key, reason) : status;
}

int nc_skipped_load(const char *folder, const char *name, struct nc_skipped *s)
{
    *s = (struct nc_skipped){0};
    char *path = nc_path_join(folder, name);
    int status = path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK && nc_file_exists(path))
        status = nc_json_lines_load(path, false, load_line, s);
    free(path);
    if (status != NC_OK)
        nc_skipped_free(s);
    return status;
}

static char *line_of(const char *key, const char *reason)
{
    cJSON *object = cJSON_CreateObject();
    char *line = NULL;
    if (object && cJSON_AddStringToObject(object, "key", key) &&
        cJSON_AddStringToObject(object, "reason", reason))
        line = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return line;
}

int nc_skipped_save(const char *folder, const char *name, const struct nc_skipped *s)
{
    struct nc_writer *writer = NULL;
    char *path = nc_path_join(folder, name);
    int status =
        path ? nc_writer_create(path, &writer) : nc_error(NC_FAILED, "%s: no memory", folder);
    for (size_t i = 0; status == NC_OK && i < s->count; i++) {
        if (!s->reasons[i])
            continue;
        char *line = line_of(s->keys[i], s->reasons[i]);
        status = line ? nc_writer_printf(writer, "%s\n", line)
                      : nc_error(NC_FAILED, "%s: no memory", path);
        cJSON_free(line);
    }
    if (status == NC_OK)
        status = nc_writer_commit(writer);
    else
        nc_writer_abort(writer);
    free(path);
    return status;
}
