/* Files of benchmarks, read from disk or, where there is none of that name, from those that are
 * built in (built_in.h). */
#ifndef NCLIP_HOST_EVALUATE_BUILT_IN_FILES_H
#define NCLIP_HOST_EVALUATE_BUILT_IN_FILES_H

#include "nclip/formats/fields.h"

#include <stdbool.h>
#include <stddef.h>

/* The text that is built in under this file name; NULL: none. */
const char *built_in_text(const char *name);

/* nc_fields_split() of a file. */
int built_in_fields(const char *path, size_t least, size_t most, struct nc_fields *fields);

#endif
