/* Reads classes from a file or from the pictures' folders, and embeds their names in templates. */
#include "zeroshot.h"

#include "built_in_files.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/string_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct owned {
    struct nc_fields lines; /* of a file */
    char **copies;           /* of folders: folder and name in one allocation each */
    size_t copy_count;
    struct nc_string_map *by_folder;
};

/* ---- Which classes there are --------------------------------------------------------------- */

static int from_file(const char *path, struct classes *classes, struct owned *owned)
{
    int status = NC_OK;
    for (size_t i = 0; i < owned->lines.count && status == NC_OK; i++) {
        const struct nc_fields_line *line = &owned->lines.lines[i];
        size_t present;
        classes->folders[i] = line->fields[0];
        classes->names[i] = line->fields[1] ? line->fields[1] : line->fields[0];
        status = nc_string_map_add(owned->by_folder, line->fields[0], i, &present);
        if (status == NC_OK && present != i)
            status = nc_error(NC_BAD_INPUT, "%s line %zu: the folder \"%s\" stands there twice",
                              path, line->number, line->fields[0]);
        classes->count++;
    }
    return status;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int no_folder(const char *picture)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: lies in no folder; a picture's class is the folder below --images that it "
                    "lies in",
                    picture);
}

static int from_folders(const char *const *pictures, size_t picture_count, struct classes *classes,
                        struct owned *owned)
{
    size_t last = 0;
    int status = NC_OK;
    for (size_t i = 0; i < picture_count && status == NC_OK; i++) {
        size_t length = strcspn(pictures[i], "/"), present;
        if (!pictures[i][length])
            return no_folder(pictures[i]);
        const char *newest = owned->copy_count ? owned->copies[last] : "";
        if (strlen(newest) == length && memcmp(newest, pictures[i], length) == 0)
            continue;
        char *copy = malloc(2 * length + 2); /* the folder, and the name behind it */
        if (!copy)
            return nc_error(NC_FAILED, "evaluate: no memory");
        memcpy(copy, pictures[i], length);
        copy[length] = 0;
        for (size_t k = 0; k <= length; k++)
            copy[length + 1 + k] = copy[k] == '_' ? ' ' : copy[k];
        status = nc_string_map_add(owned->by_folder, copy, owned->copy_count, &present);
        last = present;
        if (status != NC_OK || present != owned->copy_count)
            free(copy);
        else
            owned->copies[owned->copy_count++] = copy;
    }
    if (owned->copy_count)
        qsort(owned->copies, owned->copy_count, sizeof *owned->copies, by_bytes);
    nc_string_map_destroy(owned->by_folder); /* its numbers were those before sorting */
    owned->by_folder = NULL;
    if (status == NC_OK)
        status = nc_string_map_create(&owned->by_folder);
    for (size_t i = 0; i < owned->copy_count && status == NC_OK; i++) {
        size_t present;
        classes->folders[i] = owned->copies[i];
        classes->names[i] = owned->copies[i] + strlen(owned->copies[i]) + 1;
        status = nc_string_map_add(owned->by_folder, owned->copies[i], i, &present);
    }
    classes->count = owned->copy_count;
    return status;
}

int classes_load(const char *path, const char *const *pictures, size_t picture_count,
                 struct classes *classes)
{
    struct owned *owned = calloc(1, sizeof *owned);
    *classes = (struct classes){.owned = owned};
    if (!owned)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = path ? built_in_fields(path, 1, 2, &owned->lines) : NC_OK;
    size_t most = (path ? owned->lines.count : picture_count) + 1;
    classes->folders = malloc(most * sizeof *classes->folders);
    classes->names = malloc(most * sizeof *classes->names);
    owned->copies = malloc(most * sizeof *owned->copies);
    if (status == NC_OK && (!classes->folders || !classes->names || !owned->copies))
        status = nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK)
        status = nc_string_map_create(&owned->by_folder);
    if (status == NC_OK)
        status = path ? from_file(path, classes, owned)
                      : from_folders(pictures, picture_count, classes, owned);
    if (status == NC_OK && classes->count < 2)
        status = nc_error(NC_BAD_INPUT, "%s: has %zu classes; telling them apart needs two",
                          path ? path : "the pictures' folder", classes->count);
    if (status != NC_OK)
        classes_free(classes);
    return status;
}

void classes_free(struct classes *classes)
{
    struct owned *owned = classes->owned;
    if (owned) {
        nc_fields_free(&owned->lines);
        for (size_t i = 0; i < owned->copy_count; i++)
            free(owned->copies[i]);
        free(owned->copies);
        nc_string_map_destroy(owned->by_folder);
        free(owned);
    }
    free(classes->folders);
    free(classes->names);
    *classes = (struct classes){0};
}

int classes_assign(const struct classes *classes, const char *const *pictures, size_t picture_count,
                   size_t *of)
{
    const struct owned *owned = classes->owned;
    char folder[4096];
    for (size_t i = 0; i < picture_count; i++) {
        size_t length = strcspn(pictures[i], "/");
        if (!pictures[i][length])
            return no_folder(pictures[i]);
        snprintf(folder, sizeof folder, "%.*s", (int)length, pictures[i]);
        if (!nc_string_map_find(owned->by_folder, folder, &of[i]))
            return nc_error(NC_BAD_INPUT, "%s: its folder is no class of %s", pictures[i],
                            owned->lines.name ? owned->lines.name : "these");
    }
    return NC_OK;
}

/* ---- What they look like ------------------------------------------------------------------- */

/* "a photo of a {}." with every {} replaced. The caller frees it; NULL without memory. */
static char *fill(const char *template, const char *name)
{
    size_t length = strlen(template) + 1, name_length = strlen(name);
    for (const char *at = template; (at = strstr(at, "{}")); at += 2)
        length += name_length;
    char *text = malloc(length), *to = text;
    while (text && *template) {
        if (strncmp(template, "{}", 2) == 0) {
            memcpy(to, name, name_length);
            to += name_length;
            template += 2;
        } else {
            *to++ = *template ++;
        }
    }
    if (text)
        *to = 0;
    return text;
}

/* weight[embedding] from features[count, embedding]. */
static void mean_direction(const float *features, size_t count, size_t embedding, float *weight)
{
    double norm = 0;
    for (size_t d = 0; d < embedding; d++) {
        double sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += (double)features[i * embedding + d];
        weight[d] = (float)(sum / (double)count);
        norm += (double)weight[d] * (double)weight[d];
    }
    for (size_t d = 0; d < embedding; d++)
        weight[d] = norm > 0 ? (float)((double)weight[d] / sqrt(norm)) : 0;
}

/* Several classes at once, so that the text tower gets full batches. */
static int embed_some(const struct nc_fields *templates, const char *const *names, size_t classes,
                      struct nc_evaluator *evaluator, char **texts, float *features, float *weights)
{
    size_t embedding = nc_evaluator_embedding(evaluator), per_class = templates->count;
    int status = NC_OK;
    for (size_t i = 0; i < classes * per_class; i++) {
        texts[i] = fill(templates->lines[i % per_class].fields[0], names[i / per_class]);
        if (!texts[i])
            status = nc_error(NC_FAILED, "evaluate: no memory");
    }
    if (status == NC_OK)
        status = nc_evaluator_texts(evaluator, (const char *const *)texts, classes * per_class,
                                    features);
    for (size_t c = 0; c < classes && status == NC_OK; c++)
        mean_direction(features + c * per_class * embedding, per_class, embedding,
                       weights + c * embedding);
    for (size_t i = 0; i < classes * per_class; i++)
        free(texts[i]);
    return status;
}

int classes_embed(const struct classes *classes, const char *templates_path,
                  struct nc_evaluator *evaluator, float *weights)
{
    enum { AT_ONCE = 16 };
    struct nc_fields templates;
    size_t embedding = nc_evaluator_embedding(evaluator);
    int status =
        built_in_fields(templates_path ? templates_path : "templates.txt", 1, 1, &templates);
    if (status != NC_OK)
        return status;
    for (size_t t = 0; t < templates.count && status == NC_OK; t++)
        if (!strstr(templates.lines[t].fields[0], "{}"))
            status = nc_error(NC_BAD_INPUT, "%s line %zu: has no {}, the place of the class's name",
                              templates.name, templates.lines[t].number);
    char **texts = malloc(AT_ONCE * templates.count * sizeof *texts);
    float *features = malloc(AT_ONCE * templates.count * embedding * sizeof *features);
    if (status == NC_OK && (!texts || !features))
        status = nc_error(NC_FAILED, "evaluate: no memory");
    struct nc_progress *progress =
        status == NC_OK ? nc_progress_start("evaluate", "classes", 0, classes->count) : NULL;
    for (size_t c = 0; c < classes->count && status == NC_OK; c += AT_ONCE) {
        size_t count = classes->count - c < AT_ONCE ? classes->count - c : AT_ONCE;
        status = embed_some(&templates, classes->names + c, count, evaluator, texts, features,
                            weights + c * embedding);
        nc_progress_update(progress, c + count, NULL);
    }
    nc_progress_finish(progress);
    free(texts);
    free(features);
    nc_fields_free(&templates);
    return status;
}
