#ifndef NCLIP_HOST_CLI_EVALUATE_REPORT_H
#define NCLIP_HOST_CLI_EVALUATE_REPORT_H

#include "nclip/cli/command.h"

extern const struct nc_command evaluate_report;

#endif
