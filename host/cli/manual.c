/* Writes manual pages. */
#include "manual.h"

#include "help.h"
#include "nclip/support/error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MOST_NAME = 64 };

/* "scan --misalignment" has the page nclip-scan-misalignment. */
static void page_name(const char *command, char name[MOST_NAME])
{
    size_t length = (size_t)snprintf(name, MOST_NAME, "nclip");
    while (*command && length + 2 < MOST_NAME) {
        command += strspn(command, " -");
        size_t word = strcspn(command, " ");
        length += (size_t)snprintf(name + length, MOST_NAME - length, "-%.*s", (int)word, command);
        command += word;
    }
}

static void print_head(const char *name, const char *summary)
{
    fputs(".TH ", stdout);
    for (const char *c = name; *c; c++)
        printf(*c == '-' ? "\\-" : "%c", toupper((unsigned char)*c));
    puts(" 1 \"\" \"nclip " NCLIP_VERSION "\" \"User Commands\"\n.SH NAME");
    nc_man_text(name, strlen(name));
    fputs(" \\- ", stdout);
    nc_man_text(summary, strlen(summary));
    putchar('\n');
}

static void print_foot(void)
{
    puts(".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nfailed\n.TP\n2\nwrong usage\n.TP\n3\nbad input");
}

static void print_reference(const char *name, bool last)
{
    fputs("\\fB", stdout);
    nc_man_text(name, strlen(name));
    printf("\\fR(1)%s\n", last ? "" : ",");
}

int nc_manual_print(const struct nc_command *command)
{
    char name[MOST_NAME], form[] = "--help=man", *arguments[] = {(char *)command->name, form, NULL};
    page_name(command->name, name);
    print_head(name, command->summary);
    int status = command->run(2, arguments);
    if (status != NC_OK)
        return status;
    print_foot();
    puts(".SH SEE ALSO");
    print_reference("nclip", !command->kinds);
    for (size_t i = 0; command->kinds && command->kinds[i]; i++) {
        page_name(command->kinds[i]->name, name);
        print_reference(name, !command->kinds[i + 1]);
    }
    return NC_OK;
}

static void print_entry(const struct nc_command *command)
{
    char name[MOST_NAME];
    page_name(command->name, name);
    puts(".TP");
    print_reference(name, true);
    nc_man_text(command->summary, strlen(command->summary));
    putchar('\n');
    for (size_t i = 0; command->kinds && command->kinds[i]; i++)
        print_entry(command->kinds[i]);
}

int nc_manual_print_program(const struct nc_help *program)
{
    print_head("nclip", "teaches CLIP to understand \"no\"");
    puts(".SH SYNOPSIS\n\\fBnclip\\fR \\fICOMMAND\\fR [options]\n.SH DESCRIPTION");
    nc_man_prose(program->purpose);
    puts(".PP\n`nclip \\fICOMMAND\\fR \\-\\-help` tells more.\n.SH COMMANDS");
    for (size_t i = 0; nc_commands[i]; i++)
        print_entry(nc_commands[i]);
    puts(".SH EXAMPLES\nFrom pictures and questions to an encoder that knows \"no\":");
    nc_man_literal(program->examples);
    print_foot();
    return NC_OK;
}
