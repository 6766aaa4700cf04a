/* How kernels/cuda/cublaslt_choice.cu chooses among cuBLASLt's algorithms. What the products
 * compute is tests/kernels/test_linear.c's. */
#include "emulated/cublasLt.h"
#include "kernels/cuda/cuda.h"

#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstdlib>
#include <vector>

extern "C" {
#include <cmocka.h>
}

enum { IN = 32, OUT = 24, MOST_ROWS = 600 };

struct layer {
    struct nc_ops *ops;
    void *x, *weight, *y;        /* fp32 */
    void *x16, *dy16;            /* bf16, 0.5 and 0.25 */
    void *dweight, *dbias, *bias; /* fp32 */
};

static void must(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static int open_layer(void **state)
{
    nc_emulated_lt = {};
    struct layer *l = new layer();
    *state = l;
    must(nc_ops_create("cuda-emulated", 0, &l->ops));
    struct nc_backend *backend = l->ops->backend;
    must(l->ops->allocate(backend, MOST_ROWS * IN * 4, &l->x));
    must(l->ops->allocate(backend, OUT * IN * 4, &l->weight));
    must(l->ops->allocate(backend, MOST_ROWS * OUT * 4, &l->y));
    must(l->ops->allocate(backend, MOST_ROWS * IN * 2, &l->x16));
    must(l->ops->allocate(backend, MOST_ROWS * OUT * 2, &l->dy16));
    must(l->ops->allocate(backend, OUT * IN * 4, &l->dweight));
    must(l->ops->allocate(backend, OUT * 4, &l->dbias));
    must(l->ops->allocate(backend, OUT * 4, &l->bias));
    must(l->ops->fill(backend, (float *)l->bias, 2, OUT));
    must(l->ops->fill(backend, (float *)l->y, 0.25f, MOST_ROWS * OUT));
    must(l->ops->convert(backend, l->dy16, NC_BFLOAT16, l->y, NC_FLOAT32, MOST_ROWS * OUT));
    must(l->ops->fill(backend, (float *)l->x, 0.5f, MOST_ROWS * IN));
    must(l->ops->convert(backend, l->x16, NC_BFLOAT16, l->x, NC_FLOAT32, MOST_ROWS * IN));
    must(l->ops->fill(backend, (float *)l->weight, 0.25f, OUT * IN));
    return 0;
}

static int close_layer(void **state)
{
    struct layer *l = (struct layer *)*state;
    for (void *data : {l->x, l->weight, l->y, l->x16, l->dy16, l->dweight, l->dbias, l->bias})
        l->ops->release(l->ops->backend, data, 0);
    nc_ops_destroy(l->ops);
    delete l;
    return 0;
}

/* The algorithm that a product of so many rows takes. */
static uint64_t multiply(struct layer *l, size_t rows)
{
    struct nc_linear linear = {};
    linear.rows = rows;
    linear.in = IN;
    linear.out = OUT;
    linear.x = l->x;
    linear.weight = l->weight;
    linear.y = l->y;
    must(l->ops->linear(l->ops->backend, &linear));
    return nc_emulated_lt.algorithm;
}

static void the_fastest_of_equal_bits_is_taken(void **state)
{
    nc_emulated_lt.slow[1] = 3000; /* 3 is fastest, but gives other bits */
    nc_emulated_lt.slow[2] = 500;
    assert_int_equal(multiply((struct layer *)*state, 100), 2);
    nc_emulated_lt.slow[1] = 0;
    assert_int_equal(multiply((struct layer *)*state, 100), 2); /* remembered */
    nc_emulated_lt.slow[2] = 3000;
    assert_int_equal(multiply((struct layer *)*state, 300), 1); /* another bucket */
}

static void a_bucket_is_timed_once(void **state)
{
    struct layer *l = (struct layer *)*state;
    nc_emulated_lt.slow[1] = 2000;
    multiply(l, 100);
    uint64_t multiplied = nc_emulated_lt.multiplied;
    nc_emulated_lt.unfit_rows = 101;
    assert_int_equal(multiply(l, 120), 2);
    assert_int_equal(multiply(l, 101), 1); /* where the bucket's does not fit */
    assert_int_equal(nc_emulated_lt.multiplied, multiplied + 2);
}

static void nobody_waits_during_capture(void **state)
{
    struct layer *l = (struct layer *)*state;
    struct nc_backend *backend = l->ops->backend;
    nc_emulated_lt.slow[1] = 2000;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    assert_int_equal(cudaStreamBeginCapture(backend->compute, cudaStreamCaptureModeGlobal), 0);
    assert_int_equal(multiply(l, 50), 1);
    assert_int_equal(cudaStreamEndCapture(backend->compute, &graph), 0);
    assert_int_equal(cudaGraphInstantiate(&exec, graph), 0);
    assert_int_equal(cudaGraphDestroy(graph), 0);
    must(l->ops->zero(backend, l->y, 50 * OUT * sizeof(float)));
    assert_int_equal(cudaGraphLaunch(exec, backend->compute), 0);
    float y[50 * OUT];
    must(l->ops->download(backend, y, l->y, sizeof y));
    for (float value : y)
        assert_true(value == 0.5f * 0.25f * IN);
    assert_int_equal(cudaGraphExecDestroy(exec), 0);
}

static void timing_can_be_turned_off(void **state)
{
    setenv("NCLIP_GEMM_TIMING", "0", 1);
    close_layer(state);
    open_layer(state);
    unsetenv("NCLIP_GEMM_TIMING");
    nc_emulated_lt.slow[1] = 2000;
    assert_int_equal(multiply((struct layer *)*state, 100), 1);
    assert_int_equal(nc_emulated_lt.multiplied, 1);
}

/* More shapes than are remembered, each still right. */
static void old_shapes_make_room(void **state)
{
    struct layer *l = (struct layer *)*state;
    for (size_t rows = 1; rows <= MOST_ROWS; rows += 2)
        multiply(l, rows);
    multiply(l, 1);
    float y[OUT];
    must(l->ops->download(l->ops->backend, y, l->y, sizeof y));
    for (float value : y)
        assert_true(value == 0.5f * 0.25f * IN);
}

/* ---- On the way, or apart -------------------------------------------------------------------- */

static void are_all(struct layer *l, const void *data, size_t count, float expected)
{
    std::vector<float> got(count);
    must(l->ops->download(l->ops->backend, got.data(), data, count * sizeof(float)));
    for (float value : got)
        assert_true(value == expected);
}

/* A weight's gradient and a bias's over so many rows, onto NaNs and then once more; whether the
 * product made the sums. */
static bool gradients(struct layer *l, size_t rows)
{
    struct nc_linear_backward_weight linear = {};
    linear.type = NC_BFLOAT16;
    linear.rows = rows;
    linear.in = IN;
    linear.out = OUT;
    linear.x = l->x16;
    linear.dy = l->dy16;
    linear.dweight = (float *)l->dweight;
    linear.dbias = (float *)l->dbias;
    must(l->ops->fill(l->ops->backend, (float *)l->dweight, NAN, OUT * IN));
    must(l->ops->fill(l->ops->backend, (float *)l->dbias, NAN, OUT));
    bool fused[2];
    for (int again = 0; again < 2; again++) {
        linear.accumulate = again;
        must(l->ops->linear_backward_weight(l->ops->backend, &linear));
        fused[again] = nc_emulated_lt.fused;
        are_all(l, l->dweight, OUT * IN, 0.125f * (float)rows * (float)(1 + again));
        are_all(l, l->dbias, OUT, 0.25f * (float)rows * (float)(1 + again));
    }
    assert_true(fused[0] == fused[1]);
    return fused[0];
}

static void sums_are_made_where_it_is_faster(void **state)
{
    struct layer *l = (struct layer *)*state;
    assert_true(gradients(l, 100));
    nc_emulated_lt.slow_epilogue = 1000;
    assert_true(gradients(l, 100)); /* remembered */
    assert_false(gradients(l, 300));
}

static void sums_are_apart_without_timing(void **state)
{
    setenv("NCLIP_GEMM_TIMING", "0", 1);
    close_layer(state);
    open_layer(state);
    unsetenv("NCLIP_GEMM_TIMING");
    assert_false(gradients((struct layer *)*state, 100));
}

static void few_rows_are_summed_apart(void **state)
{
    struct layer *l = (struct layer *)*state;
    assert_true(gradients(l, 64));
    assert_true(gradients(l, 16));
    assert_false(gradients(l, 15));
    assert_false(gradients(l, 1));
}

/* What the bucket has is refused for these rows, and so are all that make sums. */
static void refused_sums_are_made_apart(void **state)
{
    struct layer *l = (struct layer *)*state;
    assert_true(gradients(l, 200));
    nc_emulated_lt.unsummed_rows = 201;
    assert_false(gradients(l, 201));
    assert_true(gradients(l, 202));
}

static void a_bias_beside_a_residual_is_added_either_way(void **state)
{
    struct layer *l = (struct layer *)*state;
    struct nc_linear linear = {};
    linear.in = IN;
    linear.out = OUT;
    linear.x = l->x;
    linear.weight = l->weight;
    linear.bias = (float *)l->bias;
    linear.y = l->y;
    linear.residual = (float *)l->y;
    for (int slow = 0; slow < 3; slow++) {
        linear.rows = slow ? 200 + 200 * (size_t)slow : 100;
        nc_emulated_lt.slow_epilogue = slow == 1 ? 1000 : 0;
        nc_emulated_lt.apart = slow == 2;
        must(l->ops->fill(l->ops->backend, (float *)l->y, 1, MOST_ROWS * OUT));
        must(l->ops->linear(l->ops->backend, &linear));
        assert_true(nc_emulated_lt.fused == (slow == 0));
        are_all(l, l->y, linear.rows * OUT, 0.5f * 0.25f * IN + 3);
    }
}

/* ---- Sums in parts ----------------------------------------------------------------------------
 */

/* A weight's gradient in fp32, of numbers whose sum depends on the order; how many parts the newest
 * product made of it. */
static uint64_t inexact_gradient(struct layer *l, size_t rows)
{
    struct nc_linear_backward_weight linear = {};
    std::vector<float> got(OUT * IN);
    linear.rows = rows;
    linear.in = IN;
    linear.out = OUT;
    linear.x = l->x;
    linear.dy = l->y;
    linear.dweight = (float *)l->dweight;
    must(l->ops->fill(l->ops->backend, (float *)l->x, 0.1f, MOST_ROWS * IN));
    must(l->ops->fill(l->ops->backend, (float *)l->y, 0.3f, MOST_ROWS * OUT));
    must(l->ops->fill(l->ops->backend, (float *)l->dweight, NAN, OUT * IN));
    must(l->ops->linear_backward_weight(l->ops->backend, &linear));
    must(l->ops->download(l->ops->backend, got.data(), l->dweight, got.size() * sizeof(float)));
    for (float value : got)
        assert_true(fabsf(value - 0.03f * (float)rows) < 1e-5f * (float)rows);
    return nc_emulated_lt.parts > 1 ? nc_emulated_lt.parts : 1;
}

static void whole_sums_take(uint64_t microseconds)
{
    nc_emulated_lt.slow[1] = nc_emulated_lt.slow[2] = microseconds;
}

static void sums_in_parts_take(uint64_t microseconds)
{
    for (uint64_t &slow : nc_emulated_lt.slow_parts)
        slow = microseconds;
}

/* Other bits must be faster by a fifth, than the best until then. */
static void parts_are_made_where_it_is_much_faster(void **state)
{
    struct layer *l = (struct layer *)*state;
    whole_sums_take(1000);
    sums_in_parts_take(900);
    assert_int_equal(inexact_gradient(l, 100), 1);
    nc_emulated_lt.slow_parts[2] = 700;
    nc_emulated_lt.slow_parts[3] = 500;
    nc_emulated_lt.slow_parts[4] = 450;
    assert_int_equal(inexact_gradient(l, 300), 3);
    assert_int_equal(inexact_gradient(l, 100), 1); /* remembered */
    assert_int_equal(inexact_gradient(l, 301), 3);
}

static void no_parts_where_the_device_is_full(void **state)
{
    whole_sums_take(1000);
    nc_emulated_lt.waves = 1;
    assert_int_equal(inexact_gradient((struct layer *)*state, 100), 1);
}

static void no_parts_of_other_products(void **state)
{
    whole_sums_take(1000);
    multiply((struct layer *)*state, 100);
    assert_true(nc_emulated_lt.parts < 2);
}

static void parts_fit_the_workspace(void **state)
{
    whole_sums_take(1000);
    nc_emulated_lt.part_bytes = 12 << 20;
    assert_int_equal(inexact_gradient((struct layer *)*state, 100), 2);
}

/* The workspace is full of NaNs before: what reads a part that was never written shows. */
static void parts_that_are_not_written_show(void **state)
{
    setenv("NCLIP_CUDA_FILL", "nan", 1);
    close_layer(state);
    open_layer(state);
    unsetenv("NCLIP_CUDA_FILL");
    whole_sums_take(1000);
    nc_emulated_lt.unwritten = 2;
    assert_int_equal(inexact_gradient((struct layer *)*state, 100), 1);
    nc_emulated_lt.unwritten = 0;
    assert_int_equal(inexact_gradient((struct layer *)*state, 300), 2);
}

static void no_parts_without_timing(void **state)
{
    setenv("NCLIP_GEMM_TIMING", "0", 1);
    close_layer(state);
    open_layer(state);
    unsetenv("NCLIP_GEMM_TIMING");
    whole_sums_take(1000);
    assert_int_equal(inexact_gradient((struct layer *)*state, 100), 1);
}

/* Then the column sums are apart: the library makes none in parts. */
static void parts_beside_column_sums(void **state)
{
    struct layer *l = (struct layer *)*state;
    whole_sums_take(1000);
    sums_in_parts_take(100);
    assert_false(gradients(l, 100));
    assert_int_equal(nc_emulated_lt.parts, 2);
}

int main()
{
#define WITH_LAYER(test) cmocka_unit_test_setup_teardown(test, open_layer, close_layer)
    const struct CMUnitTest tests[] = {
        WITH_LAYER(the_fastest_of_equal_bits_is_taken),
        WITH_LAYER(a_bucket_is_timed_once),
        WITH_LAYER(nobody_waits_during_capture),
        WITH_LAYER(timing_can_be_turned_off),
        WITH_LAYER(old_shapes_make_room),
        WITH_LAYER(sums_are_made_where_it_is_faster),
        WITH_LAYER(sums_are_apart_without_timing),
        WITH_LAYER(few_rows_are_summed_apart),
        WITH_LAYER(refused_sums_are_made_apart),
        WITH_LAYER(a_bias_beside_a_residual_is_added_either_way),
        WITH_LAYER(parts_are_made_where_it_is_much_faster),
        WITH_LAYER(no_parts_where_the_device_is_full),
        WITH_LAYER(no_parts_of_other_products),
        WITH_LAYER(parts_fit_the_workspace),
        WITH_LAYER(parts_that_are_not_written_show),
        WITH_LAYER(no_parts_without_timing),
        WITH_LAYER(parts_beside_column_sums),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
