/* Attention of the vision tower by cuDNN's backend API (cudnn.h). */
#include "cudnn.h"

#ifdef NCLIP_WITH_CUDNN
#include <cudnn.h>
#if CUDNN_VERSION < 91301 /* the first with CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR */
#undef NCLIP_WITH_CUDNN
#endif
#endif

#ifndef NCLIP_WITH_CUDNN

int nc_cuda_cudnn_create(struct nc_backend *, struct nc_cuda_cudnn **out)
{
    *out = NULL;
    return NC_OK;
}

void nc_cuda_cudnn_destroy(struct nc_cuda_cudnn *) {}

int nc_cuda_cudnn_attention(struct nc_backend *, struct nc_cuda_cudnn *,
                            const struct nc_attention_full *, bool *done)
{
    *done = false;
    return NC_OK;
}

size_t nc_cuda_cudnn_version(void)
{
    return 0;
}

#else

#include "nclip/support/shared_library.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

/* ---- The library, loaded when it is first asked for ---------------------------------------- */

#define FUNCTIONS(F)                                                                               \
    F(cudnnGetVersion)                                                                             \
    F(cudnnCreate)                                                                                 \
    F(cudnnDestroy)                                                                                \
    F(cudnnSetStream)                                                                              \
    F(cudnnGetErrorString)                                                                         \
    F(cudnnBackendCreateDescriptor)                                                                \
    F(cudnnBackendDestroyDescriptor)                                                               \
    F(cudnnBackendSetAttribute)                                                                    \
    F(cudnnBackendGetAttribute)                                                                    \
    F(cudnnBackendFinalize)                                                                        \
    F(cudnnBackendExecute)

struct library {
    FUNCTIONS(NC_SHARED_LIBRARY_MEMBER)
};

enum { OLDEST = 91301 }; /* as above */

static const struct library *load(void)
{
    static const char *const names[] = {FUNCTIONS(NC_SHARED_LIBRARY_NAME)};
    static struct library library;
    static bool tried, loaded;
    if (!tried)
        loaded = nc_shared_library_load("cudnn", "libcudnn.so.9", NULL, names,
                                        sizeof names / sizeof *names, &library) == NC_OK &&
                 library.cudnnGetVersion() >= OLDEST;
    tried = true;
    return loaded ? &library : NULL;
}

size_t nc_cuda_cudnn_version(void)
{
    const struct library *l = load();
    return l ? l->cudnnGetVersion() : 0;
}

/* ---- Plans ---------------------------------------------------------------------------------- */

enum { PLANS = 8, CONFIGURATIONS = 16, DESCRIPTORS = 16 };
enum { QUERY = 1, KEY, VALUE, OUT, SCALE };

struct plan {
    size_t pictures, tokens, heads, head_size; /* pictures 0: free */
    cudnnBackendDescriptor_t execution;        /* NULL: cuDNN has no engine for it */
    int64_t workspace;
    cudnnBackendDescriptor_t kept[DESCRIPTORS]; /* what the plan is made of */
    size_t count;
};

struct nc_cuda_cudnn {
    const struct library *l;
    cudnnHandle_t handle;
    struct plan plans[PLANS];
    size_t next;
    void *workspace;
    size_t workspace_bytes;
};

/* A chain of calls: after the first that fails the others do nothing. */
struct build {
    const struct library *l;
    struct plan *plan;
    bool failed;
};

static cudnnBackendDescriptor_t create(struct build *b, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    if (b->failed || b->plan->count == DESCRIPTORS ||
        b->l->cudnnBackendCreateDescriptor(type, &descriptor) != CUDNN_STATUS_SUCCESS) {
        b->failed = true;
        return NULL;
    }
    b->plan->kept[b->plan->count++] = descriptor;
    return descriptor;
}

static void set(struct build *b, cudnnBackendDescriptor_t descriptor,
                cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *values)
{
    if (!b->failed)
        b->failed = b->l->cudnnBackendSetAttribute(descriptor, name, type, count, values) !=
                    CUDNN_STATUS_SUCCESS;
}

static void finish(struct build *b, cudnnBackendDescriptor_t descriptor)
{
    if (!b->failed)
        b->failed = b->l->cudnnBackendFinalize(descriptor) != CUDNN_STATUS_SUCCESS;
}

static cudnnBackendDescriptor_t tensor(struct build *b, int64_t id, cudnnDataType_t type,
                                       const int64_t sizes[4], const int64_t strides[4],
                                       bool by_value)
{
    int64_t alignment = by_value ? 4 : 16;
    cudnnBackendDescriptor_t t = create(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, sizes);
    set(b, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(b, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    finish(b, t);
    return t;
}

/* softmax(q k^T scale) v, from where the query-key-value product left them. */
static cudnnBackendDescriptor_t attention_graph(struct build *b, cudnnHandle_t handle)
{
    int64_t pictures = (int64_t)b->plan->pictures, tokens = (int64_t)b->plan->tokens;
    int64_t heads = (int64_t)b->plan->heads, size = (int64_t)b->plan->head_size;
    const int64_t sizes[] = {pictures, heads, tokens, size}, one[] = {1, 1, 1, 1};
    const int64_t in[] = {tokens * 3 * heads * size, size, 3 * heads * size, 1};
    const int64_t out[] = {tokens * heads * size, size, heads * size, 1};
    cudnnBackendDescriptor_t query = tensor(b, QUERY, CUDNN_DATA_BFLOAT16, sizes, in, false);
    cudnnBackendDescriptor_t key = tensor(b, KEY, CUDNN_DATA_BFLOAT16, sizes, in, false);
    cudnnBackendDescriptor_t value = tensor(b, VALUE, CUDNN_DATA_BFLOAT16, sizes, in, false);
    cudnnBackendDescriptor_t result = tensor(b, OUT, CUDNN_DATA_BFLOAT16, sizes, out, false);
    cudnnBackendDescriptor_t scale = tensor(b, SCALE, CUDNN_DATA_FLOAT, one, one, true);
    cudnnBackendDescriptor_t operation = create(b, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
    const struct {
        cudnnBackendAttributeName_t name;
        cudnnBackendDescriptor_t *tensor;
    } links[] = {{CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, &query},
                 {CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, &key},
                 {CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, &value},
                 {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, &result},
                 {CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, &scale}};
    for (const auto &link : links)
        set(b, operation, link.name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, link.tensor);
    finish(b, operation);
    cudnnBackendDescriptor_t graph = create(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &operation);
    finish(b, graph);
    return graph;
}

/* The first engine that cuDNN proposes and that can be made. */
static void choose_engine(struct build *b, cudnnHandle_t handle, cudnnBackendDescriptor_t graph)
{
    const struct library *l = b->l;
    cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    cudnnBackendDescriptor_t heuristic = create(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set(b, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
    set(b, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    finish(b, heuristic);
    cudnnBackendDescriptor_t configurations[CONFIGURATIONS] = {};
    int64_t found = 0;
    for (auto &configuration : configurations)
        if (!b->failed &&
            l->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configuration) !=
                CUDNN_STATUS_SUCCESS)
            b->failed = true;
    if (!b->failed && l->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGURATIONS,
                                                  &found, configurations) != CUDNN_STATUS_SUCCESS)
        b->failed = true;
    for (int64_t i = 0; i < found && i < CONFIGURATIONS && !b->failed && !b->plan->execution; i++) {
        struct build one = *b; /* an engine that cannot be made is no failure */
        cudnnBackendDescriptor_t execution = create(&one, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        int64_t count = 0;
        set(&one, execution, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
        set(&one, execution, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
            1, &configurations[i]);
        finish(&one, execution);
        if (!one.failed &&
            l->cudnnBackendGetAttribute(execution, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                        CUDNN_TYPE_INT64, 1, &count,
                                        &b->plan->workspace) == CUDNN_STATUS_SUCCESS)
            b->plan->execution = execution;
        else if (execution)
            l->cudnnBackendDestroyDescriptor(b->plan->kept[--b->plan->count]);
    }
    for (auto &configuration : configurations)
        if (configuration)
            l->cudnnBackendDestroyDescriptor(configuration);
}

static void forget(const struct library *l, struct plan *plan)
{
    while (plan->count)
        l->cudnnBackendDestroyDescriptor(plan->kept[--plan->count]);
    *plan = {};
}

static bool fits(const struct plan *plan, const struct nc_attention_full *a)
{
    return plan->pictures == a->pictures && plan->tokens == a->tokens && plan->heads == a->heads &&
           plan->head_size == a->head_size;
}

/* The shape's plan, made where it is new; its `execution` is NULL where there can be none. */
static struct plan *plan_for(struct nc_cuda_cudnn *c, const struct nc_attention_full *a)
{
    for (struct plan &plan : c->plans)
        if (fits(&plan, a))
            return &plan;
    struct plan *plan = &c->plans[c->next++ % PLANS];
    forget(c->l, plan);
    plan->pictures = a->pictures;
    plan->tokens = a->tokens;
    plan->heads = a->heads;
    plan->head_size = a->head_size;
    struct build b = {c->l, plan, false};
    cudnnBackendDescriptor_t graph = attention_graph(&b, c->handle);
    choose_engine(&b, c->handle, graph);
    if ((size_t)plan->workspace > c->workspace_bytes) {
        (void)cudaFree(c->workspace);
        c->workspace_bytes = 0;
        if (cudaMalloc(&c->workspace, (size_t)plan->workspace) == cudaSuccess) {
            c->workspace_bytes = (size_t)plan->workspace;
        } else {
            (void)cudaGetLastError();
            c->workspace = NULL;
            plan->execution = NULL;
        }
    }
    return plan;
}

/* ---- The door ------------------------------------------------------------------------------- */

int nc_cuda_cudnn_create(struct nc_backend *backend, struct nc_cuda_cudnn **out)
{
    *out = NULL;
    const struct library *l = load();
    if (!l)
        return NC_OK;
    struct nc_cuda_cudnn *c = (struct nc_cuda_cudnn *)calloc(1, sizeof *c);
    if (!c)
        return nc_error(NC_FAILED, "cuda: no memory");
    c->l = l;
    if (l->cudnnCreate(&c->handle) != CUDNN_STATUS_SUCCESS ||
        l->cudnnSetStream(c->handle, backend->compute) != CUDNN_STATUS_SUCCESS) {
        nc_cuda_cudnn_destroy(c); /* a library that does not fit the driver: ours does */
        return NC_OK;
    }
    *out = c;
    return NC_OK;
}

void nc_cuda_cudnn_destroy(struct nc_cuda_cudnn *c)
{
    if (!c)
        return;
    for (struct plan &plan : c->plans)
        forget(c->l, &plan);
    (void)cudaFree(c->workspace);
    if (c->handle)
        c->l->cudnnDestroy(c->handle);
    free(c);
}

int nc_cuda_cudnn_attention(struct nc_backend *backend, struct nc_cuda_cudnn *c,
                            const struct nc_attention_full *a, bool *done)
{
    *done = false;
    if (!c || a->type != NC_BFLOAT16 || nc_cuda_capturing(backend))
        return NC_OK;
    const struct plan *plan = plan_for(c, a);
    if (!plan->execution || (size_t)plan->workspace > c->workspace_bytes)
        return NC_OK; /* also where a later plan's larger workspace could not be had */
    size_t part = a->heads * a->head_size;
    const nc_bfloat16 *qkv = (const nc_bfloat16 *)a->qkv;
    float scale = 1.0f / sqrtf((float)a->head_size);
    const void *pointers[] = {qkv, qkv + part, qkv + 2 * part, a->out, &scale};
    const int64_t ids[] = {QUERY, KEY, VALUE, OUT, SCALE};
    struct plan pack_of = {};
    struct build b = {c->l, &pack_of, false};
    cudnnBackendDescriptor_t pack = create(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 5, pointers);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 5, ids);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &c->workspace);
    finish(&b, pack);
    cudnnStatus_t status = b.failed ? CUDNN_STATUS_BAD_PARAM
                                    : c->l->cudnnBackendExecute(c->handle, plan->execution, pack);
    forget(c->l, &pack_of);
    if (status != CUDNN_STATUS_SUCCESS)
        return nc_error(NC_FAILED,
                        "attention_full: cuDNN failed on %zu pictures of %zu tokens, %zu heads of "
                        "%zu: %s; NCLIP_VISION_ATTENTION=own leaves it out",
                        a->pictures, a->tokens, a->heads, a->head_size,
                        c->l->cudnnGetErrorString(status));
    *done = true;
    return NC_OK;
}

#endif
