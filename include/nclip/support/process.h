/* What the system says of this process. */
#ifndef NCLIP_SUPPORT_PROCESS_H
#define NCLIP_SUPPORT_PROCESS_H

#include <stddef.h>

/* The most bytes that were ever resident; 0 where the system does not say. */
size_t nc_process_peak_bytes(void);

#endif
