/* Shuffled orders that depend on the seed alone: the same on every machine. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_RANDOM_H
#define NCLIP_HOST_TRAIN_EXAMPLES_RANDOM_H

#include "nclip/support/random.h"

#include <stddef.h>

/* The start of a random stream: each purpose and number (an epoch, say) of a seed has its own. */
static inline uint64_t nc_random_stream(uint64_t seed, uint64_t purpose, uint64_t number)
{
    uint64_t state = seed;
    state = nc_random_next(&state) ^ purpose;
    state = nc_random_next(&state) ^ number;
    return nc_random_next(&state);
}

/* 0 .. bound - 1 without bias (Lemire 2019). */
static inline uint64_t nc_random_below(uint64_t *state, uint64_t bound)
{
    uint64_t threshold = -bound % bound;
    for (;;) {
        unsigned __int128 product = (unsigned __int128)nc_random_next(state) * bound;
        if ((uint64_t)product >= threshold)
            return (uint64_t)(product >> 64);
    }
}

/* A uniform shuffle (Fisher and Yates). */
static inline void nc_random_shuffle(uint64_t *state, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = nc_random_below(state, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

#endif
