/* Makes OpenMP's threads sleep while they wait. */
#include "nclip/support/threads.h"

#include <stdlib.h>
#include <unistd.h>

void nc_threads_wait_passively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || setenv("OMP_WAIT_POLICY", "passive", 1) != 0)
        return;
    execv("/proc/self/exe", argv); /* returns only where that cannot be: no harm then */
}
