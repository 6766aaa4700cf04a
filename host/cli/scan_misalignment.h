#ifndef NCLIP_HOST_CLI_SCAN_MISALIGNMENT_H
#define NCLIP_HOST_CLI_SCAN_MISALIGNMENT_H

/* `nclip scan --misalignment ...`: a table of options of its own. */
int scan_misalignment(int argc, char **argv);

#endif
