/* Reads ahead of the steps (feed.h). */
#include "feed.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

enum { LISTS = 4, SAMPLE = 64 }; /* batches: more than are in flight; to plan memory by */

enum state { FREE, FILLING, READY };

/* The group in a half of the pool. */
struct load {
    enum state state;
    uint64_t phase;
    uint64_t first, end; /* examples of the phase */
    int status;          /* of reading it */
    char *message;
};

/* Phases: the epochs, each with the validation behind it where there is one. */
struct nc_feed {
    const struct nc_set *set;
    struct nc_embedding_store *store;
    size_t rank, ranks, batch;
    uint64_t epochs, seed, set_hash; /* set_hash: of the sums of all its blocks */
    struct nc_order_block *blocks;
    struct nc_order order; /* the reading thread's */
    struct nc_pool pool;
    struct nc_block_reader *reader;
    uint32_t *lists[LISTS];
    size_t turn;
    uint64_t start_phase, start_position;
    bool started, taken; /* taken: the first batch */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    bool closing, ended; /* ended: all was read */
    struct load loads[2];
    uint64_t phase; /* of the steps */
    double waited, reading;
    struct nc_communicator *watch; /* whose ranks wait for this one; NULL: alone */
};

/* ---- Phases ------------------------------------------------------------------------------ */

static bool validates(const struct nc_feed *feed)
{
    return feed->order.validation_count > 0;
}

static uint64_t phase_of(const struct nc_feed *feed, uint64_t epoch)
{
    return validates(feed) ? 2 * epoch : epoch;
}

static int begin_phase(struct nc_feed *feed, uint64_t phase)
{
    if (validates(feed) && phase % 2)
        return nc_order_begin_validation(&feed->order);
    return nc_order_begin_epoch(&feed->order, validates(feed) ? phase / 2 : phase);
}

/* ---- The reading thread ------------------------------------------------------------------ */

/* A block that was read wrongly may be of a file that was changed meanwhile: that says more. */
static int explain(const struct nc_feed *feed, int status)
{
    char *message = strdup(nc_error_message());
    if (status == NC_BAD_INPUT && nc_embedding_store_check(feed->store) != NC_OK)
        status = NC_FAILED;
    else
        status = nc_error(status, "%s", message ? message : "train: no memory");
    free(message);
    return status;
}

static int fill(struct nc_feed *feed, size_t half, size_t group)
{
    struct nc_block_read *read;
    int status = nc_pool_begin(&feed->pool, half, &feed->order, group, feed->rank, feed->ranks,
                               feed->reader);
    while (status == NC_OK && !__atomic_load_n(&feed->closing, __ATOMIC_RELAXED)) {
        status = nc_block_reader_next(feed->reader, &read);
        if (!read)
            break;
        if (status == NC_OK)
            status = nc_pool_arrived(&feed->pool, half, read);
    }
    if (status == NC_OK && !nc_block_reader_pending(feed->reader))
        nc_pool_finish(&feed->pool, half, &feed->order, group);
    return status == NC_OK ? NC_OK : explain(feed, status);
}

/* Whether the half could be had: it is false when the feed closes. */
static bool take_half(struct nc_feed *feed, size_t half)
{
    pthread_mutex_lock(&feed->lock);
    while (feed->loads[half].state != FREE && !feed->closing)
        pthread_cond_wait(&feed->freed, &feed->lock);
    bool closing = feed->closing;
    feed->loads[half].state = FILLING;
    pthread_mutex_unlock(&feed->lock);
    return !closing;
}

static void hand_over(struct nc_feed *feed, size_t half, struct load load, double seconds)
{
    pthread_mutex_lock(&feed->lock);
    load.state = READY;
    load.message = load.status == NC_OK ? NULL : strdup(nc_error_message());
    feed->loads[half] = load;
    feed->reading += seconds;
    pthread_cond_broadcast(&feed->filled);
    pthread_mutex_unlock(&feed->lock);
}

static void read_phases(struct nc_feed *feed)
{
    uint64_t phases = phase_of(feed, feed->epochs);
    size_t half = 0;
    for (uint64_t phase = feed->start_phase; phase < phases; phase++) {
        int status = begin_phase(feed, phase);
        size_t group = 0;
        if (status == NC_OK && phase == feed->start_phase)
            group = nc_order_group_of(&feed->order, feed->start_position);
        for (; group < feed->order.groups || status != NC_OK; group++, half = 1 - half) {
            struct load load = {.phase = phase, .status = status};
            if (!take_half(feed, half))
                return;
            double begun = nc_seconds();
            if (status == NC_OK)
                status = load.status = fill(feed, half, group);
            if (status == NC_OK) {
                load.first = feed->order.start[group];
                load.end = feed->order.start[group + 1];
            }
            hand_over(feed, half, load, nc_seconds() - begun);
            if (status != NC_OK)
                return;
        }
    }
}

static void *read_ahead(void *context)
{
    struct nc_feed *feed = context;
    read_phases(feed);
    pthread_mutex_lock(&feed->lock);
    feed->ended = true;
    pthread_cond_broadcast(&feed->filled);
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

/* ---- The steps' side ------------------------------------------------------------------------ */

/* The half that has an example of the phase, else one that could not be read; -1: none so far. */
static int find(const struct nc_feed *feed, uint64_t position)
{
    for (int half = 0; half < 2; half++) {
        const struct load *load = &feed->loads[half];
        if (load->state == READY && load->status == NC_OK && load->phase == feed->phase &&
            load->first <= position && position < load->end)
            return half;
    }
    for (int half = 0; half < 2; half++)
        if (feed->loads[half].state == READY && feed->loads[half].status != NC_OK)
            return half;
    return -1;
}

/* With the lock. A slow disk is no dead rank: as long as bytes come, the others are told so. */
static void wait_filled(struct nc_feed *feed)
{
    uint64_t before = nc_block_reader_bytes(feed->reader);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    (void)pthread_cond_timedwait(&feed->filled, &feed->lock, &until);
    if (nc_block_reader_bytes(feed->reader) != before)
        nc_communicator_tick(feed->watch);
}

static int wait_for(struct nc_feed *feed, uint64_t position, int *half)
{
    double begun = nc_seconds();
    pthread_mutex_lock(&feed->lock);
    bool waits = find(feed, position) < 0;
    while ((*half = find(feed, position)) < 0 && !feed->ended)
        wait_filled(feed);
    struct load load = *half < 0 ? (struct load){.status = NC_FAILED} : feed->loads[*half];
    if (waits && feed->taken)
        feed->waited += nc_seconds() - begun;
    pthread_mutex_unlock(&feed->lock);
    if (load.status == NC_OK)
        return NC_OK;
    return nc_error(load.status, "%s", load.message   ? load.message
                                       : *half < 0 ? "train: the stream is at its end"
                                                   : "train: no memory");
}

int nc_feed_sample(struct nc_feed *feed, const uint32_t **list, size_t *count)
{
    pthread_mutex_lock(&feed->lock);
    while (feed->loads[0].state != READY && !feed->ended) /* it stays until a step is done with it */
        wait_filled(feed);
    struct load load = feed->loads[0];
    pthread_mutex_unlock(&feed->lock);
    if (load.state != READY) { /* nothing is left to be done */
        *list = feed->lists[0];
        *count = 0;
        return NC_OK;
    }
    if (load.status != NC_OK)
        return nc_error(load.status, "%s", load.message ? load.message : "train: no memory");
    size_t all = (size_t)(load.end - load.first), skip = 0, most = SAMPLE * feed->batch;
    if (load.phase == feed->start_phase && feed->start_position > load.first)
        skip = (size_t)(feed->start_position - load.first);
    *list = feed->pool.halves[0].list + skip;
    *count = all - skip < most ? all - skip : most;
    return NC_OK;
}

int nc_feed_take(struct nc_feed *feed, uint64_t position, size_t count, const uint32_t **list)
{
    uint32_t *to = feed->lists[feed->turn++ % LISTS];
    *list = to;
    while (count) {
        int half;
        int status = wait_for(feed, position, &half);
        if (status != NC_OK)
            return status;
        const struct load *load = &feed->loads[half];
        size_t part = (size_t)(load->end - position);
        part = part < count ? part : count;
        memcpy(to, feed->pool.halves[half].list + (position - load->first), part * sizeof *to);
        to += part;
        position += part;
        count -= part;
    }
    feed->taken = true;
    return NC_OK;
}

static void release(struct nc_feed *feed, uint64_t position)
{
    pthread_mutex_lock(&feed->lock);
    for (size_t half = 0; half < 2; half++) {
        struct load *load = &feed->loads[half];
        if (load->state == READY && load->status == NC_OK &&
            (load->phase < feed->phase ||
             (load->phase == feed->phase && load->end <= position)))
            load->state = FREE;
    }
    pthread_cond_signal(&feed->freed);
    pthread_mutex_unlock(&feed->lock);
}

void nc_feed_done(struct nc_feed *feed, uint64_t position)
{
    release(feed, position);
}

void nc_feed_turn(struct nc_feed *feed)
{
    feed->phase++;
    release(feed, 0);
}

/* ---- Opening ------------------------------------------------------------------------------- */

static int measure_blocks(struct nc_feed *feed, unsigned roles)
{
    size_t count = nc_set_blocks(feed->set);
    struct nc_set_block block;
    struct nc_embedding_block rows;
    if (count != nc_embedding_store_blocks(feed->store))
        return nc_error(NC_BAD_INPUT, "train: the set has %zu blocks and the store %zu: it was "
                                      "prepared for another store",
                        count, nc_embedding_store_blocks(feed->store));
    feed->blocks = calloc(count ? count : 1, sizeof *feed->blocks);
    if (!feed->blocks)
        return nc_error(NC_FAILED, "train: no memory");
    for (size_t b = 0; b < count; b++) {
        nc_set_block(feed->set, b, &block);
        nc_embedding_store_block(feed->store, b, &rows);
        if (block.first_row != rows.first_row || block.rows != rows.rows)
            return nc_error(NC_BAD_INPUT,
                            "%s: block %zu is of rows %zu to %zu, and the store's of %zu to %zu: it "
                            "was prepared for another store",
                            block.path, b, block.first_row, block.first_row + block.rows,
                            rows.first_row, rows.first_row + rows.rows);
        feed->blocks[b].examples = (uint32_t)block.examples;
        feed->blocks[b].bytes = nc_pool_block_bytes(feed->set, feed->store, roles, b);
        const uint64_t sums[] = {block.examples, block.heads.sum, block.body.sum};
        feed->set_hash = XXH64(sums, sizeof sums, feed->set_hash);
    }
    return NC_OK;
}

int nc_feed_create(const struct nc_set *set, struct nc_embedding_store *store,
                   const struct nc_config *config, size_t rank, size_t ranks,
                   struct nc_feed **out)
{
    *out = NULL;
    struct nc_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return nc_error(NC_FAILED, "train: no memory");
    feed->set = set;
    feed->store = store;
    feed->rank = rank;
    feed->ranks = ranks;
    feed->batch = (size_t)config->batch_size;
    feed->epochs = config->epochs;
    feed->seed = config->seed;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->filled, NULL);
    pthread_cond_init(&feed->freed, NULL);
    const struct nc_set_info *info = nc_set_info(set);
    int status = NC_OK;
    struct nc_losses losses;
    nc_losses_of(config, &losses);
    if (losses.distractors && info->distractors != info->examples)
        status = nc_error(NC_BAD_INPUT,
                          "the loss needs a distractor with each caption, and %llu of the set's %llu "
                          "have none; prepare it of captions that have one",
                          (unsigned long long)(info->examples - info->distractors),
                          (unsigned long long)info->examples);
    if (status == NC_OK)
        status = measure_blocks(feed, losses.roles);
    if (status == NC_OK)
        status = nc_pool_create(set, store, config, ranks > 1, &feed->pool);
    if (status == NC_OK)
        status = nc_order_create(feed->blocks, nc_set_blocks(set), config->seed,
                                 config->validation_fraction, feed->pool.half_bytes, feed->batch,
                                 &feed->order);
    size_t most = feed->batch < info->examples ? feed->batch : (size_t)info->examples;
    for (size_t i = 0; i < LISTS && status == NC_OK; i++)
        if (!(feed->lists[i] = malloc((most ? most : 1) * sizeof *feed->lists[i])))
            status = nc_error(NC_FAILED, "train: no memory");
    if (status == NC_OK)
        status = nc_block_reader_create(0, &feed->reader);
    if (status != NC_OK) {
        nc_feed_destroy(feed);
        return status;
    }
    *out = feed;
    return NC_OK;
}

void nc_feed_destroy(struct nc_feed *feed)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->lock);
    __atomic_store_n(&feed->closing, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&feed->freed);
    pthread_mutex_unlock(&feed->lock);
    if (feed->started)
        pthread_join(feed->thread, NULL);
    nc_block_reader_destroy(feed->reader); /* before the memory it reads into */
    nc_pool_free(&feed->pool);
    nc_order_free(&feed->order);
    for (size_t i = 0; i < LISTS; i++)
        free(feed->lists[i]);
    for (size_t half = 0; half < 2; half++)
        free(feed->loads[half].message);
    pthread_cond_destroy(&feed->filled);
    pthread_cond_destroy(&feed->freed);
    pthread_mutex_destroy(&feed->lock);
    free(feed->blocks);
    free(feed);
}

void nc_feed_watch(struct nc_feed *feed, struct nc_communicator *ranks)
{
    feed->watch = ranks;
}

int nc_feed_start(struct nc_feed *feed, uint64_t epoch, uint64_t position)
{
    if (position >= feed->order.training_count) { /* the epoch is done but for its end */
        position = 0;
        feed->start_phase = phase_of(feed, epoch) + 1;
    } else {
        feed->start_phase = phase_of(feed, epoch);
    }
    feed->phase = phase_of(feed, epoch);
    feed->start_position = position;
    if (pthread_create(&feed->thread, NULL, read_ahead, feed) != 0)
        return nc_error(NC_FAILED, "train: no thread can be started");
    feed->started = true;
    return NC_OK;
}

const struct nc_examples *nc_feed_examples(const struct nc_feed *feed)
{
    return &feed->pool.all;
}

uint64_t nc_feed_training_count(const struct nc_feed *feed)
{
    return feed->order.training_count;
}

uint64_t nc_feed_validation_count(const struct nc_feed *feed)
{
    return feed->order.validation_count;
}

/* Another pool is another order. */
uint64_t nc_feed_fingerprint(const struct nc_feed *feed)
{
    uint64_t hash = nc_embedding_store_fingerprint(feed->store);
    const uint64_t numbers[] = {feed->pool.half_bytes, feed->set_hash};
    return XXH64(numbers, sizeof numbers, hash);
}

struct nc_feed_report nc_feed_report(struct nc_feed *feed)
{
    struct nc_feed_report report = {.bytes = nc_block_reader_bytes(feed->reader),
                                    .reader = nc_block_reader_name(feed->reader)};
    pthread_mutex_lock(&feed->lock);
    report.waited = feed->waited;
    report.reading = feed->reading;
    pthread_mutex_unlock(&feed->lock);
    return report;
}
