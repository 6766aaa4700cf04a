/* How OpenMP's threads wait between two parallel loops. */
#ifndef NCLIP_SUPPORT_THREADS_H
#define NCLIP_SUPPORT_THREADS_H

/* Makes the threads sleep instead of spinning: sets OMP_WAIT_POLICY and executes the program anew,
 * in the same process, since the OpenMP library reads the variable before main() starts. Call it
 * first in main(). A value that the user has set is left alone.
 *
 * On cores that another program uses too, spinning threads make a step of a small model take up to
 * thirty times as long; waking a sleeping thread costs microseconds. */
void nc_threads_wait_passively(char **argv);

#endif
