/* One thread a process. Rank 0's hears from all, judges and speaks; the others' report and obey. */
#include "communicator_watch.h"

#include "communicator_wire.h"
#include "nclip/error.h"
#include "nclip/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MILLISECONDS = 500, CONNECT_SECONDS = 60, PATIENCE = 10, LINGER_SECONDS = 10 };

/* What rank 0 knows of a rank. */
struct peer {
    struct wire wire;
    struct wire_message last; /* its latest beat */
    char host[64];
    bool here, left; /* said hello; said goodbye */
    double heard;    /* seconds, of its last word */
    double active, ticked, completed; /* of the last change of these counts */
    double late;     /* since when others wait for it; 0: they do not */
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
    _Atomic uint64_t ticks, arrived, completed, blocked;
    _Atomic(const char *) what;
    _Atomic double timeout;
    _Atomic int stopping;
    pthread_mutex_t lock;
    int fail_status; /* under the lock; with fail_text */
    bool failed, reported, spoken;
    double failed_at;
    char fail_text[WIRE_TEXT + 1];
    void (*end)(void *);
    void *end_context;
    /* what beats are made of */
    uint64_t activity, bytes;
    double cpu, cpu_at, beat_at;
};

/* ---- The end -------------------------------------------------------------------------- */

_Noreturn static void leave(struct nc_watch *w, int status)
{
    if (w->end)
        w->end(w->end_context);
    _exit(status);
}

/* One line, in one piece: other processes may write to the same terminal. */
static void speak(size_t rank, const char *host, const char *text)
{
    char line[WIRE_TEXT + 256];
    int length = snprintf(line, sizeof line, "nclip: rank %zu on %s: %s\n", rank, host, text);
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* there is nobody to tell */
}

/* A host that cannot be reached: mpirun, told to end its processes there, would wait for ever to
 * be heard; left alone, its own keepalive finds out (configs/cluster/). So rank 0 has spoken, and
 * for a while goes on as if nothing were. */
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

/* Whether nobody of a rank's host, another than this one, has spoken lately. */
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
    speak(rank, rank ? w->peers[rank].host : w->host, text);
    if (rank && w->peers[rank].wire.fd >= 0 && host_is_silent(w, rank, nc_seconds()))
        linger(w);
    struct wire_message end = {.head = {.kind = WIRE_END, .status = (uint32_t)status}};
    for (size_t i = 1; i < w->size; i++)
        wire_send(&w->peers[i].wire, &end);
    leave(w, status);
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

/* ---- What a rank says of itself ------------------------------------------------------------ */

/* Bytes that this process has read and written through files; sockets are not counted. */
static uint64_t bytes_moved(void)
{
    char text[512];
    int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    unsigned long long in = 0, out = 0;
    if (got > 0) {
        text[got] = 0;
        if (sscanf(text, "rchar: %llu wchar: %llu", &in, &out) != 2)
            return 0;
    }
    return in + out;
}

static void look_at_self(struct nc_watch *w, struct wire_message *beat)
{
    enum { OWN_READING = 4096 }; /* this look itself reads: less than that is no work */
    struct timespec used;
    double now = nc_seconds(), cpu = 0;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
        cpu = (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
    uint64_t bytes = bytes_moved();
    if (cpu - w->cpu > 0.1 * (now - w->cpu_at) || bytes - w->bytes > OWN_READING)
        w->activity++;
    w->cpu = cpu;
    w->cpu_at = now;
    w->bytes = bytes;
    const char *what = w->what;
    *beat = (struct wire_message){.head = {.kind = WIRE_BEAT, .rank = (uint32_t)w->rank,
                                           .number = w->arrived, .completed = w->completed,
                                           .blocked = w->blocked, .activity = w->activity,
                                           .ticks = w->ticks}};
    if (what)
        beat->head.length = (uint32_t)snprintf(beat->text, sizeof beat->text, "%s", what);
}

/* ---- Rank 0 ---------------------------------------------------------------------------- */

static void note_beat(struct peer *peer, const struct wire_message *beat, double now)
{
    peer->heard = now;
    if (beat->head.activity != peer->last.head.activity)
        peer->active = now;
    if (beat->head.ticks != peer->last.head.ticks)
        peer->ticked = peer->active = now;
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
            note_beat(peer, &message, nc_seconds());
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
    if (now - active > w->timeout)
        condemn_for(w, rank, "has done nothing for %.0f s while rank %td waits for it in %s: it hangs",
                    now - active, waiting - w->peers, what);
    if (now - ticked > PATIENCE * w->timeout)
        condemn_for(w, rank, "has computed for %.0f s without getting on while rank %td waits for it in %s",
                    now - ticked, waiting - w->peers, what);
}

/* All wait, for none in particular, and nothing moves: the network between them. */
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
        condemn_for(w, least, "every rank has come to %s, but nothing has moved for %.0f s: the network "
                    "between the ranks does not carry it", w->peers[least].last.text, now - moved);
}

static void judge(struct nc_watch *w)
{
    struct wire_message self;
    double now = nc_seconds();
    look_at_self(w, &self);
    note_beat(&w->peers[0], &self, now);
    for (size_t i = 1; i < w->size; i++) {
        if (!w->peers[i].left && now - w->peers[i].heard > w->timeout)
            condemn_for(w, i, "no sign of life for %.0f s: the process is stopped, or its host or the "
                        "network to it is down", now - w->peers[i].heard);
    }
    for (size_t i = 0; i < w->size; i++)
        judge_late(w, i, now);
    judge_standstill(w, now);
}

static void greet(struct nc_watch *w)
{
    /* Until it says hello, a connection is nobody's. */
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

static int welcome(struct nc_watch *w)
{
    double deadline = nc_seconds() + CONNECT_SECONDS;
    while (!all_here(w)) {
        struct pollfd one = {.fd = w->listener, .events = POLLIN};
        if (poll(&one, 1, 100) == 1)
            greet(w);
        for (size_t i = 1; i < w->size; i++)
            if (!w->peers[i].here && nc_seconds() > deadline)
                return nc_error(NC_FAILED, "ranks: rank %zu has not reported to rank 0 within %d s", i,
                                CONNECT_SECONDS);
    }
    return NC_OK;
}

static void take_failure(struct nc_watch *w, struct wire_message *message)
{
    uint64_t wakes;
    if (read(w->wake, &wakes, sizeof wakes) < 0 && errno != EAGAIN)
        return;
    pthread_mutex_lock(&w->lock);
    if (w->failed) {
        message->head = (struct wire_head){.kind = WIRE_FAIL, .rank = (uint32_t)w->rank,
                                           .status = (uint32_t)w->fail_status,
                                           .length = (uint32_t)strlen(w->fail_text)};
        memcpy(message->text, w->fail_text, sizeof message->text);
    }
    pthread_mutex_unlock(&w->lock);
}

/* A process that was stopped and goes on is no judge any more: the others have ended. */
static void leave_when_stopped(struct nc_watch *w, double *before)
{
    double now = nc_seconds();
    if (now - *before > w->timeout)
        leave(w, NC_FAILED);
    *before = now;
}

static void lead(struct nc_watch *w, struct pollfd *fds)
{
    double judged = 0, awake = nc_seconds();
    struct wire_message beat = {.head = {.kind = WIRE_BEAT}}, failure = {0};
    while (!(w->stopping && all_left(w))) {
        fds[0] = (struct pollfd){.fd = w->wake, .events = POLLIN};
        for (size_t i = 1; i < w->size; i++)
            fds[i] = (struct pollfd){.fd = w->peers[i].wire.fd, .events = POLLIN};
        poll(fds, (nfds_t)w->size, BEAT_MILLISECONDS / 2);
        leave_when_stopped(w, &awake);
        take_failure(w, &failure);
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

/* ---- The other ranks -------------------------------------------------------------------- */

/* Rank 0 cannot speak any more: the lowest rank that is left does, and its end ends the others. */
_Noreturn static void speak_for_first(struct nc_watch *w, const char *text)
{
    sleep(w->rank < 8 ? 3 * ((unsigned)w->rank - 1) : 20);
    speak(0, w->first_host, text);
    leave(w, NC_FAILED);
}

static void obey(struct nc_watch *w)
{
    struct wire_message message;
    enum wire_result result;
    while ((result = wire_receive(&w->wire, &message)) == WIRE_MESSAGE) {
        w->heard = nc_seconds();
        if (message.head.kind == WIRE_END)
            leave(w, (int)message.head.status);
        w->spoken |= message.head.kind == WIRE_SPOKEN;
    }
    if (result == WIRE_GONE && w->spoken)
        leave(w, NC_FAILED);
    if (result == WIRE_GONE && !w->stopping)
        speak_for_first(w, "its process ended without a word: killed, perhaps for lack of memory");
}

static void follow(struct nc_watch *w)
{
    struct wire_message failure = {0};
    double awake = w->heard = nc_seconds();
    while (!w->stopping) {
        struct pollfd fds[2] = {{.fd = w->wake, .events = POLLIN}, {.fd = w->wire.fd, .events = POLLIN}};
        poll(fds, 2, BEAT_MILLISECONDS / 2);
        leave_when_stopped(w, &awake);
        obey(w);
        double now = nc_seconds();
        take_failure(w, &failure);
        if (failure.head.kind == WIRE_FAIL && !w->reported) {
            wire_send(&w->wire, &failure);
            w->reported = true;
            w->failed_at = now;
        }
        if (w->reported && now - w->failed_at > 5) { /* rank 0 does not answer */
            speak(w->rank, w->host, failure.text);
            leave(w, (int)failure.head.status);
        }
        /* Rank 0 has as long to find out that this rank is cut off; it speaks first. */
        if (now - w->heard > w->timeout + 2)
            speak_for_first(w, "no sign of life: the process is stopped, or its host or the network to "
                               "it is down");
        if (now - w->beat_at >= BEAT_MILLISECONDS * 1e-3) {
            struct wire_message beat;
            look_at_self(w, &beat);
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
    struct wire_message hello = {.head = {.kind = WIRE_HELLO, .rank = (uint32_t)rank,
                                          .number = place->token}};
    hello.head.length = (uint32_t)snprintf(hello.text, sizeof hello.text, "%s", (*watch)->host);
    snprintf((*watch)->first_host, sizeof (*watch)->first_host, "%.63s", place->host);
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
    if (!fds)
        condemn(w, 0, NC_FAILED, "no memory");
    lead(w, fds);
    free(fds);
    return NULL;
}

int nc_watch_start(struct nc_watch *w, double timeout)
{
    w->timeout = timeout;
    if (w->rank == 0) {
        int status = welcome(w);
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
        snprintf(w->fail_text, sizeof w->fail_text, "%s", *message ? message : "failed without saying why");
        w->failed = true;
    }
    pthread_mutex_unlock(&w->lock);
    if (!w->running) {
        speak(w->rank, w->host, message);
        leave(w, status);
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
