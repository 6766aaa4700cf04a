/* One optimizer step: features, loss, gradients, update; and the loss alone. */
#ifndef NCLIP_TRAIN_STEP_H
#define NCLIP_TRAIN_STEP_H

#include "examples.h"
#include "nclip/arena.h"
#include "nclip/ops.h"
#include "nclip/towers.h"

/* A run of neighbouring trained parameters that the optimizer updates at once. */
struct nc_range {
    size_t offset, count; /* elements of the text tower's buffer */
    size_t moment;        /* where its moments start */
    bool logit_scale;
};

struct nc_step {
    struct nc_ops *ops;
    const struct nc_model_shape *shape;
    const struct nc_parameter_table *table;
    const struct nc_config *config;
    const bool *trainable; /* by table row */
    struct nc_range *ranges;
    size_t range_count, moments; /* elements of first, and of second */
    struct nc_text_tower *tower;
    struct nc_packing packing;
    size_t batch, micro, extras, micro_extras; /* capacities: captions, contradictions */
    /* the backend's memory */
    float *master, *gradient, *first, *second;
    nc_bfloat16 *shadow; /* NULL in fp32 */
    float *features, *dfeatures;             /* [batch + extras, embedding] */
    float *micro_features, *micro_dfeatures; /* [micro + micro extras, embedding]; with one
                                                micro batch the same as features */
    float *image;                            /* [batch, embedding] */
    int32_t *group, *extra_image;
    float *row_max, *row_log, *column_max, *column_log, *positive, *loss, *factor;
    double *norm;
    void *infonce_scratch;
    /* host staging */
    float *image_host;
    int32_t *index_host;
    size_t *row_host;
};

/* Plans everything in `arena` from the batches that will really come: `epochs` orders
 * of the examples, and the validation batches. */
int nc_step_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                   const struct nc_parameter_table *table, const struct nc_config *config,
                   const bool *trainable, const struct nc_examples *examples,
                   struct nc_arena *arena, struct nc_step **step);
void nc_step_destroy(struct nc_step *step);

/* After the arena is committed: parameters from `master` (host), moments zero. */
int nc_step_set_parameters(struct nc_step *step, const float *master);

/* One update with examples list[0 .. count). `number` counts from 1. */
int nc_step_train(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                  size_t count, uint64_t number, double learning_rate, double *loss,
                  double *gradient_norm);

/* The loss of examples list[0 .. count) without an update. */
int nc_step_evaluate(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                     size_t count, double *loss);

int nc_step_logit_scale(struct nc_step *step, float *value);

#endif
