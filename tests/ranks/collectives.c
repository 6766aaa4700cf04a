/* Started on several ranks by collectives.sh: every operation against sums that are known
 * exactly, and, with an argument, one rank that fails in the way it names.
 *
 *     mpirun -n 3 collectives [kill|hang|spin|stop|abort RANK]
 */
#include "nclip/ranks/communicator.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct nc_communicator *ranks;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            nc_error(NC_FAILED, "collectives.c:%d: %s does not hold", __LINE__, #condition);       \
            nc_communicator_abort(ranks, NC_FAILED);                                               \
        }                                                                                          \
    } while (0)

/* Whole numbers, whose sums are exact in any order. */
static float number(size_t rank, size_t i)
{
    return (float)((rank + 1) * 3 + i % 101);
}

static float sum(size_t i)
{
    float all = 0;
    for (size_t rank = 0; rank < ranks->size; rank++)
        all += number(rank, i);
    return all;
}

static void fill(float *data, size_t count)
{
    for (size_t i = 0; i < count; i++)
        data[i] = number(ranks->rank, i);
}

static void test_sums(size_t count)
{
    float *data = malloc((count + 1) * sizeof *data);
    nc_ticket ticket;
    CHECK(data);
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        ranks->deterministic = deterministic;
        fill(data, count);
        data[count] = -1;
        CHECK(nc_communicator_all_reduce(ranks, data, count, &ticket) == NC_OK);
        CHECK(nc_communicator_wait(ranks, ticket) == NC_OK);
        for (size_t i = 0; i < count; i++)
            CHECK(data[i] == sum(i));
        CHECK(data[count] == -1);
    }
    fill(data, count);
    struct nc_slice own = nc_communicator_slice(count, ranks->size, ranks->rank);
    CHECK(nc_communicator_reduce_scatter(ranks, data, count, &ticket) == NC_OK);
    CHECK(nc_communicator_wait(ranks, ticket) == NC_OK);
    for (size_t i = own.first; i < own.first + own.count; i++)
        CHECK(data[i] == sum(i));
    for (size_t i = 0; i < count; i++)
        if (i < own.first || i >= own.first + own.count)
            data[i] = -2;
    CHECK(nc_communicator_all_gather(ranks, data, count, &ticket) == NC_OK);
    CHECK(nc_communicator_wait(ranks, ticket) == NC_OK);
    for (size_t i = 0; i < count; i++)
        CHECK(data[i] == sum(i));
    free(data);
}

/* Rank r has r * 1000 bytes of the value r: each learns those of the one before. */
static void test_exchange(void)
{
    size_t before = (ranks->rank + ranks->size - 1) % ranks->size;
    size_t bytes = ranks->rank * 1000, coming = before * 1000;
    char *own = malloc(bytes + 1), *other = malloc(coming + 1);
    nc_ticket ticket;
    CHECK(own && other);
    memset(own, (int)ranks->rank, bytes);
    memset(other, 99, coming + 1);
    CHECK(nc_communicator_exchange(ranks, own, bytes, other, coming, &ticket) == NC_OK);
    CHECK(nc_communicator_wait(ranks, ticket) == NC_OK);
    for (size_t i = 0; i < coming; i++)
        CHECK(other[i] == (char)before);
    CHECK(other[coming] == 99);
    free(own);
    free(other);
}

/* Many at once: they end in order, and all of them. */
static void test_queue(void)
{
    enum { MANY = 600, SIZE = 48 };
    static float data[MANY][SIZE];
    nc_ticket tickets[MANY];
    for (size_t i = 0; i < MANY; i++) {
        fill(data[i], SIZE);
        CHECK(nc_communicator_all_reduce(ranks, data[i], SIZE, &tickets[i]) == NC_OK);
    }
    CHECK(nc_communicator_wait(ranks, tickets[MANY - 1]) == NC_OK);
    for (size_t i = 0; i < MANY; i++)
        for (size_t k = 0; k < SIZE; k++)
            CHECK(data[i][k] == sum(k));
    CHECK(nc_communicator_wait(ranks, tickets[0]) == NC_OK);
}

static void test_host_values(void)
{
    double values[3] = {1, (double)ranks->rank, ranks->rank ? 0 : 0.5};
    CHECK(nc_communicator_sum(ranks, values, 3) == NC_OK);
    CHECK(values[0] == (double)ranks->size && values[2] == 0.5);
    CHECK(values[1] == (double)(ranks->size * (ranks->size - 1) / 2));
    char text[16] = "";
    if (ranks->rank == 0)
        strcpy(text, "from the first");
    CHECK(nc_communicator_share(ranks, text, sizeof text) == NC_OK);
    CHECK(strcmp(text, "from the first") == 0);
    size_t covered = 0;
    for (size_t rank = 0; rank < 7; rank++) {
        struct nc_slice slice = nc_communicator_slice(1000, 7, rank);
        CHECK(slice.first == covered || slice.count == 0);
        covered += slice.count;
    }
    CHECK(covered == 1000);
}

/* This rank's misfortune; the others wait for it in a sum. */
static void go_wrong(const char *how)
{
    if (strcmp(how, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(how, "stop") == 0)
        kill(getpid(), SIGSTOP);
    if (strcmp(how, "hang") == 0 || strcmp(how, "stop") == 0)
        for (;;)
            pause();
    for (volatile unsigned long n = 0; strcmp(how, "spin") == 0; n++)
        ;
    nc_error(NC_BAD_INPUT, "store/shard-3: its checksum is wrong");
    nc_communicator_abort(ranks, NC_BAD_INPUT);
}

int main(int argc, char **argv)
{
    if (nc_communicator_create(&ranks) != NC_OK) {
        fprintf(stderr, "collectives: %s\n", nc_error_message());
        return 1;
    }
    if (!ranks) {
        fprintf(stderr, "collectives: to be started by mpirun, on several ranks\n");
        return 2;
    }
    if (argc == 3) {
        nc_communicator_set_timeout(ranks, 3);
        nc_communicator_barrier(ranks);
        if (strtoul(argv[2], NULL, 10) == ranks->rank)
            go_wrong(argv[1]);
        nc_communicator_barrier(ranks);
        for (;;) /* nobody comes here */
            pause();
    }
    static const size_t counts[] = {1, 15, 16, 17, 48, 1000, 1 << 20};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        test_sums(counts[i]);
    test_exchange();
    test_queue();
    test_host_values();
    if (ranks->rank == 0)
        printf("%zu ranks agree\n", ranks->size);
    nc_communicator_destroy(ranks);
    return 0;
}
