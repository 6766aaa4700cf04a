/* The guard of generality: does a fine-tuned text tower still find plain captions' pictures?
 *
 * Measured is text-to-image recall at 1: the share of captions for which no other of the
 * pictures has a higher cosine than the caption's own. Captions with a negation word are left
 * out: on them the fine-tuned model is meant to differ. Pictures come from an embedding store, so
 * they are not computed again; the vision tower must be the store's. Any captions will do that
 * training has not seen, such as COCO's validation captions.
 *
 * The drop from one model to another is paired: the same captions for both. Its 95% interval is
 * Wald's for paired shares (Agresti, "Categorical Data Analysis", section 11.1).
 */
#ifndef NCLIP_EVALUATE_GUARD_H
#define NCLIP_EVALUATE_GUARD_H

#include "nclip/checkpoints/folder.h"
#include "nclip/ops.h"

#include <stdbool.h>
#include <stddef.h>

struct nc_guard;

/* NC_BAD_INPUT when the store was not made by the model's vision tower, when a caption's picture
 * has no embedding, or when no caption without a negation word or only one picture is left. */
int nc_guard_create(const char *captions, const char *store, const struct nc_model *model,
                    struct nc_guard **guard);
void nc_guard_destroy(struct nc_guard *guard); /* NULL is allowed */

size_t nc_guard_captions(const struct nc_guard *guard); /* that are measured */
size_t nc_guard_negated(const struct nc_guard *guard);  /* that were left out */
size_t nc_guard_pictures(const struct nc_guard *guard);

/* found[captions]: whether `model` finds the caption's picture. */
int nc_guard_measure(const struct nc_guard *guard, struct nc_ops *ops, const struct nc_model *model,
                     bool *found);

struct nc_guard_drop {
    double before, after;   /* shares found */
    double drop, low, high; /* before - after, and its interval */
};
struct nc_guard_drop nc_guard_compare(const bool *before, const bool *after, size_t count);

#endif
