/* The kinds of captions that `nclip generate` makes, one file each. */
#ifndef NCLIP_HOST_CLI_GENERATE_KINDS_H
#define NCLIP_HOST_CLI_GENERATE_KINDS_H

#include "nclip/cli/command.h"

extern const struct nc_command generate_absence, generate_vqa;

#endif
