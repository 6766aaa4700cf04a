/* Where a run's batches come from: captions or a small set in memory, in the exact order of a full
 * shuffle, or a stream of a set that is larger than the pool. */
#ifndef NCLIP_HOST_TRAIN_SOURCE_H
#define NCLIP_HOST_TRAIN_SOURCE_H

#include "examples/examples.h"
#include "examples/feed.h"
#include "nclip/support/progress.h"

struct nc_source {
    const struct nc_config *config;
    const struct nc_examples *examples; /* of the lists below */
    uint64_t training_count, validation_count;
    uint64_t fingerprint;
    /* in memory */
    struct nc_examples held;
    uint32_t *order; /* [training_count] this epoch's */
    /* a stream */
    struct nc_set *set;
    struct nc_embedding_store *store;
    struct nc_feed *feed; /* NULL: in memory */
    bool validating, told_waiting;
};

/* Opens what the options name. A set's pool_bytes of 0 becomes what a run that goes on had, else a
 * quarter of the free memory, the same on all ranks. */
int nc_source_open(const struct nc_train_options *options, struct nc_config *config,
                   const struct nc_model *model, struct nc_communicator *ranks,
                   struct nc_source *source);
void nc_source_close(struct nc_source *source); /* {0} is allowed */
/* For people. */
void nc_source_report(const struct nc_source *source, const struct nc_model_shape *shape,
                      FILE *out);

/* To be called once before the first batch, with the place from which the run goes on. */
int nc_source_start(struct nc_source *source, uint64_t epoch, uint64_t position);
/* Examples of which the first batches may be, to plan memory by. A stream may wait. */
int nc_source_sample(struct nc_source *source, uint64_t epoch, const uint32_t **list,
                     size_t *count);
/* Before each epoch. */
void nc_source_begin_epoch(struct nc_source *source, uint64_t epoch);

/* Examples position .. position + count of the epoch, or of the validation. A stream may wait. */
int nc_source_take(struct nc_source *source, uint64_t position, size_t count,
                   const uint32_t **list);
/* No step in flight needs what is before `position`. */
void nc_source_done(struct nc_source *source, uint64_t position);

void nc_source_begin_validation(struct nc_source *source); /* where something is held out */
void nc_source_end_epoch(struct nc_source *source);

/* Says once, and only where it costs something, that the steps of these `seconds` wait for the disk. */
void nc_source_tell_waiting(struct nc_source *source, struct nc_progress *progress, double seconds);

/* Of a stream, on all ranks: the mean of their waiting, in seconds, and the sum of what they read. */
int nc_source_sum_reading(const struct nc_source *source, struct nc_communicator *ranks,
                          double *waited, double *bytes);

/* NC_FAILED when the store was written to since it was opened. */
int nc_source_check(const struct nc_source *source);

#endif
