/* The confidence interval of a counted share. */
#ifndef NCLIP_SUPPORT_INTERVAL_H
#define NCLIP_SUPPORT_INTERVAL_H

#include <stdint.h>

/* The 95% score interval of `count` in `n` (Wilson, JASA 22, 1927): good for rare things too, where
 * the share may be 0. n = 0 gives 0 .. 1. */
void nc_interval_wilson(uint64_t count, uint64_t n, double *low, double *high);

#endif
