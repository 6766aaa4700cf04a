/* The memory of a stream: two halves, each with a group of blocks (order.h), as examples for a step.
 *
 * While one is trained on, the other is read.
 *
 * A block goes where its group puts it, whichever block arrives first. What lies on other ranks is
 * known here by its picture's number and its owner alone. Memory is reserved for as much as the
 * halves could hold and only taken as they fill. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_POOL_H
#define NCLIP_HOST_TRAIN_EXAMPLES_POOL_H

#include "examples.h"
#include "nclip/captions/set.h"
#include "nclip/store/block_reader.h"
#include "order.h"

/* What a block of the set and of the store takes: its rows, heads and body as they are read, its
 * examples, texts and tokens as they are used. `roles`: those that the loss takes. */
uint64_t nc_pool_block_bytes(const struct nc_set *set, const struct nc_embedding_store *store,
                             unsigned roles, size_t b);

/* A block on its way into a half. */
struct nc_pool_block {
    size_t number, examples; /* of the set; how many */
    size_t first_example, first_text, first_token; /* of the half */
    bool own;                                      /* this rank reads its rows and texts */
    uint16_t owner;
    size_t parts;                            /* that have not arrived */
    struct nc_block_read heads, body, rows; /* their context is this */
};

struct nc_pool_half {
    char *area; /* what is read, as it is */
    size_t used;
    struct nc_pool_block *blocks;
    size_t block_count, block_capacity;
    uint32_t *list, *scratch; /* the order of the group's examples; numbers of the pool */
    size_t first_example, first_text, first_token; /* of the pool */
    size_t examples;
};

struct nc_pool {
    const struct nc_set *set;
    const struct nc_embedding_store *store;
    struct nc_losses losses;
    bool pictures_of_others;
    size_t row_bytes;
    uint64_t half_bytes;
    size_t examples, texts, tokens; /* room of a half */
    struct nc_examples all;         /* what a step takes: both halves */
    struct nc_pool_half halves[2];
    struct {
        void *start;
        size_t bytes;
    } maps[20]; /* all of its memory */
    size_t map_count;
};

/* `pictures_of_others`: their numbers are needed, to leave equal ones out of the negatives. */
int nc_pool_create(const struct nc_set *set, struct nc_embedding_store *store,
                   const struct nc_config *config, bool pictures_of_others, struct nc_pool *pool);
void nc_pool_free(struct nc_pool *pool); /* {0} is allowed */

/* Lays a group out in a half, and starts reading it. */
int nc_pool_begin(struct nc_pool *pool, size_t half, const struct nc_order *order, size_t group,
                  size_t rank, size_t ranks, struct nc_block_reader *reader);
/* A part that has arrived. */
int nc_pool_arrived(struct nc_pool *pool, size_t half, struct nc_block_read *read);
/* When all have: puts the group's examples in order. */
void nc_pool_finish(struct nc_pool *pool, size_t half, const struct nc_order *order, size_t group);

#endif
