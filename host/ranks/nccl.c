/* Ranks over NCCL, for device memory.
 *
 * Operations go into a stream of their own. Each starts when the backend's stream has come to the
 * point of its call; waiting for one makes the backend's stream wait, never the host. NCCL runs in
 * its non-blocking mode: no call waits for another rank. A thread polls the operations under way,
 * since the host is mostly ahead of the device; on an error, or when an operation takes longer
 * than the timeout, it aborts NCCL and the run ends. MPI only carries NCCL's id to the ranks.
 *
 * Threads. The thread that computes starts the operations; the backend's GPU is its current device.
 * Every other thread must select that GPU first. NCCL allows one thread at a time, even one that
 * only asks for errors: a lock sees to that, except for an abort, which must not wait for a call
 * that hangs. CUDA's events may be used by all threads. */
#include "transports.h"

#include "nccl_library.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "watch.h"

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 256, POLL_MILLISECONDS = 50, ABORT_SECONDS = 2 };

struct nc_transport {
    const struct nc_nccl *nccl;
    ncclComm_t comm;
    int device;
    cudaStream_t backend, stream;
    /* Of ticket t at t % ROOM: that its inputs are complete, and that it is over. The place is
     * used again once t is among the completed tickets. */
    cudaEvent_t ready[ROOM], over[ROOM];
    _Atomic(enum nc_collective) kinds[ROOM];
    _Atomic nc_ticket issued, completed; /* completed: at least all up to it */
    pthread_mutex_t lock;                /* of NCCL */
    pthread_t thread;
    bool running;
    atomic_bool stop, aborted;
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

/* The status of an NCCL call; one that is in progress is polled until the limit. Called with the
 * lock. */
static int check(struct nc_communicator *c, ncclResult_t code, const char *what)
{
    struct nc_transport *t = c->transport;
    double began = nc_seconds();
    while (code == ncclInProgress) {
        rest_if_aborted(t);
        if (nc_seconds() - began > t->limit)
            return nc_error(NC_FAILED,
                            "nccl: %s has not ended for %.0f s, the limit (NCCL_DEBUG=INFO "
                            "tells more)",
                            what, t->limit);
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

/* ---- The thread that polls ------------------------------------------------------------------ */

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
    while ((next = t->completed + 1) <= t->issued &&
           cudaEventQuery(t->over[next % ROOM]) == cudaSuccess)
        complete(t, next);
    bool ready = next <= t->issued && cudaEventQuery(t->ready[next % ROOM]) == cudaSuccess;
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
                 nc_collective_names[t->kinds[next % ROOM]], now - *since);
        fail(c);
    }
}

/* Asks NCCL for errors, unless the other thread is in a call and sees them itself. */
static void watch_state(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    ncclResult_t state = ncclSuccess;
    if (pthread_mutex_trylock(&t->lock) != 0)
        return;
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

static void *poll_thread(void *argument)
{
    struct nc_communicator *c = argument;
    struct nc_transport *t = c->transport;
    nc_ticket oldest = 0;
    double since = nc_seconds();
    (void)cudaSetDevice(t->device); /* a new thread is on GPU 0, with a context there */
    while (!t->stop) {
        watch_state(c);
        watch_oldest(c, &oldest, &since);
        nanosleep(&(const struct timespec){.tv_nsec = POLL_MILLISECONDS * 1000000L}, NULL);
    }
    return NULL;
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

static ncclResult_t launch(struct nc_communicator *c, enum nc_collective kind, const void *send,
                           void *data, size_t send_count, size_t count)
{
    struct nc_transport *t = c->transport;
    const struct nc_nccl *nccl = t->nccl;
    switch (kind) {
    case NC_ALL_REDUCE:
        return nccl->ncclAllReduce(data, data, count, ncclFloat32, ncclSum, t->comm, t->stream);
    case NC_REDUCE_SCATTER:
        return reduce_scatter(c, data, count);
    case NC_ALL_GATHER:
        return all_gather(c, data, count);
    case NC_EXCHANGE:
        return exchange(c, send, send_count, data, count);
    case NC_BROADCAST:
        return nccl->ncclBroadcast(data, data, count, ncclInt8, 0, t->comm, t->stream);
    default:
        return nccl->ncclAllReduce(data, data, count, ncclFloat64, ncclSum, t->comm, t->stream);
    }
}

/* Waits until the ticket that used the place before is over. If it never is, the polling thread
 * ends the run. */
static int take_place(struct nc_transport *t, nc_ticket ticket)
{
    if (ticket <= ROOM)
        return NC_OK;
    int status =
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
    if (status == NC_OK)
        status = check_cuda(cudaStreamWaitEvent(t->stream, t->ready[slot], 0), "an event");
    if (status != NC_OK)
        return status;
    pthread_mutex_lock(&t->lock);
    rest_if_aborted(t);
    status = check(c, launch(c, kind, send, data, send_count, count), nc_collective_names[kind]);
    pthread_mutex_unlock(&t->lock);
    if (status == NC_OK)
        status = check_cuda(cudaEventRecord(t->over[slot], t->stream), "an event");
    if (status != NC_OK)
        return status;
    t->kinds[slot] = kind;
    t->issued = *ticket;
    c->statistics.kind[kind].calls++;
    c->statistics.kind[kind].bytes += nc_communicator_sent(c, kind, send_count, count);
    return NC_OK;
}

static int wait_for(struct nc_communicator *c, nc_ticket ticket)
{
    struct nc_transport *t = c->transport;
    if (ticket + ROOM <= t->issued) /* its place is another's: it is over */
        return NC_OK;
    return check_cuda(cudaStreamWaitEvent(t->backend, t->over[ticket % ROOM], 0), "an event");
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
    free(t);
    free(c);
}

static void destroy(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    (void)cudaStreamSynchronize(t->stream);
    nc_communicator_barrier(c);
    t->stop = true;
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
    pthread_mutex_init(&t->lock, NULL);
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
        t->running = pthread_create(&t->thread, NULL, poll_thread, c) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        status = t->running ? NC_OK : nc_error(NC_FAILED, "nccl: cannot start a thread");
    }
    if (status != NC_OK)
        return status; /* nothing is freed: the run ends, and with it what is under way */
    *out = c;
    return NC_OK;
}
