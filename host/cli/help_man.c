/* Help as the body of a manual page, in the macros of man(7). */
#include "help.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void nc_man_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '\\':
            fputs("\\e", stdout);
            break;
        case '-':
            fputs("\\-", stdout);
            break;
        case '\'':
            fputs("\\(aq", stdout);
            break;
        case '`':
            fputs("\\(ga", stdout);
            break;
        case '^':
            fputs("\\(ha", stdout);
            break;
        case '~':
            fputs("\\(ti", stdout);
            break;
        case '.':
            fputs(i ? "." : "\\&.", stdout); /* at the beginning of a line it would be a request */
            break;
        default:
            putchar(text[i]);
        }
    }
}

void nc_man_literal(const char *text)
{
    puts(".RS 4\n.nf");
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        nc_man_text(line, length);
        putchar('\n');
        line += length + (line[length] == '\n');
    }
    puts(".fi\n.RE");
}

void nc_man_prose(const char *text)
{
    enum { START, PARAGRAPH, KEPT } before = START;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        bool keep = strncmp(line, "  ", 2) == 0;
        if (before == KEPT && !keep)
            puts(".fi\n.RE");
        if (!length) {
            puts(".PP");
            before = START;
        } else if (keep) {
            if (before != KEPT)
                puts(".RS 4\n.nf");
            nc_man_text(line + 2, length - 2);
            putchar('\n');
            before = KEPT;
        } else {
            if (before == PARAGRAPH)
                puts(".br");
            nc_man_text(line, length);
            putchar('\n');
            before = PARAGRAPH;
        }
        line += length + (line[length] == '\n');
    }
    if (before == KEPT)
        puts(".fi\n.RE");
}

/* "nclip train --model DIR [--config FILE|PRESET]": what is typed as it stands is bold, what
 * something stands for is italic. */
static void synopsis(const char *usage)
{
    for (const char *at = usage; *at;) {
        size_t around = strspn(at, " \n[](){}|.");
        for (size_t i = 0; i < around; i++) {
            if (at[i] == '\n')
                puts("\n.br");
            else
                nc_man_text(at + i, 1);
        }
        at += around;
        size_t word = strcspn(at, " \n[](){}|.");
        if (!word)
            continue;
        fputs(isupper((unsigned char)*at) ? "\\fI" : "\\fB", stdout);
        nc_man_text(at, word);
        fputs("\\fR", stdout);
        at += word;
    }
    putchar('\n');
}

static void print_option(const struct nc_option *option)
{
    fputs(".TP\n\\fB", stdout);
    nc_man_text(option->name, strlen(option->name));
    fputs("\\fR", stdout);
    if (option->value) {
        fputs(" \\fI", stdout);
        nc_man_text(option->value, strlen(option->value));
        fputs("\\fR", stdout);
    }
    putchar('\n');
    char *text = nc_help_explanation(option);
    nc_man_prose(text ? text : option->help);
    free(text);
}

void nc_help_print_man(const char *command, const struct nc_help *help,
                       const struct nc_option *options)
{
    (void)command;
    puts(".SH SYNOPSIS");
    synopsis(help->usage);
    if (help->purpose) {
        puts(".SH DESCRIPTION");
        nc_man_prose(help->purpose);
    }
    puts(".SH OPTIONS");
    for (; options->name; options++)
        print_option(options);
    print_option(&nc_help_option);
    if (help->examples) {
        puts(".SH EXAMPLES");
        nc_man_literal(help->examples);
    }
}
