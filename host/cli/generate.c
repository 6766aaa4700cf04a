/* nclip generate: captions that deny something. */
#include "generate_kinds.h"

static const struct nc_command *const kinds[] = {&generate_vqa, &generate_absence, NULL};

static const struct nc_help help = {
    .usage = "nclip generate KIND --out FILE [options]",
    .purpose = "Makes captions that deny something.",
    .positional_least = 1,
    .positional_most = 1,
    .kinds = kinds,
};

static int run(int argc, char **argv)
{
    return nc_command_without_kind(&help, argc, argv,
                                   "nothing that can be generated: expected nclip generate vqa or "
                                   "absence");
}

const struct nc_command nc_command_generate = {
    "generate", "captions that deny something, from questions or by models", run, kinds};
