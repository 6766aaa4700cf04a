#include "nclip/ranks/communicator.h"

#include "../../kernels/backends.h"
#include "parts.h"
#include "nclip/support/error.h"
#include "nclip/ops.h"

#include <stdlib.h>

const char *const nc_collective_names[NC_COLLECTIVES] = {
    [NC_ALL_REDUCE] = "an all-reduce", [NC_REDUCE_SCATTER] = "a reduce-scatter",
    [NC_ALL_GATHER] = "an all-gather", [NC_EXCHANGE] = "an exchange with its neighbours",
    [NC_BROADCAST] = "a broadcast",    [NC_SUM] = "a sum over the ranks"};

static size_t from_environment(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = getenv(names[i]);
        if (text && *text)
            return strtoul(text, NULL, 10);
    }
    return 0;
}

/* How many processes the launcher says that it started; 0: none did. */
static size_t launched_size(void)
{
    /* not SLURM_NTASKS, which a batch script has too */
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                        "SLURM_STEP_NUM_TASKS"};
    return from_environment(names, sizeof names / sizeof *names);
}

size_t nc_communicator_launched_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "MV2_COMM_WORLD_RANK", "SLURM_PROCID"};
    return launched_size() > 1 ? from_environment(names, sizeof names / sizeof *names) : 0;
}

int nc_communicator_create(struct nc_communicator **communicator)
{
    *communicator = NULL;
    size_t size = launched_size();
    if (size < 2)
        return NC_OK;
#ifdef NCLIP_MPI
    return nc_communicator_mpi_create(size, communicator);
#else
    return nc_error(NC_USAGE,
                    "%zu processes were started, but this nclip was built without MPI: build "
                    "it with -DNCLIP_MPI=ON (Debian: libopenmpi-dev)",
                    size);
#endif
}

void nc_communicator_destroy(struct nc_communicator *c)
{
    if (c)
        c->destroy(c);
}

int nc_communicator_for(struct nc_communicator *base, struct nc_ops *ops,
                        struct nc_communicator **communicator)
{
    *communicator = base;
    if (!base || ops->host_memory)
        return NC_OK;
#ifdef NCLIP_NCCL
    return nc_communicator_nccl_create(base, nc_cuda_stream(ops->backend), base->timeout + 5,
                                       communicator);
#else
    return nc_error(NC_USAGE,
                    "--device %s on %zu ranks needs NCCL, and this nclip was built without it",
                    ops->name, base->size);
#endif
}

struct nc_slice nc_communicator_slice(size_t count, size_t size, size_t rank)
{
    size_t each = ((count + size - 1) / size + 15) / 16 * 16;
    size_t first = each * rank < count ? each * rank : count;
    return (struct nc_slice){first, count - first < each ? count - first : each};
}

int nc_communicator_all_reduce(struct nc_communicator *c, float *data, size_t count,
                               nc_ticket *ticket)
{
    return c->start(c, NC_ALL_REDUCE, NULL, data, 0, count, ticket);
}

int nc_communicator_reduce_scatter(struct nc_communicator *c, float *data, size_t count,
                                   nc_ticket *ticket)
{
    return c->start(c, NC_REDUCE_SCATTER, NULL, data, 0, count, ticket);
}

int nc_communicator_all_gather(struct nc_communicator *c, float *data, size_t count,
                               nc_ticket *ticket)
{
    return c->start(c, NC_ALL_GATHER, NULL, data, 0, count, ticket);
}

int nc_communicator_exchange(struct nc_communicator *c, const void *send, size_t send_bytes,
                             void *receive, size_t receive_bytes, nc_ticket *ticket)
{
    return c->start(c, NC_EXCHANGE, send, receive, send_bytes, receive_bytes, ticket);
}

int nc_communicator_broadcast(struct nc_communicator *c, void *data, size_t bytes,
                              nc_ticket *ticket)
{
    return c->start(c, NC_BROADCAST, NULL, data, 0, bytes, ticket);
}

int nc_communicator_add(struct nc_communicator *c, double *sum, size_t count, nc_ticket *ticket)
{
    if (count > NC_SUM_MOST)
        return nc_error(NC_FAILED, "ranks: a sum of %zu numbers, %d are the most", count,
                        NC_SUM_MOST);
    return c->start(c, NC_SUM, NULL, sum, 0, count, ticket);
}

int nc_communicator_wait(struct nc_communicator *c, nc_ticket ticket)
{
    return ticket ? c->wait(c, ticket) : NC_OK;
}

/* ---- In host memory -------------------------------------------------------------------- */

int nc_communicator_sum(struct nc_communicator *c, double *values, size_t count)
{
    nc_ticket ticket;
    int status = nc_communicator_add(c->base, values, count, &ticket);
    return status == NC_OK ? nc_communicator_wait(c->base, ticket) : status;
}

int nc_communicator_share(struct nc_communicator *c, void *data, size_t bytes)
{
    nc_ticket ticket;
    int status = nc_communicator_broadcast(c->base, data, bytes, &ticket);
    return status == NC_OK ? nc_communicator_wait(c->base, ticket) : status;
}

int nc_communicator_barrier(struct nc_communicator *c)
{
    double nothing = 0;
    return nc_communicator_sum(c, &nothing, 1);
}

/* The bytes that a rank sends in the best algorithm for large data. */
uint64_t nc_communicator_sent(const struct nc_communicator *c, enum nc_collective kind,
                              size_t send_count, size_t count)
{
    uint64_t others = c->size - 1, all = (uint64_t)count * sizeof(float);
    switch (kind) {
    case NC_ALL_REDUCE:
        return 2 * all * others / c->size;
    case NC_REDUCE_SCATTER:
    case NC_ALL_GATHER:
        return all * others / c->size;
    case NC_EXCHANGE:
        return send_count;
    case NC_BROADCAST:
        return c->rank ? 0 : count;
    default:
        return count * sizeof(double) * others;
    }
}

/* ---- Failure ------------------------------------------------------------------------------ */

void nc_communicator_tick(struct nc_communicator *c)
{
    if (c)
        nc_watch_tick(c->base->watch);
}

void nc_communicator_ask_patience(struct nc_communicator *c, bool patience)
{
    if (c)
        nc_watch_ask_patience(c->base->watch, patience);
}

void nc_communicator_set_timeout(struct nc_communicator *c, double seconds)
{
    c->base->timeout = seconds;
    nc_watch_set_timeout(c->base->watch, seconds);
}

_Noreturn void nc_communicator_abort(struct nc_communicator *c, int status)
{
    nc_watch_fail(c->base->watch, status, nc_error_message());
}
