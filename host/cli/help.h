/* The forms of a command's help: what a reader sees, the body of a manual page, and the part of a
 * shell's completion that is about this command. All are made of the one table that the parser
 * reads (nclip/cli/command.h); `nclip COMMAND --help=FORM` prints them, on stdout. */
#ifndef NCLIP_HOST_CLI_HELP_H
#define NCLIP_HOST_CLI_HELP_H

#include "nclip/cli/command.h"

#include <stdio.h>

/* `command` is its whole name, as in "generate vqa". */
typedef void nc_help_printer(const char *command, const struct nc_help *help,
                             const struct nc_option *options);

nc_help_printer nc_help_print_text;
nc_help_printer nc_help_print_man; /* from SYNOPSIS to EXAMPLES; the frame is in manual.h */
nc_help_printer nc_help_print_bash, nc_help_print_zsh, nc_help_print_fish; /* completion.h */

/* "man", "bash", "zsh", "fish"; NULL for what is no form. */
nc_help_printer *nc_help_in_form(const char *name);

/* What every command has beside its own options. */
extern const struct nc_option nc_help_option;

/* An option's explanation with its choices and how often it is given; NULL without memory. The
 * caller frees it. */
char *nc_help_explanation(const struct nc_option *option);

/* Prints `text` word by word up to column 80. The cursor stands at `column`; further lines start
 * at `indent`. A newline in the text is kept. */
void nc_help_wrap(FILE *out, const char *text, size_t indent, size_t column);

/* Lines to copy, two spaces before each. */
void nc_help_print_examples(FILE *out, const char *examples);

/* A shell's string between single quotes: `quote` stands for one of these, `special` are the bytes
 * that get a backslash, and a newline becomes a space. */
void nc_help_print_quoted(const char *text, const char *quote, const char *special);

/* roff: sets `text` so that nothing in it is taken for a request, and every - can be copied. */
void nc_man_text(const char *text, size_t length);
void nc_man_prose(const char *text);   /* paragraphs; indented lines are kept as they are */
void nc_man_literal(const char *text); /* lines as they are */

#endif
