/* Rank 0's side of the watch: it notices a rank that has died or hangs, and ends the run. */
#ifndef NCLIP_HOST_RANKS_JUDGE_H
#define NCLIP_HOST_RANKS_JUDGE_H

#include "self.h"

#include <poll.h>

/* Waits until all ranks have said hello. NC_FAILED names one that has not within
 * CONNECT_SECONDS. */
int nc_watch_welcome(struct nc_watch *w);

/* Hears and judges the ranks until all have said goodbye; ends the run for one that failed.
 * fds: [size], scratch. */
void nc_watch_lead(struct nc_watch *w, struct pollfd *fds);

#endif
