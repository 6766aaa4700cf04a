/* nclip store upgrade: a store of version 1 becomes one of version 2. */
#include "store_kinds.h"

#include "nclip/formats/json.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <stdio.h>

static const struct nc_help help = {
    .usage = "nclip store upgrade STORE [--out NEW] [--json]",
    .purpose =
        "Writes the shards of an older nclip anew, so that the store opens at once, whatever its "
        "size, and every block of it has a checksum of its own. Rows, keys and their order stay. "
        "Shard by shard, each replaced when the new one is complete: there must be room for one "
        "shard more, and a run that was stopped or killed goes on when it is called again. With "
        "--out the store stays as it is, and a whole one is written beside it.",
    .examples = "nclip store upgrade store\n"
                "nclip store upgrade /archive/store --out store",
    .positional_least = 1,
    .positional_most = 1,
};

static int run(int argc, char **argv)
{
    const char *out = NULL;
    bool json = false;
    const struct nc_option options[] = {
        {"--out", "NEW", "write a new store and leave the old one alone", NC_OPTION_STRING, &out,
         .required = false},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json, .required = false},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    const char *folder = arguments.positional[0];
    struct nc_embedding_upgraded result;
    status = nc_embedding_store_upgrade(folder, out, &result);
    if (status == NC_OK && json) {
        cJSON *root = cJSON_CreateObject();
        bool complete = cJSON_AddStringToObject(root, "store", out ? out : folder) &&
                        cJSON_AddNumberToObject(root, "shards", (double)result.shards) &&
                        cJSON_AddNumberToObject(root, "written", (double)result.written) &&
                        cJSON_AddNumberToObject(root, "bytes", (double)result.bytes);
        status = nc_json_print(stdout, root, complete);
    } else if (status == NC_OK) {
        printf("%s: %zu shards, %zu of them written (%.1f MB)\n", out ? out : folder, result.shards,
               result.written, 1e-6 * (double)result.bytes);
    }
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command store_upgrade = {"store upgrade", "a store of an older nclip opens at once",
                                         run};
