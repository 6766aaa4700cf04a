/* The watch over the ranks of a run: one thread in each process, connected to rank 0 by TCP and not
 * through MPI, so that it works when MPI hangs. */
#ifndef NCLIP_HOST_RANKS_WATCH_H
#define NCLIP_HOST_RANKS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_watch;

/* The addresses on which rank 0 listens; MPI hands them to the other ranks once, at the start. */
enum { NC_WATCH_ADDRESSES = 16 };
struct nc_watch_place {
    uint64_t token; /* tells this run's listener from a stranger's */
    uint16_t port;
    uint16_t addresses;
    struct {
        uint8_t bytes[16]; /* IPv6; IPv4 mapped into it */
        uint32_t scope;
    } address[NC_WATCH_ADDRESSES];
    char host[64];
};

/* Rank 0: opens the listener and fills *place. */
int nc_watch_listen(size_t size, const char *host, struct nc_watch **watch,
                    struct nc_watch_place *place);
/* The others: connects. NC_FAILED names what was tried. */
int nc_watch_connect(size_t rank, size_t size, const char *host, const struct nc_watch_place *place,
                     struct nc_watch **watch);
/* Starts the thread. Rank 0 waits here until all are connected. */
int nc_watch_start(struct nc_watch *watch, double timeout);

void nc_watch_set_timeout(struct nc_watch *watch, double seconds);

/* Set the rank's state, which the watch's thread reports. May be called from any thread. */
void nc_watch_tick(struct nc_watch *watch);
uint64_t nc_watch_ticks_of_others(const struct nc_watch *watch); /* at rank 0 */
void nc_watch_arrived(struct nc_watch *watch, uint64_t ticket, const char *what);
void nc_watch_completed(struct nc_watch *watch, uint64_t ticket);
void nc_watch_blocked(struct nc_watch *watch, uint64_t ticket); /* 0: no longer */

/* Others are to have patience with this rank, up to ten times the timeout. */
void nc_watch_ask_patience(struct nc_watch *watch, bool patience);

/* Reports an error and ends the process once rank 0 has spoken. */
_Noreturn void nc_watch_fail(struct nc_watch *watch, int status, const char *message);

/* The watch's thread calls `end` before it ends the process, for whatever cause: to free a GPU. */
void nc_watch_on_end(struct nc_watch *watch, void (*end)(void *), void *context);

/* The end of a good run: tells rank 0, or waits until all have told; frees. */
void nc_watch_stop(struct nc_watch *watch);

#endif
