/* What the system reports about this process. */
#ifndef NCLIP_SUPPORT_PROCESS_H
#define NCLIP_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* The most bytes that were ever resident; 0 where the system does not say. */
size_t nc_process_peak_bytes(void);

/* Memory that could be had now without swapping, within the limit of the process's control group
 * where it has one; 0 where the system does not say. */
size_t nc_process_free_bytes(void);

/* To be called before anything is opened: descriptors 0 to 2 that the caller had closed (`2>&-`,
 * some schedulers) become /dev/null. Else the next file that is opened would get the number, and
 * with it all that is said to people. Standard input then cannot be read, as before. False when
 * they cannot be opened. */
bool nc_process_hold_standard_streams(void);

#endif
