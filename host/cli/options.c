/* Reads command lines by a command's table of options. */
#include "help.h"

#include "nclip/cli/command.h"
#include "nclip/support/error.h"
#include "nclip/support/nearest.h"
#include "nclip/support/text_stream.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 64 };

/* ---- Parser ---------------------------------------------------------------------- */

/* "--name" is argument[0 .. length), the value, if joined by '=', is behind it. */
static const struct nc_option *find(const struct nc_option *options, const char *argument,
                                    size_t length)
{
    for (; options->name; options++) {
        if (strlen(options->name) == length && memcmp(options->name, argument, length) == 0)
            return options;
    }
    return NULL;
}

static int unknown_option(const char *command, const struct nc_option *options,
                          const char *argument, size_t length)
{
    const char *names[MOST_OPTIONS] = {"--help"};
    size_t count = 1;
    for (; options->name && count < MOST_OPTIONS; options++)
        names[count++] = options->name;

    char *word = strndup(argument, length);
    if (!word)
        return nc_error(NC_FAILED, "no memory");
    const char *nearest = nc_nearest(word, names, count);
    int status;
    if (nearest)
        status =
            nc_error(NC_USAGE, "%s has no option %s: did you mean %s?", command, word, nearest);
    else
        status = nc_error(NC_USAGE, "%s has no option %s: `nclip %s --help` lists them", command,
                          word, command);
    free(word);
    return status;
}

static int set_choice(const struct nc_option *option, const char *value)
{
    size_t count = 0;
    for (; option->choices[count]; count++) {
        if (strcmp(option->choices[count], value) == 0) {
            *(const char **)option->target = value;
            return NC_OK;
        }
    }
    struct nc_text_stream stream;
    nc_text_stream_open(&stream);
    for (size_t i = 0; i < count && stream.file; i++)
        fprintf(stream.file, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", option->choices[i]);
    char *list = nc_text_stream_close(&stream);
    if (!list)
        return nc_error(NC_FAILED, "no memory");
    const char *nearest = nc_nearest(value, option->choices, count);
    int status =
        nc_error(NC_USAGE, "%s takes %s, not \"%s\"%s%s%s", option->name, list, value,
                 nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    free(list);
    return status;
}

static int set_size(const struct nc_option *option, const char *value)
{
    char *end = NULL;
    errno = 0;
    /* strtoull would accept a sign and spaces */
    unsigned long long number = *value >= '0' && *value <= '9' ? strtoull(value, &end, 10) : 0;
    if (!end || *end)
        return nc_error(NC_USAGE, "%s takes a whole number, not \"%s\"", option->name, value);
    if (errno == ERANGE || number > SIZE_MAX)
        return nc_error(NC_USAGE, "%s: %s is too large", option->name, value);
    *(size_t *)option->target = (size_t)number;
    return NC_OK;
}

static int set_number(const struct nc_option *option, const char *value)
{
    char *end = NULL;
    double number = strtod(value, &end);
    if (end == value || *end || !isfinite(number))
        return nc_error(NC_USAGE, "%s takes a number, not \"%s\"", option->name, value);
    *(double *)option->target = number;
    return NC_OK;
}

static int set_value(const struct nc_option *option, const char *value)
{
    switch (option->kind) {
    case NC_OPTION_FLAG:
        *(bool *)option->target = true;
        return NC_OK;
    case NC_OPTION_STRING:
        if (option->choices)
            return set_choice(option, value);
        *(const char **)option->target = value;
        return NC_OK;
    case NC_OPTION_SIZE:
        return set_size(option, value);
    case NC_OPTION_NUMBER:
        return set_number(option, value);
    case NC_OPTION_LIST: {
        struct nc_string_list *list = option->target;
        const char **larger = realloc(list->items, (list->count + 1) * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "no memory");
        list->items = larger;
        list->items[list->count++] = value;
        return NC_OK;
    }
    }
    return nc_error(NC_FAILED, "%s: an option of no known kind", option->name);
}

static int check_complete(const char *command, const struct nc_help *help,
                          const struct nc_option *options, const bool *given,
                          const struct nc_arguments *arguments)
{
    struct nc_text_stream stream;
    nc_text_stream_open(&stream);
    size_t count = 0;
    for (size_t i = 0; options[i].name; i++) {
        if (options[i].required && !given[i] && stream.file)
            fprintf(stream.file, "%s%s %s", count++ ? " and " : "", options[i].name,
                    options[i].value ? options[i].value : "");
    }
    char *missing = nc_text_stream_close(&stream);
    if (!missing)
        return nc_error(NC_FAILED, "no memory");

    int status = NC_OK;
    if (count)
        status =
            nc_error(NC_USAGE, "%s needs %s: see `nclip %s --help`", command, missing, command);
    else if (arguments->positional_count < help->positional_least)
        status =
            nc_error(NC_USAGE, "%s needs %s: the usage is `%s`", command,
                     help->positional_least == 1 ? "an argument" : "more arguments", help->usage);
    else if (arguments->positional_count > help->positional_most)
        status = nc_error(NC_USAGE, "%s does not expect \"%s\": the usage is `%s`", command,
                          arguments->positional[help->positional_most], help->usage);
    free(missing);
    return status;
}

/* In which form: "--help", or "--help=man" and the like. */
static nc_help_printer *asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return nc_help_print_text;
        if (strncmp(argv[i], "--help=", 7) == 0)
            return nc_help_in_form(argv[i] + 7);
    }
    return NULL;
}

int nc_options_parse(const struct nc_help *help, const struct nc_option *options, int argc,
                     char **argv, struct nc_arguments *arguments)
{
    *arguments = (struct nc_arguments){0};
    const char *command = argc > 0 ? argv[0] : "nclip";
    nc_help_printer *print_help = asks_for_help(argc, argv);
    if (print_help) {
        print_help(command, help, options);
        arguments->help_shown = true;
        return NC_OK;
    }

    bool given[MOST_OPTIONS] = {false};
    bool only_positionals = false;
    int status = NC_OK;
    const char **positional = calloc((size_t)argc + 1, sizeof *positional);
    if (!positional)
        return nc_error(NC_FAILED, "no memory");
    arguments->positional = positional;
    arguments->owned = positional;

    for (int i = 1; i < argc && status == NC_OK; i++) {
        const char *argument = argv[i];
        if (only_positionals || argument[0] != '-' || argument[1] == 0) {
            positional[arguments->positional_count++] = argument;
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            only_positionals = true;
            continue;
        }
        size_t length = strcspn(argument, "=");
        const char *value = argument[length] ? argument + length + 1 : NULL;
        const struct nc_option *option = find(options, argument, length);
        if (!option) {
            status = unknown_option(command, options, argument, length);
        } else if (option->kind == NC_OPTION_FLAG && value) {
            status =
                nc_error(NC_USAGE, "%s takes no value: leave \"=%s\" out", option->name, value);
        } else if (option->kind != NC_OPTION_FLAG && !value) {
            /* "--model --json" forgot a value; one that starts so is written --model=--json */
            if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
                value = argv[++i];
            else
                status = nc_error(NC_USAGE, "%s needs a value: %s %s", option->name, option->name,
                                  option->value);
        }
        if (status == NC_OK) {
            status = set_value(option, value);
            if (option - options < MOST_OPTIONS)
                given[option - options] = true;
        }
    }
    if (status == NC_OK)
        status = check_complete(command, help, options, given, arguments);
    if (status != NC_OK)
        nc_arguments_free(arguments, options);
    return status;
}

void nc_arguments_free(struct nc_arguments *arguments, const struct nc_option *options)
{
    for (; options->name; options++) {
        if (options->kind == NC_OPTION_LIST) {
            struct nc_string_list *list = options->target;
            free(list->items);
            *list = (struct nc_string_list){0};
        }
    }
    free(arguments->owned);
    *arguments = (struct nc_arguments){0};
}
