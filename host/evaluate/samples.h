/* A few items of a benchmark with what each of several models chose, for people to look at. */
#ifndef NCLIP_HOST_EVALUATE_SAMPLES_H
#define NCLIP_HOST_EVALUATE_SAMPLES_H

#include "nclip/evaluate/evaluate.h"

enum { SAMPLES = 64 };

/* A text, or a picture or a part of one. */
struct sample_side {
    const char *text;    /* NULL: the picture */
    const char *picture; /* its name */
    const double *box;   /* {x, y, width, height}, or NULL: all of it */
};

struct sample {
    size_t index;
    struct sample_side query, right, other;
    struct sample_side *chosen; /* [models] */
    bool *is_right;                           /* [models] */
    size_t models;
};

/* The samples are evenly spaced among the items, not picked by their result. */
struct nc_samples {
    struct sample items[SAMPLES];
    size_t count, model; /* whose choices are being added */
};

/* Whether item `index` of `count` is among the candidates. */
bool samples_want(const struct nc_samples *samples, size_t index, size_t count);

/* Adds what the current model chose for item `index`; everything is copied. `other` is what could
 * have been chosen instead of the right answer, {0} where there is more than one such thing. All
 * models must add the same indices in the same order. */
int samples_add(struct nc_samples *samples, size_t index, struct sample_side query,
                struct sample_side right, struct sample_side other, struct sample_side chosen,
                bool is_right);
void samples_free(struct nc_samples *samples);

#endif
