/* nclip generate: captions that deny something. */
#include "generate_kinds.h"

#include "nclip/cli/command.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*generate)(int argc, char **argv);
    const char *summary;
} kinds[] = {
    {"vqa", generate_vqa, "from questions about pictures that were answered \"no\""},
    {"absence", generate_absence, "from captions, by asking models what is not there"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void print_help(void)
{
    printf("Usage: nclip generate KIND --out FILE [options]\n\n"
           "Makes captions that deny something.\n\n");
    for (size_t i = 0; i < KINDS; i++)
        printf("  %-8s %s\n", kinds[i].name, kinds[i].summary);
    printf("\n`nclip generate KIND --help` tells more.\n");
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return NC_OK;
    }
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(name, kinds[i].name) == 0)
            return kinds[i].generate(argc - 1, argv + 1);
    }
    return nc_error(NC_USAGE, "%s%s%sexpected nclip generate vqa or absence", name[0] ? "\"" : "",
                    name, name[0] ? "\" is nothing that can be generated: " : "");
}

const struct nc_command nc_command_generate = {
    "generate", "captions that deny something, from questions or by models", run};
