/* The state of a process's watch, with what both of its threads need: rank 0's (judge.c) and that
 * of every other rank (watch.c). */
#ifndef NCLIP_HOST_RANKS_SELF_H
#define NCLIP_HOST_RANKS_SELF_H

#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum { BEAT_MILLISECONDS = 500, CONNECT_SECONDS = 60, PATIENCE = 10, LINGER_SECONDS = 10 };

/* What rank 0 knows of a rank. */
struct peer {
    struct wire wire;
    struct wire_message last; /* its latest beat */
    char host[64];
    bool here, left;                  /* has said hello; has said goodbye */
    double heard;                     /* seconds, of its last word */
    double active, ticked, completed; /* of the last change of these counts */
    double late;                      /* since when others wait for it; 0: they do not */
};

struct nc_watch {
    size_t rank, size;
    char host[64];
    uint64_t token;
    pthread_t thread;
    bool running;
    int listener, wake;
    struct wire wire;    /* to rank 0, from others */
    struct peer *peers;  /* [size] at rank 0 */
    char first_host[64]; /* rank 0's */
    double heard;        /* from rank 0 */
    double awake;        /* when the thread last went round; 0: it has not begun */
    _Atomic uint64_t ticks, arrived, completed, blocked;
    _Atomic uint64_t others_ticks; /* at rank 0: of all others together, as they have told */
    _Atomic(const char *) what;
    _Atomic double timeout;
    _Atomic int stopping, patience;
    pthread_mutex_t lock;
    int fail_status; /* under the lock; with fail_text */
    bool failed, reported, spoken;
    double failed_at;
    char fail_text[WIRE_TEXT + 1];
    void (*end)(void *);
    void *end_context;
    /* as of the last beat */
    uint64_t activity, bytes;
    long faults;
    double cpu, cpu_at, beat_at;
};

/* Ends the process, the device freed. */
_Noreturn void nc_watch_leave(struct nc_watch *w, int status);
/* Writes "nclip: rank R on HOST: TEXT", one line in one piece. */
void nc_watch_speak(size_t rank, const char *host, const char *text);
/* Fills a beat with this rank's state: what it has started, completed and waits for, and whether it
 * has worked since the last beat. */
void nc_watch_look_at_self(struct nc_watch *w, struct wire_message *beat);
/* *message is the failure that this rank has reported, if any (kind WIRE_FAIL). */
void nc_watch_take_failure(struct nc_watch *w, struct wire_message *message);
/* Ends a process that was stopped for longer than the timeout: the others have ended. */
void nc_watch_leave_when_stopped(struct nc_watch *w);

#endif
