/* The part of a shell's completion that is about one command; the rest is in completion.c. */
#include "help.h"

#include <string.h>

enum value { VALUE_NONE, VALUE_WORDS, VALUE_FOLDERS, VALUE_FILES, VALUE_OTHER };

/* "FILE|DIR" has the part "DIR". */
static bool has_part(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (const char *at = text; *at; at += strcspn(at, "|="), at += *at != 0)
        if (strncmp(at, part, length) == 0 && strchr("|=", at[length]))
            return true;
    return false;
}

static bool has_part_of(const char *text, const char *const *parts)
{
    for (; *parts; parts++)
        if (has_part(text, *parts))
            return true;
    return false;
}

/* What stands for a value in the help says what can be offered for it. */
static enum value value_of(const struct nc_option *option)
{
    static const char *const files[] = {"FILE", "JSON", "LIST", "TAR", "X.npy", NULL};
    static const char *const folders[] = {"DIR", "STORE", "SET", "RUN", NULL};
    if (option->kind == NC_OPTION_FLAG || !option->value)
        return VALUE_NONE;
    if (option->choices)
        return VALUE_WORDS;
    if (has_part_of(option->value, files))
        return VALUE_FILES;
    return has_part_of(option->value, folders) ? VALUE_FOLDERS : VALUE_OTHER;
}

static bool takes_files(const struct nc_help *help)
{
    return help->positional_most && !help->choices && !help->kinds;
}

static void print_words(const char *const *words, const char *separator)
{
    for (size_t i = 0; words && words[i]; i++)
        printf("%s%s", i ? separator : "", words[i]);
}

void nc_help_print_quoted(const char *text, const char *quote, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else if (*text == '\n')
            putchar(' ');
        else
            printf(strchr(special, *text) ? "\\%c" : "%c", *text);
    }
}

/* ---- bash -------------------------------------------------------------------------------- */

void nc_help_print_bash(const char *command, const struct nc_help *help,
                        const struct nc_option *options)
{
    printf("    '%s')\n        options='", command);
    for (const struct nc_option *option = options; option->name; option++)
        printf("%s ", option->name);
    printf("%s'\n", nc_help_option.name);
    if (help->choices) {
        printf("        words='");
        print_words(help->choices, " ");
        printf("'\n");
    } else if (takes_files(help)) {
        printf("        files=yes\n");
    }
    printf("        case $option in\n");
    for (const struct nc_option *option = options; option->name; option++) {
        static const char *const kinds[] = {NULL, "words", "folders", "files", "other"};
        enum value value = value_of(option);
        if (value == VALUE_NONE)
            continue;
        printf("        %s) value=%s words='", option->name, kinds[value]);
        print_words(option->choices ? option->choices : option->offered, " ");
        printf("' ;;\n");
    }
    printf("        esac\n        ;;\n");
}

/* ---- zsh --------------------------------------------------------------------------------- */

static void print_zsh_value(const struct nc_option *option)
{
    enum value value = value_of(option);
    putchar(':');
    nc_help_print_quoted(option->value, "'\\''", ":\\");
    if (value == VALUE_WORDS) {
        printf(":(");
        print_words(option->choices, " ");
        putchar(')');
    } else if (option->offered) {
        printf(":{compadd ");
        print_words(option->offered, " ");
        printf("; _files}");
    } else {
        printf("%s", value == VALUE_FILES     ? ":_files"
                     : value == VALUE_FOLDERS ? ":_files -/"
                                              : ": ");
    }
}

void nc_help_print_zsh(const char *command, const struct nc_help *help,
                       const struct nc_option *options)
{
    printf("    '%s')\n        arguments=(\n", command);
    for (const struct nc_option *option = options; option->name; option++) {
        bool takes = value_of(option) != VALUE_NONE;
        printf("            '%s%s%s[", option->kind == NC_OPTION_LIST ? "*" : "", option->name,
               takes ? "=" : "");
        nc_help_print_quoted(option->help, "'\\''", "[]:\\");
        putchar(']');
        if (takes)
            print_zsh_value(option);
        printf("'\n");
    }
    printf("            '(- *)%s[%s]'\n", nc_help_option.name, nc_help_option.help);
    if (help->choices) {
        printf("            '1:which:(");
        print_words(help->choices, " ");
        printf(")'\n");
    } else if (takes_files(help)) {
        printf("            '*:file:_files'\n");
    }
    printf("        )\n        ;;\n");
}

/* ---- fish -------------------------------------------------------------------------------- */

void nc_help_print_fish(const char *command, const struct nc_help *help,
                        const struct nc_option *options)
{
    for (const struct nc_option *option = options;; option++) {
        if (!option->name)
            option = &nc_help_option;
        printf("complete -c nclip -n '__nclip_at %s' -l %s", command, option->name + 2);
        switch (value_of(option)) {
        case VALUE_NONE:
            break;
        case VALUE_WORDS:
            printf(" -x -a '");
            print_words(option->choices, " ");
            putchar('\'');
            break;
        case VALUE_FOLDERS:
            printf(" -x -a '(__fish_complete_directories)'");
            break;
        case VALUE_FILES:
            printf(" -r -F");
            if (option->offered) {
                printf(" -a '");
                print_words(option->offered, " ");
                putchar('\'');
            }
            break;
        case VALUE_OTHER:
            printf(" -x");
            break;
        }
        printf(" -d '");
        nc_help_print_quoted(option->help, "\\'", "\\");
        printf("'\n");
        if (option == &nc_help_option)
            break;
    }
    if (help->choices) {
        printf("complete -c nclip -n '__nclip_at %s' -a '", command);
        print_words(help->choices, " ");
        printf("'\n");
    } else if (takes_files(help)) {
        printf("complete -c nclip -n '__nclip_at %s' -F\n", command);
    }
}
