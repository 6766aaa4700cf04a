#ifndef NCLIP_HOST_CLI_INFO_SET_H
#define NCLIP_HOST_CLI_INFO_SET_H

#include "nclip/train/prepare.h"

/* What is in a prepared set, for people or as one JSON object; with what the call that made it
 * did, or NULL. */
int info_set(const char *folder, bool json, const struct nc_prepare_result *result);

#endif
