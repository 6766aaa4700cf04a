/* nclip store: what is done with a store of embeddings that is there. */
#include "store_kinds.h"

#include "nclip/support/error.h"

static const struct nc_command *const kinds[] = {&store_import, &store_export, &store_upgrade, NULL};

static const struct nc_help help = {
    .usage = "nclip store KIND STORE|SOURCE [options]",
    .purpose = "Makes stores of embeddings that are there, and works on stores. nclip info STORE tells "
               "what is in one.",
    .positional_least = 1,
    .positional_most = 1,
    .kinds = kinds,
};

/* A kind would have run in its place. */
static int run(int argc, char **argv)
{
    static const struct nc_option options[] = {{0}};
    if (argc > 1 && argv[1][0] != '-')
        return nc_error(NC_USAGE,
                        "\"%s\" is nothing that can be done with a store: expected nclip store "
                        "import, export or upgrade",
                        argv[1]);
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command nc_command_store = {
    "store", "embeddings that others made, for others, or of an older format", run, kinds};
