/* Streams as threads that run what they were given in order; an event is a place in that order. */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct task {
    void (*run)(void *);
    void *argument;
    struct emulated_event *waits; /* owned: a place in another stream */
    struct task *next;
};

struct emulated_stream {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task *first, **last;
    uint64_t given, done;
    bool stop;
};

struct emulated_event {
    struct emulated_stream *stream; /* NULL: never recorded */
    uint64_t at;
};

/* Any thread may ask for an event that another one is recording. */
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;

static struct emulated_event as_it_is(const struct emulated_event *event)
{
    pthread_mutex_lock(&recording);
    struct emulated_event now = *event;
    pthread_mutex_unlock(&recording);
    return now;
}

static void wait_until(struct emulated_stream *s, uint64_t at)
{
    pthread_mutex_lock(&s->lock);
    while (s->done < at)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void *stream_thread(void *argument)
{
    struct emulated_stream *s = argument;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->first && !s->stop)
            pthread_cond_wait(&s->changed, &s->lock);
        struct task *task = s->first;
        if (!task)
            break;
        s->first = task->next;
        if (!s->first)
            s->last = &s->first;
        pthread_mutex_unlock(&s->lock);
        if (task->waits && task->waits->stream)
            wait_until(task->waits->stream, task->waits->at);
        if (task->run)
            task->run(task->argument);
        free(task->waits);
        free(task);
        pthread_mutex_lock(&s->lock);
        s->done++;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void give(struct emulated_stream *s, void (*run)(void *), void *argument,
                 struct emulated_event *waits)
{
    struct task *task = calloc(1, sizeof *task);
    if (!task)
        abort();
    *task = (struct task){.run = run, .argument = argument, .waits = waits};
    pthread_mutex_lock(&s->lock);
    *s->last = task;
    s->last = &task->next;
    s->given++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void emulated_launch(cudaStream_t stream, void (*run)(void *), void *argument)
{
    give(stream, run, argument, NULL);
}

static _Thread_local int current;

cudaError_t cudaGetDeviceCount(int *count)
{
    const char *given = getenv("EMULATED_GPUS");
    *count = given ? atoi(given) : 1;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    int count;
    cudaGetDeviceCount(&count);
    if (device < 0 || device >= count)
        return cudaErrorUnknown;
    current = device;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **data, size_t bytes)
{
    *data = malloc(bytes);
    if (!*data)
        return cudaErrorUnknown;
    memset(*data, 0xff, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *data)
{
    free(data);
    return cudaSuccess;
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

static void carry_out(void *argument)
{
    struct copy *copy = argument;
    memcpy(copy->to, copy->from, copy->bytes);
    free(copy);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    struct copy *copy = malloc(sizeof *copy);
    if (!copy || kind != cudaMemcpyDefault)
        abort();
    *copy = (struct copy){to, from, bytes};
    emulated_launch(stream, carry_out, copy);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    pthread_mutex_lock(&s->lock);
    bool over = s->done >= s->given;
    pthread_mutex_unlock(&s->lock);
    return over ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    struct emulated_stream *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->last = &s->first;
    *stream = s;
    return pthread_create(&s->thread, NULL, stream_thread, s) ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    wait_until(s, s->given);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    struct emulated_event *place = malloc(sizeof *place);
    if (!place)
        abort();
    *place = as_it_is(event); /* recording it anew later changes nothing here */
    give(s, NULL, NULL, place);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof **event);
    return *event ? cudaSuccess : cudaErrorUnknown;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t s)
{
    pthread_mutex_lock(&s->lock);
    pthread_mutex_lock(&recording);
    *event = (struct emulated_event){s, s->given};
    pthread_mutex_unlock(&recording);
    pthread_mutex_unlock(&s->lock);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    struct emulated_event now = as_it_is(event);
    if (!now.stream)
        return cudaSuccess;
    pthread_mutex_lock(&now.stream->lock);
    bool over = now.stream->done >= now.at;
    pthread_mutex_unlock(&now.stream->lock);
    return over ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    struct emulated_event now = as_it_is(event);
    if (now.stream)
        wait_until(now.stream, now.at);
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an emulated error";
}
