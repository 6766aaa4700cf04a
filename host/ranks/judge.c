/* Rank 0's side of the watch, where a rank's death is noticed: it hears the beats of all ranks,
 * decides which rank has died or hangs, prints the one line that names it, and ends the run. */
#include "judge.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The verdict ------------------------------------------------------------------------ */

/* For a host that cannot be reached any more. mpirun would wait for ever to end its processes
 * there; when it is left alone, its own keepalive notices that the host is gone
 * (configs/cluster/). So rank 0, which has printed its message, keeps the run alive for a while. */
static void linger(struct nc_watch *w)
{
    struct wire_message beat = {.head = {.kind = WIRE_SPOKEN}};
    double until = nc_seconds() + LINGER_SECONDS;
    while (nc_seconds() < until) {
        for (size_t i = 1; i < w->size; i++)
            wire_send(&w->peers[i].wire, &beat);
        usleep(BEAT_MILLISECONDS * 1000);
    }
}

/* Whether the rank's host is another than this one, and no rank on it has been heard lately. */
static bool host_is_silent(const struct nc_watch *w, size_t rank, double now)
{
    const char *host = w->peers[rank].host;
    bool silent = strcmp(host, w->host) != 0;
    for (size_t i = 1; i < w->size; i++)
        silent &= strcmp(w->peers[i].host, host) != 0 || now - w->peers[i].heard > 0.5 * w->timeout;
    return silent;
}

/* Rank 0's verdict. */
_Noreturn static void condemn(struct nc_watch *w, size_t rank, int status, const char *text)
{
    nc_watch_leave_when_stopped(w); /* a process that was stopped meanwhile must not judge */
    nc_watch_speak(rank, rank ? w->peers[rank].host : w->host, text);
    if (rank && w->peers[rank].wire.fd >= 0 && host_is_silent(w, rank, nc_seconds()))
        linger(w);
    struct wire_message end = {.head = {.kind = WIRE_END, .status = (uint32_t)status}};
    for (size_t i = 1; i < w->size; i++)
        wire_send(&w->peers[i].wire, &end);
    nc_watch_leave(w, status);
}

__attribute__((format(printf, 3, 4))) _Noreturn static void
condemn_for(struct nc_watch *w, size_t rank, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    condemn(w, rank, NC_FAILED, text);
}

/* ---- Judging ---------------------------------------------------------------------------- */

static void note_beat(struct nc_watch *w, struct peer *peer, const struct wire_message *beat, double now)
{
    peer->heard = now;
    if (beat->head.activity != peer->last.head.activity)
        peer->active = now;
    if (beat->head.ticks != peer->last.head.ticks) {
        peer->ticked = peer->active = now;
        if (peer != w->peers)
            atomic_fetch_add(&w->others_ticks, beat->head.ticks - peer->last.head.ticks);
    }
    if (beat->head.completed != peer->last.head.completed)
        peer->completed = now;
    peer->last = *beat;
}

static void hear(struct nc_watch *w, size_t rank)
{
    struct peer *peer = &w->peers[rank];
    struct wire_message message;
    enum wire_result result;
    while ((result = wire_receive(&peer->wire, &message)) == WIRE_MESSAGE) {
        if (message.head.kind == WIRE_FAIL)
            condemn(w, rank, (int)message.head.status, message.text);
        if (message.head.kind == WIRE_BYE)
            peer->left = true;
        if (message.head.kind == WIRE_BEAT)
            note_beat(w, peer, &message, nc_seconds());
    }
    if (result == WIRE_GONE && !peer->left)
        condemn(w, rank, NC_FAILED,
                "its process ended without a word: killed, perhaps for lack of memory");
}

/* A rank that others wait for must work. */
static void judge_late(struct nc_watch *w, size_t rank, double now)
{
    struct peer *peer = &w->peers[rank];
    const struct peer *waiting = NULL;
    for (size_t i = 0; i < w->size && !waiting; i++)
        if (w->peers[i].last.head.blocked > peer->last.head.number)
            waiting = &w->peers[i];
    if (!waiting || peer->left) {
        peer->late = 0;
        return;
    }
    if (!peer->late)
        peer->late = now;
    double active = peer->active > peer->late ? peer->active : peer->late;
    double ticked = peer->ticked > peer->late ? peer->ticked : peer->late;
    const char *what = *waiting->last.text ? waiting->last.text : "a collective";
    if (now - active > w->timeout * (peer->last.head.status ? PATIENCE : 1))
        condemn_for(w, rank,
                    "has done nothing for %.0f s while rank %td waits for it in %s: it hangs",
                    now - active, waiting - w->peers, what);
    if (now - ticked > PATIENCE * w->timeout)
        condemn_for(w, rank,
                    "has computed for %.0f s without getting on while rank %td waits for it in %s",
                    now - ticked, waiting - w->peers, what);
}

/* When all ranks wait in the same operation and nothing moves, the network between them is at
 * fault. */
static void judge_standstill(struct nc_watch *w, double now)
{
    size_t least = 0;
    double moved = 0;
    for (size_t i = 0; i < w->size; i++) {
        const struct peer *peer = &w->peers[i];
        if (!peer->last.head.blocked || peer->late > 0)
            return;
        moved = peer->completed > moved ? peer->completed : moved;
        moved = peer->ticked > moved ? peer->ticked : moved;
        if (peer->last.head.completed < w->peers[least].last.head.completed)
            least = i;
    }
    if (now - moved > w->timeout)
        condemn_for(w, least,
                    "every rank has come to %s, but nothing has moved for %.0f s: the network "
                    "between the ranks does not carry it",
                    w->peers[least].last.text, now - moved);
}

static void judge(struct nc_watch *w)
{
    struct wire_message self;
    double now = nc_seconds();
    nc_watch_look_at_self(w, &self);
    note_beat(w, &w->peers[0], &self, now);
    for (size_t i = 1; i < w->size; i++) {
        if (!w->peers[i].left && now - w->peers[i].heard > w->timeout)
            condemn_for(w, i,
                        "no sign of life for %.0f s: the process is stopped, or its host or the "
                        "network to it is down",
                        now - w->peers[i].heard);
    }
    for (size_t i = 0; i < w->size; i++)
        judge_late(w, i, now);
    judge_standstill(w, now);
}

static void greet(struct nc_watch *w)
{
    /* A connection belongs to no rank until it has sent a hello with the run's token. */
    struct wire wire = {.fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    struct pollfd one = {.fd = wire.fd, .events = POLLIN};
    struct wire_message hello;
    if (wire.fd < 0)
        return;
    if (poll(&one, 1, 2000) == 1 && wire_receive(&wire, &hello) == WIRE_MESSAGE &&
        hello.head.kind == WIRE_HELLO && hello.head.number == w->token && hello.head.rank > 0 &&
        hello.head.rank < w->size && !w->peers[hello.head.rank].here) {
        struct peer *peer = &w->peers[hello.head.rank];
        peer->here = wire_send(&wire, &hello);
        peer->heard = peer->active = peer->ticked = peer->completed = nc_seconds();
        peer->wire = wire;
        snprintf(peer->host, sizeof peer->host, "%.63s", hello.text);
        return;
    }
    wire_close(&wire);
}

static bool all_here(const struct nc_watch *w)
{
    for (size_t i = 1; i < w->size; i++)
        if (!w->peers[i].here)
            return false;
    return true;
}

static bool all_left(const struct nc_watch *w)
{
    for (size_t i = 1; i < w->size; i++)
        if (!w->peers[i].left)
            return false;
    return true;
}

int nc_watch_welcome(struct nc_watch *w)
{
    double deadline = nc_seconds() + CONNECT_SECONDS;
    while (!all_here(w)) {
        struct pollfd one = {.fd = w->listener, .events = POLLIN};
        if (poll(&one, 1, 100) == 1)
            greet(w);
        for (size_t i = 1; i < w->size; i++)
            if (!w->peers[i].here && nc_seconds() > deadline)
                return nc_error(NC_FAILED, "ranks: rank %zu has not reported to rank 0 within %d s",
                                i, CONNECT_SECONDS);
    }
    return NC_OK;
}

void nc_watch_lead(struct nc_watch *w, struct pollfd *fds)
{
    double judged = 0;
    w->awake = nc_seconds();
    struct wire_message beat = {.head = {.kind = WIRE_BEAT}}, failure = {0};
    while (!(w->stopping && all_left(w))) {
        fds[0] = (struct pollfd){.fd = w->wake, .events = POLLIN};
        for (size_t i = 1; i < w->size; i++)
            fds[i] = (struct pollfd){.fd = w->peers[i].wire.fd, .events = POLLIN};
        poll(fds, (nfds_t)w->size, BEAT_MILLISECONDS / 2);
        nc_watch_leave_when_stopped(w);
        nc_watch_take_failure(w, &failure);
        if (failure.head.kind == WIRE_FAIL)
            condemn(w, 0, (int)failure.head.status, failure.text);
        for (size_t i = 1; i < w->size; i++)
            if (!w->peers[i].left)
                hear(w, i);
        double now = nc_seconds();
        if (now - judged < BEAT_MILLISECONDS * 1e-3)
            continue;
        judged = now;
        judge(w);
        for (size_t i = 1; i < w->size; i++)
            if (!w->peers[i].left)
                wire_send(&w->peers[i].wire, &beat);
    }
}
