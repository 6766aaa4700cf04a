/* The inputs of a step on their way to the backend: each micro batch is a piece in one block of
 * memory.
 *
 * The host lays out a piece in page-locked memory, the copy queue copies it over in one copy while
 * the step before is still computed, and the compute queue puts its parts in place. There are two
 * blocks on each side, so that the host fills one while the other is being copied. A backend that
 * computes in the host's memory needs one block and no copy. */
#ifndef NCLIP_HOST_TRAIN_STEP_INPUTS_H
#define NCLIP_HOST_TRAIN_STEP_INPUTS_H

#include "../examples/examples.h"
#include "nclip/arena.h"
#include "nclip/model/towers.h"
#include "nclip/ops.h"

/* The most that one piece holds. */
struct nc_piece_capacity {
    size_t examples, sides, texts, rows, tokens, embedding; /* texts: of all roles */
    bool base;
};

/* Where a piece's parts start in its block. */
struct nc_piece_layout {
    size_t pace, base, image, group, extra_image, token, position, row_start, path_start, path, last_row;
    size_t bytes;
};

enum { NC_PIECE_BLOCKS = 2 };

struct nc_step_inputs {
    struct nc_ops *ops;
    struct nc_piece_layout layout;
    void *device[NC_PIECE_BLOCKS];
    char *host[NC_PIECE_BLOCKS]; /* with host memory the same as device */
    size_t blocks, turn;
    size_t embedding;
    size_t sides; /* pictures of an example: 2 with distractors */
    size_t *row;  /* [sides * examples] of the store, for a gather */
    float *base;  /* [all examples, embedding] captions' features before training; or NULL */
};

/* What the optimizer is told of a step: for the logit scale and bias, and for all others. */
struct nc_paces {
    struct nc_adamw_pace logits, others;
};

/* Where the loss's inputs go; a piece fills its share from `first` on, with distractors also
 * behind the batch's pictures. */
struct nc_batch_inputs {
    float *image;         /* [sides * batch, embedding], normalised */
    int32_t *group;       /* [sides * batch] the picture's number */
    int32_t *extra_image; /* [texts beside captions] whose they are */
    float *base;          /* [batch, embedding]; or NULL */
    struct nc_paces *pace;
};

/* Texts of a piece beside its captions: how many of each role, and where they go among those of the
 * batch. */
struct nc_piece_texts {
    size_t count[NC_TEXT_ROLES], place[NC_TEXT_ROLES];
};

int nc_step_inputs_plan(struct nc_step_inputs *inputs, struct nc_ops *ops,
                        const struct nc_piece_capacity *capacity, struct nc_arena *arena);
void nc_step_inputs_free(struct nc_step_inputs *inputs);

/* Sends a piece to the backend: examples list[0 .. count), which are numbers `first` and following
 * of the `pairs` of their batch, packed into `packing`. Its rows go into the tower. Unless `batch`
 * is NULL, its pictures go to their places in it, and the numbers of what its texts belong to go
 * where `texts` says. Returns before the copies are done. */
int nc_step_inputs_load(struct nc_step_inputs *inputs, const struct nc_examples *examples,
                        const uint32_t *list, size_t count, size_t first, size_t pairs,
                        const struct nc_piece_texts *texts, const struct nc_packing *packing,
                        const struct nc_paces *pace,
                        const struct nc_batch_inputs *batch, struct nc_text_tower *tower);

#endif
