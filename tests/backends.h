/* Which of this build's backends a test runs on: all that open on this machine, or the one that
 * NCLIP_TEST_BACKEND names. */
#ifndef NCLIP_TESTS_BACKENDS_H
#define NCLIP_TESTS_BACKENDS_H

#include "nclip/ops.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says SKIPPED, and why, where it does not open. */
static inline bool backend_opens(const char *name)
{
    const char *only = getenv("NCLIP_TEST_BACKEND");
    if (only && strcmp(only, name) != 0)
        return false;
    struct nc_ops *ops;
    if (nc_ops_create(name, 0, &ops) != NC_OK) {
        printf("SKIPPED on %s: %s\n", name, nc_error_message());
        return false;
    }
    nc_ops_destroy(ops);
    return true;
}

#endif
