/* A folder for the files of one test, removed with all it holds. */
#ifndef TESTS_TEMPORARY_FOLDER_H
#define TESTS_TEMPORARY_FOLDER_H

#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>

static inline char *temporary_folder_create(void)
{
    const char *parent = getenv("TMPDIR");
    char *pattern = nc_path_join(parent && *parent ? parent : "/tmp", "nclip-test-XXXXXX");
    if (!pattern || !mkdtemp(pattern)) {
        perror("mkdtemp");
        abort();
    }
    return pattern;
}

static inline void temporary_folder_remove(char *folder)
{
    if (nc_folder_remove(folder) != 0)
        abort();
    free(folder);
}

#endif
