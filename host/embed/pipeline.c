/* The threads of the pipeline, and the ring of batches that they pass on. */
#include "pipeline.h"

#include "nclip/pictures/sidecar.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of files that are read and not decoded: beyond them readers wait. */
enum { UNDECODED_BYTES = 1 << 28 };

/* A place in the order of all pictures: batch `batch` of the run is ring[batch % EMBED_RING]. */
struct place {
    size_t batch, slot;
};

struct pipeline {
    const struct embed_pipeline_options *options;
    const struct embed_work *work;
    struct embed_batch ring[EMBED_RING];
    pthread_mutex_t lock; /* of all below, and of the slots' `ready` */
    pthread_cond_t to_read, to_decode, to_compute, to_store;
    size_t fed, computed, stored; /* batches */
    bool feeding, fed_all, computed_all, stopping;
    struct place read, decode; /* the next picture that nobody has taken */
    size_t undecoded_bytes;
    int status;
    char *message; /* of the first failure; owned */
    struct nc_embed_stages stages;
};

const char *const nc_embed_stage_names[NC_EMBED_STAGES] = {"reading", "decoding", "device",
                                                           "writing"};

enum nc_embed_stage nc_embed_limit(const struct nc_embed_stages *s)
{
    /* A device of its own is the limit when it hardly waits. Where decoding has the same cores,
     * each waits for the other: the limit is what takes longer. */
    enum nc_embed_stage most = NC_EMBED_READING;
    double waited = 0;
    for (int stage = 0; stage < NC_EMBED_STAGES; stage++) {
        waited += s->waited[stage];
        if (s->waited[stage] > s->waited[most])
            most = (enum nc_embed_stage)stage;
    }
    double share = s->shared ? 0.5 : 0.1;
    return waited > share * (waited + s->busy[NC_EMBED_DEVICE]) ? most : NC_EMBED_DEVICE;
}

static struct embed_batch *batch_at(struct pipeline *p, size_t number)
{
    return &p->ring[number % EMBED_RING];
}

/* Wakes every thread: with the lock. */
static void wake_all(struct pipeline *p)
{
    pthread_cond_broadcast(&p->to_read);
    pthread_cond_broadcast(&p->to_decode);
    pthread_cond_broadcast(&p->to_compute);
    pthread_cond_broadcast(&p->to_store);
}

/* With the lock; the message is the calling thread's. */
static void fail(struct pipeline *p, int status)
{
    if (p->status == NC_OK) {
        p->status = status;
        p->message = strdup(nc_error_message());
    }
    p->stopping = true;
    wake_all(p);
}

/* ---- reading ---- */

static void note_failure(struct embed_slot *slot, int status)
{
    slot->status = status;
    slot->reason = strdup(nc_error_message());
    if (!slot->reason)
        slot->status = NC_FAILED;
}

static void read_slot(const struct pipeline *p, const struct nc_image_source *source,
                      struct embed_slot *slot)
{
    if (slot->status != NC_OK)
        return;
    int status = nc_image_source_read(source, slot->index, &slot->bytes, &slot->size);
    if (status == NC_OK && p->options->captions)
        status = nc_image_source_caption(source, slot->index, &slot->caption);
    if (status != NC_OK)
        note_failure(slot, status);
}

/* Fills the next batch; with the lock, which it lets go meanwhile. */
static void feed(struct pipeline *p)
{
    struct embed_batch *batch = batch_at(p, p->fed);
    p->feeding = true;
    pthread_mutex_unlock(&p->lock);
    batch->count = batch->good = 0;
    batch->last = false;
    batch->owner = NULL;
    memset(batch->slots, 0, p->options->batch * sizeof *batch->slots);
    double began = nc_seconds();
    int status = p->work->feed(p->work->context, batch, p->options->batch);
    double seconds = nc_seconds() - began;
    pthread_mutex_lock(&p->lock);
    p->stages.busy[NC_EMBED_READING] += seconds;
    p->feeding = false;
    batch->undecoded = batch->count;
    if (status != NC_OK)
        fail(p, status);
    else if (batch->count)
        p->fed++;
    else
        p->fed_all = true;
    wake_all(p);
}

static bool may_read(const struct pipeline *p)
{
    return p->read.batch < p->fed && p->undecoded_bytes <= UNDECODED_BYTES;
}

static bool may_feed(const struct pipeline *p)
{
    return p->read.batch == p->fed && !p->feeding && !p->fed_all && p->fed < p->stored + EMBED_RING;
}

/* Takes the picture at *place, which moves to the next one. */
static struct embed_slot *take(struct pipeline *p, struct place *place, struct embed_batch **batch)
{
    *batch = batch_at(p, place->batch);
    struct embed_slot *slot = &(*batch)->slots[place->slot];
    if (++place->slot == (*batch)->count)
        *place = (struct place){place->batch + 1, 0};
    return slot;
}

static void *reader(void *argument)
{
    struct pipeline *p = argument;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && !(p->fed_all && p->read.batch == p->fed)) {
        if (may_feed(p)) {
            feed(p);
        } else if (may_read(p)) {
            struct embed_batch *batch;
            struct embed_slot *slot = take(p, &p->read, &batch);
            if (p->read.batch == p->fed)
                pthread_cond_broadcast(&p->to_read); /* somebody must feed */
            pthread_mutex_unlock(&p->lock);
            double began = nc_seconds();
            read_slot(p, batch->source, slot);
            double seconds = nc_seconds() - began;
            pthread_mutex_lock(&p->lock);
            p->stages.busy[NC_EMBED_READING] += seconds;
            p->undecoded_bytes += slot->size;
            slot->ready = true;
            pthread_cond_broadcast(&p->to_decode);
        } else {
            pthread_cond_wait(&p->to_read, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- decoding ---- */

static void decode_slot(const struct pipeline *p, const struct embed_batch *batch,
                        struct embed_slot *slot)
{
    size_t number = (size_t)(slot - batch->slots);
    if (slot->status == NC_OK) {
        int status = nc_image_source_decode(
            batch->source, slot->index, slot->bytes, slot->size, p->options->preprocess,
            batch->pixels + number * p->options->values, slot->damage);
        if (status != NC_OK)
            note_failure(slot, status);
    }
    free(slot->bytes);
    slot->bytes = NULL;
}

static bool may_decode(struct pipeline *p)
{
    return p->decode.batch < p->fed && batch_at(p, p->decode.batch)->slots[p->decode.slot].ready;
}

static void *decoder(void *argument)
{
    struct pipeline *p = argument;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && !(p->fed_all && p->decode.batch == p->fed)) {
        if (!may_decode(p)) {
            pthread_cond_wait(&p->to_decode, &p->lock);
            continue;
        }
        struct embed_batch *batch;
        struct embed_slot *slot = take(p, &p->decode, &batch);
        pthread_mutex_unlock(&p->lock);
        double began = nc_seconds();
        decode_slot(p, batch, slot);
        double seconds = nc_seconds() - began;
        pthread_mutex_lock(&p->lock);
        p->stages.busy[NC_EMBED_DECODING] += seconds;
        bool full = p->undecoded_bytes > UNDECODED_BYTES;
        p->undecoded_bytes -= slot->size;
        if (full)
            pthread_cond_broadcast(&p->to_read);
        if (--batch->undecoded == 0)
            pthread_cond_broadcast(&p->to_compute);
    }
    pthread_cond_broadcast(&p->to_decode); /* the others see the end too */
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- computing: in the calling thread ---- */

/* Pictures that can be embedded move together. */
static void gather(const struct pipeline *p, struct embed_batch *batch)
{
    size_t values = p->options->values;
    batch->good = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->slots[i].status != NC_OK)
            continue;
        if (batch->good != i)
            memcpy(batch->pixels + batch->good * values, batch->pixels + i * values,
                   values * sizeof(float));
        batch->good++;
    }
}

/* What the device waits for; with the lock. */
static enum nc_embed_stage waits_for(struct pipeline *p)
{
    if (p->fed == p->computed && p->fed == p->stored + EMBED_RING)
        return NC_EMBED_WRITING;
    bool starved =
        p->decode.batch >= p->fed || !batch_at(p, p->decode.batch)->slots[p->decode.slot].ready;
    /* Where the decoders have nothing at hand although the ring has room. */
    return starved && p->decode.batch <= p->computed ? NC_EMBED_READING : NC_EMBED_DECODING;
}

/* The next batch; NULL: there is none. */
static struct embed_batch *wait_for_batch(struct pipeline *p)
{
    struct embed_batch *batch = batch_at(p, p->computed);
    while (!p->stopping && !(p->computed < p->fed && batch->undecoded == 0)) {
        if (p->fed_all && p->computed == p->fed)
            return NULL;
        enum nc_embed_stage stage = waits_for(p);
        double began = nc_seconds();
        /* Not for long: what is waited for may become another, and a signal wakes nobody. */
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&p->to_compute, &p->lock, &until);
        p->stages.waited[stage] += nc_seconds() - began;
        if (p->work->stop(p->work->context))
            p->stopping = true;
    }
    return p->stopping ? NULL : batch;
}

static void compute(struct pipeline *p)
{
    struct embed_batch *batch;
    double started = nc_seconds();
    pthread_mutex_lock(&p->lock);
    while ((batch = wait_for_batch(p))) {
        pthread_mutex_unlock(&p->lock);
        double began = nc_seconds();
        gather(p, batch);
        int status = p->options->encoder ? nc_encoder_pictures(p->options->encoder, batch->pixels,
                                                               batch->good, false, batch->rows)
                                         : NC_OK;
        batch->features = batch->rows;
        double now = nc_seconds();
        pthread_mutex_lock(&p->lock);
        p->stages.busy[NC_EMBED_DEVICE] += now - began;
        p->stages.seconds = now - started;
        if (status != NC_OK) {
            fail(p, status);
            break;
        }
        p->stages.pictures += batch->count;
        p->computed++;
        if (p->work->stop(p->work->context))
            p->stopping = true;
        pthread_cond_broadcast(&p->to_store);
        struct nc_embed_stages stages = p->stages;
        pthread_mutex_unlock(&p->lock);
        p->work->tell(p->work->context, &stages);
        pthread_mutex_lock(&p->lock);
    }
    p->computed_all = true;
    wake_all(p);
    pthread_mutex_unlock(&p->lock);
}

/* ---- storing ---- */

static void clear(struct pipeline *p, struct embed_batch *batch)
{
    if (batch->owner)
        p->work->drop(p->work->context, batch);
    batch->owner = NULL;
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->slots[i].reason);
        free(batch->slots[i].caption);
        free(batch->slots[i].bytes);
    }
    batch->count = 0;
}

static void *storer(void *argument)
{
    struct pipeline *p = argument;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->stored == p->computed && !p->computed_all)
            pthread_cond_wait(&p->to_store, &p->lock);
        if (p->stored == p->computed)
            break;
        struct embed_batch *batch = batch_at(p, p->stored);
        pthread_mutex_unlock(&p->lock);
        double began = nc_seconds();
        int status = p->work->store(p->work->context, batch);
        clear(p, batch);
        double seconds = nc_seconds() - began;
        pthread_mutex_lock(&p->lock);
        p->stages.busy[NC_EMBED_WRITING] += seconds;
        if (status != NC_OK) {
            fail(p, status);
            break;
        }
        p->stored++;
        pthread_cond_broadcast(&p->to_read);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- life ---- */

static int allocate(struct pipeline *p)
{
    const struct embed_pipeline_options *o = p->options;
    bool good = true;
    for (size_t i = 0; i < EMBED_RING; i++) {
        struct embed_batch *batch = &p->ring[i];
        batch->slots = calloc(o->batch, sizeof *batch->slots);
        batch->pixels = reallocarray(NULL, o->batch, o->values * sizeof(float));
        batch->rows = calloc(o->batch, o->embedding * sizeof(float));
        good = good && batch->slots && batch->pixels && batch->rows;
    }
    return good ? NC_OK
                : nc_error(NC_FAILED,
                           "embed: no memory for %d batches of %zu pictures; give a "
                           "smaller --batch",
                           EMBED_RING, o->batch);
}

static void release(struct pipeline *p)
{
    for (size_t i = 0; i < EMBED_RING; i++) {
        if (p->ring[i].slots)
            clear(p, &p->ring[i]);
        free(p->ring[i].slots);
        free(p->ring[i].pixels);
        free(p->ring[i].rows);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->to_read);
    pthread_cond_destroy(&p->to_decode);
    pthread_cond_destroy(&p->to_compute);
    pthread_cond_destroy(&p->to_store);
    free(p->message);
}

/* Signals that ask for something are the main thread's; those of a fault stay. */
static void block_signals(sigset_t *before)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

/* Starts the threads, `count` of them in all cases but one, where *status tells why. */
static size_t start(struct pipeline *p, pthread_t *threads, size_t count, int *status)
{
    sigset_t before;
    size_t started = 0;
    int cause = 0;
    block_signals(&before);
    while (started < count && !cause) {
        void *(*run)(void *) = started == 0 ? storer : started <= EMBED_READERS ? reader : decoder;
        cause = pthread_create(&threads[started], NULL, run, p);
        started += cause == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *status =
        cause ? nc_error(NC_FAILED, "embed: cannot start a thread: %s", strerror(cause)) : NC_OK;
    return started;
}

int embed_pipeline_run(const struct embed_pipeline_options *options, const struct embed_work *work,
                       struct nc_embed_stages *stages)
{
    size_t count = 1 + EMBED_READERS + (options->threads ? options->threads : 1);
    struct pipeline *p = calloc(1, sizeof *p);
    pthread_t *threads = calloc(count, sizeof *threads);
    if (!p || !threads) {
        free(p);
        free(threads);
        return nc_error(NC_FAILED, "embed: no memory");
    }
    p->options = options;
    p->work = work;
    p->stages.shared = options->shared;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->to_read, NULL);
    pthread_cond_init(&p->to_decode, NULL);
    pthread_cond_init(&p->to_compute, NULL);
    pthread_cond_init(&p->to_store, NULL);
    int status = allocate(p);
    size_t started = status == NC_OK ? start(p, threads, count, &status) : 0;
    if (status == NC_OK) {
        compute(p);
    } else {
        pthread_mutex_lock(&p->lock);
        p->computed_all = true;
        fail(p, status);
        pthread_mutex_unlock(&p->lock);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    *stages = p->stages;
    if (p->status != NC_OK)
        status = nc_error(p->status, "%s", p->message ? p->message : "embed: no memory");
    release(p);
    free(threads);
    free(p);
    return status;
}
