/* A command that does nothing by itself, called without one of its kinds. */
#include "nclip/cli/command.h"

#include "nclip/support/error.h"

int nc_command_without_kind(const struct nc_help *help, int argc, char **argv, const char *refusal)
{
    static const struct nc_option options[] = {{0}};
    if (argc > 1 && argv[1][0] != '-')
        return nc_error(NC_USAGE, "\"%s\" is %s", argv[1], refusal);
    struct nc_arguments arguments;
    int status = nc_options_parse(help, options, argc, argv, &arguments);
    nc_arguments_free(&arguments, options);
    return status;
}
