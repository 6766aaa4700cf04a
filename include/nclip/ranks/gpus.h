/* NCCL among the GPUs of this machine, from one process: for nclip doctor --check. */
#ifndef NCLIP_RANKS_GPUS_H
#define NCLIP_RANKS_GPUS_H

#include <stdbool.h>
#include <stddef.h>

struct nc_gpus_check {
    size_t gpus;       /* that took part, each a rank */
    bool left_out;     /* could not be tried: the message says why */
    char message[200]; /* what is wrong; "" where all is right */
};

/* Joins all GPUs that this process sees and holds every operation that training uses against sums
 * that are exact. Some seconds; what hangs is given up after 20. The current GPU stays what it was.
 */
void nc_gpus_check(struct nc_gpus_check *check);

#endif
