/* The functions with which the files of a step call each other, from below to above. */
#ifndef NCLIP_HOST_TRAIN_STEP_PARTS_H
#define NCLIP_HOST_TRAIN_STEP_PARTS_H

#include "../losses/grid.h"
#include "step.h"

static inline struct nc_weights nc_step_weights(const struct nc_step *step)
{
    return (struct nc_weights){step->master, step->shadow};
}

/* Rows and columns of the largest term of InfoNCE over `count` examples. */
static inline size_t nc_step_grid_rows(const struct nc_step *step, size_t count)
{
    return step->losses.texts * count;
}
static inline size_t nc_step_grid_columns(const struct nc_step *step, size_t count)
{
    return step->losses.pictures * count;
}

/* Numbers from one of the loss's running sums to the next. */
static inline size_t nc_step_running(const struct nc_step *step)
{
    size_t rows = nc_step_grid_rows(step, step->batch), columns = nc_step_grid_columns(step, step->batch);
    return ((rows > columns ? rows : columns) + 15) / 16 * 16;
}

/* Pictures that an example brings: its own, and its distractor where a term takes it. */
static inline size_t nc_step_sides(const struct nc_step *step)
{
    return step->losses.distractors ? 2 : 1;
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
    uint64_t captions, rows;
    uint32_t texts[NC_TEXT_ROLES - 1]; /* beside captions */
    uint64_t others; /* hash of how sources divide them */
    uint32_t longest, shared;
    uint64_t owner; /* nc_step_record's: the address of a buffer of this step */
};

/* Either replays what stands under `key`, or makes the calls of `body` (and may record them). */
int nc_step_record(struct nc_step *step, const struct nc_part_key *key,
                   int (*body)(struct nc_step *step, void *context), void *context);

/* The examples of a source in a batch, which lie side by side, and their texts of each role. */
struct nc_batch_source {
    size_t first, count, total; /* of this rank's examples; on all ranks */
    size_t before[NC_TEXT_ROLES], texts[NC_TEXT_ROLES]; /* texts of other examples before them */
};

/* A batch as it is being computed. */
struct nc_batch {
    const struct nc_examples *examples;
    const uint32_t *list;
    size_t count;                   /* captions */
    size_t texts[NC_TEXT_ROLES];    /* of each role */
    size_t beside;                  /* those that are no captions */
    struct nc_batch_source source[NC_MOST_SOURCES + 1]; /* [0]: all examples */
    size_t total;                   /* captions of all ranks */
    const struct nc_share *share; /* of the ranks; NULL: alone */
    const struct nc_paces *pace; /* on its way with the first piece; or NULL */
};

/* The first row of the texts of a role among the batch's features: role after role. */
static inline size_t nc_batch_place(const struct nc_batch *batch, int role)
{
    size_t at = 0;
    for (int before = 0; before < role; before++)
        at += batch->texts[before];
    return at;
}

/* batch.c */

/* Examples of `source` (0: all) in a list. */
size_t nc_batch_count(const struct nc_examples *examples, const uint32_t *list, size_t count,
                      unsigned source);

/* This rank's part of the batch list[0 .. count); `slot` of the steps in flight keeps it. */
struct nc_batch nc_step_batch(struct nc_step *step, const struct nc_examples *examples,
                              const uint32_t *list, size_t count, size_t slot);

/* grid.c */

/* A term over all texts and pictures, on a rank's share of a batch: its own texts against its own
 * pictures. */
struct nc_step_grid {
    const struct nc_loss_term *term;
    struct nc_infonce common;
    struct nc_grid_texts texts;
    struct nc_grid_pictures pictures;
};
void nc_step_grid_of(const struct nc_step *step, const struct nc_batch *batch,
                     const struct nc_loss_term *term, struct nc_step_grid *grid);

/* A call as large as any of a batch of `count` examples and `beside` texts that are no captions may
 * be, to size scratch by. */
struct nc_infonce nc_step_largest_call(const struct nc_step *step, size_t count, size_t beside);

/* Whether some term weighs its rows or columns. */
bool nc_step_weighted(const struct nc_step *step);

/* Writes the weights of a term's rows and columns for `count` examples; either may be NULL. */
int nc_step_weigh(struct nc_step *step, const struct nc_loss_term *term, size_t count, float *rows,
                  float *columns);

/* Before a term: weights, and sums of nothing. Behind its forward calls: step->numbers->loss += the
 * loss of this rank's texts and pictures. */
int nc_step_grid_start(struct nc_step *step, const struct nc_step_grid *grid);
int nc_step_grid_sum(struct nc_step *step, const struct nc_step_grid *grid);

/* A term of one rank alone: its loss, and with `gradients` its gradients, both +=. */
int nc_step_grid(struct nc_step *step, const struct nc_batch *batch,
                 const struct nc_loss_term *term, bool gradients);

/* A call of the sigmoid loss: step->numbers->loss +=; with `gradients` those, too. */
int nc_step_sigmoid(struct nc_step *step, const struct nc_infonce *call, bool gradients);

/* Where the logit_bias lies among the parameters; only with a sigmoid loss. */
size_t nc_step_bias(const struct nc_step *step);

/* Converts the features to the loss's precision where it is another. */
int nc_step_convert_features(struct nc_step *step, const struct nc_batch *batch);

/* basis.c: uploads step->basis, where there is one. */
int nc_step_set_basis(struct nc_step *step);

/* own.c: the terms over a picture's own texts. */

/* Pictures of this rank, of a source, that have choices. */
size_t nc_step_choosing(const struct nc_batch *batch, unsigned source);

/* Counts the texts of the batch that they are means over, of all ranks where `ranks`. Comes before
 * the terms. */
int nc_step_count_own(struct nc_step *step, const struct nc_batch *batch, bool ranks);

/* step->numbers->loss += this rank's share of a part of the loss; with `gradients` step->dfeatures
 * and the logit scale's gradient += theirs. */
int nc_step_own_terms(struct nc_step *step, const struct nc_batch *batch, size_t part,
                      bool gradients);

/* loss.c */

/* Computes the features of all captions of the batch, and the loss into step->numbers; with
 * `gradients` also the features' gradients, for the backward pass. */
int nc_step_loss_forward(struct nc_step *step, struct nc_batch *batch, bool gradients);

/* Forward, loss, backward and update at once, as one recording, and true in *done; or nothing,
 * where the batch comes in several pieces, with texts beside its captions, whose number is seldom
 * the same twice, with terms of its own texts, or on several ranks. */
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
