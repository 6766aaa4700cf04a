/* A progress bar on a terminal, plain lines (at most one every few seconds) elsewhere; on stderr.
 *
 *     embed  [#########-----------]  4512/10000  812 pictures/s  0:07 left  2 skipped
 */
#ifndef NCLIP_SUPPORT_PROGRESS_H
#define NCLIP_SUPPORT_PROGRESS_H

#include <stddef.h>

struct nc_progress;
/* `unit` is the plural noun of what is counted; `initial` are done already (resume); `total` 0:
 * not known. One thread at a time may use it. */
struct nc_progress *nc_progress_start(const char *title, const char *unit, size_t initial,
                                      size_t total);
/* `note` (may be NULL) stands behind the time left: "epoch 3/15  loss 0.412". Cheap: draws
 * at most ten times a second. All functions accept NULL (no memory, or --quiet). */
void nc_progress_update(struct nc_progress *progress, size_t done, const char *note);
/* How many there are turns out to be another number. */
void nc_progress_total(struct nc_progress *progress, size_t total);
/* A line for people that does not tear the bar. In it and in notes, control characters are tamed as in
 * terminal.h (but line feeds and tabs stay): file names come from strangers. */
void nc_progress_message(struct nc_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void nc_progress_finish(struct nc_progress *progress); /* frees it */

double nc_seconds(void); /* a monotonic clock */

#endif
