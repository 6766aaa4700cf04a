/* nclip generate: captions that deny something. */
#include "generate_kinds.h"

#include "nclip/support/error.h"

static const struct nc_command *const kinds[] = {&generate_vqa, &generate_absence, NULL};

static const struct nc_help help = {
    .usage = "nclip generate KIND --out FILE [options]",
    .purpose = "Makes captions that deny something.",
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
                        "\"%s\" is nothing that can be generated: expected nclip generate vqa or "
                        "absence",
                        argv[1]);
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command nc_command_generate = {
    "generate", "captions that deny something, from questions or by models", run, kinds};
