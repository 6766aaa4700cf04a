/* InfoNCE and the sigmoid loss over several texts and pictures of each example, as calls of the
 * operations (ops.h): a block for each text against each picture, neighbours in memory at once.
 *
 * A term's rows are its texts, role after role, its columns its pictures, set after set; of each there
 * are as many as examples. Row k of an example is true of column nc_term_picture_of(k) of the same
 * example. */
#ifndef NCLIP_HOST_TRAIN_LOSSES_GRID_H
#define NCLIP_HOST_TRAIN_LOSSES_GRID_H

#include "losses.h"

enum { NC_MOST_CALLS = NC_TEXT_ROLES * NC_PICTURE_ROLES };

/* A rank's texts: the `count` of the term's text k begin with row place[k] of `rows`. */
struct nc_grid_texts {
    size_t count;
    size_t place[NC_TEXT_ROLES];
    const void *rows;
    float *drows;                              /* laid as `rows` */
    const int32_t *group[NC_TEXT_ROLES];       /* [count] each; NULL: masked from no picture */
    float *row_max, *row_log, *positive;       /* [texts, count] */
    const float *weight;                       /* the same; NULL: 1 */
    bool own; /* of the same examples as the pictures; else none is true of any of them */
};

/* This rank's pictures. */
struct nc_grid_pictures {
    size_t count;
    size_t place[NC_PICTURE_ROLES];
    const void *rows;
    const int32_t *group; /* laid as `rows` */
    float *column_max, *column_log;            /* [pictures, count] */
    const float *weight;                       /* the same; NULL: 1 */
    const float *elsewhere; /* the same, zeros; needed where nc_term_has_others */
};

/* Whether some text with rows of its own is true of a picture whose target is another. */
bool nc_term_has_others(const struct nc_loss_term *term);

/* The calls of texts against pictures. `common` holds what is the same in all; its contradictions
 * (extras) are in the first one alone. Returns how many there are. */
size_t nc_grid_calls(const struct nc_loss_term *term, const struct nc_infonce *common,
                     const struct nc_grid_texts *texts, const struct nc_grid_pictures *pictures,
                     struct nc_infonce calls[NC_MOST_CALLS]);

/* What a call of the sigmoid loss has in common with one of InfoNCE; its loss, biases and scratch are
 * the caller's. Gradients where `gradients`. */
struct nc_sigmoid nc_grid_sigmoid(const struct nc_infonce *call, bool gradients);

/* The sums of own texts that make up the loss. `total`: examples of all ranks. */
size_t nc_grid_losses(const struct nc_loss_term *term, size_t total,
                      const struct nc_grid_texts *texts, const struct nc_grid_pictures *pictures,
                      float *loss, struct nc_infonce_loss sums[NC_TEXT_ROLES]);

#endif
