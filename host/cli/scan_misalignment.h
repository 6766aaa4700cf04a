#ifndef NCLIP_HOST_CLI_SCAN_MISALIGNMENT_H
#define NCLIP_HOST_CLI_SCAN_MISALIGNMENT_H

#include "nclip/cli/command.h"

/* `nclip scan --misalignment ...`: a table of options of its own. */
extern const struct nc_command scan_misalignment;

#endif
