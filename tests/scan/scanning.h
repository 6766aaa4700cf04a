/* Files made for a test, and scanning them by the built-in list of words. */
#ifndef TESTS_SCAN_SCANNING_H
#define TESTS_SCAN_SCANNING_H

#include "nclip/scan/scan.h"

#include <stddef.h>

/* The built-in list, from scanning_begin() (a group's setup) to scanning_end(). */
extern struct nc_negation_list *words;
int scanning_begin(void **state);
int scanning_end(void **state);

char *path_of(const char *folder, const char *name); /* the caller frees it */

/* Without nc_file_write()'s wait for the disk: there are thousands. */
void rewrite(const char *path, const char *bytes, size_t size);
/* Likewise; the path, which the caller frees. */
char *write_bytes(const char *folder, const char *name, const char *bytes, size_t size);

/* Scans a file or folder that must be good; `given` without words stands for the built-in list. */
struct nc_scan_result scan(const char *path, const struct nc_scan_options *given);

/* Fails the test unless scanning ends with the status `expected` and `part` in the message. */
void refuses(const char *path, const struct nc_scan_options *given, int expected,
             const char *part);

#endif
