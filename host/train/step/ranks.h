/* The parts of a step that only several ranks have: the ring by which text features go round all
 * ranks, and the buckets in which gradients are summed over them. */
#ifndef NCLIP_HOST_TRAIN_STEP_RANKS_H
#define NCLIP_HOST_TRAIN_STEP_RANKS_H

#include "../examples/share.h"
#include "nclip/arena.h"
#include "nclip/ranks/communicator.h"

struct nc_step;
struct nc_batch;
struct nc_loss_term;

/* ---- The loss over the batch of all ranks (ring.c) ---------------------------------
 *
 * Picture embeddings stay on their rank, which computes the columns of its own pictures. Text
 * features go round: in turn t a rank has the captions of rank (rank - t) and scores them against
 * its pictures. In the forward pass the captions' running sums travel with them and are complete
 * when they are home again. In the backward pass the complete sums travel with them, and one turn
 * later their gradient, to which each rank adds its part. While a rank computes with one block of
 * captions it already receives the next. */
enum { NC_GROUP_BLOCKS = 2 };

struct nc_step_ring {
    size_t stride;       /* most rows of a term on a rank in any batch, a multiple of 16 */
    size_t group_stride; /* most pictures of a rank, likewise */
    void *gathered;      /* [stride, embedding] own texts, of a term whose texts lie apart; or NULL */
    void *text[2];   /* [stride, embedding] in the loss's precision */
    float *own_sums; /* [2, stride]: row_max and row_log of the rank's own captions */
    float *sums[2];  /* [2, stride]: of those that are here */
    float *dtext[2]; /* [stride, embedding] */
    float *part;     /* [stride, embedding] this rank's part of it */
    float *unused;   /* [stride] where no positive comes up */
    float *weight;   /* [stride] of a visitor's captions; NULL: all alike */
    int32_t *group;  /* [ranks, group_stride] the pictures' numbers of all examples, then those of
                        their distractors */
    int32_t *group_host[NC_GROUP_BLOCKS]; /* page-locked: one is laid out, one on its way */
    size_t group_turn;
    int32_t *identity_host;
    int32_t *identity; /* [stride] 0, 1, 2, ... */
};

/* Reserves the buffers, the scratch of the loss aside. `longest`: examples of a rank. */
int nc_step_ring_plan(struct nc_step *step, size_t longest, struct nc_arena *arena);
int nc_step_ring_start(struct nc_step *step); /* once the arena is committed */
void nc_step_ring_free(struct nc_step *step);

/* Before the terms of a batch. Then, for each: this rank's share of the loss is added to step->numbers;
 * with `gradients` the gradients of the rank's own features, and its part of the logit scale's. */
int nc_step_ring_begin(struct nc_step *step, const struct nc_batch *batch);
int nc_step_ring_grid(struct nc_step *step, const struct nc_batch *batch,
                      const struct nc_loss_term *term, bool gradients);

/* ---- Gradients (buckets.c) ------------------------------------------------------- */

/* A piece of a trained range; the backward pass finishes buckets in their order. */
struct nc_bucket {
    size_t offset, count; /* elements of the text tower's buffer */
    size_t moment;        /* with a sharded optimizer: where this rank's slice has its moments */
};

struct nc_step_buckets {
    struct nc_bucket *list;
    size_t count, started;
    nc_ticket last; /* of those started */
};

/* From the step's ranges; with a sharded optimizer also sets step->moments. */
int nc_step_buckets_plan(struct nc_step *step);

/* Called in this order in each backward pass. begin: it starts. ready: gradients from element
 * `from` on are final, and their buckets start on their way (a callback of the tower, with the
 * step as context). finish: all are final; returns when they are summed over all ranks, or with a
 * sharded optimizer when this rank's slices are. */
void nc_step_buckets_begin(struct nc_step *step);
int nc_step_buckets_ready(void *step, size_t from);
int nc_step_buckets_finish(struct nc_step *step);

/* This rank's slice of a bucket, from the bucket's start. */
struct nc_slice nc_step_bucket_slice(const struct nc_step *step, const struct nc_bucket *bucket);

#endif
