/* How threads wait for each other. */
#ifndef NCLIP_SUPPORT_THREADS_H
#define NCLIP_SUPPORT_THREADS_H

/* Between two parallel loops OpenMP's threads spin unless OMP_WAIT_POLICY says otherwise,
 * and on cores that somebody else uses too, a step of a small model then takes up to thirty
 * times as long. Sleeping costs microseconds. The run-time library reads the variable before
 * main() starts: so this sets it and starts the program anew, once; the process stays the
 * same. A value that the user has set is left alone. Call it first in main(). */
void nc_threads_wait_passively(char **argv);

#endif
