/* A prepared set that fits in memory: the examples of the captions it was made of. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_WHOLE_H
#define NCLIP_HOST_TRAIN_EXAMPLES_WHOLE_H

#include "examples.h"
#include "nclip/captions/set.h"

/* Loads the set in the order of the captions as they were given: training has the same bits as with
 * these (nc_examples_load), unless captions were left out that named a picture first. Takes the
 * store over, also on failure. */
int nc_examples_from_set(const struct nc_set *set, struct nc_embedding_store *store,
                         const struct nc_config *config, struct nc_examples *examples);

#endif
