/* Ranks over MPI, for host memory.
 *
 * One thread makes all MPI calls and carries the operations out in their order, so that they go
 * on while the caller computes; MPI_THREAD_FUNNELED is enough. The thread sleeps between its polls,
 * since on a CPU the core that it would spin on belongs to the arithmetic.
 *
 * Sums use the direct algorithm: each rank receives its slice from all others and adds in the
 * order of the ranks. That sends no byte more than a ring does, and gives the same bits in each
 * run. Without `deterministic` an all-reduce is MPI's own. */
#include "transports.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "watch.h"

#include <limits.h>
#include <mpi.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 256, PIECE = 1 << 25 /* bytes moved at once */ };

struct operation {
    enum nc_collective kind;
    const void *send;
    void *data;
    size_t send_count, count;
};

struct nc_transport {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct operation queue[ROOM]; /* that of ticket t stands at t % ROOM */
    nc_ticket issued, completed;  /* under the lock */
    bool stop, ready;
    int status;            /* of the start */
    const char *complaint; /* of the start */
    struct nc_watch_place place;
    /* the thread's own */
    MPI_Request *requests; /* [2 size] */
    int *counts, *starts;  /* [size] */
    float *scratch;
    size_t scratch_count;
    double *sums; /* [size, NC_SUM_MOST] */
};

/* ---- In the thread ------------------------------------------------------------------------ */

/* An error of MPI most often follows another rank's death: that rank's message gets time to come
 * first. */
_Noreturn static void fail(struct nc_communicator *c, const char *what)
{
    sleep(3);
    nc_watch_fail(c->watch, NC_FAILED, what);
}

static void check(struct nc_communicator *c, int code)
{
    if (code == MPI_SUCCESS)
        return;
    char text[MPI_MAX_ERROR_STRING + 32] = "MPI: ", reason[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, reason, &length);
    snprintf(text, sizeof text, "MPI: %.*s", length, reason);
    fail(c, text);
}

static void finish(struct nc_communicator *c, MPI_Request *requests, int count)
{
    int all = 0;
    for (unsigned polls = 0;; polls++) {
        check(c, MPI_Testall(count, requests, &all, MPI_STATUSES_IGNORE));
        if (all)
            return;
        if (polls < 64)
            sched_yield();
        else
            nanosleep(&(const struct timespec){.tv_nsec = polls < 1024 ? 20000 : 200000}, NULL);
    }
}

static void reserve(struct nc_communicator *c, size_t count)
{
    struct nc_transport *t = c->transport;
    if (t->scratch_count >= count)
        return;
    free(t->scratch);
    t->scratch = malloc(count * sizeof *t->scratch);
    t->scratch_count = count;
    if (!t->scratch)
        fail(c, "no memory to add other ranks' numbers");
}

static void reduce_scatter(struct nc_communicator *c, float *data, size_t count)
{
    struct nc_transport *t = c->transport;
    struct nc_slice own = nc_communicator_slice(count, c->size, c->rank);
    reserve(c, own.count * c->size);
    int pending = 0;
    for (size_t step = 1; step < c->size; step++) {
        size_t to = (c->rank + step) % c->size, from = (c->rank + c->size - step) % c->size;
        struct nc_slice slice = nc_communicator_slice(count, c->size, to);
        if (own.count)
            check(c, MPI_Irecv(t->scratch + from * own.count, (int)own.count, MPI_FLOAT, (int)from,
                               NC_REDUCE_SCATTER, MPI_COMM_WORLD, &t->requests[pending++]));
        if (slice.count)
            check(c, MPI_Isend(data + slice.first, (int)slice.count, MPI_FLOAT, (int)to,
                               NC_REDUCE_SCATTER, MPI_COMM_WORLD, &t->requests[pending++]));
    }
    finish(c, t->requests, pending);
    if (!own.count)
        return;
    float *sum = data + own.first;
    if (c->rank) { /* the first rank's number comes first */
        float *mine = t->scratch + c->rank * own.count;
        memcpy(mine, sum, own.count * sizeof *sum);
        memcpy(sum, t->scratch, own.count * sizeof *sum);
    }
    for (size_t rank = 1; rank < c->size; rank++) {
        const float *theirs = t->scratch + rank * own.count;
        for (size_t i = 0; i < own.count; i++)
            sum[i] += theirs[i];
    }
}

static void all_gather(struct nc_communicator *c, float *data, size_t count)
{
    struct nc_transport *t = c->transport;
    for (size_t rank = 0; rank < c->size; rank++) {
        struct nc_slice slice = nc_communicator_slice(count, c->size, rank);
        t->counts[rank] = (int)slice.count;
        t->starts[rank] = (int)slice.first;
    }
    check(c, MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, t->counts, t->starts,
                             MPI_FLOAT, MPI_COMM_WORLD, t->requests));
    finish(c, t->requests, 1);
}

static void all_reduce(struct nc_communicator *c, float *data, size_t count)
{
    if (c->deterministic) {
        reduce_scatter(c, data, count);
        all_gather(c, data, count);
        return;
    }
    check(c, MPI_Iallreduce(MPI_IN_PLACE, data, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD,
                            c->transport->requests));
    finish(c, c->transport->requests, 1);
}

static size_t piece_at(size_t bytes, size_t at)
{
    return at >= bytes ? 0 : bytes - at < PIECE ? bytes - at : PIECE;
}

static void exchange(struct nc_communicator *c, const struct operation *o)
{
    struct nc_transport *t = c->transport;
    int to = (int)((c->rank + 1) % c->size), from = (int)((c->rank + c->size - 1) % c->size);
    size_t longest = o->send_count > o->count ? o->send_count : o->count;
    for (size_t at = 0; at < longest; at += PIECE) {
        size_t out = piece_at(o->send_count, at), in = piece_at(o->count, at);
        int pending = 0;
        if (in)
            check(c, MPI_Irecv((char *)o->data + at, (int)in, MPI_BYTE, from, NC_EXCHANGE,
                               MPI_COMM_WORLD, &t->requests[pending++]));
        if (out)
            check(c, MPI_Isend((const char *)o->send + at, (int)out, MPI_BYTE, to, NC_EXCHANGE,
                               MPI_COMM_WORLD, &t->requests[pending++]));
        finish(c, t->requests, pending);
        nc_watch_tick(c->watch);
    }
}

static void broadcast(struct nc_communicator *c, void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        check(c, MPI_Ibcast((char *)data + at, (int)piece_at(bytes, at), MPI_BYTE, 0,
                            MPI_COMM_WORLD, c->transport->requests));
        finish(c, c->transport->requests, 1);
        nc_watch_tick(c->watch);
    }
}

static void sum(struct nc_communicator *c, double *values, size_t count)
{
    struct nc_transport *t = c->transport;
    double mine[NC_SUM_MOST];
    memcpy(mine, values, count * sizeof *mine);
    check(c, MPI_Iallgather(mine, (int)count, MPI_DOUBLE, t->sums, (int)count, MPI_DOUBLE,
                            MPI_COMM_WORLD, t->requests));
    finish(c, t->requests, 1);
    for (size_t i = 0; i < count; i++) {
        values[i] = 0;
        for (size_t rank = 0; rank < c->size; rank++)
            values[i] += t->sums[rank * count + i];
    }
}

static void carry_out(struct nc_communicator *c, const struct operation *o)
{
    double began = nc_seconds();
    switch (o->kind) {
    case NC_ALL_REDUCE:
        all_reduce(c, o->data, o->count);
        break;
    case NC_REDUCE_SCATTER:
        reduce_scatter(c, o->data, o->count);
        break;
    case NC_ALL_GATHER:
        all_gather(c, o->data, o->count);
        break;
    case NC_EXCHANGE:
        exchange(c, o);
        break;
    case NC_BROADCAST:
        broadcast(c, o->data, o->count);
        break;
    default:
        sum(c, o->data, o->count);
    }
    c->statistics.kind[o->kind].busy += nc_seconds() - began;
}

/* Joins the other ranks. MPI must count as many as the launcher says. NULL, or what went wrong. */
static const char *join(struct nc_communicator *c)
{
    int provided = 0, rank = 0, size = 0, local_rank = 0, local_size = 0;
    MPI_Comm local;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        return "MPI does not start";
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (provided < MPI_THREAD_FUNNELED)
        return "this MPI was built without threads";
    if ((size_t)size != c->size)
        return "the launcher started more processes than MPI knows: with SLURM, `srun --mpi=pmix`; "
               "with mpirun, that of the MPI that nclip was built with";
    c->rank = (size_t)rank;
    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local) ==
        MPI_SUCCESS) {
        MPI_Comm_rank(local, &local_rank);
        MPI_Comm_size(local, &local_size);
        MPI_Comm_free(&local);
    }
    c->local_rank = (size_t)local_rank;
    c->local_size = local_size > 0 ? (size_t)local_size : 1;
    struct nc_transport *t = c->transport;
    t->requests = calloc(2 * c->size, sizeof(MPI_Request));
    t->counts = calloc(c->size, sizeof *t->counts);
    t->starts = calloc(c->size, sizeof *t->starts);
    t->sums = calloc(c->size * NC_SUM_MOST, sizeof *t->sums);
    if (!t->requests || !t->counts || !t->starts || !t->sums)
        return "no memory";
    int listening = NC_OK;
    if (c->rank == 0)
        listening = nc_watch_listen(c->size, c->host, &c->watch, &t->place);
    if (MPI_Bcast(&t->place, sizeof t->place, MPI_BYTE, 0, MPI_COMM_WORLD) != MPI_SUCCESS)
        return "MPI carries nothing between the ranks";
    return listening == NC_OK ? NULL : "cannot listen for the other ranks";
}

static void *thread(void *argument)
{
    struct nc_communicator *c = argument;
    struct nc_transport *t = c->transport;
    prctl(PR_SET_TIMERSLACK, 1000L, 0L, 0L, 0L); /* else short sleeps are long ones */
    const char *complaint = join(c);
    pthread_mutex_lock(&t->lock);
    t->complaint = complaint;
    t->ready = true;
    pthread_cond_broadcast(&t->done);
    while (!complaint) {
        while (t->completed == t->issued && !t->stop)
            pthread_cond_wait(&t->work, &t->lock);
        if (t->completed == t->issued)
            break;
        struct operation operation = t->queue[(t->completed + 1) % ROOM];
        pthread_mutex_unlock(&t->lock);
        carry_out(c, &operation);
        pthread_mutex_lock(&t->lock);
        nc_watch_completed(c->watch, ++t->completed);
        pthread_cond_broadcast(&t->done);
    }
    pthread_mutex_unlock(&t->lock);
    MPI_Finalize();
    return NULL;
}

/* ---- In the caller ------------------------------------------------------------------------- */

static int start(struct nc_communicator *c, enum nc_collective kind, const void *send, void *data,
                 size_t send_count, size_t count, nc_ticket *ticket)
{
    struct nc_transport *t = c->transport;
    bool bytes = kind == NC_EXCHANGE || kind == NC_BROADCAST;
    if (!bytes && count > INT_MAX)
        return nc_error(NC_FAILED, "ranks: %zu numbers in one %s; %d are the most", count,
                        nc_collective_names[kind], INT_MAX);
    pthread_mutex_lock(&t->lock);
    while (t->issued - t->completed == ROOM - 1)
        pthread_cond_wait(&t->done, &t->lock);
    *ticket = ++t->issued;
    t->queue[*ticket % ROOM] = (struct operation){kind, send, data, send_count, count};
    nc_watch_arrived(c->watch, *ticket, nc_collective_names[kind]);
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    c->statistics.kind[kind].calls++;
    c->statistics.kind[kind].bytes += nc_communicator_sent(c, kind, send_count, count);
    return NC_OK;
}

static int wait_for(struct nc_communicator *c, nc_ticket ticket)
{
    struct nc_transport *t = c->transport;
    double began = nc_seconds();
    pthread_mutex_lock(&t->lock);
    enum nc_collective kind = t->queue[ticket % ROOM].kind;
    bool over = t->completed >= ticket;
    if (!over)
        nc_watch_blocked(c->watch, ticket);
    while (t->completed < ticket)
        pthread_cond_wait(&t->done, &t->lock);
    if (!over)
        nc_watch_blocked(c->watch, 0);
    pthread_mutex_unlock(&t->lock);
    c->statistics.kind[kind].waited += nc_seconds() - began;
    return NC_OK;
}

static void release(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->work);
    pthread_cond_destroy(&t->done);
    free(t->requests);
    free(t->counts);
    free(t->starts);
    free(t->sums);
    free(t->scratch);
    free(t);
    free(c);
}

static void destroy(struct nc_communicator *c)
{
    struct nc_transport *t = c->transport;
    nc_communicator_barrier(c);
    nc_watch_stop(c->watch);
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    release(c);
}

/* Ranks that share a host share its cores, where neither the user nor the launcher has
 * divided them. */
static void share_cores(const struct nc_communicator *c)
{
    cpu_set_t allowed;
    long all = sysconf(_SC_NPROCESSORS_ONLN);
    if (getenv("OMP_NUM_THREADS") || c->local_size < 2 || all < 1 ||
        sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < all)
        return;
    int each = (int)((size_t)all / c->local_size);
    omp_set_num_threads(each > 0 ? each : 1);
}

int nc_communicator_mpi_create(size_t launched, struct nc_communicator **out)
{
    struct nc_communicator *c = calloc(1, sizeof *c);
    struct nc_transport *t = calloc(1, sizeof *t);
    if (!c || !t) {
        free(c);
        free(t);
        return nc_error(NC_FAILED, "ranks: no memory");
    }
    struct utsname names;
    *c = (struct nc_communicator){.name = "mpi",
                                  .size = launched,
                                  .host_memory = true,
                                  .base = c,
                                  .timeout = NC_COMMUNICATOR_TIMEOUT,
                                  .transport = t,
                                  .start = start,
                                  .wait = wait_for,
                                  .destroy = destroy};
    snprintf(c->host, sizeof c->host, "%.63s", uname(&names) == 0 ? names.nodename : "unknown");
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->done, NULL);
    sigset_t all, before;
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int cause = pthread_create(&t->thread, NULL, thread, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause) {
        release(c);
        return nc_error(NC_FAILED, "ranks: cannot start a thread: %s", strerror(cause));
    }
    pthread_mutex_lock(&t->lock);
    while (!t->ready)
        pthread_cond_wait(&t->done, &t->lock);
    pthread_mutex_unlock(&t->lock);
    int status = t->complaint ? nc_error(NC_FAILED, "ranks: %s", t->complaint) : NC_OK;
    if (status == NC_OK && c->rank)
        status = nc_watch_connect(c->rank, c->size, c->host, &t->place, &c->watch);
    if (status == NC_OK)
        status = nc_watch_start(c->watch, NC_COMMUNICATOR_TIMEOUT);
    if (status != NC_OK)
        return status; /* nothing is freed: the process ends, and the launcher ends the others */
    share_cores(c);
    *out = c;
    return NC_OK;
}
