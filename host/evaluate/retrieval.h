/* Reads the files of retrieval benchmarks: pictures with their captions. */
#ifndef NCLIP_HOST_EVALUATE_RETRIEVAL_H
#define NCLIP_HOST_EVALUATE_RETRIEVAL_H

#include "choice_items.h"

struct retrieval_caption {
    size_t text, picture; /* indices of set.phrases and of set.views */
};

struct retrieval {
    struct nc_choice_items set; /* holds texts and pictures; no items */
    struct retrieval_caption *captions;
    size_t count, capacity;
};

/* Loads Karpathy's JSON (of which only the split `split`), NegBench's CSV, or captions that nclip
 * trains on. */
int retrieval_load(const char *path, const char *split, struct retrieval *retrieval);
void retrieval_free(struct retrieval *retrieval);

#endif
