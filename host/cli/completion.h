/* What a shell needs to complete commands, options and their values, made of the tables that the
 * commands' options are read by. Nothing runs nclip when a key is pressed: the script holds all. */
#ifndef NCLIP_HOST_CLI_COMPLETION_H
#define NCLIP_HOST_CLI_COMPLETION_H

/* "bash", "zsh" or "fish". */
int nc_completion_print(const char *shell);

#endif
