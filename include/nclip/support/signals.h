/* Being told to stop: SIGINT, SIGTERM, SIGHUP (a session that is lost; not under nohup), and SIGUSR1, which schedulers send as a warning and
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
/* First thing in main(): a file that reaches its limit (SIGXFSZ) fails its write, which then says
 * so, instead of ending the program without a word. */
void nc_signals_leave_errors(void);
bool nc_signals_stop(void);    /* since the catch; stays readable after the release */
void nc_signals_release(void); /* what was there before the catch */

#endif
