/* nclip tokenize: captions to token ids. */
#include "nclip/checkpoints/folder.h"
#include "nclip/cli/command.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip tokenize --model DIR [FILE]",
    .purpose =
        "Reads one caption a line (standard input without FILE) and prints one JSON array of ids a "
        "line, with start and end and without padding. A caption that was skipped prints []. How "
        "many were truncated, and how many of those lost a negation word, is told on stderr.",
    .examples = "echo 'a street with no cars' | nclip tokenize --model clip-vit-base-patch32\n"
                "nclip tokenize --model clip --rules open_clip --too-long error captions.txt",
    .positional_least = 0,
    .positional_most = 1,
};

struct counts {
    size_t captions, truncated, skipped, negation_lost;
};

static void print_ids(const struct nc_tokens *tokens)
{
    putchar('[');
    for (size_t i = 0; i < tokens->count; i++)
        printf(i ? ",%d" : "%d", (int)tokens->ids[i]);
    fputs("]\n", stdout);
}

static int tokenize(const struct nc_tokenizer *tokenizer, const char *path, size_t context,
                    enum nc_truncation too_long, struct counts *counts)
{
    char *text = NULL;
    size_t size, length;
    struct nc_tokens tokens = {0};
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    struct nc_lines lines = nc_lines_of(text, size);
    for (const char *line; status == NC_OK && nc_lines_next(&lines, &line, &length);) {
        counts->captions++;
        status = nc_tokenizer_encode(tokenizer, line, length, context, too_long, &tokens);
        if (status != NC_OK) {
            nc_error_prefix(status, "%s: line %zu", strcmp(path, "-") == 0 ? "input" : path,
                            counts->captions);
            break;
        }
        counts->truncated += tokens.truncated;
        counts->skipped += tokens.skipped;
        counts->negation_lost += tokens.negation_lost;
        print_ids(&tokens);
        if (ferror(stdout))
            status = nc_error(NC_FAILED, "tokenize: cannot write the ids: %s", strerror(errno));
    }
    if (fflush(stdout) != 0 && status == NC_OK)
        status = nc_error(NC_FAILED, "tokenize: cannot write the ids: %s", strerror(errno));
    nc_tokens_free(&tokens);
    free(text);
    return status;
}

/* What the model's text tower holds, or CLIP's 77 for a folder without config.json. */
static int read_context(const char *folder, size_t *context)
{
    char *config = nc_path_join(folder, "config.json");
    if (!config)
        return nc_error(NC_FAILED, "tokenize: no memory");
    int status = NC_OK;
    *context = NC_CLIP_CONTEXT;
    if (nc_file_exists(config)) {
        struct nc_model_shape shape;
        status = nc_model_shape_read(config, &shape);
        if (status == NC_OK)
            *context = shape.context;
    }
    free(config);
    return status;
}

static int run(int argc, char **argv)
{
    const char *model = NULL, *rules_name = "transformers", *too_long_name = "truncate";
    size_t context = SIZE_MAX;
    enum nc_tokenizer_rules rules;
    enum nc_truncation too_long;
    struct nc_tokenizer *tokenizer = NULL;
    struct counts counts = {0};
    static const char *const rules_names[] = {"transformers", "open_clip", NULL};
    static const char *const too_long_names[] = {"truncate", "error", "skip", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "folder of the model, or a vocabulary file", NC_OPTION_STRING, &model,
         .required = true},
        {"--rules", "NAME", "whose tokenizer to equal (default: transformers)", NC_OPTION_STRING,
         &rules_name, .choices = rules_names},
        {"--too-long", "RULE", "what to do with a caption of too many ids (default: truncate)",
         NC_OPTION_STRING, &too_long_name, .choices = too_long_names},
        {"--context", "N", "most ids of a caption, 0: no limit (default: as the model, or 77)",
         NC_OPTION_SIZE, &context},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    const char *path = arguments.positional_count ? arguments.positional[0] : "-";
    status = nc_tokenizer_rules_parse(rules_name, &rules);
    if (status == NC_OK)
        status = nc_truncation_parse(too_long_name, &too_long);
    if (status == NC_OK && context == SIZE_MAX)
        status = read_context(model, &context);
    if (status == NC_OK)
        status = nc_tokenizer_load(model, rules, &tokenizer);
    if (status == NC_OK)
        status = tokenize(tokenizer, path, context, too_long, &counts);
    if (status == NC_OK)
        fprintf(stderr,
                "%zu captions: %zu truncated to %zu ids, of which %zu lost a negation word; %zu "
                "skipped\n",
                counts.captions, counts.truncated, context, counts.negation_lost, counts.skipped);
    nc_tokenizer_destroy(tokenizer);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_tokenize = {"tokenize", "captions to token ids", run};
