/* NCCL among this machine's GPUs (nclip/ranks/gpus.h): one process, a communicator, a stream and a
 * buffer for each. The numbers are whole, so that their sums are exact in whatever order NCCL adds.
 * As in nccl.c NCCL does not block: after each group all communicators are asked until the last of
 * its operations is in its stream. */
#include "transports.h"

#include "nccl_library.h"
#include "nclip/ranks/exact.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 16, SLICE = 4096, LIMIT_SECONDS = 20 };

struct gpus {
    const struct nc_nccl *nccl;
    size_t count;
    ncclComm_t comm[MOST];
    cudaStream_t stream[MOST];
    float *data[MOST]; /* [count * SLICE], in each GPU's memory */
    float *host;       /* likewise */
    double began;
};

/* ---- Waiting -------------------------------------------------------------------------------- */

static int cuda(cudaError_t code, const char *what)
{
    return code == cudaSuccess
               ? NC_OK
               : nc_error(NC_FAILED, "%s on the GPUs: %s", what, cudaGetErrorString(code));
}

static int nccl(const struct gpus *g, ncclResult_t code, const char *what)
{
    return code == ncclSuccess || code == ncclInProgress
               ? NC_OK
               : nc_error(NC_FAILED, "%s: %s (NCCL_DEBUG=INFO tells more)", what,
                          g->nccl->ncclGetErrorString(code));
}

static int pause_or_give_up(const struct gpus *g, const char *what)
{
    if (nc_seconds() - g->began > LIMIT_SECONDS)
        return nc_error(NC_FAILED, "%s has not ended after %d s (NCCL_DEBUG=INFO tells more)", what,
                        LIMIT_SECONDS);
    nanosleep(&(const struct timespec){.tv_nsec = 100000}, NULL);
    return NC_OK;
}

/* Whether any communicator is in progress; errors of all. */
static int ask(const struct gpus *g, const char *what, bool *busy)
{
    int status = NC_OK;
    *busy = false;
    for (size_t i = 0; i < g->count && g->comm[i] && status == NC_OK; i++) {
        ncclResult_t state = ncclSuccess;
        status = nccl(g, g->nccl->ncclCommGetAsyncError(g->comm[i], &state), what);
        if (status == NC_OK)
            status = nccl(g, state, what);
        *busy |= state == ncclInProgress;
    }
    return status;
}

/* Until no communicator is in progress; `code` is what the group's end said. */
static int settle(const struct gpus *g, ncclResult_t code, const char *what)
{
    bool busy = true;
    int status = nccl(g, code, what);
    while (status == NC_OK && busy) {
        status = ask(g, what, &busy);
        if (status == NC_OK && busy)
            status = pause_or_give_up(g, what);
    }
    return status;
}

/* Until the streams are empty; neither a hang nor another GPU's error keeps the host. */
static int finish(const struct gpus *g, const char *what)
{
    int status = NC_OK;
    bool busy;
    for (size_t i = 0; i < g->count && status == NC_OK; i++) {
        cudaError_t state;
        while (status == NC_OK && (state = cudaStreamQuery(g->stream[i])) != cudaSuccess) {
            status = state == cudaErrorNotReady ? ask(g, what, &busy) : cuda(state, what);
            if (status == NC_OK)
                status = pause_or_give_up(g, what);
        }
    }
    return status;
}

/* ---- Operations ----------------------------------------------------------------------------- */

static size_t room(const struct gpus *g)
{
    return g->count * SLICE;
}

static int copy(const struct gpus *g, size_t gpu, void *to, const void *from, const char *what)
{
    return cuda(
        cudaMemcpyAsync(to, from, room(g) * sizeof(float), cudaMemcpyDefault, g->stream[gpu]),
        what);
}

/* Each GPU's own numbers into its buffer. */
static int fill(const struct gpus *g, const char *what)
{
    int status = NC_OK;
    for (size_t gpu = 0; gpu < g->count && status == NC_OK; gpu++) {
        for (size_t i = 0; i < room(g); i++)
            g->host[i] = nc_exact_number(gpu, i);
        status = copy(g, gpu, g->data[gpu], g->host, what);
        if (status == NC_OK)
            status = finish(g, what);
    }
    return status;
}

enum operation { ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST, EXCHANGE, OPERATIONS };
static const char *const names[OPERATIONS] = {"an all-reduce", "a reduce-scatter", "an all-gather",
                                              "a broadcast", "an exchange with neighbours"};

static ncclResult_t start(const struct gpus *g, enum operation operation, size_t gpu)
{
    const struct nc_nccl *n = g->nccl;
    float *data = g->data[gpu], *own = data + gpu * SLICE;
    ncclComm_t comm = g->comm[gpu];
    cudaStream_t stream = g->stream[gpu];
    int next = (int)((gpu + 1) % g->count), before = (int)((gpu + g->count - 1) % g->count);
    switch (operation) {
    case ALL_REDUCE:
        return n->ncclAllReduce(data, data, room(g), ncclFloat32, ncclSum, comm, stream);
    case REDUCE_SCATTER:
        return n->ncclReduceScatter(data, own, SLICE, ncclFloat32, ncclSum, comm, stream);
    case ALL_GATHER:
        return n->ncclAllGather(own, data, SLICE, ncclFloat32, comm, stream);
    case BROADCAST:
        return n->ncclBroadcast(data, data, room(g) * sizeof(float), ncclInt8, 0, comm, stream);
    default: { /* its own slice to the next; that of the one before comes into its place */
        ncclResult_t code = n->ncclSend(own, SLICE * sizeof(float), ncclInt8, next, comm, stream);
        return code != ncclSuccess && code != ncclInProgress
                   ? code
                   : n->ncclRecv(data + (size_t)before * SLICE, SLICE * sizeof(float), ncclInt8,
                                 before, comm, stream);
    }
    }
}

/* What GPU `gpu` has at place i afterwards; false where that is not told. */
static bool expect(const struct gpus *g, enum operation operation, size_t gpu, size_t i,
                   float *value)
{
    size_t slice = i / SLICE, before = (gpu + g->count - 1) % g->count;
    *value = operation == ALL_GATHER  ? nc_exact_number(slice, i)
             : operation == BROADCAST ? nc_exact_number(0, i)
             : operation == EXCHANGE  ? nc_exact_number(slice == before ? before : gpu, i)
                                      : nc_exact_sum(g->count, i);
    return operation != REDUCE_SCATTER || slice == gpu;
}

static int compare(const struct gpus *g, enum operation operation)
{
    int status = NC_OK;
    for (size_t gpu = 0; gpu < g->count && status == NC_OK; gpu++) {
        status = copy(g, gpu, g->host, g->data[gpu], names[operation]);
        if (status == NC_OK)
            status = finish(g, names[operation]);
        for (size_t i = 0; i < room(g) && status == NC_OK; i++) {
            float value;
            if (expect(g, operation, gpu, i, &value) && g->host[i] != value)
                status = nc_error(NC_FAILED, "%s: GPU %zu has %g where %g belongs, at %zu",
                                  names[operation], gpu, (double)g->host[i], (double)value, i);
        }
    }
    return status;
}

static int try_operation(const struct gpus *g, enum operation operation)
{
    int status = fill(g, names[operation]);
    if (status == NC_OK)
        status = nccl(g, g->nccl->ncclGroupStart(), names[operation]);
    for (size_t gpu = 0; gpu < g->count && status == NC_OK; gpu++)
        status = nccl(g, start(g, operation, gpu), names[operation]);
    if (status == NC_OK)
        status = settle(g, g->nccl->ncclGroupEnd(), names[operation]);
    if (status == NC_OK)
        status = finish(g, names[operation]);
    return status == NC_OK ? compare(g, operation) : status;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static int connect_gpus(struct gpus *g)
{
    static const char what[] = "connecting the GPUs";
    ncclUniqueId id = {0};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    int status = nccl(g, g->nccl->ncclGetUniqueId(&id), what);
    if (status == NC_OK)
        status = nccl(g, g->nccl->ncclGroupStart(), what);
    for (size_t i = 0; i < g->count && status == NC_OK; i++) {
        status = cuda(cudaSetDevice((int)i), what);
        if (status == NC_OK)
            status = nccl(
                g, g->nccl->ncclCommInitRankConfig(&g->comm[i], (int)g->count, id, (int)i, &config),
                what);
    }
    return status == NC_OK ? settle(g, g->nccl->ncclGroupEnd(), what) : status;
}

static int reserve(struct gpus *g)
{
    static const char what[] = "memory";
    int status = NC_OK;
    g->host = malloc(room(g) * sizeof *g->host);
    if (!g->host)
        return nc_error(NC_FAILED, "no memory");
    for (size_t i = 0; i < g->count && status == NC_OK; i++) {
        void *data = NULL;
        status = cuda(cudaSetDevice((int)i), what);
        if (status == NC_OK)
            status = cuda(cudaStreamCreateWithFlags(&g->stream[i], cudaStreamNonBlocking), what);
        if (status == NC_OK)
            status = cuda(cudaMalloc(&data, room(g) * sizeof(float)), what);
        g->data[i] = data;
    }
    return status;
}

/* After an error communicators are aborted, which frees what waits for another. */
static void close_gpus(struct gpus *g, int status)
{
    for (size_t i = 0; i < g->count; i++) /* all before the first is waited for */
        if (g->comm[i] && status == NC_OK)
            (void)g->nccl->ncclCommFinalize(g->comm[i]);
    if (status == NC_OK)
        status = settle(g, ncclSuccess, "its end");
    for (size_t i = 0; i < g->count; i++)
        if (g->comm[i])
            (void)(status == NC_OK ? g->nccl->ncclCommDestroy(g->comm[i])
                                   : g->nccl->ncclCommAbort(g->comm[i]));
    for (size_t i = 0; i < g->count; i++) {
        if (cudaSetDevice((int)i) != cudaSuccess)
            continue;
        if (g->data[i])
            (void)cudaFree(g->data[i]);
        if (g->stream[i])
            (void)cudaStreamDestroy(g->stream[i]);
    }
    free(g->host);
}

static void leave_out(struct nc_gpus_check *check, const char *why)
{
    check->left_out = true;
    snprintf(check->message, sizeof check->message, "%s", why);
}

void nc_nccl_check(struct nc_gpus_check *check)
{
    struct gpus g = {.began = nc_seconds()};
    int count = 0, current = 0;
    *check = (struct nc_gpus_check){0};
    if (cudaGetDeviceCount(&count) != cudaSuccess || count < 1 || cudaGetDevice(&current)) {
        leave_out(check, "there is no GPU");
        return;
    }
    if (nc_nccl_load(&g.nccl) != NC_OK) {
        leave_out(check, nc_error_message());
        return;
    }
    g.count = (size_t)(count < MOST ? count : MOST);
    int status = reserve(&g);
    if (status == NC_OK)
        status = connect_gpus(&g);
    for (enum operation o = ALL_REDUCE; o < OPERATIONS && status == NC_OK; o++)
        if (o != EXCHANGE || g.count > 1) /* with itself there is nothing to send */
            status = try_operation(&g, o);
    if (status != NC_OK)
        snprintf(check->message, sizeof check->message, "%s", nc_error_message());
    check->gpus = g.count;
    close_gpus(&g, status);
    (void)cudaSetDevice(current);
}
