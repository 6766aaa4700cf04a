/* The progress bar with its output, its clock and its width handed in, for tests. */
#ifndef NCLIP_HOST_SUPPORT_PROGRESS_PARTS_H
#define NCLIP_HOST_SUPPORT_PROGRESS_PARTS_H

#include "nclip/support/progress.h"

#include <stdbool.h>
#include <stdio.h>

struct progress_surroundings {
    FILE *out;
    bool terminal;         /* a bar that is redrawn; else lines */
    size_t (*width)(void); /* columns of the terminal */
    double (*clock)(void); /* seconds */
};

struct nc_progress *progress_start_in(const struct progress_surroundings *surroundings,
                                      const char *title, const char *unit, size_t initial,
                                      size_t total);

#endif
