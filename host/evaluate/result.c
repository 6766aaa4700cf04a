/* Collects an evaluation's score and its parts, and prints them as a table or as JSON. */
#include "nclip/evaluate/evaluate.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/terminal.h"

#include <stdlib.h>
#include <string.h>

int nc_result_add(struct nc_result *result, const char *name, const struct nc_share *share)
{
    struct nc_part *parts = realloc(result->parts, (result->part_count + 1) * sizeof *parts);
    if (parts)
        result->parts = parts;
    char *copy = strdup(name);
    if (!parts || !copy) {
        free(copy);
        return nc_error(NC_FAILED, "evaluate: no memory");
    }
    parts[result->part_count++] = (struct nc_part){copy, *share};
    return NC_OK;
}

void nc_result_free(struct nc_result *result)
{
    for (size_t i = 0; i < result->part_count; i++)
        free(result->parts[i].name);
    free(result->parts);
    *result = (struct nc_result){0};
}

static void add_share(cJSON *object, const struct nc_share *share)
{
    const double interval[2] = {share->low, share->high};
    cJSON_AddNumberToObject(object, "score", share->score);
    cJSON_AddNumberToObject(object, "n", (double)share->n);
    cJSON_AddItemToObject(object, "interval", cJSON_CreateDoubleArray(interval, 2));
}

static int print_json(const struct nc_result *result, FILE *out)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", result->benchmark);
    add_share(root, &result->score);
    cJSON_AddStringToObject(root, "definition", result->definition);
    if (result->method != NC_METHOD_PLAIN) {
        cJSON *method = cJSON_AddObjectToObject(root, "method");
        cJSON_AddStringToObject(method, "name", nc_method_names[result->method]);
        cJSON_AddNumberToObject(method, "texts", (double)result->texts);
        cJSON_AddNumberToObject(method, "composed", (double)result->composed);
    }
    if (result->part_count) {
        cJSON *object = cJSON_AddObjectToObject(root, "groups");
        for (size_t i = 0; i < result->part_count; i++)
            add_share(cJSON_AddObjectToObject(object, result->parts[i].name),
                      &result->parts[i].share);
    }
    if (result->skipped) {
        cJSON_AddNumberToObject(root, "unreadable", (double)result->unreadable);
        cJSON_AddNumberToObject(root, "left_out", (double)result->left_out);
    }
    return nc_json_print(out, root, true);
}

static void print_line(const char *name, const struct nc_share *share, FILE *out)
{
    nc_terminal_print(out, name); /* groups are named in the benchmark's file */
    fprintf(out, "%*s %6.2f%%  (95%%: %.2f to %.2f)  %zu items\n",
            strlen(name) < 32 ? 32 - (int)strlen(name) : 0, "", 100 * share->score,
            100 * share->low, 100 * share->high, share->n);
}

int nc_result_print(const struct nc_result *result, bool json, FILE *out)
{
    if (json)
        return print_json(result, out);
    print_line(result->benchmark, &result->score, out);
    for (size_t i = 0; i < result->part_count; i++)
        print_line(result->parts[i].name, &result->parts[i].share, out);
    if (result->unreadable)
        fprintf(out, "%zu pictures could not be read: %zu items that need them are left out.\n",
                result->unreadable, result->left_out);
    if (result->method != NC_METHOD_PLAIN)
        fprintf(out, "Method: %s, of what %zu of %zu captions affirm and deny.\n",
                nc_method_names[result->method], result->composed, result->texts);
    fprintf(out, "Score: %s. The interval is a bootstrap.\n", result->definition);
    return NC_OK;
}
