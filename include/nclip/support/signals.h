/* Being told to stop: SIGINT and SIGTERM, and SIGUSR1, which schedulers send as a warning and
 * mpirun passes on, become a question that long work asks now and then.
 *
 *     nc_signals_catch();
 *     while (... && !nc_signals_stop()) ...
 *     nc_signals_release();
 *
 * A second signal of the same kind does what it does by default. One catch at a time. */
#ifndef NCLIP_SUPPORT_SIGNALS_H
#define NCLIP_SUPPORT_SIGNALS_H

#include <stdbool.h>

void nc_signals_catch(void);
bool nc_signals_stop(void);    /* since the catch; stays readable after the release */
void nc_signals_release(void); /* what was there before the catch */

#endif
