/* Numbers the sources of a store, once and for all. */
#include "sources.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"
#include "records.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST EMBED_SOURCES "/list.jsonl"

/* ---- what --images names ---- */

int embed_find_sources(const struct nc_embed_options *o, struct embed_paths *paths, size_t *missing)
{
    int status = NC_OK;
    *missing = 0;
    for (size_t i = 0; i < o->image_count && status == NC_OK; i++) {
        size_t before = paths->count;
        status = embed_expand(o->images[i], paths);
        if (status == NC_BAD_INPUT && o->skip_missing && paths->count == before) {
            ++*missing; /* a wildcard that matches nothing */
            status = NC_OK;
        }
    }
    for (size_t i = 0; i < paths->count && status == NC_OK; i++) {
        if (strcmp(paths->items[i], "-") == 0 || access(paths->items[i], F_OK) == 0)
            continue;
        ++*missing;
        if (!o->skip_missing)
            status = paths->count == 1
                         ? nc_error_read(paths->items[i])
                         : nc_error(nc_error_kind(errno),
                                    "%s: cannot read: %s; --skip-missing goes on without it",
                                    paths->items[i], strerror(errno));
    }
    if (status == NC_OK && *missing && *missing >= paths->count)
        status = nc_error(NC_BAD_INPUT, "--images %s: none of the sources is there", o->images[0]);
    return status;
}

/* ---- the list ---- */

struct reading {
    struct embed_list *list;
    bool headed;
};

static int read_head(struct embed_list *list, const char *where, const cJSON *object)
{
    const char *format = "", *prefix = "";
    size_t version = 0;
    int status = nc_json_string(where, object, "format", &format);
    if (status == NC_OK)
        status = nc_json_size(where, object, "version", &version);
    if (status == NC_OK && (strcmp(format, "nclip sources") != 0 || version != 1))
        return nc_error(NC_BAD_INPUT, "%s: no list of sources that this nclip reads", where);
    if (status == NC_OK)
        status = nc_json_size(where, object, "first", &list->first);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "keys_by_path", &list->keys_by_path);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "captions", &list->captions);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "key_prefix", &prefix);
    if (status == NC_OK && list->first > SIZE_MAX / 2 / NC_EMBED_PIECES)
        status = nc_error(NC_BAD_INPUT, "%s: \"first\" is too large", where);
    if (status == NC_OK && !(list->prefix = strdup(prefix)))
        status = nc_error(NC_FAILED, "%s: no memory", where);
    return status;
}

static int read_line(void *context, const char *where, const cJSON *value)
{
    struct reading *reading = context;
    struct embed_list *list = reading->list;
    if (!reading->headed) {
        reading->headed = true;
        return read_head(list, where, value);
    }
    if (!cJSON_IsString(value))
        return nc_error(NC_BAD_INPUT, "%s: expected a source's path", where);
    return embed_paths_add(&list->paths, where, value->valuestring);
}

bool embed_has_list(const char *store)
{
    char *path = nc_path_join(store, LIST);
    bool has = path && nc_file_exists(path);
    free(path);
    return has;
}

int embed_list_load(const char *store, struct embed_list *list)
{
    char *path = nc_path_join(store, LIST);
    struct reading reading = {list, false};
    int status = path ? nc_json_lines_load(path, false, read_line, &reading)
                      : nc_error(NC_FAILED, "%s: no memory", store);
    if (status == NC_OK && !reading.headed)
        status = nc_error(NC_BAD_INPUT, "%s: empty", path);
    free(path);
    return status;
}

static int save(const char *store, const struct embed_list *list)
{
    char *path = nc_path_join(store, LIST);
    struct nc_writer *writer = NULL;
    cJSON *head = cJSON_CreateObject();
    bool good = head && cJSON_AddStringToObject(head, "format", "nclip sources") &&
                cJSON_AddNumberToObject(head, "version", 1) &&
                cJSON_AddNumberToObject(head, "first", (double)list->first) &&
                cJSON_AddBoolToObject(head, "keys_by_path", list->keys_by_path) &&
                cJSON_AddStringToObject(head, "key_prefix", list->prefix) &&
                cJSON_AddBoolToObject(head, "captions", list->captions);
    char *line = good ? cJSON_PrintUnformatted(head) : NULL;
    int status = path && line ? nc_writer_create(path, &writer)
                              : nc_error(NC_FAILED, "%s: no memory", store);
    if (status == NC_OK)
        status = nc_writer_printf(writer, "%s\n", line);
    cJSON_free(line);
    cJSON_Delete(head);
    for (size_t i = 0; i < list->paths.count && status == NC_OK; i++) {
        cJSON *text = cJSON_CreateString(list->paths.items[i]);
        line = text ? cJSON_PrintUnformatted(text) : NULL;
        status = line ? nc_writer_printf(writer, "%s\n", line)
                      : nc_error(NC_FAILED, "%s: no memory", path);
        cJSON_free(line);
        cJSON_Delete(text);
    }
    if (status == NC_OK)
        status = nc_writer_commit(writer);
    else
        nc_writer_abort(writer);
    free(path);
    return status;
}

void embed_list_free(struct embed_list *list)
{
    free(list->prefix);
    embed_paths_free(&list->paths);
    *list = (struct embed_list){0};
}

void embed_selection_free(struct embed_selection *selection)
{
    free(selection->items);
    *selection = (struct embed_selection){0};
}

/* ---- a new list ---- */

/* Behind the shards that the store has: what one source has written has the numbers from 0 on. */
static int find_first(const char *store, size_t *first)
{
    DIR *directory = opendir(store);
    struct dirent *entry;
    *first = 0;
    if (!directory)
        return nc_error_read(store);
    while ((entry = readdir(directory))) {
        size_t number;
        int length = 0;
        if (sscanf(entry->d_name, "shard-%12zu.embeddings%n", &number, &length) == 1 && length &&
            !entry->d_name[length] && number / NC_EMBED_PIECES >= *first)
            *first = number / NC_EMBED_PIECES + 1;
    }
    closedir(directory);
    return NC_OK;
}

/* What was noted before there was a list is kept, to be joined with what comes. */
static int keep_notes(const char *store, const char *name, const char *kept)
{
    char *from = nc_path_join(store, name), *to = nc_path_join(store, kept), *text = NULL;
    size_t size;
    int status = from && to ? NC_OK : nc_error(NC_FAILED, "%s: no memory", store);
    if (status == NC_OK && nc_file_exists(from)) {
        status = nc_file_read(from, SIZE_MAX - 1, &text, &size);
        if (status == NC_OK)
            status = nc_file_write(to, text, size);
    }
    free(text);
    free(from);
    free(to);
    return status;
}

static int begin_list(const struct nc_embed_options *o, struct embed_list *list)
{
    *list = (struct embed_list){.keys_by_path = o->keys_by_path, .captions = o->also_text != NULL};
    list->prefix = strdup(o->key_prefix ? o->key_prefix : "");
    int status = list->prefix ? find_first(o->store, &list->first)
                              : nc_error(NC_FAILED, "%s: no memory", o->store);
    if (status == NC_OK)
        status = keep_notes(o->store, "skipped.jsonl", EMBED_SOURCES "/before.skipped");
    if (status == NC_OK)
        status = keep_notes(o->store, "damaged.jsonl", EMBED_SOURCES "/before.damaged");
    return status;
}

/* Keys and captions are those of the store's first command. */
static int check_list(const struct nc_embed_options *o, const struct embed_list *list)
{
    const char *prefix = o->key_prefix ? o->key_prefix : "";
    if (o->keys_by_path != list->keys_by_path)
        return nc_error(NC_BAD_INPUT, "%s: was begun with --keys %s; give that, or another --out",
                        o->store, list->keys_by_path ? "path" : "name");
    if (strcmp(prefix, list->prefix) != 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: was begun with --key-prefix \"%s\"; give that, or another --out",
                        o->store, list->prefix);
    if (o->also_text && !list->captions)
        return nc_error(
            NC_BAD_INPUT,
            "%s: was begun without --also-text, so captions were not kept; give another "
            "--out",
            o->store);
    return NC_OK;
}

static int number_paths(struct embed_list *list, const struct embed_paths *paths,
                        const struct nc_embed_options *o, struct embed_selection *selection,
                        bool *changed)
{
    struct nc_string_map *numbers = NULL, *given = NULL;
    selection->items = calloc(paths->count, sizeof *selection->items);
    int status = selection->items ? nc_string_map_create(&numbers)
                                  : nc_error(NC_FAILED, "%s: no memory", o->store);
    size_t present;
    if (status == NC_OK)
        status = nc_string_map_create(&given);
    for (size_t i = 0; i < list->paths.count && status == NC_OK; i++)
        status = nc_string_map_add(numbers, list->paths.items[i], i, &present);
    for (size_t i = 0; i < paths->count && status == NC_OK; i++) {
        const char *path = paths->items[i];
        size_t number, first;
        struct stat information = {0};
        status = nc_string_map_add(given, path, i, &first);
        if (status != NC_OK || first != i) /* the same path twice is one source */
            continue;
        if (!nc_string_map_find(numbers, path, &number)) {
            number = list->paths.count;
            status = embed_paths_add(&list->paths, o->store, path);
            *changed = true;
        }
        bool there = strcmp(path, "-") == 0 || stat(path, &information) == 0;
        selection->missing += !there;
        if (there)
            selection->items[selection->count++] = (struct embed_source){
                .number = list->first + number,
                .bytes = nc_path_ends(path, ".tar") ? (uint64_t)information.st_size : 0};
    }
    nc_string_map_destroy(numbers);
    nc_string_map_destroy(given);
    return status;
}

int embed_register(const struct nc_embed_options *o, const struct embed_paths *paths,
                   struct embed_list *list, struct embed_selection *selection)
{
    char *folder = nc_path_join(o->store, EMBED_SOURCES),
         *stop = nc_path_join(o->store, EMBED_STOP);
    bool changed = !embed_has_list(o->store);
    int status =
        folder && stop ? nc_folder_create(folder) : nc_error(NC_FAILED, "%s: no memory", o->store);
    if (status == NC_OK)
        status = changed ? begin_list(o, list) : embed_list_load(o->store, list);
    if (status == NC_OK)
        status = check_list(o, list);
    if (status == NC_OK)
        status = number_paths(list, paths, o, selection, &changed);
    if (status == NC_OK && changed)
        status = save(o->store, list);
    if (status == NC_OK) {
        (void)unlink(stop);
        status = embed_records_clean(folder, list->first, list->paths.count, selection);
    }
    free(folder);
    free(stop);
    return status;
}
