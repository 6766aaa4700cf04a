#ifndef NCLIP_HOST_CLI_EVALUATE_REPORT_H
#define NCLIP_HOST_CLI_EVALUATE_REPORT_H

/* `nclip evaluate report`; argv[0] is "report". */
int evaluate_report(int argc, char **argv);

#endif
