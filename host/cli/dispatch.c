/* Runs a command, or the kind of it that its first word names. */
#include "nclip/cli/command.h"

#include <string.h>

const char *nc_command_last_word(const struct nc_command *command)
{
    const char *space = strrchr(command->name, ' ');
    return space ? space + 1 : command->name;
}

const struct nc_command *nc_command_kind(const struct nc_command *command, const char *word)
{
    for (size_t i = 0; command->kinds && command->kinds[i]; i++)
        if (strcmp(nc_command_last_word(command->kinds[i]), word) == 0)
            return command->kinds[i];
    return NULL;
}

int nc_command_run(const struct nc_command *command, int argc, char **argv)
{
    const struct nc_command *kind = argc > 1 ? nc_command_kind(command, argv[1]) : NULL;
    if (kind) {
        command = kind;
        argc--;
        argv++;
    }
    argv[0] = (char *)command->name; /* nobody writes to it */
    return command->run(argc, argv);
}
