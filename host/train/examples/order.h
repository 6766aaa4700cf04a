/* The order in which an epoch goes through a set that is larger than memory.
 *
 *     blocks      of the set, each with the examples of about 1 MiB of neighbouring rows
 *     held out    whole blocks, drawn once for a seed: nothing is read in vain, neither in training
 *                 nor in validation, and all captions of a picture are on one side
 *     groups      the epoch's blocks in a random order, cut into groups that fill half of the pool:
 *                 while one is trained on, the next is read. The first four of the first epoch are
 *                 smaller (1/16, 1/8, 1/4, 1/2), so that the first step comes at once
 *     lanes       a group's blocks are dealt to at most 256 lanes, and each lane is shuffled
 *     batches     take from all lanes, each in proportion to what it holds: two examples of a batch
 *                 are rarely neighbours on disk
 *
 * All of it follows from the seed, the epoch, the pool's and the batches' size. The number of ranks
 * only says who reads a lane. Any place of any epoch is found without going through what is before
 * it. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_ORDER_H
#define NCLIP_HOST_TRAIN_EXAMPLES_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_ORDER_LANES = 256 };

/* What a block has: its examples, and the bytes of the pool that they and their rows take. */
struct nc_order_block {
    uint32_t examples;
    uint64_t bytes;
};

struct nc_order {
    const struct nc_order_block *blocks;
    size_t block_count;
    uint64_t seed, half; /* half: bytes of half a pool */
    size_t batch;        /* a group has two batches or more, the last one aside */
    uint32_t *training, *validation; /* blocks with examples, in the order of their rows */
    size_t training_blocks, validation_blocks;
    uint64_t training_count, validation_count; /* examples */
    /* of the epoch, or of the validation */
    bool validating;
    uint64_t epoch, count; /* count: examples */
    uint32_t *sequence;    /* its blocks */
    size_t groups;
    size_t *first;   /* [groups + 1] of the sequence */
    uint64_t *start; /* [groups + 1] examples before a group */
};

/* `blocks` stays the caller's. NC_BAD_INPUT where nothing is left to train on. */
int nc_order_create(const struct nc_order_block *blocks, size_t count, uint64_t seed,
                    double held_out, uint64_t half, size_t batch, struct nc_order *order);
void nc_order_free(struct nc_order *order);

/* Lays out an epoch (from 0), or the validation, which is the same after each epoch. NC_BAD_INPUT
 * where half a pool does not hold two batches. */
int nc_order_begin_epoch(struct nc_order *order, uint64_t epoch);
int nc_order_begin_validation(struct nc_order *order);

/* The group that has the example at `position` of the epoch. */
size_t nc_order_group_of(const struct nc_order *order, uint64_t position);

/* Which of `ranks` reads block i of a group: whole lanes, all ranks about as many blocks. */
size_t nc_order_owner(const struct nc_order *order, size_t group, size_t i, size_t ranks);

/* list[examples of the group]: in which order they come. They are numbered through the group's
 * blocks, in the order of the sequence. `scratch` has as many places. */
void nc_order_list(const struct nc_order *order, size_t group, uint32_t *scratch, uint32_t *list);

#endif
