/* What `nclip store` does with a store of embeddings, one file each. */
#ifndef NCLIP_HOST_CLI_STORE_KINDS_H
#define NCLIP_HOST_CLI_STORE_KINDS_H

#include "nclip/cli/command.h"

extern const struct nc_command store_export, store_import, store_upgrade;

#endif
