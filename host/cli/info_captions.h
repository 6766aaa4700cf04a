/* Describes a file of captions, for nclip info. */
#ifndef NCLIP_HOST_CLI_INFO_CAPTIONS_H
#define NCLIP_HOST_CLI_INFO_CAPTIONS_H

#include <stdbool.h>

int info_captions(const char *path, bool json);

#endif
