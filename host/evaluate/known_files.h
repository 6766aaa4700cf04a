/* Whether a benchmark's file is the one that was published. */
#ifndef NCLIP_HOST_EVALUATE_KNOWN_FILES_H
#define NCLIP_HOST_EVALUATE_KNOWN_FILES_H

#include <stddef.h>

/* Warns on stderr when `path`, with `count` entries, is not the file that was published under the
 * name `name` (NULL: the path's own), saying what was expected. Says nothing of names that are not
 * known. */
void known_file_check(const char *path, const char *name, size_t count);

#endif
