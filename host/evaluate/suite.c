/* Reads a suite: which benchmarks are compared, and where their files are. */
#include "nclip/evaluate/comparison.h"

#include "built_in_files.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATHS = 7 /* of an entry */ };

struct owned {
    cJSON *root;
    char **paths;
    size_t path_count;
};

static int load_json(const char *path, cJSON **root)
{
    static const char name[] = "benchmarks.json";
    if (path)
        return nc_json_load(path, root);
    const char *text = built_in_text(name);
    if (text)
        return nc_json_parse(name, text, strlen(text), root);
    return nc_error(NC_FAILED, "%s is not built in: give --suite", name);
}

static bool exists(const char *path)
{
    return nc_folder_exists(path) || nc_file_exists(path);
}

/* *path: the member below the data folder, or NULL without one; what is built in keeps its name. */
static int read_path(const char *where, const cJSON *object, const char *key, const char *data,
                     struct owned *owned, const char **path)
{
    const char *text = NULL;
    int status = nc_json_optional_string(where, object, key, &text);
    *path = NULL;
    if (status != NC_OK || !text)
        return status;
    char *joined = nc_path_join(data, text);
    if (joined && !exists(joined) && built_in_text(text)) {
        free(joined);
        joined = strdup(text);
    }
    if (!joined)
        return nc_error(NC_FAILED, "%s: no memory", where);
    owned->paths[owned->path_count++] = joined;
    *path = joined;
    return NC_OK;
}

static int read_paper(const char *where, const cJSON *object, size_t count, double **numbers)
{
    const cJSON *array = nc_json_member(object, "paper"), *item;
    size_t i = 0;
    *numbers = malloc((count + 1) * sizeof **numbers);
    if (!*numbers)
        return nc_error(NC_FAILED, "%s: no memory", where);
    for (size_t k = 0; k < count; k++)
        (*numbers)[k] = NAN;
    if (!array)
        return NC_OK;
    bool good = cJSON_IsArray(array) && (size_t)cJSON_GetArraySize(array) == count;
    cJSON_ArrayForEach(item, array)
    {
        good &= cJSON_IsNumber(item) || cJSON_IsNull(item);
        if (good && cJSON_IsNumber(item))
            (*numbers)[i] = item->valuedouble;
        i++;
    }
    return good ? NC_OK
                : nc_error(NC_BAD_INPUT,
                           "%s: \"paper\" must hold %zu numbers or nulls, one for each of the "
                           "paper's models",
                           where, count);
}

/* The first path of the entry that does not exist, or NULL. Where a store exists, the pictures
 * need not. */
static const char *find_missing(const struct nc_suite_entry *entry)
{
    const struct nc_request *r = &entry->request;
    const char *files[] = {r->annotations, r->classes, r->templates, r->prompts};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] && !exists(files[i]) && !built_in_text(files[i]))
            return files[i];
    if (entry->embeddings && exists(entry->embeddings))
        return NULL;
    const char *pictures = r->images ? r->images : entry->embeddings;
    return exists(pictures) ? NULL : pictures;
}

static int read_entry(const char *where, const cJSON *object, const char *data,
                      struct nc_suite *suite, struct nc_suite_entry *entry)
{
    struct owned *owned = suite->owned;
    struct nc_request *r = &entry->request;
    const char *name;
    int status = nc_json_string(where, object, "name", &entry->name);
    if (status == NC_OK)
        status = nc_json_string(where, object, "benchmark", &name);
    if (status == NC_OK && nc_benchmark_find(name, &entry->benchmark) != NC_OK) {
        nc_error_prefix(NC_BAD_INPUT, "%s", where);
        status = NC_BAD_INPUT;
    }
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "split", &r->split);
    const struct {
        const char *key, **path;
    } paths[] = {{"annotations", &r->annotations}, {"images", &r->images},
                 {"classes", &r->classes},         {"templates", &r->templates},
                 {"prompts", &r->prompts},         {"embeddings", &entry->embeddings}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths && status == NC_OK; i++)
        status = read_path(where, object, paths[i].key, data, owned, paths[i].path);
    if (status == NC_OK && entry->benchmark->annotations && !r->annotations)
        status = nc_error(NC_BAD_INPUT, "%s: \"annotations\" is missing (%s)", where,
                          entry->benchmark->annotations_help);
    if (status == NC_OK && !r->images && !entry->embeddings)
        status = nc_error(NC_BAD_INPUT, "%s: has neither \"images\" nor \"embeddings\"", where);
    if (status == NC_OK)
        status = read_paper(where, object, suite->paper_count, &entry->paper);
    if (status == NC_OK)
        entry->missing = find_missing(entry);
    return status;
}

static int read_paper_models(const char *path, const cJSON *root, struct nc_suite *suite)
{
    const cJSON *paper = nc_json_member(root, "paper"), *models, *model;
    if (!paper)
        return NC_OK;
    int status = nc_json_string(path, paper, "title", &suite->paper_title);
    if (status == NC_OK)
        status = nc_json_array(path, paper, "models", &models);
    if (status != NC_OK)
        return status;
    suite->paper_models =
        malloc(((size_t)cJSON_GetArraySize(models) + 1) * sizeof *suite->paper_models);
    if (!suite->paper_models)
        return nc_error(NC_FAILED, "%s: no memory", path);
    cJSON_ArrayForEach(model, models)
    {
        if (!cJSON_IsString(model))
            return nc_error(NC_BAD_INPUT, "%s: the paper's \"models\" must be strings", path);
        suite->paper_models[suite->paper_count++] = model->valuestring;
    }
    return NC_OK;
}

int nc_suite_load(const char *path, const char *data, struct nc_suite *suite)
{
    const char *name = path ? path : "the built-in benchmarks.json";
    struct owned *owned = calloc(1, sizeof *owned);
    const cJSON *entries = NULL, *entry;
    *suite = (struct nc_suite){.owned = owned};
    if (!owned)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = load_json(path, &owned->root);
    if (status == NC_OK)
        status = nc_json_array(name, owned->root, "benchmarks", &entries);
    if (status == NC_OK)
        status = read_paper_models(name, owned->root, suite);
    size_t count = entries ? (size_t)cJSON_GetArraySize(entries) : 0;
    suite->entries = calloc(count + 1, sizeof *suite->entries);
    owned->paths = calloc(PATHS * count + 1, sizeof *owned->paths);
    if (status == NC_OK && (!suite->entries || !owned->paths))
        status = nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK && !count)
        status = nc_error(NC_BAD_INPUT, "%s: \"benchmarks\" is empty", name);
    for (entry = status == NC_OK ? entries->child : NULL; entry && status == NC_OK;
         entry = entry->next) {
        char where[512];
        snprintf(where, sizeof where, "%s: benchmarks[%zu]", name, suite->entry_count);
        status = read_entry(where, entry, data, suite, &suite->entries[suite->entry_count++]);
    }
    if (status != NC_OK)
        nc_suite_free(suite);
    return status;
}

void nc_suite_free(struct nc_suite *suite)
{
    struct owned *owned = suite->owned;
    for (size_t i = 0; i < suite->entry_count; i++)
        free(suite->entries[i].paper);
    free(suite->entries);
    free(suite->paper_models);
    for (size_t i = 0; owned && i < owned->path_count; i++)
        free(owned->paths[i]);
    if (owned) {
        cJSON_Delete(owned->root);
        free(owned->paths);
    }
    free(owned);
    *suite = (struct nc_suite){0};
}
