/* nclip evaluate report: several models side by side. */
#include "evaluate_report.h"

#include "nclip/cli/command.h"
#include "nclip/evaluate/comparison.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip evaluate report --model NAME=DIR ... --data DIR --out FILE",
    .purpose =
        "Evaluates several models on every benchmark whose files are there, prints one table, and "
        "writes one page that "
        "needs no other file: scores with intervals next to the paper's, and pictures that were "
        "got right and wrong. Which benchmarks, and where they lie below --data, is in a JSON "
        "file: configs/benchmarks.json, unless --suite names another. Pictures are encoded once "
        "for models that share a vision tower.",
    .examples = "nclip evaluate report --model CLIP=clip-l14 --model ours=runs/first/best \\\n"
                "    --data benchmarks --out report.html",
};

/* "NAME=DIR"; without NAME= the folder's own name. The caller frees the names. */
static int split_models(const struct nc_string_list *list, struct nc_comparison_model *models)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i], *equals = strchr(text, '='), *slash = strrchr(text, '/');
        models[i].folder = equals ? equals + 1 : text;
        models[i].name = equals ? strndup(text, (size_t)(equals - text))
                                : strdup(slash && slash[1] ? slash + 1 : text);
        if (!models[i].name)
            return nc_error(NC_FAILED, "evaluate: no memory");
        for (size_t k = 0; k < i; k++)
            if (strcmp(models[k].name, models[i].name) == 0)
                return nc_error(NC_USAGE,
                                "--model: two models are called \"%s\": name them, NAME=DIR",
                                models[i].name);
    }
    return NC_OK;
}

static int report(const struct nc_string_list *list, const char *suite_path, const char *data,
                  const struct nc_evaluator_options *options, const char *title, const char *out,
                  bool json)
{
    struct nc_suite suite = {0};
    struct nc_comparison comparison = {0};
    struct nc_comparison_model *models = calloc(list->count + 1, sizeof *models);
    int status = models ? split_models(list, models) : nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK)
        status = nc_suite_load(suite_path, data, &suite);
    if (status == NC_OK)
        status = nc_comparison_run(&suite, models, list->count, options, &comparison);
    if (status == NC_OK)
        status = nc_comparison_write(&comparison, title, out);
    if (status == NC_OK)
        status = nc_comparison_print(&comparison, json, stdout);
    nc_comparison_free(&comparison);
    nc_suite_free(&suite);
    for (size_t i = 0; models && i < list->count; i++)
        free((char *)models[i].name);
    free(models);
    return status;
}

static int run(int argc, char **argv)
{
    struct nc_evaluator_options options = {.device = "cpu"};
    struct nc_string_list models = {0};
    const char *suite = NULL, *data = ".", *out = NULL, *precision = "fp32";
    const char *title = "nclip: models side by side";
    bool json = false;
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    const struct nc_option table[] = {
        {"--model", "NAME=DIR", "a CLIP in a Hugging Face folder",
         NC_OPTION_LIST, &models, .required = true},
        {"--data", "DIR", "folder of the benchmarks' files (default: the current one)",
         NC_OPTION_STRING, &data},
        {"--suite", "JSON",
         "which benchmarks, and where they lie (default: configs/benchmarks.json)",
         NC_OPTION_STRING, &suite},
        {"--out", "FILE", "the page", NC_OPTION_STRING, &out, .required = true},
        {"--title", "TEXT", "heading of the page", NC_OPTION_STRING, &title},
        {"--transparency", "RULE",
         "drop (open_clip, OpenAI) or white (transformers 5); default: the model's, mostly drop",
         NC_OPTION_STRING, &options.transparency, .choices = nc_transparency_names},
        {"--strict", NULL, "refuse damaged pictures, also those that PIL reads", NC_OPTION_FLAG,
         &options.strict},
        {"--skip-unreadable", NULL,
         "pass over pictures that cannot be read, and say how many; scores are of the others",
         NC_OPTION_FLAG, &options.skip_unreadable},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING, &precision,
         .choices = precisions},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING,
         &options.device, .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE,
         &options.device_number},
        {"--json", NULL, "print the scores as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    options.precision = nc_type_named(precision);
    status = report(&models, suite, data, &options, title, out, json);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command evaluate_report = {
    "evaluate report", "several models over all benchmarks whose files are there", run};
