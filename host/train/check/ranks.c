/* Operations between ranks: over MPI or NCCL under a launcher, and without one over NCCL among the
 * GPUs of this machine. */
#include "cases.h"

#include "nclip/ranks/communicator.h"
#include "nclip/ranks/exact.h"
#include "nclip/ranks/gpus.h"
#include "nclip/support/error.h"
#include "nclip/train/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 1001, BYTES = 4000 }; /* numbers that no slices divide; bytes of an exchange */

static float *own_numbers(struct check_world *w, const struct nc_communicator *c)
{
    float values[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        values[i] = nc_exact_number(c->rank, i);
    float *data = check_upload(w, values, sizeof values);
    check_call(w, w->ops->synchronize(w->ops->backend)); /* host memory must be complete */
    return data;
}

/* How many numbers of the slice are not the sum. */
static size_t wrong_sums(struct check_world *w, const struct nc_communicator *c, const float *data,
                         struct nc_slice slice)
{
    float values[COUNT];
    size_t wrong = 0;
    if (w->status == NC_OK)
        check_call(w, w->ops->download(w->ops->backend, values, data, sizeof values));
    for (size_t i = slice.first; i < slice.first + slice.count && w->status == NC_OK; i++)
        wrong += values[i] != nc_exact_sum(c->size, i);
    return wrong;
}

static void wait_for(struct check_world *w, struct nc_communicator *c, int status,
                     const nc_ticket *ticket)
{
    check_call(w, status);
    if (w->status == NC_OK)
        check_call(w, nc_communicator_wait(c, *ticket));
}

static size_t reduce(struct check_world *w, struct nc_communicator *c)
{
    const struct nc_slice all = {0, COUNT}, own = nc_communicator_slice(COUNT, c->size, c->rank);
    nc_ticket ticket = 0;
    float *data = own_numbers(w, c);
    if (w->status == NC_OK)
        wait_for(w, c, nc_communicator_all_reduce(c, data, COUNT, &ticket), &ticket);
    size_t wrong = wrong_sums(w, c, data, all);
    data = own_numbers(w, c);
    if (w->status == NC_OK)
        wait_for(w, c, nc_communicator_reduce_scatter(c, data, COUNT, &ticket), &ticket);
    wrong += wrong_sums(w, c, data, own);
    if (w->status == NC_OK)
        wait_for(w, c, nc_communicator_all_gather(c, data, COUNT, &ticket), &ticket);
    return wrong + wrong_sums(w, c, data, all);
}

/* Bytes to the next rank, bytes of the first to all, a sum in double. */
static size_t pass_on(struct check_world *w, struct nc_communicator *c)
{
    size_t before = (c->rank + c->size - 1) % c->size, wrong = 0;
    char bytes[BYTES];
    double values[2] = {(double)c->rank, 0.25};
    nc_ticket ticket = 0;
    memset(bytes, (int)c->rank + 1, sizeof bytes);
    char *send = check_upload(w, bytes, sizeof bytes),
         *receive = check_memory(w, BYTES / 4, NC_FLOAT32);
    double *sums = check_upload(w, values, sizeof values);
    check_call(w, w->ops->synchronize(w->ops->backend));
    if (w->status == NC_OK)
        wait_for(w, c, nc_communicator_exchange(c, send, BYTES, receive, BYTES, &ticket), &ticket);
    if (w->status == NC_OK)
        check_call(w, w->ops->download(w->ops->backend, bytes, receive, sizeof bytes));
    for (size_t i = 0; i < BYTES && w->status == NC_OK; i++)
        wrong += bytes[i] != (char)(before + 1);
    if (w->status == NC_OK)
        wait_for(w, c, nc_communicator_broadcast(c, send, BYTES, &ticket), &ticket);
    if (w->status == NC_OK)
        check_call(w, w->ops->download(w->ops->backend, bytes, send, sizeof bytes));
    for (size_t i = 0; i < BYTES && w->status == NC_OK; i++)
        wrong += bytes[i] != 1;
    if (w->status == NC_OK)
        wait_for(w, c, nc_communicator_add(c, sums, 2, &ticket), &ticket);
    if (w->status == NC_OK)
        check_call(w, w->ops->download(w->ops->backend, values, sums, sizeof values));
    wrong += values[0] != (double)(c->size * (c->size - 1) / 2);
    wrong += values[1] != 0.25 * (double)c->size;
    return wrong;
}

static void leave_out(struct nc_check_row *row, const char *why)
{
    row->result = NC_CHECK_LEFT_OUT;
    snprintf(row->message, sizeof row->message, "%s", why);
}

/* In one process: there is something to join only where there are GPUs. */
static void check_alone(struct nc_ops *ops, struct nc_check_row *row)
{
    static char shape[32];
    struct nc_gpus_check gpus;
    if (ops->host_memory) {
        leave_out(row, "one process; `mpirun -n 2 nclip doctor --check` checks two");
        return;
    }
    if (strcmp(ops->name, "cuda") != 0) {
        leave_out(row, "not a GPU");
        return;
    }
    nc_gpus_check(&gpus);
    snprintf(shape, sizeof shape, "%zu GPU%s", gpus.gpus, gpus.gpus == 1 ? "" : "s");
    row->shape = gpus.left_out ? "" : shape;
    row->result = gpus.left_out   ? NC_CHECK_LEFT_OUT
                  : *gpus.message ? NC_CHECK_WRONG
                                  : NC_CHECK_RIGHT;
    memcpy(row->message, gpus.message, sizeof gpus.message);
}

void check_ranks(struct nc_ops *ops, struct nc_communicator *base, struct nc_check_row *row)
{
    static char shape[32];
    struct check_world w = {.ops = ops};
    struct nc_communicator *c = NULL;
    *row = (struct nc_check_row){
        .what = ops->host_memory ? "MPI" : "NCCL", .shape = "", .precision = ""};
    if (!base) {
        check_alone(ops, row);
        return;
    }
    snprintf(shape, sizeof shape, "%zu ranks", base->size);
    row->shape = shape;
    check_call(&w, nc_communicator_for(base, ops, &c));
    size_t wrong = w.status == NC_OK ? reduce(&w, c) : 0;
    wrong += w.status == NC_OK ? pass_on(&w, c) : 0;
    row->result = wrong || w.status != NC_OK ? NC_CHECK_WRONG : NC_CHECK_RIGHT;
    if (w.status != NC_OK)
        snprintf(row->message, sizeof row->message, "%s", nc_error_message());
    else if (wrong)
        snprintf(row->message, sizeof row->message, "rank %zu has %zu wrong numbers", c->rank,
                 wrong);
    check_clear(&w);
    if (c != base)
        nc_communicator_destroy(c);
}
