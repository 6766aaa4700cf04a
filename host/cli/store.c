/* nclip store: what is done with a store of embeddings that is there. */
#include "store_kinds.h"

static const struct nc_command *const kinds[] = {&store_import, &store_export, &store_upgrade, NULL};

static const struct nc_help help = {
    .usage = "nclip store KIND STORE|SOURCE [options]",
    .purpose = "Makes stores of embeddings that are there, and works on stores. nclip info STORE tells "
               "what is in one.",
    .positional_least = 1,
    .positional_most = 1,
    .kinds = kinds,
};

static int run(int argc, char **argv)
{
    return nc_command_without_kind(&help, argc, argv,
                                   "nothing that can be done with a store: expected nclip store "
                                   "import, export or upgrade");
}

const struct nc_command nc_command_store = {
    "store", "embeddings that others made, for others, or of an older format", run, kinds};
