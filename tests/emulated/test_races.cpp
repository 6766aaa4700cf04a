/* The search for races (races.h): each kind of missing order is found, in whatever order the
 * threads ran, and what is in order passes. */
#include "kernels/cuda/device.h"

#include "emulated/caught.h"

template <typename T = float> static T *zeros(size_t count)
{
    void *data;
    must(cudaMalloc(&data, count * sizeof(T)));
    must(cudaMemset(data, 0, count * sizeof(T)));
    must(cudaDeviceSynchronize());
    return static_cast<T *>(data);
}

static void finish()
{
    must(cudaDeviceSynchronize());
}

/* ---- In a block ---------------------------------------------------------------------------- */

enum order { NOTHING, WARP_BARRIER, BARRIER, SHUFFLE };

static __device__ void put_in_order(enum order order)
{
    if (order == WARP_BARRIER)
        nc_warp_barrier();
    else if (order == BARRIER)
        nc_barrier();
    else if (order == SHUFFLE)
        (void)nc_shuffle(1, 0);
}

/* Each thread writes, and reads what the thread `distance` lanes away wrote. */
static __global__ void neighbours(float *x, unsigned distance, enum order order)
{
    NC_SHARED(float, shared);
    shared[threadIdx.x] = 0;
    nc_barrier();
    shared[threadIdx.x] = 1;
    put_in_order(order);
    x[threadIdx.x] = shared[threadIdx.x ^ distance];
}

/* The same with reads first: nobody may write before others have read. */
static __global__ void overwrite(float *x, unsigned distance, enum order order)
{
    NC_SHARED(float, shared);
    shared[threadIdx.x] = 1;
    nc_barrier();
    x[threadIdx.x] = shared[threadIdx.x ^ distance];
    put_in_order(order);
    shared[threadIdx.x] = 2;
}

template <unsigned distance, enum order order> static void run_neighbours()
{
    must(NC_LAUNCH(neighbours, 2, 64, 256, nullptr, zeros(64), distance, order));
    finish();
}

template <unsigned distance, enum order order> static void run_overwrite()
{
    must(NC_LAUNCH(overwrite, 1, 64, 256, nullptr, zeros(64), distance, order));
    finish();
}

static void order_within_a_warp(void **)
{
    must_be_caught(run_neighbours<1, NOTHING>, "no nc_warp_barrier is between them");
    must_be_caught(run_neighbours<1, SHUFFLE>, "no nc_warp_barrier is between them");
    must_be_caught(run_overwrite<1, NOTHING>, "no nc_warp_barrier is between them");
    run_overwrite<1, WARP_BARRIER>();
    run_overwrite<0, NOTHING>();
}

static void order_between_warps(void **)
{
    must_be_caught(run_neighbours<32, WARP_BARRIER>, "no nc_barrier is between them");
    must_be_caught(run_overwrite<32, WARP_BARRIER>, "no nc_barrier is between them");
    run_overwrite<32, BARRIER>();
}

/* Lanes 0 and 1 read; then lane 1 alone writes: lane 0 must not be forgotten. */
static __global__ void one_writes(float *x, unsigned first, unsigned second)
{
    NC_SHARED(float, shared);
    if (threadIdx.x == 0)
        shared[0] = 1;
    nc_barrier();
    if (threadIdx.x == first || threadIdx.x == second)
        x[threadIdx.x] = shared[0];
    if (threadIdx.x == second)
        shared[0] = 2;
}

static void no_reader_is_forgotten(void **)
{
    must_be_caught(
        [] { must(NC_LAUNCH(one_writes, 1, 64, 4, nullptr, zeros(64), 0u, 1u)), finish(); },
        "no nc_warp_barrier");
    must_be_caught(
        [] { must(NC_LAUNCH(one_writes, 1, 64, 4, nullptr, zeros(64), 0u, 40u)), finish(); },
        "no nc_barrier");
    must(NC_LAUNCH(one_writes, 1, 64, 4, nullptr, zeros(64), 1u, 1u));
    finish();
}

/* nc_block_sum promises that its memory is free again. */
static __global__ void sums_in_a_row(float *x)
{
    NC_SHARED(float, parts);
    float sum = nc_block_sum(1.0f, parts);
    x[threadIdx.x] = nc_block_sum(sum, parts);
}

static void a_sum_frees_its_memory(void **)
{
    must(NC_LAUNCH(sums_in_a_row, 1, 128, 16, nullptr, zeros(128)));
    finish();
}

/* A half of a pair each: neighbours in a word do not meet. */
static __global__ void halves(nc_bfloat16 *x)
{
    x[threadIdx.x] = static_cast<nc_bfloat16>(threadIdx.x);
}

static void halves_of_a_word_are_apart(void **)
{
    must(NC_LAUNCH(halves, 1, 64, 0, nullptr, zeros<nc_bfloat16>(64)));
    finish();
}

/* ---- Copies and fragments ------------------------------------------------------------------- */

static __global__ void copied(const float *x, float *y, bool wait, bool barrier)
{
    NC_SHARED(float, shared);
    for (unsigned i = 0; i < 4; i++)
        shared[threadIdx.x * 4 + i] = 0;
    nc_barrier();
    nc_cp_async16(shared + threadIdx.x * 4, x, true);
    nc_cp_async_commit();
    if (wait)
        nc_cp_async_wait<0>();
    if (barrier)
        nc_barrier();
    y[threadIdx.x] = shared[(threadIdx.x ^ 1) * 4];
    nc_cp_async_wait<0>();
}

static __global__ void fragments(float *y, enum order order)
{
    NC_SHARED(nc_bfloat16, shared);
    shared[threadIdx.x] = 0;
    nc_barrier();
    shared[threadIdx.x] = 1;
    put_in_order(order);
    uint32_t r[2];
    nc_ldmatrix_x2(r, shared + threadIdx.x % 4 * 8);
    y[threadIdx.x] = static_cast<float>(r[0]);
}

static void copies_need_a_wait_and_a_barrier(void **)
{
    must_be_caught(
        [] {
            must(NC_LAUNCH(copied, 1, 32, 512, nullptr, zeros(4), zeros(32), true, false)),
                finish();
        },
        "a race: ");
    must_be_caught(
        [] {
            must(NC_LAUNCH(copied, 1, 32, 512, nullptr, zeros(4), zeros(32), false, true)),
                finish();
        },
        "was not waited for");
    must(NC_LAUNCH(copied, 1, 32, 512, nullptr, zeros(4), zeros(32), true, true));
    finish();
}

static void fragments_need_a_warp_barrier(void **)
{
    must_be_caught(
        [] { must(NC_LAUNCH(fragments, 1, 32, 64, nullptr, zeros(32), NOTHING)), finish(); },
        "no nc_warp_barrier");
    must(NC_LAUNCH(fragments, 1, 32, 64, nullptr, zeros(32), WARP_BARRIER));
    finish();
}

/* ---- Across blocks and queues -----------------------------------------------------------------
 */

static __global__ void blocks_meet(int *x, bool atomically, bool read)
{
    if (threadIdx.x)
        return;
    if (read && blockIdx.x)
        x[blockIdx.x] = x[0];
    else if (atomically)
        nc_atomic_add(x, 1);
    else
        x[0] = 1;
}

/* The last block reads what all wrote; `early`: others go on, too. */
static __global__ void last_block_adds(int *x, uint32_t *arrived, bool early)
{
    NC_SHARED(uint32_t, flag);
    if (threadIdx.x == 0)
        x[blockIdx.x] = 1;
    bool last = nc_last_block(arrived, gridDim.x, flag);
    if (threadIdx.x || !(last || early))
        return;
    int sum = 0;
    for (unsigned i = 0; i < gridDim.x; i++)
        sum += x[i];
    if (last)
        x[gridDim.x] = sum;
}

static void the_last_block_is_after_all(void **)
{
    int *x = zeros<int>(8), got[8];
    uint32_t *arrived = zeros<uint32_t>(1);
    for (int again = 0; again < 2; again++) {
        must(NC_LAUNCH(last_block_adds, 7, 64, 4, nullptr, x, arrived, false));
        finish();
        must(cudaMemcpy(got, x, sizeof got, cudaMemcpyDeviceToHost));
        assert_int_equal(got[7], 7);
    }
    must_be_caught(
        [] {
            must(NC_LAUNCH(last_block_adds, 7, 64, 4, nullptr, zeros<int>(8), zeros<uint32_t>(1),
                           true)),
                finish();
        },
        "nothing orders blocks");
}

static void nothing_orders_blocks(void **)
{
    must_be_caught(
        [] {
            must(NC_LAUNCH(blocks_meet, 4, 32, 0, nullptr, zeros<int>(4), false, false)), finish();
        },
        "nothing orders blocks");
    must_be_caught(
        [] {
            must(NC_LAUNCH(blocks_meet, 4, 32, 0, nullptr, zeros<int>(4), true, true)), finish();
        },
        "nothing orders blocks");
    must(NC_LAUNCH(blocks_meet, 4, 32, 0, nullptr, zeros<int>(4), true, false));
    finish();
}

static __global__ void take(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x];
}

static __global__ void copied_nothing(float *y)
{
    NC_SHARED(float, shared);
    y[threadIdx.x] = shared[threadIdx.x];
}

static void what_is_read_was_written(void **)
{
    must_be_caught(
        [] {
            void *x;
            must(cudaMalloc(&x, 256));
            must(NC_LAUNCH(take, 1, 32, 0, nullptr, static_cast<float *>(x), zeros(32)));
            finish();
        },
        "into global memory, which nobody wrote");
    must_be_caught(
        [] { must(NC_LAUNCH(copied_nothing, 1, 32, 128, nullptr, zeros(32))), finish(); },
        "into shared memory, which nobody wrote");
}

/* A copy in one queue, a kernel that reads it in another. */
static void two_queues(bool event, bool host)
{
    cudaStream_t first, second;
    cudaEvent_t copied_in;
    must(cudaStreamCreate(&first));
    must(cudaStreamCreate(&second));
    must(cudaEventCreate(&copied_in));
    float *x = zeros(32), *y = zeros(32);
    void *pinned;
    must(cudaMallocHost(&pinned, 128));
    must(cudaMemcpyAsync(x, pinned, 128, cudaMemcpyHostToDevice, first));
    must(cudaEventRecord(copied_in, first));
    if (event)
        must(cudaStreamWaitEvent(second, copied_in));
    if (host)
        must(cudaEventSynchronize(copied_in));
    must(NC_LAUNCH(take, 1, 32, 0, second, x, y));
    finish();
    must(cudaFree(x));
    must(cudaFree(y));
    must(cudaFreeHost(pinned));
    must(cudaEventDestroy(copied_in));
    must(cudaStreamDestroy(first));
    must(cudaStreamDestroy(second));
}

static void queues_need_an_event(void **)
{
    must_be_caught([] { two_queues(false, false); }, "no mark orders the queues");
    two_queues(true, false);
    two_queues(false, true);
}

/* ---- Early launches ---------------------------------------------------------------------------
 */

/* when: the threads that take their turn before they write; then those that do it afterwards. */
static __global__ void in_turn(float *x, unsigned before, unsigned after)
{
    if (threadIdx.x < before)
        nc_take_turn();
    x[threadIdx.x] = 1;
    if (threadIdx.x < after)
        nc_take_turn();
}

static __global__ void no_memory(unsigned count)
{
    if (threadIdx.x < count)
        nc_take_turn();
}

static void launch_early(unsigned before, unsigned after)
{
    must(nc_launch("in_turn", true, in_turn, dim3(1), dim3(64), 0, nullptr, zeros(64), before,
                   after));
    finish();
}

static void early_launches_take_their_turn_first(void **)
{
    must_be_caught([] { launch_early(0, 64); }, "into global memory, before its turn");
    must_be_caught([] { launch_early(63, 64); }, "into global memory, before its turn");
    must_be_caught(
        [] {
            must(nc_launch("no_memory", true, no_memory, dim3(1), dim3(64), 0, nullptr, 63u)),
                finish();
        },
        "returns before its turn");
    launch_early(64, 0);
    must(NC_LAUNCH(in_turn, 1, 64, 0, nullptr, zeros(64), 0u, 0u)); /* not early: as it likes */
    finish();
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_within_a_warp),
        cmocka_unit_test(order_between_warps),
        cmocka_unit_test(no_reader_is_forgotten),
        cmocka_unit_test(a_sum_frees_its_memory),
        cmocka_unit_test(halves_of_a_word_are_apart),
        cmocka_unit_test(copies_need_a_wait_and_a_barrier),
        cmocka_unit_test(fragments_need_a_warp_barrier),
        cmocka_unit_test(the_last_block_is_after_all),
        cmocka_unit_test(nothing_orders_blocks),
        cmocka_unit_test(what_is_read_was_written),
        cmocka_unit_test(queues_need_an_event),
        cmocka_unit_test(early_launches_take_their_turn_first),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
