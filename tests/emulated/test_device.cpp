/* The device layer under emulation: what each wrapper computes, and that mistakes are caught. */
#include "emulated/sums.h"
#include "kernels/cuda/device.h"

#include "emulated/caught.h"
#include "nclip/ops.h"

#include <cstdlib>
#include <vector>

template <typename T> static T *device_copy(const std::vector<T> &host)
{
    void *data;
    must(cudaMalloc(&data, host.size() * sizeof(T)));
    must(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
    return static_cast<T *>(data);
}

template <typename T> static std::vector<T> host_copy(const T *data, size_t count)
{
    std::vector<T> host(count);
    must(cudaMemcpy(host.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
}

/* ---- What the wrappers compute ------------------------------------------------------------ */

/* c[16, 8] = a[16, 16] b[16, 8], through shared memory, cp.async and ldmatrix */
static __global__ void product(const nc_bfloat16 *a, const nc_bfloat16 *b, float *c)
{
    NC_SHARED(nc_bfloat16, shared); /* a, then b */
    unsigned t = threadIdx.x;
    nc_cp_async16(shared + t * 8, a + t * 8, true);
    if (t < 16)
        nc_cp_async16(shared + 256 + t * 8, b + t * 8, true);
    nc_cp_async_commit();
    nc_cp_async_wait<0>();
    nc_barrier();
    uint32_t fa[4], fb[2];
    nc_ldmatrix_x4(fa, shared + t % 16 * 16 + t / 16 * 8);
    nc_ldmatrix_x2_trans(fb, shared + 256 + t % 16 * 8);
    float sum[4] = {};
    nc_mma_bf16(sum, fa, fb);
    for (unsigned i = 0; i < 4; i++)
        c[(t / 4 + i / 2 * 8) * 8 + t % 4 * 2 + i % 2] = sum[i];
}

/* Each lane holds two numbers of a row, before and after. */
static __global__ void transpose(const uint32_t *from, uint32_t *to)
{
    to[threadIdx.x] = nc_transpose(from[threadIdx.x]);
}

static void a_matrix_is_transposed_in_registers(void **)
{
    std::vector<nc_bfloat16> matrix(64);
    for (size_t i = 0; i < matrix.size(); i++)
        matrix[i] = static_cast<nc_bfloat16>(i * 257);
    nc_bfloat16 *from = device_copy(matrix), *to = device_copy(std::vector<nc_bfloat16>(64));
    must(NC_LAUNCH(transpose, 1, 32, 0, nullptr, reinterpret_cast<const uint32_t *>(from),
                   reinterpret_cast<uint32_t *>(to)));
    std::vector<nc_bfloat16> transposed = host_copy(to, 64);
    for (size_t row = 0; row < 8; row++)
        for (size_t column = 0; column < 8; column++)
            assert_int_equal(transposed[row * 8 + column], matrix[column * 8 + row]);
    must(cudaFree(from));
    must(cudaFree(to));
}

static void fragments_make_a_product(void **)
{
    std::vector<nc_bfloat16> a(256), b(128);
    for (size_t i = 0; i < a.size(); i++)
        a[i] = nc_bfloat16_from_float(static_cast<float>(i * 37 % 29) - 14);
    for (size_t i = 0; i < b.size(); i++)
        b[i] = nc_bfloat16_from_float(static_cast<float>(i * 11 % 17) - 8);
    nc_bfloat16 *da = device_copy(a), *db = device_copy(b);
    float *dc = device_copy(std::vector<float>(128));
    must(NC_LAUNCH(product, 1, 32, 384 * sizeof(nc_bfloat16), nullptr, da, db, dc));
    std::vector<float> c = host_copy(dc, 128);
    for (size_t row = 0; row < 16; row++)
        for (size_t column = 0; column < 8; column++) {
            float sum = 0;
            for (size_t k = 0; k < 16; k++)
                sum +=
                    nc_bfloat16_to_float(a[row * 16 + k]) * nc_bfloat16_to_float(b[k * 8 + column]);
            assert_true(c[row * 8 + column] == sum);
        }
    must(cudaFree(da));
    must(cudaFree(db));
    must(cudaFree(dc));
}

/* Of products beside 1, what lies 25 places below stays and what lies 26 below does not; the sum is
 * cut off to fp32, never rounded up. */
static void tensor_cores_cut_off(void **)
{
    auto sum_of = [](float c, float product, size_t count) {
        float a[16][8] = {}, b[16] = {}, sum[8];
        for (size_t k = 0; k < count; k++) {
            b[k] = 1;
            std::fill(a[k], a[k] + 8, product);
        }
        std::fill(sum, sum + 8, c);
        nc_emulated_add_in_tensor_cores(sum, 8, a[0], 8, b, count);
        for (float other : sum)
            assert_true(other == sum[0] || (isnan(other) && isnan(sum[0])));
        return sum[0];
    };
    assert_true(sum_of(1, 0x1p-25f, 16) == 1 + 0x1p-21f);
    assert_true(sum_of(1, 0x1p-26f, 16) == 1);
    assert_true(sum_of(1, 0x1.8p-24f, 1) == 1); /* 3/4 of a unit */
    assert_true(sum_of(-1, -0x1.8p-24f, 1) == -1);
    assert_true(sum_of(-1, 0x1p-25f, 2) == -1 + 0x1p-24f);
    assert_true(sum_of(0, 0, 3) == 0);
    assert_true(sum_of(0x1p-120f, 0x1p-120f, 15) == 0x1p-116f);
    assert_true(isinf(sum_of(INFINITY, 1, 1)) && isnan(sum_of(INFINITY, -INFINITY, 1)));
    assert_true(isnan(sum_of(0, NAN, 1)));
}

static __global__ void sums(const float *x, float *warp, float *block, float *top, uint32_t *odd)
{
    NC_SHARED(float, parts);
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    warp[i] = nc_warp_sum(x[i]);
    top[i] = nc_warp_max(x[i]);
    odd[i] = nc_ballot(i % 2);
    block[i] = nc_block_sum(x[i], parts);
}

static void collectives_see_every_lane(void **)
{
    enum { BLOCK = 128, COUNT = 3 * BLOCK };
    std::vector<float> x(COUNT);
    for (size_t i = 0; i < COUNT; i++)
        x[i] = static_cast<float>(i * 7 % 101);
    float *dx = device_copy(x), *warp = device_copy(x), *block = device_copy(x);
    float *top = device_copy(x);
    uint32_t *odd = device_copy(std::vector<uint32_t>(COUNT));
    must(NC_LAUNCH(sums, 3, BLOCK, BLOCK / 32 * sizeof(float), nullptr, dx, warp, block, top, odd));
    std::vector<float> w = host_copy(warp, COUNT), b = host_copy(block, COUNT);
    std::vector<float> m = host_copy(top, COUNT);
    std::vector<uint32_t> o = host_copy(odd, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        float of_warp = 0, of_block = 0, largest = 0;
        for (size_t k = 0; k < 32; k++) {
            of_warp += x[i / 32 * 32 + k];
            largest = max(largest, x[i / 32 * 32 + k]);
        }
        for (size_t k = 0; k < BLOCK; k++)
            of_block += x[i / BLOCK * BLOCK + k];
        assert_true(w[i] == of_warp && b[i] == of_block && m[i] == largest);
        assert_int_equal(o[i], 0xaaaaaaaau);
    }
    for (void *data :
         {static_cast<void *>(dx), static_cast<void *>(warp), static_cast<void *>(block),
          static_cast<void *>(top), static_cast<void *>(odd)})
        must(cudaFree(data));
}

static __global__ void count_up(int *counter, int by)
{
    nc_atomic_add(counter, by);
}

static void graphs_replay_what_was_captured(void **)
{
    cudaStream_t first, second;
    cudaEvent_t forth, back;
    must(cudaStreamCreate(&first));
    must(cudaStreamCreate(&second));
    must(cudaEventCreate(&forth));
    must(cudaEventCreate(&back));
    int *counter = device_copy(std::vector<int>{0});
    must(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
    must(NC_LAUNCH(count_up, 2, 32, 0, first, counter, 1));
    must(cudaEventRecord(forth, first));
    must(cudaStreamWaitEvent(second, forth));
    must(NC_LAUNCH(count_up, 1, 32, 0, second, counter, 100));
    must(cudaEventRecord(back, second));
    must(cudaStreamWaitEvent(first, back));
    cudaGraph_t graph;
    must(cudaStreamEndCapture(first, &graph));
    assert_int_equal(host_copy(counter, 1)[0], 0); /* recorded, not run */
    size_t nodes;
    must(cudaGraphGetNodes(graph, nullptr, &nodes));
    assert_int_equal(nodes, 2);
    cudaGraphExec_t exec;
    must(cudaGraphInstantiate(&exec, graph));
    must(cudaGraphDestroy(graph));
    for (int i = 0; i < 3; i++)
        must(cudaGraphLaunch(exec, first));
    must(cudaStreamSynchronize(first));
    assert_int_equal(host_copy(counter, 1)[0], 3 * (64 + 3200));

    must(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
    void *never;
    assert_int_equal(cudaMalloc(&never, 16), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
    (void)cudaGetLastError();
    must(cudaGraphExecDestroy(exec));
    must(cudaEventDestroy(forth));
    must(cudaEventDestroy(back));
    must(cudaStreamDestroy(first));
    must(cudaStreamDestroy(second));
    must(cudaFree(counter));
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static __global__ void reverse_without_barrier(float *x, bool barrier)
{
    NC_SHARED(float, shared);
    shared[threadIdx.x] = x[threadIdx.x];
    if (barrier)
        nc_barrier();
    x[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

static void reverse(bool barrier)
{
    std::vector<float> x(256);
    for (size_t i = 0; i < 256; i++)
        x[i] = static_cast<float>(i);
    float *data = device_copy(x);
    must(NC_LAUNCH(reverse_without_barrier, 1, 256, 1024, nullptr, data, barrier));
    std::vector<float> got = host_copy(data, 256);
    must(cudaFree(data));
    for (size_t i = 0; i < 256; i++)
        if (!(got[i] == x[255 - i])) {
            fprintf(stderr, "a race showed\n");
            _exit(1);
        }
}

static void races_show(void **)
{
    reverse(true);
    must_be_caught([] { reverse(false); }, "a race showed");
}

static __global__ void some_wait(bool all)
{
    if (all || threadIdx.x != 5)
        nc_barrier();
    else
        nc_warp_barrier();
}

static __global__ void half_a_shuffle(float *x)
{
    if (threadIdx.x < 16)
        x[threadIdx.x] = nc_warp_sum(x[threadIdx.x]);
    else
        nc_barrier();
}

#ifdef NC_ADDRESS_SANITIZER
static __global__ void write_at(float *x, unsigned at)
{
    NC_SHARED(float, shared);
    shared[at] = 1;
    x[at] = 2;
}
#endif

static __global__ void move_at(float *x, unsigned at)
{
    nc_store16(x, nc_load16(x + at));
}

static __global__ void too_early(const float *x, float *y, bool wait)
{
    NC_SHARED(float, shared);
    nc_cp_async16(shared + threadIdx.x * 4, x + threadIdx.x * 4, true);
    nc_cp_async_commit();
    if (wait)
        nc_cp_async_wait<0>();
    y[threadIdx.x] = shared[threadIdx.x * 4];
}

static void wait_for_all()
{
    must(cudaDeviceSynchronize());
}

static float *floats(size_t count)
{
    return device_copy(std::vector<float>(count, 1.0f));
}

static void mistakes_are_caught(void **)
{
    must_be_caught([] { must(NC_LAUNCH(some_wait, 1, 64, 0, nullptr, false)), wait_for_all(); },
                   "waits in nc_warp_barrier");
    must_be_caught(
        [] { must(NC_LAUNCH(half_a_shuffle, 1, 32, 0, nullptr, floats(32))), wait_for_all(); },
        "waits in nc_shuffle");
    must_be_caught([] { must(NC_LAUNCH(some_wait, 1, 1025, 0, nullptr, true)); },
                   "some_wait: a block of 1025");
    must_be_caught([] { must(NC_LAUNCH(some_wait, dim3(1, 65536), 32, 0, nullptr, true)); },
                   "a grid of 1 x 65536");
    must_be_caught([] { must(NC_LAUNCH(some_wait, 1, 32, 227 * 1024 + 1, nullptr, true)); },
                   "bytes of shared memory");
    must_be_caught(
        [] { must(NC_LAUNCH(move_at, 1, 1, 0, nullptr, floats(8), 1u)), wait_for_all(); },
        "no multiple");
#ifdef NC_ADDRESS_SANITIZER
    must_be_caught(
        [] { must(NC_LAUNCH(write_at, 1, 1, 16, nullptr, floats(8), 4u)), wait_for_all(); },
        "write_at: block (0, 0, 0), thread (0, 0, 0)");
    must_be_caught(
        [] { must(NC_LAUNCH(write_at, 1, 1, 64, nullptr, floats(8), 8u)), wait_for_all(); },
        "heap-buffer-overflow");
    must_be_caught([] { floats(8)[0] = 1; }, "use-after-poison");
#endif
}

static void copies_arrive_when_waited_for(void **)
{
    float *x = floats(128), *y = floats(32);
    for (bool wait : {true, false}) {
        must(NC_LAUNCH(too_early, 1, 32, 512, nullptr, x, y, wait));
        for (float got : host_copy(y, 32))
            assert_true(wait ? got == 1.0f : isnan(got));
    }
    must(cudaFree(x));
    must(cudaFree(y));
}

/* Before the first step, by name: tests/emulated's test_infonce_99 is the smallest that does. */
static void small_gpus_are_refused(void **)
{
    struct nc_ops *ops;
    setenv("NCLIP_EMULATED_SHARED", "64", 1);
    assert_int_equal(nc_ops_create("cuda-emulated", 0, &ops), NC_FAILED);
    assert_string_equal(nc_error_message(),
                        "cuda: GPU 0 (the emulation of tests/emulated) gives a block of threads 64 "
                        "KiB of shared memory; 99 are needed; use --device cpu");
    setenv("NCLIP_EMULATED_SHARED", "99", 1);
    must(nc_ops_create("cuda-emulated", 0, &ops));
    nc_ops_destroy(ops);
    unsetenv("NCLIP_EMULATED_SHARED");
}

/* But for what found a wrong index, a few bytes. */
static void a_backend_knows_what_it_took(void **)
{
    struct nc_ops *ops;
    void *data;
    size_t before, after, total;
    must(cudaMemGetInfo(&before, &total));
    must(nc_ops_create("cuda-emulated", 0, &ops));
    size_t own = ops->own_bytes;
    must(ops->allocate(ops->backend, 1 << 20, &data));
    ops->release(ops->backend, data, 1 << 20);
    must(cudaMemGetInfo(&after, &total));
    assert_true(own > 0 && before - after >= own && before - after - own < 64);
    nc_ops_destroy(ops);
}

/* Also where the device reads ordinary memory itself, which it does later. */
static void uploads_have_read_when_they_return(void **)
{
    for (const char *pageable : {"", "1"}) {
        struct nc_ops *ops;
        int got, source = 1;
        void *data;
        if (*pageable)
            setenv("NCLIP_EMULATED_PAGEABLE", pageable, 1);
        must(nc_ops_create("cuda-emulated", 0, &ops));
        must(ops->allocate(ops->backend, sizeof got, &data));
        must(ops->upload(ops->backend, data, &source, sizeof source));
        source = 2;
        must(ops->download(ops->backend, &got, data, sizeof got));
        assert_int_equal(got, 1);
        ops->release(ops->backend, data, sizeof got);
        nc_ops_destroy(ops);
    }
    unsetenv("NCLIP_EMULATED_PAGEABLE");
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_make_a_product),
        cmocka_unit_test(tensor_cores_cut_off),
        cmocka_unit_test(a_matrix_is_transposed_in_registers),
        cmocka_unit_test(collectives_see_every_lane),
        cmocka_unit_test(copies_arrive_when_waited_for),
        cmocka_unit_test(graphs_replay_what_was_captured),
        cmocka_unit_test(races_show),
        cmocka_unit_test(mistakes_are_caught),
        cmocka_unit_test(small_gpus_are_refused),
        cmocka_unit_test(a_backend_knows_what_it_took),
        cmocka_unit_test(uploads_have_read_when_they_return),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
