/* The stream of a set that is larger than memory: a thread reads the groups of each epoch, and of
 * the validation behind it, into the halves of a pool (pool.h) ahead of the steps.
 *
 *     nc_feed_start(feed, epoch, position);
 *     nc_feed_take(feed, position, count, &list);     the next examples; waits where it must
 *     ... a step, or several in flight ...
 *     nc_feed_done(feed, position + count);           no step needs what is before it
 *     nc_feed_turn(feed);                             to the validation, or to the next epoch
 */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_FEED_H
#define NCLIP_HOST_TRAIN_EXAMPLES_FEED_H

#include "examples.h"
#include "nclip/captions/set.h"
#include "nclip/ranks/communicator.h"

struct nc_feed;

/* `pool_bytes` of the config is what all ranks together have. The set must be the store's. */
int nc_feed_create(const struct nc_set *set, struct nc_embedding_store *store,
                   const struct nc_config *config, size_t rank, size_t ranks,
                   struct nc_feed **feed);
void nc_feed_destroy(struct nc_feed *feed); /* NULL is allowed */

/* Whose ranks hear that this one is alive while it waits and bytes come. */
void nc_feed_watch(struct nc_feed *feed, struct nc_communicator *ranks);

/* What a step takes examples from, and how many there are. */
const struct nc_examples *nc_feed_examples(const struct nc_feed *feed);
uint64_t nc_feed_training_count(const struct nc_feed *feed);
uint64_t nc_feed_validation_count(const struct nc_feed *feed);
uint64_t nc_feed_fingerprint(const struct nc_feed *feed); /* of all that the order depends on */

/* Begins to read, from an example of an epoch (from 0) on. Once. */
int nc_feed_start(struct nc_feed *feed, uint64_t epoch, uint64_t position);

/* The examples that were read first, at most as many as 64 batches, to plan memory by. Waits. */
int nc_feed_sample(struct nc_feed *feed, const uint32_t **list, size_t *count);

/* Examples position .. position + count of what is going on, count at most a batch. The list stays
 * until as many more batches were taken as can be in flight. */
int nc_feed_take(struct nc_feed *feed, uint64_t position, size_t count, const uint32_t **list);
void nc_feed_done(struct nc_feed *feed, uint64_t position);
void nc_feed_turn(struct nc_feed *feed);

/* How it went so far: of this rank. */
struct nc_feed_report {
    uint64_t bytes;      /* read */
    double waited;       /* seconds for which steps waited, those before the first one aside */
    double reading;      /* seconds in which something was being read */
    const char *reader; /* "io_uring", "threads" */
};
struct nc_feed_report nc_feed_report(struct nc_feed *feed);

#endif
