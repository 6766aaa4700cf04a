/* Captions with their affirmed and denied parts, by a file or by rules. */
#ifndef NCLIP_HOST_EVALUATE_SPLITS_H
#define NCLIP_HOST_EVALUATE_SPLITS_H

#include "nclip/negation/split.h"

#include <stddef.h>

struct splits;
int splits_load(const char *path, struct splits **splits); /* path NULL: by rules */
void splits_free(struct splits *splits);                   /* NULL is allowed */

/* The caller frees *split. */
int splits_find(const struct splits *splits, const char *caption, struct nc_negation_split *split);

#endif
