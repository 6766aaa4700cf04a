/* Many ranks: how the processes of one training run talk to each other.
 *
 *     nc_communicator_create(&ranks);              // NULL when this process runs alone
 *     nc_communicator_all_reduce(ranks, gradient, count, &ticket);
 *     ... compute ...
 *     nc_communicator_wait(ranks, ticket);
 *
 * Host memory goes over MPI, device memory over NCCL, for which MPI only exchanges an id.
 * All ranks call the same operations in the same order. An operation that takes a ticket
 * starts, works on its buffers while the caller computes, and is over when
 * nc_communicator_wait(ticket) returns. Operations are carried out in the order of their
 * start, so that waiting for one waits for all before it. The caller sees to it that the
 * inputs are complete: a host-memory backend must be synchronized before; operations on
 * device memory follow the backend's stream by themselves.
 *
 * When one rank fails, all ranks end. A watch, independent of MPI, connects every rank to
 * rank 0 over TCP. When a rank reports an error (nc_communicator_abort), dies, shows no sign
 * of life, or lets others wait without working, rank 0 prints one line that names the rank,
 * its host and the cause, and every process exits with that error's status. No wait in this
 * header lasts longer than that takes.
 */
#ifndef NCLIP_RANKS_COMMUNICATOR_H
#define NCLIP_RANKS_COMMUNICATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_ops;
struct nc_watch;

enum { NC_HOST_NAME = 64 };
enum { NC_SUM_MOST = 64 };
enum { NC_COMMUNICATOR_TIMEOUT = 15 }; /* seconds, the default */

typedef uint64_t nc_ticket; /* of an operation under way; 0: none */

enum nc_collective {
    NC_ALL_REDUCE,
    NC_REDUCE_SCATTER,
    NC_ALL_GATHER,
    NC_EXCHANGE,
    NC_BROADCAST,
    NC_SUM,
    NC_COLLECTIVES,
};
extern const char *const nc_collective_names[NC_COLLECTIVES];

/* What was moved since the start or the last reset. */
struct nc_communicator_statistics {
    struct {
        size_t calls;
        uint64_t bytes; /* that this rank sent, by the algorithm */
        double busy;    /* seconds from start to end of the transfers; 0 where it is not known */
        double waited;  /* seconds that the caller stood in nc_communicator_wait */
    } kind[NC_COLLECTIVES];
};

struct nc_communicator {
    const char *name; /* "mpi", "nccl" */
    size_t rank, size;
    size_t local_rank, local_size; /* among the ranks of this host */
    char host[NC_HOST_NAME];
    bool host_memory;             /* buffers are in host memory */
    double timeout;               /* nc_communicator_set_timeout */
    bool deterministic;           /* sums are taken in the order of the ranks; may be set */
    struct nc_communicator *base; /* the one for host memory: itself, or what NCCL was made from */
    struct nc_transport *transport;
    struct nc_watch *watch; /* of the base: over all processes */
    struct nc_communicator_statistics statistics;
    /* the transport's; called through the functions below */
    int (*start)(struct nc_communicator *, enum nc_collective, const void *send, void *data,
                 size_t send_count, size_t count, nc_ticket *);
    int (*wait)(struct nc_communicator *, nc_ticket);
    void (*destroy)(struct nc_communicator *);
};

/* Joins the ranks that mpirun or srun started. *communicator is NULL when there is only this
 * one. A launcher's environment in a program that was built without MPI is NC_USAGE. */
int nc_communicator_create(struct nc_communicator **communicator);

/* The rank that the launcher's environment names, known before any rank is joined; 0 without a
 * launcher. */
size_t nc_communicator_launched_rank(void);

/* All ranks together, after the last operation. NULL is allowed. */
void nc_communicator_destroy(struct nc_communicator *communicator);

/* The communicator for the memory of `ops`: `base` itself for host memory, else one over NCCL
 * that works on the stream of `ops` (which must outlive it) and is destroyed before `base`.
 * NC_USAGE when this program was built without NCCL. */
int nc_communicator_for(struct nc_communicator *base, struct nc_ops *ops,
                        struct nc_communicator **communicator);

/* The slice of `rank` when `count` elements are divided among `size` ranks: a whole multiple of 16,
 * the same for each rank but the last ones. */
struct nc_slice {
    size_t first, count;
};
struct nc_slice nc_communicator_slice(size_t count, size_t size, size_t rank);

/* data[count] = its sum over all ranks, the same bits on each. */
int nc_communicator_all_reduce(struct nc_communicator *communicator, float *data, size_t count,
                               nc_ticket *ticket);
/* This rank's slice of data[count] = the sum over all ranks; the rest is undefined. */
int nc_communicator_reduce_scatter(struct nc_communicator *communicator, float *data, size_t count,
                                   nc_ticket *ticket);
/* Every rank's slice of data[count] = as that rank has it. */
int nc_communicator_all_gather(struct nc_communicator *communicator, float *data, size_t count,
                               nc_ticket *ticket);
/* Sends to the next rank, receives from the one before; either may be 0 bytes, and the
 * receiver knows how many come. */
int nc_communicator_exchange(struct nc_communicator *communicator, const void *send,
                             size_t send_bytes, void *receive, size_t receive_bytes,
                             nc_ticket *ticket);
/* data[bytes] = as rank 0 has it. */
int nc_communicator_broadcast(struct nc_communicator *communicator, void *data, size_t bytes,
                              nc_ticket *ticket);
/* sum[count] += those of the other ranks, in double and in the order of the ranks; at most
 * NC_SUM_MOST. */
int nc_communicator_add(struct nc_communicator *communicator, double *sum, size_t count,
                        nc_ticket *ticket);
int nc_communicator_wait(struct nc_communicator *communicator, nc_ticket ticket);

/* values[count] += those of the other ranks, in host memory whatever the communicator; returns when
 * it is done. */
int nc_communicator_sum(struct nc_communicator *communicator, double *values, size_t count);
/* data[bytes] = as rank 0 has it, likewise. */
int nc_communicator_share(struct nc_communicator *communicator, void *data, size_t bytes);
/* Returns once all ranks have called it. */
int nc_communicator_barrier(struct nc_communicator *communicator);

/* ---- Failure ------------------------------------------------------------------------ */

/* A sign that this rank's work goes on, to be given at least every few seconds. A rank that others
 * wait for ends the run when for `timeout` seconds it neither gives this sign, nor uses the
 * processor, nor reads or writes files; and also when for ten times as long it uses the processor
 * without giving the sign. NULL is allowed. */
void nc_communicator_tick(struct nc_communicator *communicator);

/* At rank 0: the signs of all other ranks together, as of a second ago; at others 0. */
uint64_t nc_communicator_ticks_of_others(const struct nc_communicator *communicator);

/* Grants this rank ten times the timeout while `patience` is true: for work that waits on the
 * system, such as writing a checkpoint to a slow disk. NULL is allowed. */
void nc_communicator_ask_patience(struct nc_communicator *communicator, bool patience);

/* How long a rank may be silent; NC_COMMUNICATOR_TIMEOUT until set. */
void nc_communicator_set_timeout(struct nc_communicator *communicator, double seconds);

/* Ends the whole run with the calling thread's error message. Does not return. */
_Noreturn void nc_communicator_abort(struct nc_communicator *communicator, int status);

#endif
