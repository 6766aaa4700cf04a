/* The table of all commands. */
#include "nclip/cli/command.h"

#include <string.h>

extern const struct nc_command nc_command_tokenize;
extern const struct nc_command nc_command_merge;
extern const struct nc_command nc_command_export;
extern const struct nc_command nc_command_import;
extern const struct nc_command nc_command_encode;
extern const struct nc_command nc_command_embed;
extern const struct nc_command nc_command_generate;
extern const struct nc_command nc_command_store;
extern const struct nc_command nc_command_scan;
extern const struct nc_command nc_command_prepare;
extern const struct nc_command nc_command_train;
extern const struct nc_command nc_command_evaluate;
extern const struct nc_command nc_command_build;
extern const struct nc_command nc_command_report;
extern const struct nc_command nc_command_info;
extern const struct nc_command nc_command_doctor;

/* In the order in which they are used. */
const struct nc_command *const nc_commands[] = {
    &nc_command_embed,
    &nc_command_store,
    &nc_command_generate,
    &nc_command_scan,
    &nc_command_prepare,
    &nc_command_train,
    &nc_command_evaluate,
    &nc_command_build,
    &nc_command_report,
    &nc_command_merge,
    &nc_command_export,
    &nc_command_import,
    &nc_command_encode,
    &nc_command_tokenize,
    &nc_command_info,
    &nc_command_doctor,
    NULL,
};

const struct nc_command *nc_command_find(const char *name)
{
    for (size_t i = 0; nc_commands[i]; i++)
        if (strcmp(nc_commands[i]->name, name) == 0)
            return nc_commands[i];
    return NULL;
}
