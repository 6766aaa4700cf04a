/* The emulated GPU's queues, and the streams and events that are made of them. */
#include "emulated/queues.h"

#include <atomic>

using namespace nc_emulated;

enum : size_t { LONGEST_QUEUE = 1024 };

struct nc_emulated_event {
    std::shared_ptr<queue> recorded_on; /* NULL: never */
    uint64_t number;                    /* done once the queue has done so many */
    nc_emulated_graph *captured_in;
    int64_t time; /* ns of the emulated clock */
    nc_races_moment moment;
};

std::recursive_mutex nc_emulated::lock;
std::vector<std::shared_ptr<queue>> nc_emulated::queues;
std::vector<nc_emulated_graph *> nc_emulated::captures;
static std::shared_ptr<queue> default_queue;

/* ---- Queues --------------------------------------------------------------------------------- */

static std::shared_ptr<queue> make_queue()
{
    static unsigned made;
    std::shared_ptr<queue> q = std::make_shared<queue>();
    q->index = made++;
    return q;
}

std::shared_ptr<queue> nc_emulated::queue_of(cudaStream_t stream)
{
    if (stream)
        return stream->queue_of;
    if (!default_queue) {
        default_queue = make_queue();
        queues.push_back(default_queue);
    }
    return default_queue;
}

void nc_emulated::run_until(queue &q, uint64_t number)
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

void nc_emulated::wait_for(queue &q)
{
    run_until(q, q.enqueued);
    nc_races_host_waited(q.index);
}

void nc_emulated::wait_for_all()
{
    for (size_t i = 0; i < queues.size(); i++)
        wait_for(*queues[i]);
}

void nc_emulated::push(queue &q, work one)
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

cudaError_t nc_emulated_enqueue(cudaStream_t stream, work one, const char *name,
                                cudaGraphNodeType type, bool early)
{
    locked hold(lock);
    std::shared_ptr<queue> q = queue_of(stream);
    if (q->captured_in) {
        q->captured_in->nodes.push_back({std::move(one), name, type, early});
        if (q->captured_in->origin != stream)
            q->joined = false;
        return cudaSuccess;
    }
    push(*q, std::move(one));
    return cudaSuccess;
}

bool nc_emulated::capture_broken()
{
    for (nc_emulated_graph *graph : captures)
        graph->invalid = true;
    return !captures.empty();
}

/* ---- Streams -------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    locked hold(lock);
    (void)flags;
    *stream = new nc_emulated_stream{make_queue()};
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

/* ---- Events --------------------------------------------------------------------------------- */

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
