/* Runs every model on every benchmark of a suite, and prints the table of their scores. */
#include "nclip/evaluate/comparison.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Opens the evaluator with the entry's store if that fits the model, else without a store. */
static int open_evaluator(const struct nc_suite_entry *entry, const char *folder,
                          const struct nc_evaluator_options *options,
                          struct nc_evaluator **evaluator)
{
    struct nc_evaluator_options own = *options;
    own.model = folder;
    own.embeddings =
        entry->embeddings && nc_folder_exists(entry->embeddings) ? entry->embeddings : NULL;
    int status = nc_evaluator_open(&own, evaluator);
    bool pictures = entry->request.images && nc_folder_exists(entry->request.images);
    if (status != NC_BAD_INPUT || !own.embeddings || !pictures)
        return status;
    own.embeddings = NULL;
    return nc_evaluator_open(&own, evaluator);
}

static int run_one(struct nc_comparison *comparison, size_t e, size_t m,
                   const struct nc_evaluator_options *options, struct nc_picture_cache *cache)
{
    const struct nc_suite_entry *entry = &comparison->suite->entries[e];
    const struct nc_comparison_model *model = &comparison->models[m];
    struct nc_request request = entry->request;
    struct nc_evaluator *evaluator = NULL;
    request.samples = &comparison->samples[e];
    request.samples->model = m;
    fprintf(stderr, "%s: %s\n", entry->name, model->name);
    int status = open_evaluator(entry, model->folder, options, &evaluator);
    if (status == NC_OK) {
        nc_evaluator_use_cache(evaluator, cache, e);
        status = nc_benchmark_run(entry->benchmark, evaluator, &request,
                                  &comparison->results[e * comparison->model_count + m]);
    }
    nc_evaluator_close(evaluator);
    return status;
}

int nc_comparison_run(const struct nc_suite *suite, const struct nc_comparison_model *models,
                      size_t model_count, const struct nc_evaluator_options *options,
                      struct nc_comparison *comparison)
{
    struct nc_picture_cache *cache = NULL;
    size_t present = 0;
    *comparison =
        (struct nc_comparison){.suite = suite, .models = models, .model_count = model_count};
    comparison->results = calloc(suite->entry_count * model_count, sizeof *comparison->results);
    comparison->samples = calloc(suite->entry_count, sizeof *comparison->samples);
    int status = comparison->results && comparison->samples
                     ? nc_picture_cache_create(&cache)
                     : nc_error(NC_FAILED, "evaluate: no memory");
    for (size_t e = 0; e < suite->entry_count && status == NC_OK; e++) {
        if (suite->entries[e].missing)
            fprintf(stderr, "%s: passed over: %s is not there\n", suite->entries[e].name,
                    suite->entries[e].missing);
        present += !suite->entries[e].missing;
        for (size_t m = 0; m < model_count && status == NC_OK && !suite->entries[e].missing; m++)
            status = run_one(comparison, e, m, options, cache);
    }
    if (status == NC_OK && !present)
        status =
            nc_error(NC_BAD_INPUT,
                     "no benchmark is there: %s and the others are missing (--suite names where "
                     "they lie)",
                     suite->entries[0].missing);
    nc_picture_cache_destroy(cache);
    return status;
}

void nc_comparison_free(struct nc_comparison *comparison)
{
    for (size_t e = 0; comparison->suite && e < comparison->suite->entry_count; e++) {
        for (size_t m = 0; comparison->results && m < comparison->model_count; m++)
            nc_result_free(&comparison->results[e * comparison->model_count + m]);
        if (comparison->samples)
            samples_free(&comparison->samples[e]);
    }
    free(comparison->results);
    free(comparison->samples);
    *comparison = (struct nc_comparison){0};
}

/* ---- The table ----------------------------------------------------------------------------- */

static void print_table(const struct nc_comparison *comparison, FILE *out)
{
    const struct nc_suite *suite = comparison->suite;
    int width = 9;
    for (size_t e = 0; e < suite->entry_count; e++)
        if (!suite->entries[e].missing && (int)strlen(suite->entries[e].name) > width)
            width = (int)strlen(suite->entries[e].name);
    fprintf(out, "%-*s  %7s", width, "benchmark", "items");
    for (size_t m = 0; m < comparison->model_count; m++)
        fprintf(out, "  %22s", comparison->models[m].name);
    for (size_t p = 0; p < suite->paper_count; p++)
        fprintf(out, "  %12s*", suite->paper_models[p]);
    fprintf(out, "\n");
    for (size_t e = 0; e < suite->entry_count; e++) {
        const struct nc_suite_entry *entry = &suite->entries[e];
        const struct nc_result *results = comparison->results + e * comparison->model_count;
        if (entry->missing)
            continue;
        fprintf(out, "%-*s  %7zu", width, entry->name, results[0].score.n);
        for (size_t m = 0; m < comparison->model_count; m++)
            fprintf(out, "  %6.2f (%5.2f to %5.2f)", 100 * results[m].score.score,
                    100 * results[m].score.low, 100 * results[m].score.high);
        for (size_t p = 0; p < suite->paper_count; p++)
            if (isfinite(entry->paper[p]))
                fprintf(out, "  %12.2f ", entry->paper[p]);
            else
                fprintf(out, "  %12s ", "-");
        fprintf(out, "\n");
    }
    for (size_t i = 0; i < suite->entry_count * comparison->model_count; i++) {
        const struct nc_result *result = &comparison->results[i];
        if (result->unreadable)
            fprintf(out, "%s, %s: %zu pictures could not be read, %zu items are left out.\n",
                    suite->entries[i / comparison->model_count].name,
                    comparison->models[i % comparison->model_count].name, result->unreadable,
                    result->left_out);
    }
    fprintf(out, "Per cent, with 95%% intervals by the bootstrap.");
    if (suite->paper_count)
        fprintf(out, " *: as printed in %s.", suite->paper_title);
    fprintf(out, "\n");
}

static void add_scores(const struct nc_comparison *comparison, size_t e, cJSON *object)
{
    const struct nc_suite_entry *entry = &comparison->suite->entries[e];
    cJSON *scores = cJSON_AddObjectToObject(object, "scores");
    for (size_t m = 0; m < comparison->model_count; m++) {
        const struct nc_result *result = &comparison->results[e * comparison->model_count + m];
        const struct nc_share *share = &result->score;
        cJSON *score = cJSON_AddObjectToObject(scores, comparison->models[m].name);
        cJSON_AddNumberToObject(score, "score", share->score);
        cJSON_AddNumberToObject(score, "n", (double)share->n);
        cJSON_AddItemToObject(score, "interval",
                              cJSON_CreateDoubleArray((double[]){share->low, share->high}, 2));
        if (result->skipped) {
            cJSON_AddNumberToObject(score, "unreadable", (double)result->unreadable);
            cJSON_AddNumberToObject(score, "left_out", (double)result->left_out);
        }
    }
    cJSON *paper = cJSON_AddObjectToObject(object, "paper");
    for (size_t p = 0; p < comparison->suite->paper_count; p++)
        if (isfinite(entry->paper[p]))
            cJSON_AddNumberToObject(paper, comparison->suite->paper_models[p],
                                    entry->paper[p] / 100);
}

static int print_json(const struct nc_comparison *comparison, FILE *out)
{
    const struct nc_suite *suite = comparison->suite;
    cJSON *root = cJSON_CreateObject();
    cJSON *models = cJSON_AddArrayToObject(root, "models");
    for (size_t m = 0; m < comparison->model_count; m++)
        cJSON_AddItemToArray(models, cJSON_CreateString(comparison->models[m].name));
    cJSON *benchmarks = cJSON_AddArrayToObject(root, "benchmarks");
    for (size_t e = 0; e < suite->entry_count; e++) {
        if (suite->entries[e].missing)
            continue;
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToArray(benchmarks, object);
        cJSON_AddStringToObject(object, "name", suite->entries[e].name);
        cJSON_AddStringToObject(object, "benchmark", suite->entries[e].benchmark->name);
        add_scores(comparison, e, object);
    }
    return nc_json_print(out, root, true);
}

int nc_comparison_print(const struct nc_comparison *comparison, bool json, FILE *out)
{
    if (json)
        return print_json(comparison, out);
    print_table(comparison, out);
    return NC_OK;
}
