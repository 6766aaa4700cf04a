/* Manual pages, made of the tables that the commands' options are read by. */
#ifndef NCLIP_HOST_CLI_MANUAL_H
#define NCLIP_HOST_CLI_MANUAL_H

#include "nclip/cli/command.h"

/* Prints the page nclip-train(1) of a command, or of a kind of one: nclip-generate-vqa(1). */
int nc_manual_print(const struct nc_command *command);

/* Prints nclip(1), which names all others. */
int nc_manual_print_program(const struct nc_help *program);

#endif
