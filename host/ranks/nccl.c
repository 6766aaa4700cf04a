/* Ranks over NCCL, for device memory.
 *
 * Operations go into a stream of their own. Each starts when the backend's stream has come to the
 * point of its call; waiting for one makes the backend's stream wait, not the host. NCCL runs in
 * its non-blocking mode: no call waits for another rank, but one may answer "in progress" for a
 * while (NCCL then works in a thread of its own), and only behind that is the operation in the
 * stream, where an event can mark its end.
 *
 * So the step hands its operations over and goes on: starting one records an event and puts the
 * arguments into a ring. A thread, NCCL's, takes them out in their order, gives them to NCCL and
 * asks until each is in the stream. Who waits for an operation waits on the host only until it is
 * there (some ten microseconds after it was handed over), never until it is over, and not at all
 * where anything was computed in between.
 *
 * Between operations the same thread watches, since the host is mostly ahead of the device: on an
 * error, or when an operation takes longer than the timeout, it aborts NCCL and the run ends. MPI
 * only carries NCCL's id to the ranks.
 *
 * Threads. The backend's GPU is the current device of the thread that computes; every other thread
 * must select it first. NCCL allows one thread at a time, even one that only asks for errors: its
 * own thread calls it once there is one. An abort, by the watch's thread, takes the lock where that
 * thread is out of NCCL, but does not wait for a call that hangs. CUDA's streams and events may be
 * used by all threads. */
#include "transports.h"

#include "nccl_library.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "watch.h"

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 256, WATCH_MILLISECONDS = 50, ABORT_SECONDS = 2 };

/* How long NCCL is asked again at once whether an operation is in the stream; then with pauses. */
static const double EAGER_SECONDS = 200e-6;

struct operation {
    enum nc_collective kind;
    const void *send;
    void *data;
    size_t send_count, count;
};

struct nc_transport {
    const struct nc_nccl *nccl;
    ncclComm_t comm;
    int device;
    cudaStream_t backend, stream;
    /* Of ticket t at t % ROOM: the operation, that its inputs are complete, and that it is over.
     * The place is used again once t is among the completed tickets. */
    struct operation operations[ROOM];
    cudaEvent_t ready[ROOM], over[ROOM];
    /* Handed over; in the stream, so that `over` is its own; over, at least all up to it. */
    _Atomic nc_ticket issued, enqueued, completed;
    pthread_mutex_t order; /* changes of issued, enqueued and stop are told under it */
    pthread_cond_t given, taken;
    pthread_mutex_t lock; /* of NCCL */
    pthread_t thread;
    bool running, stop;
    atomic_bool aborted;
    double limit; /* seconds */
};

/* ---- Errors -------------------------------------------------------------------------------- */

static int check_cuda(cudaError_t code, const char *what)
{
    if (code == cudaSuccess)
        return NC_OK;
    return nc_error(NC_FAILED, "nccl: %s: %s", what, cudaGetErrorString(code));
}

static int nccl_error(const struct nc_transport *t, ncclResult_t code, const char *what)
{
    return nc_error(NC_FAILED, "nccl: %s: %s (NCCL_DEBUG=INFO tells more)", what,
                    t->nccl->ncclGetErrorString(code));
}

/* Stops this thread while NCCL is being aborted: it must not be called any more, and the process
 * ends soon. Called with the lock. */
static void rest_if_aborted(struct nc_transport *t)
{
    if (!t->aborted)
        return;
    pthread_mutex_unlock(&t->lock);
    for (;;)
        pause();
}

/* The status of an NCCL call; while it is in progress NCCL is asked again, until the limit. Called
 * with the lock. */
static int check(struct nc_communicator *c, ncclResult_t code, const char *what)
{
    struct nc_transport *t = c->transport;
    double began = nc_seconds();
    while (code == ncclInProgress) {
        double waited = nc_seconds() - began;
        rest_if_aborted(t);
        if (waited > t->limit)
            return nc_error(NC_FAILED,
                            "nccl: %s has not ended for %.0f s, the limit (NCCL_DEBUG=INFO "
                            "tells more)",
                            what, t->limit);
        if (waited < EAGER_SECONDS)
            sched_yield();
        else
            nanosleep(&(const struct timespec){.tv_nsec = 100000}, NULL);
        ncclResult_t asked = t->nccl->ncclCommGetAsyncError(t->comm, &code);
        if (asked != ncclSuccess)
            code = asked;
    }
    return code == ncclSuccess ? NC_OK : nccl_error(t, code, what);
}

struct abortion {
    struct nc_transport *transport;
    atomic_bool done;
};

static void *abort_thread(void *argument)
{
    struct abortion *a = argument;
    struct nc_transport *t = a->transport;
    struct timespec until;
    (void)cudaSetDevice(t->device);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++; /* whoever holds it longer hangs in a call */
    (void)pthread_mutex_timedlock(&t->lock, &until);
    t->nccl->ncclCommAbort(t->comm);
    a->done = true;
    return NULL;
}

/* Frees the device from kernels that wait for a rank that is gone; gives up after ABORT_SECONDS. */
static void abort_all(void *context)
{
    static struct abortion abortion; /* outlives this call */
    pthread_t thread;
    abortion.transport = context;
    abortion.transport->aborted = true;
    if (!abortion.transport->comm || pthread_create(&thread, NULL, abort_thread, &abortion) != 0)
        return;
    pthread_detach(thread);
    for (int i = 0; i < ABORT_SECONDS * 100 && !abortion.done; i++)
        usleep(10000);
}

/* ---- The watch over what is under way -------------------------------------------------------- */

/* An error of NCCL most often follows another rank's death: that rank's message gets time to come
 * first. */
_Noreturn static void fail(struct nc_communicator *c)
{
    sleep(3);
    nc_communicator_abort(c, NC_FAILED);
}

/* All up to `ticket` are over; either thread may say so. */
static void complete(struct nc_transport *t, nc_ticket ticket)
{
    nc_ticket now = t->completed;
    while (now < ticket && !atomic_compare_exchange_weak(&t->completed, &now, ticket))
        ;
}

/* The oldest operation whose inputs are complete and which is not over, or 0. Its events are valid
 * only until the other thread completes it, since its place is then used again. */
static nc_ticket oldest_waiting(struct nc_transport *t)
{
    nc_ticket next;
    while ((next = t->completed + 1) <= t->enqueued &&
           cudaEventQuery(t->over[next % ROOM]) == cudaSuccess)
        complete(t, next);
    bool ready = next <= t->enqueued && cudaEventQuery(t->ready[next % ROOM]) == cudaSuccess;
    return ready && t->completed < next ? next : 0;
}

/* Ends the run when the oldest operation has been ready for longer than the limit. */
static void watch_oldest(struct nc_communicator *c, nc_ticket *oldest, double *since)
{
    struct nc_transport *t = c->transport;
    double now = nc_seconds();
    nc_ticket next = oldest_waiting(t);
    if (!next || next != *oldest) {
        *oldest = next;
        *since = now;
        return;
    }
    if (now - *since > t->limit) {
        nc_error(NC_FAILED,
                 "nccl: %s has not ended for %.0f s although this rank's GPU is ready for it: "
                 "another rank's GPU or the network between them hangs",
                 nc_collective_names[t->operations[next % ROOM].kind], now - *since);
        fail(c);
    }
}

/* Asks NCCL for errors. */
static void watch_state(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    ncclResult_t state = ncclSuccess;
    pthread_mutex_lock(&t->lock);
    rest_if_aborted(t);
    ncclResult_t asked = t->nccl->ncclCommGetAsyncError(t->comm, &state);
    pthread_mutex_unlock(&t->lock);
    if (asked != ncclSuccess)
        state = asked;
    if (state == ncclSuccess || state == ncclInProgress)
        return;
    nccl_error(t, state, "the connection to the other ranks");
    fail(c);
}

/* ---- Operations ------------------------------------------------------------------------------ */

/* Slices of all ranks are equal where NCCL can take them at once. */
static bool equal_slices(const struct nc_communicator *c, size_t count)
{
    return count % c->size == 0 && count / c->size % 16 == 0;
}

static ncclResult_t reduce_scatter(struct nc_communicator *c, float *data, size_t count)
{
    struct nc_transport *t = c->transport;
    const struct nc_nccl *nccl = t->nccl;
    if (equal_slices(c, count))
        return nccl->ncclReduceScatter(data, data + c->rank * (count / c->size), count / c->size,
                                       ncclFloat32, ncclSum, t->comm, t->stream);
    nccl->ncclGroupStart();
    for (size_t rank = 0; rank < c->size; rank++) {
        struct nc_slice s = nc_communicator_slice(count, c->size, rank);
        if (s.count)
            nccl->ncclReduce(data + s.first, data + s.first, s.count, ncclFloat32, ncclSum,
                             (int)rank, t->comm, t->stream);
    }
    return nccl->ncclGroupEnd();
}

static ncclResult_t all_gather(struct nc_communicator *c, float *data, size_t count)
{
    struct nc_transport *t = c->transport;
    const struct nc_nccl *nccl = t->nccl;
    if (equal_slices(c, count))
        return nccl->ncclAllGather(data + c->rank * (count / c->size), data, count / c->size,
                                   ncclFloat32, t->comm, t->stream);
    nccl->ncclGroupStart();
    for (size_t rank = 0; rank < c->size; rank++) {
        struct nc_slice s = nc_communicator_slice(count, c->size, rank);
        if (s.count)
            nccl->ncclBroadcast(data + s.first, data + s.first, s.count, ncclFloat32, (int)rank,
                                t->comm, t->stream);
    }
    return nccl->ncclGroupEnd();
}

static ncclResult_t exchange(struct nc_communicator *c, const void *send, size_t out, void *data,
                             size_t in)
{
    struct nc_transport *t = c->transport;
    const struct nc_nccl *nccl = t->nccl;
    if (!out && !in)
        return ncclSuccess;
    nccl->ncclGroupStart();
    if (out)
        nccl->ncclSend(send, out, ncclInt8, (int)((c->rank + 1) % c->size), t->comm, t->stream);
    if (in)
        nccl->ncclRecv(data, in, ncclInt8, (int)((c->rank + c->size - 1) % c->size), t->comm,
                       t->stream);
    return nccl->ncclGroupEnd();
}

static ncclResult_t launch(struct nc_communicator *c, const struct operation *o)
{
    struct nc_transport *t = c->transport;
    const struct nc_nccl *nccl = t->nccl;
    void *data = o->data;
    size_t count = o->count;
    switch (o->kind) {
    case NC_ALL_REDUCE:
        return nccl->ncclAllReduce(data, data, count, ncclFloat32, ncclSum, t->comm, t->stream);
    case NC_REDUCE_SCATTER:
        return reduce_scatter(c, data, count);
    case NC_ALL_GATHER:
        return all_gather(c, data, count);
    case NC_EXCHANGE:
        return exchange(c, o->send, o->send_count, data, count);
    case NC_BROADCAST:
        return nccl->ncclBroadcast(data, data, count, ncclInt8, 0, t->comm, t->stream);
    default:
        return nccl->ncclAllReduce(data, data, count, ncclFloat64, ncclSum, t->comm, t->stream);
    }
}

/* Gives the operation to NCCL, between its two events. */
static int enqueue(struct nc_communicator *c, nc_ticket ticket)
{
    struct nc_transport *t = c->transport;
    const struct operation *o = &t->operations[ticket % ROOM];
    int status = check_cuda(cudaStreamWaitEvent(t->stream, t->ready[ticket % ROOM], 0), "an event");
    if (status != NC_OK)
        return status;
    pthread_mutex_lock(&t->lock);
    rest_if_aborted(t);
    status = check(c, launch(c, o), nc_collective_names[o->kind]);
    pthread_mutex_unlock(&t->lock);
    if (status == NC_OK)
        status = check_cuda(cudaEventRecord(t->over[ticket % ROOM], t->stream), "an event");
    if (status != NC_OK)
        return status;
    pthread_mutex_lock(&t->order);
    t->enqueued = ticket;
    pthread_cond_signal(&t->taken);
    pthread_mutex_unlock(&t->order);
    return NC_OK;
}

static struct timespec milliseconds_from_now(long milliseconds)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += milliseconds % 1000 * 1000000;
    at.tv_sec += milliseconds / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

/* The next operation, once there is one; 0 when none came for a while. *stop: and none will. */
static nc_ticket next_operation(struct nc_transport *t, bool *stop)
{
    const struct timespec until = milliseconds_from_now(WATCH_MILLISECONDS);
    int waited = 0;
    pthread_mutex_lock(&t->order);
    while (t->enqueued == t->issued && !t->stop && waited == 0)
        waited = pthread_cond_timedwait(&t->given, &t->order, &until);
    nc_ticket next = t->enqueued < t->issued ? t->enqueued + 1 : 0;
    *stop = t->stop && !next;
    pthread_mutex_unlock(&t->order);
    return next;
}

static void *serve(void *argument)
{
    struct nc_communicator *c = argument;
    struct nc_transport *t = c->transport;
    nc_ticket oldest = 0;
    double since = nc_seconds(), looked = since;
    bool stop = false;
    (void)cudaSetDevice(t->device); /* a new thread is on GPU 0, with a context there */
    while (!stop) {
        nc_ticket next = next_operation(t, &stop);
        if (next && enqueue(c, next) != NC_OK)
            fail(c);
        if (next && nc_seconds() - looked < 1e-3 * WATCH_MILLISECONDS)
            continue;
        looked = nc_seconds();
        watch_state(c);
        watch_oldest(c, &oldest, &since);
    }
    return NULL;
}

/* ---- What the step does ---------------------------------------------------------------------- */

/* Waits until the operation is in NCCL's stream. While others are put there before it, it has
 * patience; NCCL itself gives up a call that is in progress for too long. */
static int await_enqueued(struct nc_transport *t, nc_ticket ticket)
{
    if (t->enqueued >= ticket)
        return NC_OK;
    const long patience = (long)(1e3 * t->limit) + 5000;
    int waited = 0;
    pthread_mutex_lock(&t->order);
    for (nc_ticket before = t->enqueued; t->enqueued < ticket && waited == 0;) {
        const struct timespec until = milliseconds_from_now(patience);
        waited = pthread_cond_timedwait(&t->taken, &t->order, &until);
        if (before != t->enqueued)
            waited = 0;
        before = t->enqueued;
    }
    bool there = t->enqueued >= ticket;
    pthread_mutex_unlock(&t->order);
    return there ? NC_OK
                 : nc_error(NC_FAILED, "nccl: a call of NCCL has not returned for %.0f s",
                            1e-3 * (double)patience);
}

/* Waits until the ticket that used the place before is over. If it never is, NCCL's thread ends the
 * run. */
static int take_place(struct nc_transport *t, nc_ticket ticket)
{
    if (ticket <= ROOM)
        return NC_OK;
    int status = await_enqueued(t, ticket - ROOM);
    if (status == NC_OK)
        status =
            check_cuda(cudaEventSynchronize(t->over[ticket % ROOM]), "an operation between ranks");
    if (status == NC_OK)
        complete(t, ticket - ROOM); /* before its events say anything else */
    return status;
}

static int start(struct nc_communicator *c, enum nc_collective kind, const void *send, void *data,
                 size_t send_count, size_t count, nc_ticket *ticket)
{
    struct nc_transport *t = c->transport;
    *ticket = t->issued + 1;
    size_t slot = *ticket % ROOM;
    int status = take_place(t, *ticket);
    if (status == NC_OK)
        status = check_cuda(cudaEventRecord(t->ready[slot], t->backend), "an event");
    if (status != NC_OK)
        return status;
    t->operations[slot] = (struct operation){kind, send, data, send_count, count};
    pthread_mutex_lock(&t->order);
    t->issued = *ticket;
    pthread_cond_signal(&t->given);
    pthread_mutex_unlock(&t->order);
    c->statistics.kind[kind].calls++;
    c->statistics.kind[kind].bytes += nc_communicator_sent(c, kind, send_count, count);
    return NC_OK;
}

static int wait_for(struct nc_communicator *c, nc_ticket ticket)
{
    struct nc_transport *t = c->transport;
    if (ticket + ROOM <= t->issued) /* its place is another's: it is over */
        return NC_OK;
    double began = nc_seconds();
    int status = await_enqueued(t, ticket);
    c->statistics.kind[t->operations[ticket % ROOM].kind].waited += nc_seconds() - began;
    return status == NC_OK
               ? check_cuda(cudaStreamWaitEvent(t->backend, t->over[ticket % ROOM], 0), "an event")
               : status;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static void release(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    for (size_t i = 0; i < ROOM; i++) {
        if (t->ready[i])
            (void)cudaEventDestroy(t->ready[i]);
        if (t->over[i])
            (void)cudaEventDestroy(t->over[i]);
    }
    if (t->stream)
        (void)cudaStreamDestroy(t->stream);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->order);
    pthread_cond_destroy(&t->given);
    pthread_cond_destroy(&t->taken);
    free(t);
    free(c);
}

static void destroy(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    if (await_enqueued(t, t->issued) == NC_OK)
        (void)cudaStreamSynchronize(t->stream);
    nc_communicator_barrier(c);
    pthread_mutex_lock(&t->order);
    t->stop = true;
    pthread_cond_signal(&t->given);
    pthread_mutex_unlock(&t->order);
    if (t->running)
        pthread_join(t->thread, NULL);
    nc_watch_on_end(c->base->watch, NULL, NULL);
    pthread_mutex_lock(&t->lock);
    if (check(c, t->nccl->ncclCommFinalize(t->comm), "its end") == NC_OK)
        t->nccl->ncclCommDestroy(t->comm);
    else
        t->nccl->ncclCommAbort(t->comm);
    pthread_mutex_unlock(&t->lock);
    release(c);
}

static int make_streams(struct nc_transport *t)
{
    int status = check_cuda(cudaGetDevice(&t->device), "the GPU's number");
    if (status == NC_OK)
        status =
            check_cuda(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking), "a stream");
    for (size_t i = 0; i < ROOM && status == NC_OK; i++) {
        status =
            check_cuda(cudaEventCreateWithFlags(&t->ready[i], cudaEventDisableTiming), "an event");
        if (status == NC_OK)
            status = check_cuda(cudaEventCreateWithFlags(&t->over[i], cudaEventDisableTiming),
                                "an event");
    }
    return status;
}

static void make_locks(struct nc_transport *t)
{
    pthread_condattr_t steady; /* a clock that nobody sets */
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&t->given, &steady);
    pthread_cond_init(&t->taken, &steady);
    pthread_condattr_destroy(&steady);
    pthread_mutex_init(&t->order, NULL);
    pthread_mutex_init(&t->lock, NULL);
}

static int connect_ranks(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    memset(&id, 0, sizeof id);
    int status = NC_OK;
    if (c->rank == 0) {
        ncclResult_t code = t->nccl->ncclGetUniqueId(&id);
        status = code == ncclSuccess ? NC_OK : nccl_error(t, code, "its id");
    }
    if (status == NC_OK)
        status = nc_communicator_share(c->base, &id, sizeof id);
    if (status != NC_OK)
        return status;
    pthread_mutex_lock(&t->lock);
    ncclResult_t code =
        t->nccl->ncclCommInitRankConfig(&t->comm, (int)c->size, id, (int)c->rank, &config);
    nc_watch_on_end(c->base->watch, abort_all, t);
    status = check(c, code, "connecting the ranks");
    pthread_mutex_unlock(&t->lock);
    return status;
}

int nc_communicator_nccl_create(struct nc_communicator *base, void *stream, double timeout,
                                struct nc_communicator **out)
{
    struct nc_communicator *c = calloc(1, sizeof *c);
    struct nc_transport *t = calloc(1, sizeof *t);
    if (!c || !t) {
        free(c);
        free(t);
        return nc_error(NC_FAILED, "nccl: no memory");
    }
    *c = *base;
    c->name = "nccl";
    c->host_memory = false;
    c->base = base;
    c->transport = t;
    c->start = start;
    c->wait = wait_for;
    c->destroy = destroy;
    memset(&c->statistics, 0, sizeof c->statistics);
    make_locks(t);
    t->backend = (cudaStream_t)stream;
    t->limit = timeout;
    if (base->deterministic) { /* NCCL chooses by size and topology: fix its choice */
        setenv("NCCL_ALGO", "Ring", 0);
        setenv("NCCL_PROTO", "Simple", 0);
    }
    int status = nc_nccl_load(&t->nccl);
    if (status == NC_OK)
        status = make_streams(t);
    if (status == NC_OK)
        status = connect_ranks(c);
    if (status == NC_OK) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        t->running = pthread_create(&t->thread, NULL, serve, c) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        status = t->running ? NC_OK : nc_error(NC_FAILED, "nccl: cannot start a thread");
    }
    if (status != NC_OK)
        return status; /* nothing is freed: the run ends, and with it what is under way */
    *out = c;
    return NC_OK;
}
