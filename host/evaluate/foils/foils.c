/* foils: a picture, its caption, and one or more captions that do not fit it. The score is the
 * share of items whose caption has the highest cosine; with several pieces (VALSE, SugarCrepe,
 * CREPE's complexities) the mean over them, as their papers average. The benchmarks differ in what
 * equal cosines count: see each reader, and the definition that is printed.
 *
 * Which benchmark a file belongs to is recognised by its keys or columns. A folder stands for all
 * of its files that belong to a benchmark, all to the same: VALSE's pieces lie in one folder.
 */
#include "foils.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const char strictly_above[] = "share of items whose caption has a higher cosine with the "
                                     "picture than its foils; with several "
                                     "pieces the mean over them";

static const struct format {
    const char *name;
    bool mean; /* the score is the mean over pieces */
    bool (*is)(const struct foils_file *);
    int (*read)(const struct foils_file *, struct nc_choice_items *);
    const char *definition;
} formats[] = {
    {"VALSE", true, foils_is_valse, foils_read_valse, strictly_above},
    {"SugarCrepe", true, foils_is_sugarcrepe, foils_read_sugarcrepe, strictly_above},
    {"CC-Neg", false, foils_is_ccneg, foils_read_ccneg,
     "share of pairs whose caption has at least the cosine with the picture that its negation has"},
    {"CREPE", true, foils_is_crepe, foils_read_crepe, strictly_above},
    {"NegBench", false, foils_is_negbench, foils_read_negbench,
     "share of questions whose right caption has the highest cosine with the picture, the first of "
     "equals"},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static const struct format *recognise(const struct foils_file *file)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i].is(file))
            return &formats[i];
    return NULL;
}

/* ---- Loading ----------------------------------------------------------------------------------
 */

static char *piece_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *piece = strdup(slash ? slash + 1 : path);
    if (piece && strrchr(piece, '.'))
        *strrchr(piece, '.') = 0;
    return piece;
}

/* *format: NULL when the file is of no benchmark. */
static int read_file(const char *path, struct nc_choice_items *items, const struct format **format)
{
    struct foils_file file = {.path = path};
    char *piece = piece_of(path);
    *format = NULL;
    if (!piece)
        return nc_error(NC_FAILED, "evaluate: no memory");
    bool table;
    int status = choice_items_keep(items, piece, free);
    if (status == NC_OK)
        status = choice_items_is_table(path, &table);
    if (status == NC_OK)
        status = table ? choice_items_load_csv(items, path, &file.csv)
                       : choice_items_load_json(items, path, &file.root);
    if (status == NC_OK)
        status = nc_json_unique(path, file.root);
    if (status != NC_OK)
        return status;
    file.piece = piece;
    *format = recognise(&file);
    if (!*format)
        return NC_OK;
    items->mean_over_groups = (*format)->mean;
    items->definition = (*format)->definition;
    return (*format)->read(&file, items);
}

static int unknown(const char *path)
{
    return nc_error(
        NC_BAD_INPUT,
        "%s: holds no foils: expected VALSE's or SugarCrepe's JSON, CC-Neg's as JSON, or a "
        "CSV file of CREPE or NegBench",
        path);
}

static int wanted(const struct dirent *entry)
{
    const char *name = entry->d_name;
    return *name != '.' && (nc_path_ends(name, ".json") || nc_path_ends(name, ".csv"));
}

static int read_folder(const char *folder, struct nc_choice_items *items)
{
    struct dirent **entries;
    const struct format *first = NULL, *format;
    int count = scandir(folder, &entries, wanted, alphasort), status = NC_OK;
    if (count < 0)
        return nc_error(NC_BAD_INPUT, "%s: cannot read the folder", folder);
    for (int i = 0; i < count; i++) {
        char *path = status == NC_OK ? nc_path_join(folder, entries[i]->d_name) : NULL;
        /* messages and pieces may point to the path */
        if (status == NC_OK)
            status = path ? choice_items_keep(items, path, free)
                          : nc_error(NC_FAILED, "evaluate: no memory");
        if (status == NC_OK)
            status = read_file(path, items, &format);
        if (status == NC_OK && format && first && format != first)
            status = nc_error(NC_BAD_INPUT,
                              "%s: is of %s, but the other files of the folder are of %s: "
                              "evaluate one benchmark at a time",
                              path, format->name, first->name);
        if (status == NC_OK && format)
            first = format;
        free(entries[i]);
    }
    free(entries);
    return status == NC_OK && !first ? unknown(folder) : status;
}

int nc_foils_load(const char *path, struct nc_choice_items *items)
{
    const struct format *format;
    int status = choice_items_begin(items);
    if (status != NC_OK)
        return status;
    if (nc_folder_exists(path)) {
        status = read_folder(path, items);
    } else {
        status = read_file(path, items, &format);
        if (status == NC_OK && !format)
            status = unknown(path);
    }
    if (status == NC_OK && !items->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no item", path);
    if (status != NC_OK)
        nc_choice_items_free(items);
    return status;
}

static int run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
               const struct nc_request *request, struct nc_result *result)
{
    struct nc_choice_items items;
    (void)benchmark;
    int status = nc_foils_load(request->annotations, &items);
    if (status != NC_OK)
        return status;
    result->definition = items.definition;
    status = choice_items_evaluate(&items, evaluator, request, result);
    nc_choice_items_free(&items);
    return status;
}

const struct nc_benchmark nc_benchmark_foils = {
    .name = "foils",
    .definition = strictly_above, /* until the file's format is known */
    .annotations = true,
    .composes = true,
    .annotations_help = "a file or a folder of VALSE, SugarCrepe, CREPE, CC-Neg or NegBench",
    .run = run,
};
