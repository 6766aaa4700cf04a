/* The functions with which the files of a step call each other, from below to above. */
#ifndef NCLIP_HOST_TRAIN_STEP_PARTS_H
#define NCLIP_HOST_TRAIN_STEP_PARTS_H

#include "step.h"

static inline struct nc_weights nc_step_weights(const struct nc_step *step)
{
    return (struct nc_weights){step->master, step->shadow};
}

/* Numbers from one of the loss's running sums to the next. */
static inline size_t nc_step_running(const struct nc_step *step)
{
    size_t sides = step->config->loss == NC_LOSS_CON_CLIP ? 2 : 1;
    return (sides * step->batch + 15) / 16 * 16;
}

/* record.c */

/* The key under which a part of a step is recorded: all that its calls depend on. */
enum nc_step_part {
    NC_PART_FORWARD,
    NC_PART_LOSS,
    NC_PART_BACKWARD,
    NC_PART_UPDATE,
    NC_PART_STEP, /* all four */
};
struct nc_part_key {
    uint32_t part, flag; /* flag: kept, with gradients, accumulated */
    uint64_t captions, rows, extras;
    uint32_t longest, shared;
    uint64_t owner; /* nc_step_record's: the address of a buffer of this step */
};

/* Either replays what stands under `key`, or makes the calls of `body` (and may record them). */
int nc_step_record(struct nc_step *step, const struct nc_part_key *key,
                   int (*body)(struct nc_step *step, void *context), void *context);

/* terms.c */

/* How many captions, and pictures, an example adds to the loss. In CoN-CLIP's loss these are two:
 * all captions, then all contradictions; all pictures, then all distractors. Its three cross-
 * entropies are InfoNCE over them, in which the contradictions' rows have weight 0. */
static inline size_t nc_step_sides(const struct nc_step *step)
{
    return step->config->loss == NC_LOSS_CON_CLIP ? 2 : 1;
}

/* Whether InfoNCE's rows are weighted at all. */
static inline bool nc_step_weighted(const struct nc_step *step)
{
    return nc_step_sides(step) > 1 || step->config->infonce != 1;
}

/* Writes the weights of InfoNCE's terms for `pairs` examples; either may be NULL. */
int nc_step_weigh(struct nc_step *step, size_t pairs, float *captions, float *images);

/* The loss over a batch of `pairs` examples with `extras` contradictions, in the step's buffers. */
struct nc_infonce nc_step_describe_loss(const struct nc_step *step, size_t pairs, size_t extras);

/* Converts the features to the loss's precision where it is another. */
int nc_step_convert_features(struct nc_step *step, size_t pairs, size_t extras);

/* own.c: the terms over a picture's own texts. */

/* Whether there is any. */
bool nc_step_has_own_terms(const struct nc_step *step);

/* Counts the contradictions of the batch, of all ranks where `ranks`. Comes before the terms. */
int nc_step_count_own(struct nc_step *step, size_t extras, bool ranks);

/* step->numbers->loss += this rank's share of them; or, with `gradients`, step->dfeatures and the
 * logit scale's gradient += theirs. `total`: captions of all ranks. */
int nc_step_own_terms(struct nc_step *step, size_t pairs, size_t extras, size_t total,
                      bool gradients);

/* loss.c */

/* A batch as it is being computed. */
struct nc_batch {
    const struct nc_examples *examples;
    const uint32_t *list;
    size_t count, extras; /* captions; contradictions, known after the forward pass */
    size_t total;         /* captions of all ranks */
    const struct nc_share *share; /* of the ranks; NULL: alone */
    const struct nc_paces *pace; /* on its way with the first piece; or NULL */
};

/* This rank's part of the batch list[0 .. count); `slot` of the steps in flight keeps it. */
struct nc_batch nc_step_batch(struct nc_step *step, const struct nc_examples *examples,
                              const uint32_t *list, size_t count, size_t slot);

/* Computes the features of all captions of the batch, and the loss into step->numbers; with
 * `gradients` also the features' gradients, for the backward pass. */
int nc_step_loss_forward(struct nc_step *step, struct nc_batch *batch, bool gradients);

/* Forward, loss, backward and update at once, as one recording, and true in *done; or nothing,
 * where the batch comes in several pieces, with contradictions, whose number is seldom the same
 * twice, with terms of its own texts, or on several ranks. */
int nc_step_whole(struct nc_step *step, struct nc_batch *batch, bool *done);

/* rows[examples, embedding]: the features of this rank's captions of the batch, each in its
 * example's row. */
int nc_step_features(struct nc_step *step, const struct nc_batch *batch, float *rows);

/* step->gradient = the gradient over the batch of the last forward pass with `gradients`. */
int nc_step_loss_backward(struct nc_step *step, struct nc_batch *batch);

/* survey.c */

/* How much room the sample's batches need. Sets step->batch and step->micro, makes the packing. */
int nc_step_survey(struct nc_step *step, const struct nc_step_sample *sample,
                   struct nc_step_need *need);

/* optimizer.c */

/* Updates the trained parameters of a range, or of a slice of one. */
int nc_step_optimize(const struct nc_step *step, const struct nc_range *range);

/* update.c */

/* The gradient's norm, the clipping factor, the optimizer over the trained ranges. */
int nc_step_update(struct nc_step *step);
int nc_step_update_now(struct nc_step *step); /* within a recording of the caller's */

/* Returns the error that names the first tensor with a value that is not finite. The batch must
 * have been run forward and backward once more before. */
int nc_step_not_finite(struct nc_step *step, uint64_t number, const char *what, size_t pairs);

#endif
