/* nclip prepare: captions joined to embeddings, once, for training on more than fits in memory. */
#include "info_set.h"

#include "nclip/cli/command.h"
#include "nclip/support/error.h"
#include "nclip/train/prepare.h"

#include <stdio.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip prepare --captions FILE [...] --embeddings STORE --model DIR --out SET",
    .purpose =
        "Joins captions to the rows of an embedding store and writes them, tokenized and in the "
        "rows' order, into a set that nclip train --examples reads. Needs little memory, whatever "
        "the size: captions are JSONL, packed or not, or COCO JSON (which is read whole), with "
        "what the recipes need (caption, contradiction, absence, paraphrase, choices, "
        "distractor).\n\n"
        "Killed or stopped, the same command goes on where it stopped. What is left out is "
        "counted, and the first of each kind named, here and in SET/set.json.",
    .examples = "nclip prepare --captions captions.jsonl.zst --embeddings store --model clip "
                "--out set\n"
                "zcat parts/*.gz | nclip prepare --captions - --embeddings store --model clip "
                "--out set",
};

static int run(int argc, char **argv)
{
    struct nc_prepare_options options = {0};
    struct nc_prepare_result result;
    struct nc_string_list captions = {0};
    const char *too_long = "truncate", *malformed = "error";
    static const char *const rules[] = {"truncate", "error", "skip", NULL};
    static const char *const bad[] = {"error", "skip", NULL};
    bool json = false;
    const struct nc_option table[] = {
        {"--captions", "FILE", "JSONL or COCO JSON; may be given several times, - once",
         NC_OPTION_LIST, &captions, .required = true},
        {"--embeddings", "STORE", "store of nclip embed", NC_OPTION_STRING, &options.embeddings,
         .required = true},
        {"--model", "DIR", "Hugging Face folder of the CLIP that will be trained",
         NC_OPTION_STRING, &options.model_folder, .required = true},
        {"--out", "SET", "folder of the set", NC_OPTION_STRING, &options.out, .required = true},
        {"--too-long", "RULE", "what to do with a text of too many ids (default: truncate)",
         NC_OPTION_STRING, &too_long, .choices = rules},
        {"--malformed", "RULE", "what to do with a record that cannot be read (default: error)",
         NC_OPTION_STRING, &malformed, .choices = bad},
        {"--quiet", NULL, "no progress", NC_OPTION_FLAG, &options.quiet},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    options.captions = captions.items;
    options.caption_count = captions.count;
    options.skip_malformed = strcmp(malformed, "skip") == 0;
    status = nc_truncation_parse(too_long, &options.too_long);
    if (status == NC_OK)
        status = nc_prepare(&options, &result);
    if (status == NC_OK && result.before)
        fprintf(stderr, "%s was complete already\n", options.out);
    else if (status == NC_OK && !json)
        printf("%llu captions prepared in %.1f s (%.0f captions/s)%s\n\n",
               (unsigned long long)result.captions, result.seconds,
               result.seconds > 0 ? (double)result.captions / result.seconds : 0,
               result.resumed ? ", behind those of an earlier call" : "");
    if (status == NC_OK)
        status = info_set(options.out, json, json ? &result : NULL);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_prepare = {
    "prepare", "join captions to embeddings, once, for large data", run};
