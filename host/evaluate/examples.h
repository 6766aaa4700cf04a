/* A few items of a benchmark with what several models chose, to be looked at. */
#ifndef NCLIP_HOST_EVALUATE_EXAMPLES_H
#define NCLIP_HOST_EVALUATE_EXAMPLES_H

#include "nclip/evaluate.h"

enum { EXAMPLE_CANDIDATES = 64 };

/* A text, or a picture or a part of one. */
struct example_side {
    const char *text;    /* NULL: the picture */
    const char *picture; /* its name */
    const double *box;   /* {x, y, width, height}, or NULL: all of it */
};

struct example {
    size_t index;
    struct example_side query, right, *chosen; /* chosen[models]; all owned */
    bool *is_right;                            /* [models] */
    size_t models;
};

/* Evenly spaced among the items, so not picked by how they came out. */
struct nc_examples {
    struct example items[EXAMPLE_CANDIDATES];
    size_t count, model; /* whose choices are being added */
};

/* Whether item `index` of `count` is among the candidates. */
bool examples_want(const struct nc_examples *examples, size_t index, size_t count);

/* Everything is copied. Models add the same indices in the same order. */
int examples_add(struct nc_examples *examples, size_t index, struct example_side query,
                 struct example_side right, struct example_side chosen, bool is_right);
void examples_free(struct nc_examples *examples);

#endif
