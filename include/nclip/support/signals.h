/* Being told to stop: SIGINT, SIGTERM, SIGHUP (a session that is lost; not under nohup), and SIGUSR1,
 * which schedulers send as a warning and mpirun passes on, become a question that long work asks now
 * and then.
 *
 *     nc_signals_catch();
 *     while (... && !nc_signals_stop()) ...
 *     nc_signals_release();
 *
 * A second SIGINT does what it does by default: someone sits there and does not want to wait.
 * SIGTERM and SIGUSR1 may come as often as they like: SLURM sends SIGTERM twice for one scancel,
 * and once more to the ranks that are left when the first has ended, and where the end must not
 * wait there is SIGKILL. One catch at a time. */
#ifndef NCLIP_SUPPORT_SIGNALS_H
#define NCLIP_SUPPORT_SIGNALS_H

#include <stdbool.h>

void nc_signals_catch(void);
/* First thing in main(): a file that reaches its limit (SIGXFSZ) fails its write, which then says
 * so, instead of ending the program without a word. */
void nc_signals_leave_errors(void);

bool nc_signals_stop(void); /* since the catch; stays readable after the release */

/* As if this process had been told: another rank was, and all stop together. Its own signal may
 * still be under way. */
void nc_signals_pass_on(void);

/* What was there before the catch; but where a stop was asked for, SIGTERM, SIGHUP and SIGUSR1 stay
 * caught: the process is about to end with its own message and exit code. */
void nc_signals_release(void);

#endif
