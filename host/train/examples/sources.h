/* Examples of several sources, of each of which a batch has a count of its own.
 *
 * An epoch is as many batches as the source takes that lasts longest; the others begin anew as often
 * as they must, each time in another order. A batch has the examples of the first source, then those of
 * the second, and so on, and is always whole. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_SOURCES_H
#define NCLIP_HOST_TRAIN_EXAMPLES_SOURCES_H

#include "examples.h"

struct nc_example_sources {
    size_t count, per_batch[NC_MOST_SOURCES];
    uint32_t *drawn[NC_MOST_SOURCES]; /* training examples of each */
    size_t drawn_count[NC_MOST_SOURCES];
    uint32_t *held_out[NC_MOST_SOURCES]; /* likewise */
    size_t held_out_count[NC_MOST_SOURCES];
    uint32_t *scratch;
};

/* Behind the split: makes examples->sources of examples->source, the order of the validation, and of
 * training, whose count becomes that of an epoch. A source of which nothing is left is NC_BAD_INPUT. */
int nc_example_sources_create(const struct nc_config *config, struct nc_examples *examples);
void nc_example_sources_free(struct nc_example_sources *sources); /* NULL is allowed */

/* The order of an epoch: [examples->training_count]. */
void nc_example_sources_order(const struct nc_examples *examples, uint64_t seed, uint64_t epoch,
                              uint32_t *order);

#endif
