/* How a batch is divided among the ranks: each example goes to one rank, and all ranks get about
 * the same number of tokens.
 *
 * Where examples have owners (a stream, in which only they have the texts), each goes to its own.
 * Else the longest example goes first, each to the rank with the fewest tokens so far (Graham 1969): in
 * practice the shares differ by at most a caption. The result depends on the batch and the number
 * of ranks alone, so that every rank computes all shares without asking. A share may be empty. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_SHARE_H
#define NCLIP_HOST_TRAIN_EXAMPLES_SHARE_H

#include "examples.h"

struct nc_share {
    size_t size, capacity; /* ranks; examples of a batch */
    /* The examples of all ranks, end to end: rank q's are list[first[q] .. first[q + 1]), in the
     * order in which the batch has them. Their places here are their numbers in the loss. */
    uint32_t *list;
    size_t *first; /* [size + 1] */
    size_t most;   /* examples of a rank */
    /* while dividing */
    size_t *tokens;                 /* [size] so far */
    uint32_t *counts, *heap, *rank; /* [size], [size], [capacity] */
    uint32_t *by_length;            /* [capacity] */
    size_t *starts;                 /* [longest + 2] */
    size_t longest;                 /* tokens of an example */
};

int nc_share_create(size_t size, size_t capacity, const struct nc_examples *examples,
                    struct nc_share *share);
void nc_share_free(struct nc_share *share);

/* Divides examples list[0 .. count), count <= capacity. */
void nc_share_divide(struct nc_share *share, const struct nc_examples *examples,
                     const uint32_t *list, size_t count);

/* Tokens of all texts of an example. */
size_t nc_share_tokens(const struct nc_examples *examples, uint32_t example);

#endif
