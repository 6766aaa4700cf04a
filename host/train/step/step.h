/* One optimizer step: features, loss, gradients, update; and the loss alone.
 *
 * A step is submitted, and its results are collected later: a backend with queues of its own
 * computes meanwhile, and the host lays out the next batch. What is the same from step to step
 * is recorded where the backend can (ops.h): the tower's passes for each size of a batch, the
 * loss, the update. */
#ifndef NCLIP_HOST_TRAIN_STEP_STEP_H
#define NCLIP_HOST_TRAIN_STEP_STEP_H

#include "../examples/examples.h"
#include "../losses/losses.h"
#include "inputs.h"
#include "nclip/arena.h"
#include "nclip/model/towers.h"
#include "nclip/ops.h"
#include "ranks.h"

/* A run of neighbouring trained parameters that the optimizer updates at once. */
struct nc_range {
    size_t offset, count; /* elements of the text tower's buffer */
    size_t moment;        /* where its moments start */
};

/* The numbers of a step that the host reads, in the backend's memory and on their way. */
struct nc_step_numbers {
    double squared_norm; /* of the gradient */
    float loss;
    float logit_scale; /* after the update */
    float factor;      /* that the gradient was multiplied by; see nc_clipping */
    float own_count[NC_MOST_PARTS]; /* of each part of the loss: what its means are over, on all ranks */
};

enum { NC_STEPS_IN_FLIGHT = 2 };

/* A step that was submitted and not collected. */
struct nc_flight {
    const struct nc_examples *examples;
    const uint32_t *list;
    size_t count;
    uint64_t number;
};

/* What a step has room for. */
struct nc_step_need {
    size_t captions, rows, tokens, repeated; /* of one micro batch; captions: texts of all roles */
    size_t batch, beside; /* of one batch, or this rank's share of it: examples; texts beside captions */
    size_t longest;                                  /* captions of any rank's share */
};

struct nc_step {
    struct nc_ops *ops;
    const struct nc_model_shape *shape;
    const struct nc_parameter_table *table;
    const struct nc_config *config;
    struct nc_losses losses;
    const bool *trainable; /* by table row */
    struct nc_range *ranges;
    size_t range_count, moments; /* elements of first, and of second */
    struct nc_text_tower *tower;
    struct nc_packing packing;
    struct nc_step_need need;
    size_t batch, micro; /* capacities: examples */
    /* the backend's memory */
    float *master, *gradient;
    float *first, *second; /* the optimizer's moments; NULL: not of this one */
    nc_bfloat16 *shadow; /* NULL in fp32 */
    float *features, *dfeatures;             /* [batch + beside, embedding] */
    float *micro_features, *micro_dfeatures; /* [texts of a micro batch, embedding]; with one
                                                micro batch the same as features */
    void *loss_features, *loss_image;        /* the same two in bf16, or NULL: as they are */
    struct nc_batch_inputs inputs;
    float *caption_weight, *image_weight; /* of a term's rows and columns; NULL: all alike */
    float *elsewhere; /* zeros (nc_grid_pictures); or NULL */
    float *basis;     /* [2, embedding] of the terms alike and unlike; NULL: there is none */
    float *row_max, *row_log, *column_max, *column_log, *positive;
    struct nc_step_numbers *numbers;
    void *infonce_scratch, *sigmoid_scratch, *own_scratch;
    /* on the way in and out */
    struct nc_step_inputs staging;
    struct nc_step_numbers *arrived[NC_STEPS_IN_FLIGHT]; /* page-locked */
    struct nc_flight flights[NC_STEPS_IN_FLIGHT];
    size_t submitted, collected; /* steps */
    /* with several ranks */
    struct nc_communicator *ranks;             /* for the backend's memory; NULL: alone */
    struct nc_share shares[NC_STEPS_IN_FLIGHT]; /* of the batches in flight */
    struct nc_step_ring ring;
    struct nc_step_buckets buckets;
};

/* Plans everything in `arena` from the batches that will really come: `epochs` orders
 * of the examples, and the validation batches. `ranks` (NULL: alone) works on the memory of
 * `ops` and outlives the step: batches are then divided among the ranks, and every function
 * below that computes is called by all of them, with the same arguments. */
int nc_step_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                   const struct nc_parameter_table *table, const struct nc_config *config,
                   const bool *trainable, const struct nc_examples *examples,
                   struct nc_communicator *ranks, struct nc_arena *arena, struct nc_step **step);
void nc_step_destroy(struct nc_step *step);

/* The batches that are at hand, where not all can be looked at before. */
struct nc_step_sample {
    const struct nc_examples *examples;
    const uint32_t *list; /* [count] examples of the next batches; NULL: all are known */
    size_t count;
    size_t batch;                    /* captions of a whole batch */
    size_t margin;                   /* percent by which others may be larger */
    const struct nc_step_need *least; /* of a step that was too small; or NULL */
};

/* The same from a sample. A batch that does not fit must not be submitted. */
int nc_step_create_sampled(struct nc_ops *ops, const struct nc_model_shape *shape,
                           const struct nc_parameter_table *table, const struct nc_config *config,
                           const bool *trainable, const struct nc_step_sample *sample,
                           struct nc_communicator *ranks, struct nc_arena *arena,
                           struct nc_step **step);
int nc_step_fits(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                 size_t count, bool *fits);

/* This rank's parameters and moments, in host memory: from a step that ends, with nothing pending,
 * to one that takes its place, once its arena is committed. The bits are the same. */
struct nc_step_state {
    float *master, *first, *second;
    size_t moments;
};
int nc_step_take_state(struct nc_step *step, struct nc_step_state *state);
int nc_step_put_state(struct nc_step *step, const struct nc_step_state *state);
void nc_step_state_free(struct nc_step_state *state);

/* After the arena is committed: parameters from `master` (host), moments zero. */
int nc_step_set_parameters(struct nc_step *step, const float *master);

/* With preserve: computes the features of all captions from the parameters that are set, and keeps
 * them as those to stay near to. All ranks share the work. Without: nothing. */
int nc_step_keep_base(struct nc_step *step, const struct nc_examples *examples);

/* Whether the config's optimizer keeps a moment (0: first, 1: second). AdamW has both, RMSprop the
 * second, SGD the first where it has momentum. */
bool nc_step_has_moment(const struct nc_config *config, int which);

/* A moment that the optimizer has, of all ranks together, in host memory and in the layout of the
 * parameters; frozen parameters are left alone. */
int nc_step_read_moments(struct nc_step *step, int which, float *host);
int nc_step_write_moments(struct nc_step *step, int which, const float *host);

struct nc_step_result {
    double loss, gradient_norm;
    float logit_scale; /* after the update */
};

/* One update with examples list[0 .. count), which must stay as they are until it is collected.
 * `number` counts from 1. At most NC_STEPS_IN_FLIGHT are in flight. */
int nc_step_submit(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                   size_t count, uint64_t number, double learning_rate);

/* Steps submitted and not collected. */
size_t nc_step_pending(const struct nc_step *step);

/* Waits for the oldest pending step. Where its loss or gradient is not finite the error names the
 * first tensor that is not, and no parameter has changed since that step began. */
int nc_step_collect(struct nc_step *step, struct nc_step_result *result);

/* Both at once; nothing may be pending. */
int nc_step_train(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                  size_t count, uint64_t number, double learning_rate,
                  struct nc_step_result *result);

/* The loss of examples list[0 .. count) without an update; nothing may be pending. */
int nc_step_evaluate(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                     size_t count, double *loss);

#endif
