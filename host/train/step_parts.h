/* What a step is made of: its files call each other through these. */
#ifndef NCLIP_TRAIN_STEP_PARTS_H
#define NCLIP_TRAIN_STEP_PARTS_H

#include "step.h"

static inline struct nc_weights nc_step_weights(const struct nc_step *step)
{
    return (struct nc_weights){step->master, step->shadow};
}

/* step_loss.c */

/* The loss over a batch of `pairs` examples with `extras` contradictions, in the step's buffers. */
struct nc_infonce nc_step_describe_loss(const struct nc_step *step, size_t pairs, size_t extras);

/* Features of all captions of the batch, then the sums of the loss, which end in step->loss.
 * `keep`: a backward pass will follow. */
int nc_step_loss_forward(struct nc_step *step, const struct nc_examples *examples,
                         const uint32_t *list, size_t count, bool keep, struct nc_infonce *loss);

/* = step->gradient, from the last forward pass over the same examples. */
int nc_step_loss_backward(struct nc_step *step, const struct nc_examples *examples,
                          const uint32_t *list, size_t count, const struct nc_infonce *loss);

/* step_update.c */

/* Of all trained parameters together. */
int nc_step_gradient_norm(struct nc_step *step, double *norm);

/* AdamW over the trained ranges, with the gradient clipped to the config's norm. */
int nc_step_update(struct nc_step *step, uint64_t number, double learning_rate, double norm);

/* Something is not a number: returns the error that names the first tensor that shows it. */
int nc_step_not_finite(struct nc_step *step, uint64_t number, const char *what, size_t pairs);

#endif
