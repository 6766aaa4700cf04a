/* nclip build: makes a benchmark's file anew from the data that its authors made it from. */
#include "nclip/cli/command.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip build negrefcocog --refs JSON --instances JSON --out JSON",
    .purpose =
        "negrefcocog: the benchmark of Park et al. (2025) from RefCOCOg: expressions that hold "
        "not, no or "
        "without, whose picture holds one other object of the same category. The refs come as a "
        "pickle; this makes the JSON:\n\n"
        "python3 -c 'import json, pickle\n"
        "json.dump(pickle.load(open(\"refs(umd).p\", \"rb\")), open(\"refs.json\", \"w\"))'\n\n"
        "The published file has 440 items over 402 pictures, with 200 not, 144 no and 99 without.",
    .examples = "nclip build negrefcocog --refs refs.json --instances refcocog/instances.json \\\n"
                "    --out NegRefCOCOg.json",
    .positional_least = 1,
    .positional_most = 1,
    .choices = (const char *const[]){"negrefcocog", NULL},
};

static void print_counts(const struct nc_negrefcocog_counts *counts, bool json)
{
    printf(json ? "{\"expressions\": %zu, \"negated\": %zu, \"items\": %zu, \"pictures\": %zu, "
                  "\"by_word\": {\"not\": %zu, \"no\": %zu, \"without\": %zu}}\n"
                : "%zu expressions, %zu of them negated\n%zu items over %zu pictures\n"
                  "  not %zu, no %zu, without %zu (published: 440 over 402; 200, 144, 99)\n",
           counts->expressions, counts->negated, counts->items, counts->pictures, counts->word_not,
           counts->word_no, counts->word_without);
}

static int run(int argc, char **argv)
{
    struct nc_negrefcocog_options options = {.margin = 100};
    struct nc_negrefcocog_counts counts;
    bool json = false;
    const struct nc_option table[] = {
        {"--refs", "JSON", "RefCOCOg's refs, as JSON", NC_OPTION_STRING, &options.refs,
         .required = true},
        {"--instances", "JSON", "the instances.json beside them", NC_OPTION_STRING,
         &options.instances, .required = true},
        {"--out", "JSON", "the benchmark", NC_OPTION_STRING, &options.out, .required = true},
        {"--margin", "PIXELS",
         "enlarge the boxes on every side, within the picture (default: 100, as the published "
         "boxes look)",
         NC_OPTION_NUMBER, &options.margin},
        {"--json", NULL, "print the counts as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    if (strcmp(arguments.positional[0], "negrefcocog") != 0)
        status = nc_error(NC_USAGE, "build: there is no \"%s\" here; there is negrefcocog",
                          arguments.positional[0]);
    else if (!(options.margin >= 0 && options.margin <= 1e6))
        status = nc_error(NC_USAGE, "--margin is a number of pixels from 0");
    if (status == NC_OK)
        status = nc_negrefcocog_build(&options, &counts);
    if (status == NC_OK)
        print_counts(&counts, json);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_build = {"build", "make a benchmark from its source", run};
