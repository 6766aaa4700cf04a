/* nclip scan: how rare negation is in captions. */
#include "scan_misalignment.h"

#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/scan/scan.h"
#include "nclip/support/error.h"
#include "nclip/support/interval.h"
#include "nclip/support/process.h"
#include "nclip/support/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip scan CAPTIONS... [options]\nnclip scan --misalignment --model DIR --embeddings "
             "STORE --captions FILE [options]",
    .purpose =
        "Counts the captions that hold a negation word: \"no\", \"not\", \"without\", every n't, "
        "... (--words replaces the list). Papers count so. Beside it stands how many deny "
        "something: \"No. 5\", \"not only\", \"without doubt\" and their like do not, \"dont\" "
        "does.\n\n"
        "CAPTIONS are files, folders, or - for standard input:\n\n"
        "  text     .txt            one caption a line\n"
        "  jsonl    .jsonl, .ndjson one JSON object a line\n"
        "  json     .json           COCO and the like; read as it comes, of any size\n"
        "  csv, tsv .csv, .tsv      RFC 4180; the first line names the columns\n"
        "  tar      .tar            webdataset: each sample's .txt, or its .json\n\n"
        "all also packed (.gz, .zst). What no name tells, as of standard input, is told by the "
        "first bytes. In JSON and tables the caption is the first there is of "
        "updated_caption, caption, text and TEXT, or what --field names. A column's number (from "
        "1) as --field also says that no line names the columns.\n\n"
        "Parquet is read by DuckDB, which pipes its texts in (see the last example). JSON and tars "
        "are read by one core each, tables and lines by all.\n\n"
        "`nclip scan --misalignment --help` is about captions that do not fit their pictures.",
    .examples =
        "nclip scan captions_train2014.json --examples 5\n"
        "nclip scan laion/ --words words.txt --json\n"
        "zcat captions.tsv.gz | nclip scan - --field 2\n"
        "duckdb -c \"COPY (SELECT TEXT AS text FROM 'laion/*.parquet') TO '/dev/stdout' (FORMAT "
        "JSON)\" |\n    nclip scan - --format jsonl",
    .positional_most = 1 << 20,
};

static const char *const formats[] = {"text", "jsonl", "json", "csv", "tsv", "tar", NULL};

static enum nc_scan_format format_named(const char *name)
{
    for (int i = 0; name && formats[i]; i++)
        if (strcmp(formats[i], name) == 0)
            return (enum nc_scan_format)(NC_SCAN_TEXT + i);
    return NC_SCAN_BY_NAME;
}

/* ---- Results ---------------------------------------------------------------------------- */

static bool add_examples(cJSON *root, const struct nc_scan_result *result)
{
    cJSON *list = cJSON_AddArrayToObject(root, "examples");
    bool complete = list != NULL;
    for (size_t i = 0; i < result->example_count && complete; i++) {
        const struct nc_scan_example *example = &result->examples[i];
        cJSON *item = cJSON_CreateObject();
        complete = cJSON_AddItemToArray(list, item) &&
                   cJSON_AddStringToObject(item, "file", example->file) &&
                   cJSON_AddNumberToObject(item, "offset", (double)example->offset) &&
                   cJSON_AddStringToObject(item, "text", example->text);
    }
    return complete;
}

static bool add_counts(cJSON *root, const char *name, const struct nc_negation_list *words,
                       const uint64_t *counts)
{
    cJSON *by_word = cJSON_AddObjectToObject(root, name);
    bool complete = by_word != NULL;
    for (size_t i = 0; i < nc_negation_list_count(words) && complete; i++)
        complete =
            cJSON_AddNumberToObject(by_word, nc_negation_list_word(words, i), (double)counts[i]);
    return complete;
}

static bool add_share(cJSON *root, const char *fraction, const char *interval, uint64_t count,
                      uint64_t captions)
{
    double limits[2];
    nc_interval_wilson(count, captions, &limits[0], &limits[1]);
    return cJSON_AddNumberToObject(root, fraction, (double)count / (double)captions) &&
           cJSON_AddItemToObject(root, interval, cJSON_CreateDoubleArray(limits, 2));
}

static int print_json(const struct nc_scan_result *result, const struct nc_negation_list *words)
{
    cJSON *root = cJSON_CreateObject();
    bool complete = cJSON_AddNumberToObject(root, "captions", (double)result->captions) &&
                    cJSON_AddNumberToObject(root, "negated", (double)result->negated) &&
                    add_share(root, "fraction", "interval", result->negated, result->captions) &&
                    add_counts(root, "by_word", words, result->by_word) &&
                    cJSON_AddNumberToObject(root, "denials", (double)result->denials) &&
                    add_share(root, "denials_fraction", "denials_interval", result->denials,
                              result->captions) &&
                    add_counts(root, "denials_by_word", words, result->denials_by_word) &&
                    cJSON_AddNumberToObject(root, "unread", (double)result->unread) &&
               (!result->unread ||
                cJSON_AddStringToObject(root, "unread_first", result->unread_first)) &&
                    cJSON_AddNumberToObject(root, "files", (double)result->files) &&
                    cJSON_AddNumberToObject(root, "bytes", (double)result->bytes) &&
                    cJSON_AddNumberToObject(root, "peak_memory", (double)nc_process_peak_bytes()) &&
                    add_examples(root, result);
    return nc_json_print(stdout, root, complete);
}

struct line {
    uint64_t count, denials;
    size_t word;
};

static int most_first(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    if (x->denials != y->denials)
        return x->denials < y->denials ? 1 : -1;
    return (x->word > y->word) - (x->word < y->word);
}

static void print_share(uint64_t count, uint64_t captions, const char *what)
{
    double low, high;
    nc_interval_wilson(count, captions, &low, &high);
    printf("%llu of %llu captions %s: %.4g%% (95%% interval %.4g to %.4g%%)\n",
           (unsigned long long)count, (unsigned long long)captions, what,
           100 * (double)count / (double)captions, 100 * low, 100 * high);
}

static int print_text(const struct nc_scan_result *result, const struct nc_negation_list *words)
{
    size_t count = nc_negation_list_count(words);
    struct line *lines = malloc((count + 1) * sizeof *lines);
    if (!lines)
        return nc_error(NC_FAILED, "scan: no memory for the result");
    print_share(result->negated, result->captions, "hold a negation word");
    print_share(result->denials, result->captions, "deny something");
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct line){result->by_word[i], result->denials_by_word[i], i};
    qsort(lines, count, sizeof *lines, most_first);
    if (count && (lines[0].count || lines[0].denials))
        printf("  %10s  %10s\n", "hold it", "deny");
    for (size_t i = 0; i < count && (lines[i].count || lines[i].denials); i++)
        printf("  %10llu  %10llu  %s\n", (unsigned long long)lines[i].count,
               (unsigned long long)lines[i].denials, nc_negation_list_word(words, lines[i].word));
    if (result->unread) {
        printf("%llu records without a caption were left out; the first: ",
               (unsigned long long)result->unread);
        nc_terminal_print(stdout, result->unread_first);
        printf("\n");
    }
    if (result->example_count)
        printf("examples\n");
    for (size_t i = 0; i < result->example_count; i++) {
        printf("  ");
        nc_terminal_print(stdout, result->examples[i].text);
        printf("\n");
    }
    free(lines);
    return NC_OK;
}

/* ---- The command ------------------------------------------------------------------------ */

static int run(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--misalignment") == 0)
            return nc_command_run(&scan_misalignment, argc, argv);
    struct nc_scan_options scan = {.progress = true};
    static const char *const quotes[] = {"csv", "none", NULL};
    const char *words_path = NULL, *format = NULL;
    struct nc_negation_list *words = NULL;
    size_t seed = 42;
    bool json = false;
    const struct nc_option options[] = {
        {"--format", "NAME", "of all files, instead of by their names and first bytes",
         NC_OPTION_STRING, &format, .choices = formats},
        {"--field", "NAME", "member or column that holds the caption; a column's number",
         NC_OPTION_STRING, &scan.field, .required = false},
        {"--quotes", "RULE",
         "of tables: csv (as RFC 4180), none (characters); default: csv in CSV, in TSV by the "
         "number of columns",
         NC_OPTION_STRING, &scan.quotes, .choices = quotes},
        {"--words", "FILE", "the negation words, one a line (n't: every contraction with it)",
         NC_OPTION_STRING, &words_path, .required = false},
        {"--examples", "N", "show N captions with a negation, chosen by chance (default: 0)",
         NC_OPTION_SIZE, &scan.examples, .required = false},
        {"--seed", "N", "chooses the examples (default: 42)", NC_OPTION_SIZE, &seed,
         .required = false},
        {"--threads", "N", "default: one a core; the result is the same", NC_OPTION_SIZE,
         &scan.threads, .required = false},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json, .required = false},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    struct nc_scan_result result = {0};
    scan.format = format_named(format);
    scan.seed = seed;
    if (!arguments.positional_count)
        status = nc_error(NC_USAGE,
                          "scan needs files of captions, folders, or -: see `nclip scan --help`");
    else if (scan.examples > 1000000)
        status = nc_error(NC_USAGE, "--examples: at most 1000000");
    if (status == NC_OK)
        status = nc_negation_list_load(words_path, &words);
    scan.words = words;
    if (status == NC_OK)
        status = nc_scan(arguments.positional, arguments.positional_count, &scan, &result);
    if (status == NC_OK)
        status = json ? print_json(&result, words) : print_text(&result, words);
    nc_scan_result_free(&result);
    nc_negation_list_free(words);
    nc_arguments_free(&arguments, options);
    return status;
}

static const struct nc_command *const kinds[] = {&scan_misalignment, NULL};
const struct nc_command nc_command_scan = {"scan", "how rare negation is in captions", run, kinds};
