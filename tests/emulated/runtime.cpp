/* CUDA's runtime API on the CPU (runtime.h): device memory, streams, events, graphs. */
#include "emulated/runtime.h"

#include "emulated/races.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#ifdef NC_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

enum : size_t { DEVICE_BYTES = size_t{8} << 30, LONGEST_QUEUE = 1024 };

typedef std::function<void()> work;

struct nc_emulated_graph {
    std::vector<work> nodes;
    cudaStream_t origin;
    bool invalid;
};

struct nc_emulated_graph_exec {
    std::shared_ptr<std::vector<work>> nodes;
};

static unsigned queues_made;

struct queue {
    unsigned index = queues_made++;
    std::deque<work> waiting;
    uint64_t enqueued = 0, done = 0;
    nc_emulated_graph *captured_in = nullptr;
    bool joined = true; /* a captured stream's work is waited for by the first */
};

struct nc_emulated_stream {
    std::shared_ptr<queue> queue_of;
};

struct nc_emulated_event {
    std::shared_ptr<queue> recorded_on; /* NULL: never */
    uint64_t number;                    /* done once the queue has done so many */
    nc_emulated_graph *captured_in;
    int64_t time; /* ns of the emulated clock */
    nc_races_moment moment;
};

static std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> locked;

static std::map<char *, size_t> device_blocks;
static std::map<char *, size_t> pinned_blocks;
static size_t device_used;
static std::vector<std::shared_ptr<queue>> queues;
static std::shared_ptr<queue> default_queue;
static std::vector<nc_emulated_graph *> captures; /* under way */
static cudaError_t last_error = cudaSuccess;

static cudaError_t failed(cudaError_t error)
{
    last_error = error;
    return error;
}

/* ---- Chance ------------------------------------------------------------------------------------
 */

static uint64_t random_state;

uint64_t nc_emulated_seed(void)
{
    static const uint64_t seed = [] {
        const char *given = getenv("NCLIP_EMULATED_SEED");
        return given ? strtoull(given, nullptr, 10) : 1ull;
    }();
    return seed;
}

uint64_t nc_emulated_random(uint64_t limit)
{
    if (!random_state)
        random_state = (nc_emulated_seed() + 1) * 0x9e3779b97f4a7c15u | 1;
    random_state ^= random_state << 13; /* xorshift64 (Marsaglia 2003) */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 32) * limit >> 32;
}

/* ---- Who may touch device memory
 * ------------------------------------------------------------------ */

static int on_device;

static void protect(bool closed)
{
#ifdef NC_ADDRESS_SANITIZER
    for (const auto &block : device_blocks)
        if (closed)
            __asan_poison_memory_region(block.first, block.second);
        else
            __asan_unpoison_memory_region(block.first, block.second);
#else
    (void)closed;
#endif
}

struct device_access {
    device_access()
    {
        if (on_device++ == 0)
            protect(false);
    }
    ~device_access()
    {
        if (--on_device == 0)
            protect(true);
    }
};

/* ---- Queues
 * ---------------------------------------------------------------------------------------- */

static std::shared_ptr<queue> queue_of(cudaStream_t stream)
{
    if (stream)
        return stream->queue_of;
    if (!default_queue) {
        default_queue = std::make_shared<queue>();
        queues.push_back(default_queue);
    }
    return default_queue;
}

static void run_until(queue &q, uint64_t number)
{
    if (q.done >= number)
        return;
    device_access access;
    while (q.done < number) {
        work next = std::move(q.waiting.front());
        q.waiting.pop_front();
        next();
        q.done++;
    }
}

static void run_all()
{
    for (size_t i = 0; i < queues.size(); i++)
        run_until(*queues[i], queues[i]->enqueued);
}

/* The host waits. */
static void wait_for(queue &q)
{
    run_until(q, q.enqueued);
    nc_races_host_waited(q.index);
}

static void wait_for_all()
{
    for (size_t i = 0; i < queues.size(); i++)
        wait_for(*queues[i]);
}

static void push(queue &q, work one)
{
    q.waiting.push_back(nc_races_enqueued(q.index, std::move(one)));
    q.enqueued++;
    if (q.waiting.size() > LONGEST_QUEUE)
        run_until(q, q.enqueued);
    else if (nc_emulated_random(16) == 0) {
        queue &lucky = *queues[nc_emulated_random(queues.size())];
        run_until(lucky, lucky.done + nc_emulated_random(lucky.enqueued - lucky.done + 1));
    }
}

cudaError_t nc_emulated_enqueue(cudaStream_t stream, work one)
{
    locked hold(lock);
    std::shared_ptr<queue> q = queue_of(stream);
    if (q->captured_in) {
        q->captured_in->nodes.push_back(std::move(one));
        if (q->captured_in->origin != stream)
            q->joined = false;
        return cudaSuccess;
    }
    push(*q, std::move(one));
    return cudaSuccess;
}

/* What waits, or allocates, makes a capture that is under way unusable. */
static bool capture_broken()
{
    for (nc_emulated_graph *graph : captures)
        graph->invalid = true;
    return !captures.empty();
}

/* ---- Errors, devices
 * -------------------------------------------------------------------------------- */

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
};

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &known : errors)
        if (known.error == error)
            return known.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &known : errors)
        if (known.error == error)
            return known.name;
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

size_t nc_emulated_most_shared(void)
{
    const char *given = getenv("NCLIP_EMULATED_SHARED");
    return (given ? strtoull(given, nullptr, 10) : 227) * 1024;
}

/* Whether the device reads ordinary host memory where it is, when its turn comes. */
static bool reads_pageable()
{
    return getenv("NCLIP_EMULATED_PAGEABLE") != nullptr;
}

/* Few multiprocessors: grids that are sized by them wrap around in small tests too. */
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    if (device != 0)
        return failed(cudaErrorInvalidDevice);
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "the emulation of tests/emulated");
    properties->totalGlobalMem = DEVICE_BYTES;
    properties->sharedMemPerBlock = 48 * 1024;
    properties->sharedMemPerBlockOptin = nc_emulated_most_shared();
    properties->pageableMemoryAccess = reads_pageable();
    properties->major = 9;
    properties->multiProcessorCount = 3;
    properties->l2CacheSize = 1 << 20;
    properties->maxThreadsPerMultiProcessor = 2048;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    locked hold(lock);
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all();
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    locked hold(lock);
    *total = DEVICE_BYTES;
    *available = DEVICE_BYTES - device_used;
    return cudaSuccess;
}

/* ---- Memory
 * ------------------------------------------------------------------------------------------ */

static cudaError_t allocate(std::map<char *, size_t> &blocks, void **out, size_t bytes)
{
    *out = nullptr;
    if (bytes > DEVICE_BYTES - std::min(device_used, size_t{DEVICE_BYTES}) ||
        posix_memalign(out, 256, bytes) != 0)
        return failed(cudaErrorMemoryAllocation);
    memset(*out, 0xff, bytes);
    blocks[static_cast<char *>(*out)] = bytes;
    return cudaSuccess;
}

/* The block that holds `bytes` from `at`, or the end. */
static std::map<char *, size_t>::iterator find(std::map<char *, size_t> &blocks, const void *at)
{
    auto after = blocks.upper_bound(static_cast<char *>(const_cast<void *>(at)));
    if (after == blocks.begin())
        return blocks.end();
    --after;
    return static_cast<const char *>(at) < after->first + after->second ? after : blocks.end();
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    locked hold(lock);
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    *out = nullptr;
    if (!bytes)
        return cudaSuccess;
    cudaError_t error = allocate(device_blocks, out, bytes);
    if (error == cudaSuccess) {
        device_used += bytes;
        nc_races_allocated(*out, bytes);
#ifdef NC_ADDRESS_SANITIZER
        if (!on_device)
            __asan_poison_memory_region(*out, bytes);
#endif
    }
    return error;
}

cudaError_t cudaFree(void *data)
{
    locked hold(lock);
    if (!data)
        return cudaSuccess;
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all();
    auto block = device_blocks.find(static_cast<char *>(data));
    if (block == device_blocks.end())
        return failed(cudaErrorInvalidValue);
#ifdef NC_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(data, block->second);
#endif
    nc_races_released(data);
    device_used -= block->second;
    device_blocks.erase(block);
    free(data);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    locked hold(lock);
    (void)flags;
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    return allocate(pinned_blocks, out, bytes ? bytes : 1);
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *data)
{
    locked hold(lock);
    if (!data)
        return cudaSuccess;
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all();
    if (!pinned_blocks.erase(static_cast<char *>(data)))
        return failed(cudaErrorInvalidValue);
    free(data);
    return cudaSuccess;
}

/* Ordinary host memory: the copy is over, or the bytes are set aside, when it returns. Pinned
 * memory, and what the device reads where it is, is read and written when its turn comes. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    locked hold(lock);
    if (!bytes)
        return cudaSuccess;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = find(device_blocks, to) != device_blocks.end();
        from_device = find(device_blocks, from) != device_blocks.end();
    }
    if (to_device != (find(device_blocks, to) != device_blocks.end()) ||
        from_device != (find(device_blocks, from) != device_blocks.end()))
        return failed(cudaErrorInvalidValue);
    std::shared_ptr<queue> q = queue_of(stream);
    bool pageable_source = !from_device && find(pinned_blocks, from) == pinned_blocks.end();
    bool pageable_target = !to_device && find(pinned_blocks, to) == pinned_blocks.end();
    if (q->captured_in && pageable_target) {
        q->captured_in->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    if (pageable_source && !q->captured_in && !reads_pageable()) {
        auto aside = std::make_shared<std::vector<char>>(static_cast<const char *>(from),
                                                         static_cast<const char *>(from) + bytes);
        return nc_emulated_enqueue(stream, [=] {
            nc_races_launch("a copy");
            nc_races_write(to, bytes);
            memcpy(to, aside->data(), bytes);
        });
    }
    cudaError_t error = nc_emulated_enqueue(stream, [=] {
        nc_races_launch("a copy");
        nc_races_read(from, bytes);
        nc_races_write(to, bytes);
        memmove(to, from, bytes);
    });
    if (error == cudaSuccess && pageable_target)
        wait_for(*q);
    return error;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    cudaError_t error = cudaDeviceSynchronize();
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream)
{
    locked hold(lock);
    if (!bytes)
        return cudaSuccess;
    if (find(device_blocks, data) == device_blocks.end())
        return failed(cudaErrorInvalidValue);
    return nc_emulated_enqueue(stream, [=] {
        nc_races_launch("a fill");
        nc_races_write(data, bytes);
        memset(data, value, bytes);
    });
}

cudaError_t cudaMemset(void *data, int value, size_t bytes)
{
    return cudaMemsetAsync(data, value, bytes, nullptr);
}

/* ---- Streams
 * ------------------------------------------------------------------------------------------ */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    locked hold(lock);
    (void)flags;
    *stream = new nc_emulated_stream{std::make_shared<queue>()};
    queues.push_back((*stream)->queue_of);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    locked hold(lock);
    if (!stream)
        return failed(cudaErrorInvalidValue);
    run_until(*stream->queue_of, stream->queue_of->enqueued);
    for (size_t i = 0; i < queues.size(); i++)
        if (queues[i] == stream->queue_of) {
            queues.erase(queues.begin() + static_cast<ptrdiff_t>(i));
            break;
        }
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    locked hold(lock);
    std::shared_ptr<queue> q = queue_of(stream);
    if (q->captured_in) {
        q->captured_in->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    wait_for(*q);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    locked hold(lock);
    std::shared_ptr<queue> q = queue_of(stream);
    if (q->captured_in) {
        q->captured_in->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    if (q->done < q->enqueued) { /* asking again helps */
        run_until(*q, q->done + 1);
        return cudaErrorNotReady;
    }
    nc_races_host_waited(q->index);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    locked hold(lock);
    (void)flags;
    std::shared_ptr<queue> q = queue_of(stream);
    if (!event->recorded_on)
        return cudaSuccess;
    if (event->captured_in) {
        if (q->captured_in && q->captured_in != event->captured_in) {
            q->captured_in->invalid = true;
            return failed(cudaErrorStreamCaptureIsolation);
        }
        q->captured_in = event->captured_in;
        if (event->captured_in->origin == stream)
            event->recorded_on->joined = true;
        return cudaSuccess;
    }
    if (q->captured_in) {
        q->captured_in->invalid = true;
        return failed(cudaErrorStreamCaptureIsolation);
    }
    std::shared_ptr<queue> other = event->recorded_on;
    uint64_t number = event->number;
    nc_races_moment moment = event->moment;
    push(*q, [other, number, moment] {
        run_until(*other, number);
        nc_races_wait_for(*moment);
    });
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    return nc_emulated_enqueue(stream, [=] { function(data); });
}

/* ---- Events
 * ------------------------------------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = new nc_emulated_event();
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event)
        return failed(cudaErrorInvalidValue);
    locked hold(lock);
    run_all(); /* its time may still have to be taken */
    delete event;
    return cudaSuccess;
}

/* Ahead of every event by a nanosecond, and by what work says that it takes: a busy machine
 * changes nothing. */
static std::atomic<int64_t> emulated_clock;

void nc_emulated_take(int64_t nanoseconds)
{
    emulated_clock += nanoseconds;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    locked hold(lock);
    std::shared_ptr<queue> q = queue_of(stream);
    event->recorded_on = q;
    event->captured_in = q->captured_in;
    if (q->captured_in)
        return cudaSuccess;
    nc_races_moment moment = event->moment = std::make_shared<nc_races_clock>();
    push(*q, [event, moment] {
        event->time = emulated_clock++;
        nc_races_reached(moment.get());
    });
    event->number = q->enqueued;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    locked hold(lock);
    if (event->captured_in) {
        event->captured_in->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    if (event->recorded_on) {
        run_until(*event->recorded_on, event->number);
        nc_races_host_waited(*event->moment);
    }
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    locked hold(lock);
    if (event->captured_in)
        return failed(cudaErrorStreamCaptureUnsupported);
    if (!event->recorded_on)
        return cudaSuccess;
    if (event->recorded_on->done >= event->number) {
        nc_races_host_waited(*event->moment);
        return cudaSuccess;
    }
    run_until(*event->recorded_on, event->recorded_on->done + 1);
    return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    locked hold(lock);
    if (!start->recorded_on || !end->recorded_on)
        return failed(cudaErrorInvalidValue);
    if (start->recorded_on->done < start->number || end->recorded_on->done < end->number)
        return cudaErrorNotReady;
    *milliseconds = static_cast<float>(end->time - start->time) * 1e-6f;
    return cudaSuccess;
}

/* ---- Graphs
 * ------------------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    locked hold(lock);
    (void)mode;
    if (!stream || stream->queue_of->captured_in)
        return failed(cudaErrorStreamCaptureUnsupported);
    nc_emulated_graph *graph = new nc_emulated_graph{{}, stream, false};
    stream->queue_of->captured_in = graph;
    captures.push_back(graph);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    locked hold(lock);
    *out = nullptr;
    nc_emulated_graph *graph = stream ? stream->queue_of->captured_in : nullptr;
    if (!graph || graph->origin != stream)
        return failed(cudaErrorInvalidValue);
    cudaError_t error = graph->invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    for (const auto &q : queues)
        if (q->captured_in == graph) {
            if (!q->joined && error == cudaSuccess)
                error = cudaErrorStreamCaptureUnjoined;
            q->captured_in = nullptr;
            q->joined = true;
        }
    captures.erase(std::find(captures.begin(), captures.end(), graph));
    if (error != cudaSuccess) {
        delete graph;
        return failed(error);
    }
    *out = graph;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    locked hold(lock);
    nc_emulated_graph *graph = queue_of(stream)->captured_in;
    *status = !graph           ? cudaStreamCaptureStatusNone
              : graph->invalid ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    if (nodes)
        return failed(cudaErrorInvalidValue);
    *count = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    *exec = new nc_emulated_graph_exec{std::make_shared<std::vector<work>>(graph->nodes)};
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    (void)exec;
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    std::shared_ptr<std::vector<work>> nodes = exec->nodes;
    return nc_emulated_enqueue(stream, [nodes] {
        for (const work &node : *nodes)
            node();
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}
