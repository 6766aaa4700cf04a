/* nclip report: a run as one page, with its scores before and after training. */
#include "nclip/cli/command.h"
#include "nclip/evaluate/report.h"
#include "nclip/support/error.h"

#include <stdio.h>

static int run(int argc, char **argv)
{
    struct nc_report_options report = {.title = "nclip: before and after", .seconds = -1};
    const char *items = NULL, *before = NULL, *after = NULL, *out = NULL, *result = NULL;
    const struct nc_help help = {
        .usage = "nclip report --run RUN --out FILE [--items FILE --before FILE --after FILE "
                 "--images DIR]",
        .purpose = "Writes a page that needs no other file: the loss curve of a run and, with the "
                   "items of `nclip evaluate choices` and what was chosen before and after the "
                   "training (its --items files), a table of the scores and examples. The table is "
                   "printed as well.",
        .examples = "nclip report --run runs/first --items items.json --before before.jsonl \\\n"
                    "    --after after.jsonl --images pictures --out report.html",
    };
    const struct nc_option options[] = {
        {"--run", "RUN", "run folder of nclip train", NC_OPTION_STRING, &report.run,
         .required = true},
        {"--out", "FILE", "the page", NC_OPTION_STRING, &out, .required = true},
        {"--items", "FILE", "the items, as given to nclip evaluate --annotations", NC_OPTION_STRING,
         &items, .required = false},
        {"--before", "FILE", "what was chosen before (nclip evaluate --items)", NC_OPTION_STRING,
         &before, .required = false},
        {"--after", "FILE", "what was chosen after", NC_OPTION_STRING, &after, .required = false},
        {"--images", "DIR", "folder of the items' pictures", NC_OPTION_STRING, &report.images,
         .required = false},
        {"--result", "FILE", "the scores as one JSON object", NC_OPTION_STRING, &result,
         .required = false},
        {"--seconds", "S", "how long all of it took, for the page and the JSON object",
         NC_OPTION_NUMBER, &report.seconds, .required = false},
        {"--title", "TEXT", "heading of the page", NC_OPTION_STRING, &report.title,
         .required = false},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    bool shown = arguments.help_shown;
    nc_arguments_free(&arguments, options);
    if (status != NC_OK || shown)
        return status;
    if (!items && (before || after || report.images || result))
        return nc_error(NC_USAGE, "--before, --after, --images and --result need --items");
    if (items && (!before || !after || !report.images))
        return nc_error(NC_USAGE, "--items needs --before, --after and --images");
    if (!items)
        return nc_report_write(&report, NULL, out);

    struct nc_report_scores scores;
    status = nc_report_scores_load(items, before, after, &scores);
    if (status != NC_OK)
        return status;
    status = nc_report_write(&report, &scores, out);
    if (status == NC_OK && result)
        status = nc_report_scores_write(&scores, report.seconds, result);
    if (status == NC_OK)
        nc_report_scores_print(&scores, stdout);
    nc_report_scores_free(&scores);
    return status;
}

const struct nc_command nc_command_report = {"report", "a run as one page: scores, loss, examples",
                                             run};
