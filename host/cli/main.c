#include "nclip/cli/command.h"
#include "nclip/ranks/communicator.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/nearest.h"
#include "nclip/support/process.h"
#include "nclip/support/signals.h"
#include "nclip/support/terminal.h"
#include "nclip/support/threads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MOST_COMMANDS = 32 };

static void print_help(FILE *out)
{
    fputs("nclip teaches CLIP to understand \"no\": it fine-tunes the text encoder on\n"
          "captions that deny something, against image embeddings computed once.\n"
          "\n"
          "Usage: nclip COMMAND [options]        nclip COMMAND --help tells more\n"
          "\n"
          "Commands:\n",
          out);
    for (size_t i = 0; nc_commands[i]; i++)
        fprintf(out, "  %-10s %s\n", nc_commands[i]->name, nc_commands[i]->summary);
    fputs("\n"
          "A typical sequence, from pictures and questions to an encoder that knows \"no\":\n"
          "  nclip embed    --model CLIP --images pictures --out store\n"
          "  nclip generate vqa --questions questions.json --image-name '{id}.png' \\\n"
          "                 --out captions.json\n"
          "  nclip train    --model CLIP --captions captions.json --embeddings store \\\n"
          "                 --out run\n"
          "  nclip evaluate choices --model run/best --annotations items.json \\\n"
          "                 --images pictures\n"
          "\n"
          "Exit code: 0 done, 1 failed, 2 wrong usage, 3 bad input.\n",
          out);
}

static const struct nc_command *find_command(const char *name)
{
    for (size_t i = 0; nc_commands[i]; i++) {
        if (strcmp(nc_commands[i]->name, name) == 0)
            return nc_commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    if (name[0] == '-')
        return nc_error(NC_USAGE,
                        "%s is no option of nclip itself: options follow the command, "
                        "and `nclip --help` lists the commands",
                        name);
    const char *names[MOST_COMMANDS];
    size_t count = 0;
    for (; nc_commands[count] && count < MOST_COMMANDS; count++)
        names[count] = nc_commands[count]->name;
    const char *nearest = nc_nearest(name, names, count);
    if (nearest)
        return nc_error(NC_USAGE, "there is no command \"%s\": did you mean `nclip %s`?", name,
                        nearest);
    return nc_error(NC_USAGE, "there is no command \"%s\": `nclip --help` lists them", name);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return nc_error(NC_USAGE, "a command is missing");
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_help(stdout);
        return NC_OK;
    }
    if (strcmp(name, "--version") == 0) {
        puts("nclip " NCLIP_VERSION);
        return NC_OK;
    }
    if (strcmp(name, "help") == 0) { /* nclip help train */
        const struct nc_command *command = find_command(argv[2]);
        char help[] = "--help", *arguments[] = {argv[2], help, NULL};
        return command ? command->run(2, arguments) : unknown_command(argv[2]);
    }
    const struct nc_command *command = find_command(name);
    return command ? command->run(argc - 1, argv + 1) : unknown_command(name);
}

int main(int argc, char **argv)
{
    if (!nc_process_hold_standard_streams())
        return NC_FAILED; /* there is nowhere to say it */
    nc_threads_wait_passively(argv);
    nc_signals_leave_errors();
    nc_mappings_guard();
    int status = dispatch(argc, argv);

    /* Results on a full disk must not look like success. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        int cause = errno;
        if (status == NC_OK)
            status = nc_error(NC_FAILED, "standard output: cannot write: %s", strerror(cause));
    }
    /* Of many ranks that were all called wrongly, one says so. */
    bool silent =
        nc_error_silenced() || (status == NC_USAGE && nc_communicator_launched_rank() > 0);
    if (status != NC_OK && !silent) { /* messages quote files, which strangers wrote */
        fputs("nclip: ", stderr);
        nc_terminal_print(stderr, *nc_error_message() ? nc_error_message()
                                                      : "failed without saying why");
        fputs("\n", stderr);
    }
    return status;
}
