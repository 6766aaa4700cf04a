/* Help as a reader sees it on a terminal. */
#include "help.h"

#include <stdlib.h>
#include <string.h>

enum {
    HELP_WIDTH = 80,
    HELP_COLUMN = 24, /* where the explanation of an option starts */
};

const struct nc_option nc_help_option = {
    .name = "--help", .help = "show this", .kind = NC_OPTION_FLAG};

void nc_help_wrap(FILE *out, const char *text, size_t indent, size_t column)
{
    while (*text) {
        if (*text == '\n') {
            fprintf(out, "\n%*s", text[1] && text[1] != '\n' ? (int)indent : 0, "");
            column = indent;
            text++;
            continue;
        }
        size_t spaces = strspn(text, " ");
        size_t word = strcspn(text + spaces, " \n");
        if (column > indent && column + spaces + word > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            spaces = 0;
            text += strspn(text, " ");
        }
        fprintf(out, "%.*s", (int)(spaces + word), text);
        column += spaces + word;
        text += spaces + word;
    }
    putc('\n', out);
}

char *nc_help_explanation(const struct nc_option *option)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs(option->help, out);
    for (size_t i = 0; option->choices && option->choices[i]; i++)
        fprintf(out, "%s%s%s", i ? ", " : " [", option->choices[i],
                option->choices[i + 1] ? "" : "]");
    if (option->required)
        fputs(" (required)", out);
    if (option->kind == NC_OPTION_LIST)
        fputs(" (may be given several times)", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void print_option(const struct nc_option *option)
{
    int length = printf("  %s%s%s", option->name, option->value ? " " : "",
                        option->value ? option->value : "");
    size_t column = length < 0 ? 0 : (size_t)length;
    if (column + 2 > HELP_COLUMN) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", (int)(HELP_COLUMN - column), "");
    char *text = nc_help_explanation(option);
    nc_help_wrap(stdout, text ? text : option->help, HELP_COLUMN, HELP_COLUMN);
    free(text);
}

void nc_help_print_examples(FILE *out, const char *examples)
{
    for (const char *line = examples; *line;) {
        size_t length = strcspn(line, "\n");
        fprintf(out, "%s%.*s\n", length ? "  " : "", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

void nc_help_print_text(const char *command, const struct nc_help *help,
                        const struct nc_option *options)
{
    (void)command;
    printf("Usage: ");
    nc_help_wrap(stdout, help->usage, 7, 7);
    if (help->purpose) {
        putchar('\n');
        nc_help_wrap(stdout, help->purpose, 0, 0);
    }
    if (help->kinds) {
        putchar('\n');
        for (size_t i = 0; help->kinds[i]; i++) {
            int length = printf("  %-8s ", nc_command_last_word(help->kinds[i]));
            nc_help_wrap(stdout, help->kinds[i]->summary, 11, length < 0 ? 0 : (size_t)length);
        }
        printf("\n`nclip %s KIND --help` tells more.\n", command);
    }
    printf("\nOptions:\n");
    for (; options->name; options++)
        print_option(options);
    print_option(&nc_help_option);
    if (help->examples) {
        printf("\nExamples:\n");
        nc_help_print_examples(stdout, help->examples);
    }
}
