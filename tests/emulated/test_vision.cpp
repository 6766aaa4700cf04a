/* When kernels/cuda/attention_vision.cu opens cuDNN, and when it takes its attention. What
 * attention computes is tests/kernels/test_attention_full.c's. */
#include "emulated/vision.h"
#include "kernels/cuda/cuda.h"

#include <csetjmp>
#include <cstdarg>
#include <cstdlib>

extern "C" {
#include <cmocka.h>
}

enum { TOKENS = 5, HEADS = 2, SIZE = 32, WIDTH = HEADS * SIZE };

struct pictures {
    struct nc_ops *ops;
    void *qkv, *out;
};

static void must(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static int open_pictures(void **state)
{
    struct pictures *p = new pictures();
    nc_emulated_cudnn = {};
    nc_emulated_cudnn.there = true;
    *state = p;
    must(nc_ops_create("cuda-emulated", 0, &p->ops));
    must(p->ops->allocate(p->ops->backend, 4 * TOKENS * 3 * WIDTH * sizeof(float), &p->qkv));
    must(p->ops->allocate(p->ops->backend, 4 * TOKENS * WIDTH * sizeof(float), &p->out));
    must(p->ops->zero(p->ops->backend, p->qkv, 4 * TOKENS * 3 * WIDTH * sizeof(float)));
    return 0;
}

static int close_pictures(void **state)
{
    struct pictures *p = (struct pictures *)*state;
    p->ops->release(p->ops->backend, p->qkv, 0);
    p->ops->release(p->ops->backend, p->out, 0);
    nc_ops_destroy(p->ops);
    delete p;
    return 0;
}

static void attend(struct pictures *p, enum nc_type type, size_t pictures)
{
    struct nc_attention_full a = {};
    a.type = type;
    a.pictures = pictures;
    a.tokens = TOKENS;
    a.heads = HEADS;
    a.head_size = SIZE;
    a.qkv = p->qkv;
    a.out = p->out;
    must(p->ops->attention_full(p->ops->backend, &a));
}

/* The backend, fp32 and a capture need no cuDNN: a text tower's training has no other. */
static void it_is_opened_when_it_is_first_of_use(void **state)
{
    struct pictures *p = (struct pictures *)*state;
    cudaGraph_t graph;
    attend(p, NC_FLOAT32, 1);
    assert_int_equal(cudaStreamBeginCapture(p->ops->backend->compute, cudaStreamCaptureModeGlobal),
                     cudaSuccess);
    attend(p, NC_BFLOAT16, 1);
    assert_int_equal(cudaStreamEndCapture(p->ops->backend->compute, &graph), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    assert_int_equal(nc_emulated_cudnn.opened, 0);
    attend(p, NC_BFLOAT16, 1);
    attend(p, NC_BFLOAT16, 2);
    assert_int_equal(nc_emulated_cudnn.opened, 1);
}

static void what_was_opened_is_closed(void **state)
{
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    close_pictures(state);
    assert_int_equal(nc_emulated_cudnn.closed, 1);
    open_pictures(state);
    close_pictures(state);
    assert_int_equal(nc_emulated_cudnn.closed + nc_emulated_cudnn.opened, 0);
    open_pictures(state);
}

/* A machine without it looks for it once. */
static void one_that_is_not_there_is_looked_for_once(void **state)
{
    nc_emulated_cudnn.there = false;
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    assert_int_equal(nc_emulated_cudnn.opened, 1);
    assert_int_equal(nc_emulated_cudnn.asked, 0);
}

/* Ours takes no time here, so that cuDNN's is never a tenth faster. */
static void the_slower_one_is_not_taken(void **state)
{
    nc_emulated_cudnn.slow = 1000;
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    unsigned asked = nc_emulated_cudnn.asked;
    assert_true(asked > 1);
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    assert_int_equal(nc_emulated_cudnn.asked, asked);
}

static void a_rule_decides_without_a_clock(void **state)
{
    setenv("NCLIP_VISION_ATTENTION", "cudnn", 1);
    close_pictures(state);
    open_pictures(state);
    nc_emulated_cudnn.slow = 1000;
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    assert_int_equal(nc_emulated_cudnn.asked, 1);
    setenv("NCLIP_VISION_ATTENTION", "own", 1);
    close_pictures(state);
    open_pictures(state);
    attend((struct pictures *)*state, NC_BFLOAT16, 1);
    assert_int_equal(nc_emulated_cudnn.opened, 0);
    unsetenv("NCLIP_VISION_ATTENTION");
}

int main()
{
#define WITH_PICTURES(test) cmocka_unit_test_setup_teardown(test, open_pictures, close_pictures)
    const struct CMUnitTest tests[] = {
        WITH_PICTURES(it_is_opened_when_it_is_first_of_use),
        WITH_PICTURES(what_was_opened_is_closed),
        WITH_PICTURES(one_that_is_not_there_is_looked_for_once),
        WITH_PICTURES(the_slower_one_is_not_taken),
        WITH_PICTURES(a_rule_decides_without_a_clock),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
