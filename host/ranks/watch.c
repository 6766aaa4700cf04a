/* The watch's life, and the thread of every rank but 0: it reports to rank 0, ends the process
 * when rank 0 says so, and speaks up when rank 0 itself has died. */
#include "watch.h"

#include "judge.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "self.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- The other ranks -------------------------------------------------------------------- */

/* Rank 0 cannot speak any more: the lowest rank that is left does, and its end ends the others. */
_Noreturn static void speak_for_first(struct nc_watch *w, const char *text)
{
    nc_watch_leave_when_stopped(w);
    sleep(w->rank < 8 ? 3 * ((unsigned)w->rank - 1) : 20);
    nc_watch_speak(0, w->first_host, text);
    nc_watch_leave(w, NC_FAILED);
}

static void obey(struct nc_watch *w)
{
    struct wire_message message;
    enum wire_result result;
    while ((result = wire_receive(&w->wire, &message)) == WIRE_MESSAGE) {
        w->heard = nc_seconds();
        if (message.head.kind == WIRE_END)
            nc_watch_leave(w, (int)message.head.status);
        w->spoken |= message.head.kind == WIRE_SPOKEN;
    }
    if (result == WIRE_GONE && w->spoken)
        nc_watch_leave(w, NC_FAILED);
    if (result == WIRE_GONE && !w->stopping)
        speak_for_first(w, "its process ended without a word: killed, perhaps for lack of memory");
}

static void follow(struct nc_watch *w)
{
    struct wire_message failure = {0};
    w->awake = w->heard = nc_seconds();
    while (!w->stopping) {
        struct pollfd fds[2] = {{.fd = w->wake, .events = POLLIN},
                                {.fd = w->wire.fd, .events = POLLIN}};
        poll(fds, 2, BEAT_MILLISECONDS / 2);
        nc_watch_leave_when_stopped(w);
        obey(w);
        double now = nc_seconds();
        nc_watch_take_failure(w, &failure);
        if (failure.head.kind == WIRE_FAIL && !w->reported) {
            wire_send(&w->wire, &failure);
            w->reported = true;
            w->failed_at = now;
        }
        if (w->reported && now - w->failed_at > 5) { /* rank 0 does not answer */
            nc_watch_speak(w->rank, w->host, failure.text);
            nc_watch_leave(w, (int)failure.head.status);
        }
        /* Rank 0 has as long to find out that this rank is cut off; it speaks first. */
        if (now - w->heard > w->timeout + 2)
            speak_for_first(
                w, "no sign of life: the process is stopped, or its host or the network to "
                   "it is down");
        if (now - w->beat_at >= BEAT_MILLISECONDS * 1e-3) {
            struct wire_message beat;
            nc_watch_look_at_self(w, &beat);
            wire_send(&w->wire, &beat);
            w->beat_at = now;
        }
    }
    struct wire_message bye = {.head = {.kind = WIRE_BYE, .rank = (uint32_t)w->rank}};
    wire_send(&w->wire, &bye);
}

/* ---- Life ------------------------------------------------------------------------------ */

static struct nc_watch *new_watch(size_t rank, size_t size, const char *host)
{
    struct nc_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->rank = rank;
    w->size = size;
    w->listener = w->wire.fd = -1;
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(w->host, sizeof w->host, "%.63s", host);
    pthread_mutex_init(&w->lock, NULL);
    if (rank == 0 && !(w->peers = calloc(size, sizeof *w->peers))) {
        nc_watch_stop(w);
        return NULL;
    }
    for (size_t i = 0; w->peers && i < size; i++)
        w->peers[i].wire.fd = -1;
    return w;
}

int nc_watch_listen(size_t size, const char *host, struct nc_watch **watch,
                    struct nc_watch_place *place)
{
    *place = (struct nc_watch_place){0};
    *watch = new_watch(0, size, host);
    if (!*watch)
        return nc_error(NC_FAILED, "ranks: no memory");
    int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (random < 0 || read(random, &place->token, sizeof place->token) != sizeof place->token)
        place->token = (uint64_t)(nc_seconds() * 1e9) ^ (uint64_t)getpid() << 40;
    if (random >= 0)
        close(random);
    (*watch)->token = place->token;
    snprintf(place->host, sizeof place->host, "%.63s", host);
    return wire_listen(place, &(*watch)->listener);
}

int nc_watch_connect(size_t rank, size_t size, const char *host, const struct nc_watch_place *place,
                     struct nc_watch **watch)
{
    *watch = new_watch(rank, size, host);
    if (!*watch)
        return nc_error(NC_FAILED, "ranks: no memory");
    struct wire_message hello = {
        .head = {.kind = WIRE_HELLO, .rank = (uint32_t)rank, .number = place->token}};
    hello.head.length = (uint32_t)snprintf(hello.text, sizeof hello.text, "%s", (*watch)->host);
    snprintf((*watch)->first_host, sizeof(*watch)->first_host, "%.63s", place->host);
    return wire_connect(&(*watch)->wire, place, &hello);
}

static void *watch_thread(void *argument)
{
    struct nc_watch *w = argument;
    if (w->rank) {
        follow(w);
        return NULL;
    }
    struct pollfd *fds = calloc(w->size, sizeof *fds);
    if (!fds) {
        nc_watch_speak(0, w->host, "no memory");
        nc_watch_leave(w, NC_FAILED);
    }
    nc_watch_lead(w, fds);
    free(fds);
    return NULL;
}

int nc_watch_start(struct nc_watch *w, double timeout)
{
    w->timeout = timeout;
    if (w->rank == 0) {
        int status = nc_watch_welcome(w);
        if (status != NC_OK)
            return status;
    }
    /* Signals are for the main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int cause = pthread_create(&w->thread, NULL, watch_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause)
        return nc_error(NC_FAILED, "ranks: cannot start a thread: %s", strerror(cause));
    w->running = true;
    return NC_OK;
}

void nc_watch_set_timeout(struct nc_watch *w, double seconds)
{
    w->timeout = seconds;
}

void nc_watch_tick(struct nc_watch *w)
{
    atomic_fetch_add_explicit(&w->ticks, 1, memory_order_relaxed);
}

uint64_t nc_watch_ticks_of_others(const struct nc_watch *w)
{
    return atomic_load_explicit(&w->others_ticks, memory_order_relaxed);
}

void nc_watch_ask_patience(struct nc_watch *w, bool patience)
{
    w->patience = patience;
}

void nc_watch_arrived(struct nc_watch *w, uint64_t ticket, const char *what)
{
    w->what = what;
    w->arrived = ticket;
}

void nc_watch_completed(struct nc_watch *w, uint64_t ticket)
{
    w->completed = ticket;
}

void nc_watch_blocked(struct nc_watch *w, uint64_t ticket)
{
    w->blocked = ticket;
}

static void wake_up(struct nc_watch *w)
{
    uint64_t one = 1;
    if (w->wake >= 0 && write(w->wake, &one, sizeof one) < 0)
        return; /* then it wakes by itself */
}

_Noreturn void nc_watch_fail(struct nc_watch *w, int status, const char *message)
{
    pthread_mutex_lock(&w->lock);
    if (!w->failed) {
        w->fail_status = status;
        snprintf(w->fail_text, sizeof w->fail_text, "%s",
                 *message ? message : "failed without saying why");
        w->failed = true;
    }
    pthread_mutex_unlock(&w->lock);
    if (!w->running) {
        nc_watch_speak(w->rank, w->host, message);
        nc_watch_leave(w, status);
    }
    wake_up(w);
    for (;;)
        pause(); /* the thread ends the process */
}

void nc_watch_on_end(struct nc_watch *w, void (*end)(void *), void *context)
{
    w->end_context = context;
    w->end = end;
}

void nc_watch_stop(struct nc_watch *w)
{
    if (!w)
        return;
    w->stopping = 1;
    wake_up(w);
    if (w->running)
        pthread_join(w->thread, NULL);
    for (size_t i = 0; w->peers && i < w->size; i++)
        wire_close(&w->peers[i].wire);
    wire_close(&w->wire);
    if (w->listener >= 0)
        close(w->listener);
    if (w->wake >= 0)
        close(w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w->peers);
    free(w);
}
