/* host/ranks/nccl.c over an NCCL of the test's own (emulated/), started on several ranks by
 * nccl.sh: every operation, the order between the backend's stream and NCCL's, that the step does
 * not stand while NCCL takes its time, and with
 * EMULATED_NCCL_FAULT what happens when NCCL hangs or reports an error. */
#include "../../host/ranks/transports.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct nc_communicator *base, *ranks;
static cudaStream_t stream;

static void check_at(int line, bool holds, const char *what)
{
    if (holds)
        return;
    nc_error(NC_FAILED, "nccl.c:%d: %s does not hold", line, what);
    nc_communicator_abort(base, NC_FAILED);
}
#define CHECK(condition) check_at(__LINE__, condition, #condition)

static void check(int status)
{
    if (status != NC_OK)
        nc_communicator_abort(base, status);
}

/* ---- Kernels of the backend's stream ------------------------------------------------------ */

struct data {
    float *values;
    size_t count;
    struct nc_slice checked; /* where the sums are expected */
    bool right;
};

static float number(size_t rank, size_t i)
{
    return (float)((rank + 1) * 3 + i % 101);
}

static float sum(size_t i)
{
    float all = 0;
    for (size_t rank = 0; rank < base->size; rank++)
        all += number(rank, i);
    return all;
}

/* Late, so that whoever does not wait for it is found out. */
static void fill(void *argument)
{
    struct data *d = argument;
    usleep(20000 * (unsigned)(base->rank + 1));
    for (size_t i = 0; i < d->count; i++)
        d->values[i] = number(base->rank, i);
}

static void look(void *argument)
{
    struct data *d = argument;
    d->right = true;
    for (size_t i = d->checked.first; i < d->checked.first + d->checked.count; i++)
        d->right &= d->values[i] == sum(i);
}

static void test_sums(size_t count)
{
    struct data d = {malloc(count * sizeof(float)), count, {0, count}, false};
    nc_ticket ticket, second;
    CHECK(d.values);
    emulated_launch(stream, fill, &d);
    check(nc_communicator_all_reduce(ranks, d.values, count, &ticket));
    check(nc_communicator_wait(ranks, ticket));
    emulated_launch(stream, look, &d);
    cudaStreamSynchronize(stream);
    CHECK(d.right);

    d.checked = nc_communicator_slice(count, base->size, base->rank);
    emulated_launch(stream, fill, &d);
    check(nc_communicator_reduce_scatter(ranks, d.values, count, &ticket));
    check(nc_communicator_wait(ranks, ticket));
    emulated_launch(stream, look, &d);
    cudaStreamSynchronize(stream);
    CHECK(d.right);
    d.checked = (struct nc_slice){0, count};
    check(nc_communicator_all_gather(ranks, d.values, count, &second));
    check(nc_communicator_wait(ranks, second));
    emulated_launch(stream, look, &d);
    cudaStreamSynchronize(stream);
    CHECK(d.right && second == ticket + 1);
    free(d.values);
}

static void test_others(void)
{
    size_t before = (base->rank + base->size - 1) % base->size;
    char own[4000], other[4000], shared[100] = "";
    double values[2] = {(double)base->rank, 0.25};
    nc_ticket ticket;
    memset(own, (int)base->rank, sizeof own);
    memset(other, 99, sizeof other);
    for (int i = 0; i < 300; i++) /* more than there are events */
        check(
            nc_communicator_exchange(ranks, own, base->rank * 1000, other, before * 1000, &ticket));
    check(nc_communicator_wait(ranks, ticket));
    cudaStreamSynchronize(stream);
    for (size_t i = 0; i < sizeof other; i++)
        CHECK(other[i] == (i < before * 1000 ? (char)before : 99));
    if (base->rank == 0)
        strcpy(shared, "from the first");
    check(nc_communicator_broadcast(ranks, shared, sizeof shared, &ticket));
    check(nc_communicator_add(ranks, values, 2, &ticket));
    check(nc_communicator_wait(ranks, ticket));
    cudaStreamSynchronize(stream);
    CHECK(strcmp(shared, "from the first") == 0);
    CHECK(values[0] == (double)(base->size * (base->size - 1) / 2) &&
          values[1] == 0.25 * (double)base->size);
    double host = 1; /* goes over MPI */
    check(nc_communicator_sum(ranks, &host, 1));
    CHECK(host == (double)base->size);
}

/* Operations that NCCL takes long to put into its stream cost the step nothing until it waits for
 * one: the host hands them over. */
static void test_handing_over(void)
{
    enum { COUNT = 960, OPERATIONS = 5 };
    struct data d = {malloc(COUNT * sizeof(float)), COUNT, {0, COUNT}, false};
    nc_ticket ticket = 0;
    CHECK(d.values);
    emulated_nccl_slow = 1000;
    emulated_launch(stream, fill, &d);
    double began = nc_seconds(), waited = ranks->statistics.kind[NC_ALL_REDUCE].waited;
    check(nc_communicator_all_reduce(ranks, d.values, COUNT, &ticket));
    for (int i = 1; i < OPERATIONS; i++)
        check(nc_communicator_broadcast(ranks, d.values, COUNT * sizeof(float), &ticket));
    double handed = nc_seconds() - began;
    check(nc_communicator_wait(ranks, ticket));
    double all = nc_seconds() - began;
    emulated_launch(stream, look, &d);
    cudaStreamSynchronize(stream);
    emulated_nccl_slow = 0;
    CHECK(d.right);
    CHECK(all > OPERATIONS * 0.1 && handed < all / OPERATIONS);
    CHECK(ranks->statistics.kind[NC_BROADCAST].waited > 0);
    CHECK(ranks->statistics.kind[NC_ALL_REDUCE].waited == waited);
    free(d.values);
}

/* Longer than the limit with never a pause, the host always as far ahead as it may be: whoever
 * watches must see that the oldest operation is another one each time. */
static void test_flow(double seconds)
{
    enum { COUNT = 10000 };
    float *data = calloc(COUNT, sizeof *data);
    double began = nc_seconds();
    nc_ticket ticket;
    CHECK(data);
    for (bool more = true; more;) {
        for (int i = 0; i < 1000; i++)
            check(nc_communicator_all_reduce(ranks, data, COUNT, &ticket));
        more = nc_seconds() - began < seconds;
        check(nc_communicator_share(ranks, &more, sizeof more));
    }
    check(nc_communicator_wait(ranks, ticket));
    cudaStreamSynchronize(stream);
    free(data);
}

/* host/ranks/gpus.c: EMULATED_GPUS in one process. */
static int try_gpus(void)
{
    struct nc_gpus_check check;
    nc_nccl_check(&check);
    printf("%zu GPUs%s: %s\n", check.gpus, check.left_out ? ", left out" : "",
           *check.message ? check.message : "right");
    return *check.message != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "gpus") == 0)
        return try_gpus();
    if (nc_communicator_create(&base) != NC_OK || !base)
        return 2;
    nc_communicator_set_timeout(base, 3);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    check(nc_communicator_nccl_create(base, stream, 3, &ranks));
    CHECK(strcmp(ranks->name, "nccl") == 0 && !ranks->host_memory && ranks->size == base->size);
    test_sums(48 * base->size);
    test_sums(1);
    test_sums(1001);
    test_others();
    test_handing_over();
    if (base->size == 2)
        test_flow(4);
    if (base->rank == 0)
        printf("%zu ranks agree\n", base->size);
    nc_communicator_destroy(ranks);
    nc_communicator_destroy(base);
    cudaStreamDestroy(stream);
    return 0;
}
