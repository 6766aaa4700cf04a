/* What `nclip generate` can make, one file each. */
#ifndef NCLIP_HOST_CLI_GENERATE_KINDS_H
#define NCLIP_HOST_CLI_GENERATE_KINDS_H

int generate_absence(int argc, char **argv);
int generate_vqa(int argc, char **argv);

#endif
