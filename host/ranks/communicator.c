/* Starts, waits for and counts the operations between ranks, whichever transport (mpi.c, nccl.c)
 * carries them out; and passes a rank's reports on to the watch. */
#include "nclip/ranks/communicator.h"

#include "nclip/support/error.h"
#include "transports.h"
#include "watch.h"

const char *const nc_collective_names[NC_COLLECTIVES] = {
    [NC_ALL_REDUCE] = "an all-reduce", [NC_REDUCE_SCATTER] = "a reduce-scatter",
    [NC_ALL_GATHER] = "an all-gather", [NC_EXCHANGE] = "an exchange with its neighbours",
    [NC_BROADCAST] = "a broadcast",    [NC_SUM] = "a sum over the ranks"};

void nc_communicator_destroy(struct nc_communicator *c)
{
    if (c)
        c->destroy(c);
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

uint64_t nc_communicator_ticks_of_others(const struct nc_communicator *c)
{
    return nc_watch_ticks_of_others(c->base->watch);
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
