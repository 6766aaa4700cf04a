/* Recordings as CUDA graphs, one for each key (nclip/ops.h, "Recordings"). A launch from the host
 * costs some microseconds, and a step of a text tower has some hundreds of them; a graph has one.
 *
 * The first time that a key is seen its calls are made as they are: products then choose their
 * algorithms, which takes time and cannot be done in a capture. The second time they are captured.
 * At most RECORDINGS are kept: the one that was not used for longest makes room. A graph that is
 * destroyed while it runs is freed when it has run. */
#include "nodes.h"

#include <cstdlib>
#include <cstring>

enum { RECORDINGS = 64 };

struct recording {
    unsigned char key[NC_RECORDING_KEY];
    size_t key_bytes; /* 0: free */
    uint64_t used;
    cudaGraphExec_t graph; /* NULL: seen once */
    struct nc_cuda_nodes *nodes;
};

struct nc_cuda_recorder {
    struct recording recordings[RECORDINGS];
    struct recording *open; /* between its begin and its end */
    bool capturing;         /* ... and not only seen for the first time */
    uint64_t clock;
    struct nc_cuda_nodes replayed; /* since they were asked for */
};

int nc_cuda_recorder_create(struct nc_backend *backend)
{
    backend->recorder = (struct nc_cuda_recorder *)calloc(1, sizeof *backend->recorder);
    return backend->recorder ? NC_OK : nc_error(NC_FAILED, "cuda: no memory");
}

static void forget(struct recording *r)
{
    if (r->graph)
        (void)cudaGraphExecDestroy(r->graph);
    free(r->nodes);
    memset(r, 0, sizeof *r);
}

void nc_cuda_record_forget(struct nc_backend *backend)
{
    nc_cuda_record_abandon(backend);
    for (size_t i = 0; i < RECORDINGS; i++)
        forget(&backend->recorder->recordings[i]);
}

void nc_cuda_recorder_destroy(struct nc_backend *backend)
{
    if (!backend->recorder)
        return;
    nc_cuda_record_forget(backend);
    free(backend->recorder);
    backend->recorder = NULL;
}

/* The key's place, or one that is made free for it. */
static struct recording *find(struct nc_cuda_recorder *recorder, const void *key, size_t bytes)
{
    struct recording *oldest = &recorder->recordings[0];
    for (size_t i = 0; i < RECORDINGS; i++) {
        struct recording *r = &recorder->recordings[i];
        if (r->key_bytes == bytes && memcmp(r->key, key, bytes) == 0)
            return r;
        if (r->used < oldest->used)
            oldest = r;
    }
    forget(oldest);
    return oldest;
}

int nc_cuda_record_begin(struct nc_backend *backend, const void *key, size_t key_bytes,
                         enum nc_recording *recording)
{
    struct nc_cuda_recorder *recorder = backend->recorder;
    *recording = NC_MAKE_CALLS;
    if (key_bytes == 0 || key_bytes > NC_RECORDING_KEY)
        return nc_error(NC_FAILED, "cuda: a recording's key of %zu bytes; it can have %d",
                        key_bytes, (int)NC_RECORDING_KEY);
    if (recorder->open)
        return nc_error(NC_FAILED, "cuda: a recording inside of another");
    struct recording *r = find(recorder, key, key_bytes);
    r->used = ++recorder->clock;
    if (r->graph) {
        *recording = NC_REPLAYED;
        nc_cuda_nodes_add(&recorder->replayed, r->nodes);
        return nc_cuda_check(cudaGraphLaunch(r->graph, backend->compute), "replaying a recording");
    }
    recorder->capturing = r->key_bytes;
    if (recorder->capturing) {
        int status = nc_cuda_check(
            cudaStreamBeginCapture(backend->compute, cudaStreamCaptureModeThreadLocal),
            "starting a recording");
        if (status != NC_OK)
            return status;
    }
    memcpy(r->key, key, key_bytes);
    r->key_bytes = key_bytes;
    recorder->open = r;
    return NC_OK;
}

int nc_cuda_record_end(struct nc_backend *backend)
{
    struct recording *r = backend->recorder->open;
    if (!r)
        return nc_error(NC_FAILED, "cuda: the end of a recording that was not begun");
    backend->recorder->open = NULL;
    if (!backend->recorder->capturing)
        return NC_OK;
    cudaGraph_t graph = NULL;
    int status = nc_cuda_check(cudaStreamEndCapture(backend->compute, &graph), "ending a recording");
    r->nodes = (struct nc_cuda_nodes *)calloc(1, sizeof *r->nodes);
    if (status == NC_OK)
        status = r->nodes ? nc_cuda_nodes_of(graph, r->nodes)
                          : nc_error(NC_FAILED, "cuda: no memory");
    if (status == NC_OK)
        status = nc_cuda_check(cudaGraphInstantiate(&r->graph, graph, 0), "keeping a recording");
    if (graph)
        (void)cudaGraphDestroy(graph);
    if (status != NC_OK) {
        forget(r);
        return status;
    }
    return nc_cuda_check(cudaGraphLaunch(r->graph, backend->compute), "replaying a recording");
}

void nc_cuda_record_abandon(struct nc_backend *backend)
{
    struct recording *r = backend->recorder->open;
    if (!r)
        return;
    backend->recorder->open = NULL;
    cudaGraph_t graph = NULL;
    if (backend->recorder->capturing && cudaStreamEndCapture(backend->compute, &graph) != cudaSuccess)
        (void)cudaGetLastError(); /* what failed may have spoiled the capture */
    if (graph)
        (void)cudaGraphDestroy(graph);
    forget(r);
}

size_t nc_cuda_record_launches(struct nc_backend *backend, struct nc_launches *list, size_t most)
{
    struct nc_cuda_nodes *replayed = &backend->recorder->replayed;
    size_t names = replayed->names;
    memcpy(list, replayed->list, (names < most ? names : most) * sizeof *list);
    memset(replayed, 0, sizeof *replayed);
    return names;
}
