/* Chooses the vision tower's full attention: ours (attention_full.cu) or cuDNN's (cudnn.h). Both
 * are timed once for each shape, on the first call's numbers, and cuDNN's is taken where it is a
 * tenth faster. They round differently: NCLIP_VISION_ATTENTION=own or =cudnn decides without a
 * clock, for pictures that must have the same bits on every machine.
 *
 * cuDNN is opened by the first call that could use it: training a text tower, and pictures in fp32,
 * load no library of some hundred megabytes and give it no memory of the GPU. */
#include "cudnn.h"

#include <cstdlib>
#include <cstring>

enum { SHAPES = 16, REPEATS = 5 };

struct nc_cuda_vision {
    struct nc_cuda_cudnn *cudnn; /* NULL: not opened, or not there */
    bool opened;
    enum { BY_TIME, OWN, CUDNN } rule;
    struct {
        size_t pictures, tokens, heads, head_size;
        bool cudnn;
    } shapes[SHAPES];
    size_t count;
    cudaEvent_t begin, end;
};

int nc_cuda_vision_create(struct nc_backend *backend)
{
    struct nc_cuda_vision *v = (struct nc_cuda_vision *)calloc(1, sizeof *v);
    backend->vision = v;
    if (!v)
        return nc_error(NC_FAILED, "cuda: no memory");
    const char *rule = getenv("NCLIP_VISION_ATTENTION");
    if (rule && strcmp(rule, "own") == 0)
        v->rule = nc_cuda_vision::OWN;
    else if (rule && strcmp(rule, "cudnn") == 0)
        v->rule = nc_cuda_vision::CUDNN;
    else if (rule && *rule)
        return nc_error(NC_USAGE, "NCLIP_VISION_ATTENTION is \"%s\"; it can be own or cudnn", rule);
    int status = nc_cuda_check(cudaEventCreate(&v->begin), "creating an event");
    if (status == NC_OK)
        status = nc_cuda_check(cudaEventCreate(&v->end), "creating an event");
    return status;
}

void nc_cuda_vision_destroy(struct nc_backend *backend)
{
    struct nc_cuda_vision *v = backend->vision;
    if (!v)
        return;
    nc_cuda_cudnn_destroy(v->cudnn);
    if (v->begin)
        (void)cudaEventDestroy(v->begin);
    if (v->end)
        (void)cudaEventDestroy(v->end);
    free(v);
}

static int run(struct nc_backend *backend, const struct nc_attention_full *a, bool cudnn, bool *done)
{
    *done = true;
    return cudnn ? nc_cuda_cudnn_attention(backend, backend->vision->cudnn, a, done)
                 : nc_cuda_attention_full_own(backend, a);
}

static int best_time(struct nc_backend *backend, const struct nc_attention_full *a, bool cudnn,
                     float *best, bool *done)
{
    struct nc_cuda_vision *v = backend->vision;
    *best = INFINITY;
    *done = true;
    for (int i = 0; i <= REPEATS && *done; i++) {
        float milliseconds;
        int status = nc_cuda_check(cudaEventRecord(v->begin, backend->compute), "timing");
        if (status == NC_OK)
            status = run(backend, a, cudnn, done);
        if (status == NC_OK)
            status = nc_cuda_check(cudaEventRecord(v->end, backend->compute), "timing");
        if (status == NC_OK)
            status = nc_cuda_check(cudaEventSynchronize(v->end), "the GPU's work");
        if (status == NC_OK)
            status = nc_cuda_check(cudaEventElapsedTime(&milliseconds, v->begin, v->end), "timing");
        if (status != NC_OK)
            return status;
        if (i && milliseconds < *best) /* the first one warms up */
            *best = milliseconds;
    }
    return NC_OK;
}

/* Whether cuDNN's is the faster one; the first call decides. */
static int decide(struct nc_backend *backend, const struct nc_attention_full *a, bool *cudnn)
{
    struct nc_cuda_vision *v = backend->vision;
    for (size_t i = 0; i < v->count; i++)
        if (v->shapes[i].pictures == a->pictures && v->shapes[i].tokens == a->tokens &&
            v->shapes[i].heads == a->heads && v->shapes[i].head_size == a->head_size) {
            *cudnn = v->shapes[i].cudnn;
            return NC_OK;
        }
    *cudnn = false;
    if (v->count == SHAPES || nc_cuda_capturing(backend))
        return NC_OK;
    float own, theirs;
    bool done;
    int status = best_time(backend, a, true, &theirs, &done);
    if (status == NC_OK && done)
        status = best_time(backend, a, false, &own, &done);
    if (status != NC_OK)
        return status;
    *cudnn = done && theirs < 0.9f * own;
    v->shapes[v->count++] = {a->pictures, a->tokens, a->heads, a->head_size, *cudnn};
    return NC_OK;
}

/* Once, and not while a stream is captured: opening allocates. */
static int open_cudnn(struct nc_backend *backend)
{
    struct nc_cuda_vision *v = backend->vision;
    if (v->opened || v->rule == nc_cuda_vision::OWN || nc_cuda_capturing(backend))
        return NC_OK;
    v->opened = true;
    return nc_cuda_cudnn_create(backend, &v->cudnn);
}

int nc_cuda_attention_full(struct nc_backend *backend, const struct nc_attention_full *a)
{
    const struct nc_cuda_vision *v = backend->vision;
    bool cudnn = v->rule == nc_cuda_vision::CUDNN, done = false;
    int status = a->type == NC_BFLOAT16 ? open_cudnn(backend) : NC_OK;
    if (status == NC_OK && a->type == NC_BFLOAT16 && v->cudnn) {
        if (v->rule == nc_cuda_vision::BY_TIME)
            status = decide(backend, a, &cudnn);
        if (status == NC_OK && cudnn)
            status = run(backend, a, true, &done);
    }
    return status == NC_OK && !done ? nc_cuda_attention_full_own(backend, a) : status;
}
