/* The frame of the command line: one file per command in host/cli/.
 *
 *     static int run(int argc, char **argv);               // argv[0] is the command's name
 *     const struct nc_command nc_command_tokenize = {"tokenize", "captions to token ids", run};
 *
 * A command declares its options in one table, from which both the parser and
 * --help are made:
 *
 *     const struct nc_option options[] = {
 *         {"--model", "DIR", "folder of the model", NC_OPTION_STRING, &model, .required = true},
 *         {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json},
 *         {0},
 *     };
 *     struct nc_arguments arguments;
 *     int status = nc_options_parse(&help, options, argc, argv, &arguments);
 *     if (status != NC_OK || arguments.help_shown)
 *         return status;
 *     ...
 *     nc_arguments_free(&arguments, options);
 *
 * host/cli/doctor.c is the example to copy.
 */
#ifndef NCLIP_CLI_COMMAND_H
#define NCLIP_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct nc_command {
    const char *name;                  /* of a kind its whole name: "generate vqa" */
    const char *summary;               /* one line of `nclip --help` */
    int (*run)(int argc, char **argv); /* returns an enum nc_status */
    /* What may follow the name and has options of its own, as in `nclip generate vqa`; NULL, or
     * ends with NULL. */
    const struct nc_command *const *kinds;
};

/* Every command, in the order of `nclip --help`; ends with NULL (host/cli/commands.c). */
extern const struct nc_command *const nc_commands[];

const struct nc_command *nc_command_find(const char *name); /* NULL: there is none */

/* argv[1] may name a kind, which then runs with what follows. argv[0] is replaced by the name of
 * what runs. */
int nc_command_run(const struct nc_command *command, int argc, char **argv);

const struct nc_command *nc_command_kind(const struct nc_command *command, const char *word);
const char *nc_command_last_word(const struct nc_command *command); /* "vqa" of "generate vqa" */

enum nc_option_kind {
    NC_OPTION_STRING, /* target: const char ** */
    NC_OPTION_FLAG,   /* target: bool * */
    NC_OPTION_SIZE,   /* target: size_t * (whole number >= 0) */
    NC_OPTION_NUMBER, /* target: double * */
    NC_OPTION_LIST,   /* target: struct nc_string_list *, {0} before; may be given several times */
};

struct nc_string_list {
    const char **items; /* point into argv; the array is freed by nc_arguments_free of its parse */
    size_t count;
};

/* --help adds the choices in brackets and "(required)" to `help`; a default belongs into `help`:
 * "captions computed at once (default: all)". At most 64 options a command.
 *
 * A shell completes a value from its choices or by the words of `value`, which "|" or "=" part:
 * FILE, JSON, LIST, TAR and X.npy stand for files, DIR, STORE, SET and RUN for folders
 * (host/cli/help_shells.c). */
struct nc_option {
    const char *name;  /* "--model" */
    const char *value; /* what stands for the value in help: "DIR"; NULL for a flag */
    const char *help;
    enum nc_option_kind kind;
    void *target; /* keeps its default when the option is absent */
    bool required;
    const char *const *choices; /* NULL, or the allowed strings, ending with NULL */
    const char *const *offered; /* NULL, or what a shell offers beside other values, as a preset */
};

struct nc_help {
    const char *usage;    /* "nclip tokenize --model DIR [FILE]" */
    const char *purpose;  /* a paragraph; is wrapped at 80 columns, newlines are kept */
    const char *examples; /* lines to copy, or NULL */
    size_t positional_least, positional_most;
    const char *const
        *choices; /* what the first positional may be, ending with NULL; or NULL: a file */
    const struct nc_command *const *kinds; /* that the help lists, or NULL */
};

struct nc_arguments {
    const char **positional; /* point into argv */
    size_t positional_count;
    bool help_shown; /* --help was given and printed to stdout: return NC_OK */
    void *owned;
};

/* Accepts "--name value" and "--name=value"; "--" ends the options; "-" is a positional; a value
 * that starts with "--" must be joined by "=". The last of a repeated option counts. --help (or
 * -h) anywhere prints the help and looks at nothing else; --help=man, =bash, =zsh and =fish print
 * it for a manual page or a shell (host/cli/help.h). All errors are NC_USAGE, one sentence
 * each: an unknown option names the nearest known one. When it fails or shows the help, nothing
 * needs to be freed (nc_arguments_free is then harmless). */
int nc_options_parse(const struct nc_help *help, const struct nc_option *options, int argc,
                     char **argv, struct nc_arguments *arguments);
void nc_arguments_free(struct nc_arguments *arguments, const struct nc_option *options);

/* The run of a command that only has kinds: one that is named would have run in its place. Shows
 * the help, or refuses the word with "WORD is REFUSAL". */
int nc_command_without_kind(const struct nc_help *help, int argc, char **argv, const char *refusal);

#endif
