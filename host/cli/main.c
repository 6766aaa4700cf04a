/* Finds the command, runs it, prints its error and exits with its status. */
#include "completion.h"
#include "help.h"
#include "manual.h"
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/ranks/communicator.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/nearest.h"
#include "nclip/support/process.h"
#include "nclip/support/signals.h"
#include "nclip/support/terminal.h"
#include "nclip/support/threads.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { MOST_COMMANDS = 32 };

static const struct nc_help program = {
    .usage = "nclip COMMAND [options]        nclip COMMAND --help tells more",
    .purpose = "nclip teaches CLIP to understand \"no\": it fine-tunes the text encoder on "
               "captions that deny something, against image embeddings computed once.",
    .examples = "nclip embed    --model CLIP --images pictures --out store\n"
                "nclip generate vqa --questions questions.json --image-name '{id}.png' \\\n"
                "               --out captions.json\n"
                "nclip train    --model CLIP --captions captions.json --embeddings store \\\n"
                "               --out run\n"
                "nclip evaluate choices --model run/best --annotations items.json \\\n"
                "               --images pictures\n",
};

static void print_help(FILE *out)
{
    nc_help_wrap(out, program.purpose, 0, 0);
    fprintf(out, "\nUsage: %s\n\nCommands:\n", program.usage);
    for (size_t i = 0; nc_commands[i]; i++)
        fprintf(out, "  %-10s %s\n", nc_commands[i]->name, nc_commands[i]->summary);
    fputs("\nA typical sequence, from pictures and questions to an encoder that knows \"no\":\n",
          out);
    nc_help_print_examples(out, program.examples);
    fputs("\nTo complete words in bash (zsh, fish): source <(nclip completion bash)\n"
          "Exit code: 0 done, 1 failed, 2 wrong usage, 3 bad input.\n",
          out);
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

static void list(const struct nc_command *const *commands)
{
    for (size_t i = 0; commands && commands[i]; i++) {
        puts(commands[i]->name);
        list(commands[i]->kinds);
    }
}

/* What follows `nclip help`: nothing, a command, "generate vqa"; --list, --man, --man train. */
static int help(int argc, char **argv)
{
    bool man = argc > 0 && strcmp(argv[0], "--man") == 0;
    if (argc == 0) {
        print_help(stdout);
        return NC_OK;
    }
    if (strcmp(argv[0], "--list") == 0 && argc == 1) {
        list(nc_commands);
        return NC_OK;
    }
    if (man && argc == 1)
        return nc_manual_print_program(&program);
    const struct nc_command *command = nc_command_find(argv[man]);
    if (!command)
        return unknown_command(argv[man]);
    const struct nc_command *kind = argc > man + 1 ? nc_command_kind(command, argv[man + 1]) : NULL;
    if (kind)
        command = kind;
    char form[] = "--help", *arguments[] = {(char *)command->name, form, NULL};
    return man ? nc_manual_print(command) : command->run(2, arguments);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return nc_error(NC_USAGE, "a command is missing");
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(0, NULL);
    if (strcmp(name, "--version") == 0) {
        puts("nclip " NCLIP_VERSION);
        return NC_OK;
    }
    if (strcmp(name, "help") == 0)
        return help(argc - 2, argv + 2);
    if (strcmp(name, "completion") == 0)
        return argc == 3 ? nc_completion_print(argv[2])
                         : nc_error(NC_USAGE, "completion takes bash, zsh or fish");
    const struct nc_command *command = nc_command_find(name);
    return command ? nc_command_run(command, argc - 1, argv + 1) : unknown_command(name);
}

/* SIGHUP as whoever started this process left it: under nohup it is ignored. Libraries take it for
 * themselves before main() begins, such as UCX, which Open MPI 5 is linked with and which prints
 * more from then on; only before their constructors can it be seen, and where nobody looked, it is
 * left alone. Sanitizers are not ready then. */
static struct sigaction hangup;
static bool hangup_seen;

__attribute__((no_sanitize("address", "undefined"))) static void see_hangup(void)
{
    hangup_seen = sigaction(SIGHUP, NULL, &hangup) == 0;
}

__attribute__((used, section(".preinit_array"))) static void (*const before_libraries)(void) =
    see_hangup;

int main(int argc, char **argv)
{
    if (hangup_seen) /* before anything may start another program, which inherits no handler */
        sigaction(SIGHUP, &hangup, NULL);
    if (!nc_process_hold_standard_streams())
        return NC_FAILED; /* there is nowhere to say it */
    nc_threads_wait_passively(argv);
    nc_signals_leave_errors();
    nc_mappings_guard();
    nc_json_watch_memory();
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
        nc_terminal_print(stderr,
                          *nc_error_message() ? nc_error_message() : "failed without saying why");
        fputs("\n", stderr);
    }
    return status;
}
