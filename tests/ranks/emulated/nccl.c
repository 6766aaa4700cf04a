/* NCCL between the processes of one host, through shared memory: what host/ranks/nccl.c sees of
 * it, in-progress answers, errors that come later and hangs included.
 *
 * EMULATED_NCCL_FAULT=init, stuck, error or sum makes rank EMULATED_NCCL_RANK never join, never
 * carry out an operation, report an error, or add up wrongly. */
#include "../../../host/ranks/nccl_library.h"

#include "nclip/support/error.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_RANKS = 8, REGION = 1 << 23 };

struct shared {
    _Atomic uint64_t joined, left;
    _Atomic uint64_t posted[MOST_RANKS], done[MOST_RANKS];   /* collectives */
    _Atomic uint64_t sent[MOST_RANKS], received[MOST_RANKS]; /* to the next rank */
    char region[MOST_RANKS][REGION], letter[MOST_RANKS][REGION];
};

struct emulated_comm {
    struct shared *shared;
    int rank, ranks;
    char name[128];
    _Atomic uint64_t operations;
    _Atomic int busy;  /* how often it still answers ncclInProgress */
    _Atomic int error; /* that comes up */
    atomic_bool ready, aborted;
    atomic_flag inside;
};

int emulated_nccl_slow;

static bool at_fault(const struct emulated_comm *comm, const char *how)
{
    const char *fault = getenv("EMULATED_NCCL_FAULT"), *rank = getenv("EMULATED_NCCL_RANK");
    return fault && rank && strcmp(fault, how) == 0 && atoi(rank) == comm->rank;
}

/* NCCL bears one thread at a time; an abort may come in between. */
static void enter(struct emulated_comm *comm)
{
    if (atomic_flag_test_and_set(&comm->inside)) {
        fprintf(stderr, "emulated: two threads of rank %d are in NCCL at once\n", comm->rank);
        abort();
    }
}

static ncclResult_t leave(struct emulated_comm *comm, ncclResult_t result)
{
    atomic_flag_clear(&comm->inside);
    return result;
}

/* ---- Life ---------------------------------------------------------------------------------- */

ncclResult_t ncclGetVersion(int *version)
{
    *version = 22809;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/nclip-nccl-%ld", (long)getpid());
    int fd = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct shared)) != 0)
        return ncclSystemError;
    close(fd);
    return ncclSuccess;
}

static void *join(void *argument)
{
    struct emulated_comm *comm = argument;
    if (at_fault(comm, "init"))
        return NULL;
    comm->shared->joined++;
    while (comm->shared->joined < (uint64_t)comm->ranks && !comm->aborted)
        usleep(1000);
    if (comm->rank == 0)
        shm_unlink(comm->name);
    comm->ready = true;
    return NULL;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    struct emulated_comm *comm = calloc(1, sizeof *comm);
    int fd = shm_open(id.internal, O_RDWR, 0);
    *out = comm;
    if (!comm || fd < 0 || config->blocking || ranks > MOST_RANKS)
        return ncclInvalidUsage;
    comm->shared = mmap(NULL, sizeof *comm->shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    comm->rank = rank;
    comm->ranks = ranks;
    snprintf(comm->name, sizeof comm->name, "%s", id.internal);
    pthread_t thread;
    if (comm->shared == MAP_FAILED || pthread_create(&thread, NULL, join, comm) != 0)
        return ncclSystemError;
    pthread_detach(thread);
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    enter(comm);
    usleep(100); /* time to be found in here */
    *state = ncclSuccess;
    if (comm->error)
        *state = (ncclResult_t)comm->error;
    else if (!comm->ready || (comm->busy > 0 && comm->busy-- > 0))
        *state = ncclInProgress;
    return leave(comm, ncclSuccess);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    comm->busy = 3;
    return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    munmap(comm->shared, sizeof *comm->shared);
    free(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    comm->aborted = true;
    if (getenv("EMULATED_NCCL_FAULT"))
        fprintf(stderr, "emulated: rank %d aborted\n", comm->rank);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclRemoteError ? "remote process exited or there was a network error"
                                     : "an emulated error";
}

static _Thread_local struct emulated_comm *grouped;

ncclResult_t ncclGroupStart(void)
{
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    struct emulated_comm *comm = grouped;
    grouped = NULL;
    if (!comm)
        return ncclSuccess;
    enter(comm);
    comm->busy = emulated_nccl_slow ? emulated_nccl_slow : 2;
    return leave(comm, ncclInProgress);
}

/* ---- Operations ---------------------------------------------------------------------------- */

enum kind { ALL_REDUCE, REDUCE_SCATTER, REDUCE, ALL_GATHER, BROADCAST, SEND, RECEIVE };

struct operation {
    enum kind kind;
    struct emulated_comm *comm;
    const void *send;
    void *receive;
    size_t count, size; /* elements, bytes of one */
    int root;
    uint64_t number;
};

static void wait_for(struct emulated_comm *comm, _Atomic uint64_t *value, uint64_t least)
{
    while (*value < least && !comm->aborted)
        usleep(50);
}

static void add(const struct operation *o, size_t first)
{
    struct shared *shared = o->comm->shared;
    for (size_t i = 0; i < o->count; i++) {
        double sum = 0;
        for (int rank = 0; rank < o->comm->ranks; rank++)
            sum += o->size == 4 ? ((float *)shared->region[rank])[first + i]
                                : ((double *)shared->region[rank])[first + i];
        if (o->size == 4)
            ((float *)o->receive)[i] = (float)sum;
        else
            ((double *)o->receive)[i] = sum;
    }
}

static void collective(struct operation *o)
{
    struct emulated_comm *comm = o->comm;
    struct shared *shared = comm->shared;
    size_t bytes = o->count * o->size, own = (size_t)comm->rank;
    for (int rank = 0; rank < comm->ranks; rank++)
        wait_for(comm, &shared->done[rank], o->number - 1);
    memcpy(shared->region[own], o->send,
           o->kind == REDUCE_SCATTER ? bytes * (size_t)comm->ranks : bytes);
    shared->posted[own] = o->number;
    for (int rank = 0; rank < comm->ranks; rank++)
        wait_for(comm, &shared->posted[rank], o->number);
    if (comm->aborted)
        return;
    if (o->kind == ALL_REDUCE || (o->kind == REDUCE && o->root == comm->rank))
        add(o, 0);
    if (o->kind == ALL_REDUCE && at_fault(comm, "sum"))
        ((float *)o->receive)[o->count - 1] += 1;
    if (o->kind == REDUCE_SCATTER)
        add(o, o->count * own);
    if (o->kind == BROADCAST)
        memcpy(o->receive, shared->region[o->root], bytes);
    for (int rank = 0; o->kind == ALL_GATHER && rank < comm->ranks; rank++)
        memcpy((char *)o->receive + bytes * (size_t)rank, shared->region[rank], bytes);
    shared->done[own] = o->number;
}

static void letter(struct operation *o)
{
    struct emulated_comm *comm = o->comm;
    struct shared *shared = comm->shared;
    int from = o->kind == SEND ? comm->rank : o->root;
    if (o->kind == SEND) {
        wait_for(comm, &shared->received[from], shared->sent[from]);
        memcpy(shared->letter[from], o->send, o->count * o->size);
        shared->sent[from]++;
    } else {
        wait_for(comm, &shared->sent[from], shared->received[from] + 1);
        memcpy(o->receive, shared->letter[from], o->count * o->size);
        shared->received[from]++;
    }
}

static void carry_out(void *argument)
{
    struct operation *o = argument;
    if (at_fault(o->comm, "error"))
        o->comm->error = ncclRemoteError;
    while ((at_fault(o->comm, "stuck") || o->comm->error) && !o->comm->aborted)
        usleep(1000);
    if (!o->comm->aborted)
        (o->kind == SEND || o->kind == RECEIVE ? letter : collective)(o);
    free(o);
}

static ncclResult_t enqueue(enum kind kind, const void *send, void *receive, size_t count,
                            ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t stream)
{
    struct operation *o = malloc(sizeof *o);
    size_t size = type == ncclFloat64 ? 8 : type == ncclFloat32 ? 4 : 1;
    size_t all = kind == REDUCE_SCATTER ? count * (size_t)comm->ranks : count;
    if (!o || all * size > REGION)
        return ncclInvalidArgument;
    *o = (struct operation){
        kind,  comm, send, receive,
        count, size, root, kind == SEND || kind == RECEIVE ? 0 : ++comm->operations};
    enter(comm);
    grouped = comm;
    emulated_launch(stream, carry_out, o);
    comm->busy = emulated_nccl_slow;
    return leave(comm, comm->busy ? ncclInProgress : ncclSuccess);
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    (void)op;
    return enqueue(ALL_REDUCE, send, receive, count, type, 0, comm, stream);
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    (void)op;
    return enqueue(REDUCE_SCATTER, send, receive, count, type, 0, comm, stream);
}

ncclResult_t ncclReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream)
{
    (void)op;
    return enqueue(REDUCE, send, receive, count, type, root, comm, stream);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    return enqueue(ALL_GATHER, send, receive, count, type, 0, comm, stream);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream)
{
    return enqueue(BROADCAST, send, receive, count, type, root, comm, stream);
}

ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    return enqueue(SEND, send, NULL, count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return enqueue(RECEIVE, NULL, receive, count, type, peer, comm, stream);
}

int nc_nccl_load(const struct nc_nccl **library)
{
#define SAME(name) .name = name,
    static const struct nc_nccl emulated = {NC_NCCL_FUNCTIONS(SAME)};
#undef SAME
    *library = &emulated;
    return NC_OK;
}
