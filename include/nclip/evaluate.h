/* Evaluation: choosing one of several.
 *
 * An item has one phrase and several pictures (or boxes of one picture), or one
 * picture and several phrases; one of them is right. The choice is the highest
 * cosine, the first of equals. The score is the share of right choices.
 *
 * Accepted files (a JSON array of objects):
 *
 *     {"phrase": "...", "images": ["a.png", "b.png"], "answer": 1}
 *     {"phrase": "...", "image": "a.jpg", "boxes": [[x, y, width, height], ...], "answer": 0}
 *     {"image": "a.jpg", "phrases": ["...", "..."], "answer": 0}
 *     {"image": "a.jpg", "phrase": "...", "bbox_list": [[...], ...], "ref_bbox": [...]}   NegRefCOCOg
 *
 * "group" (a string, optional) makes a line of its own in the result.
 */
#ifndef NCLIP_EVALUATE_H
#define NCLIP_EVALUATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nclip/encoder.h"

/* A picture, or a part of one. */
struct nc_view {
    size_t image; /* index into images */
    bool has_box;
    double box[4]; /* x, y, width, height in pixels */
};

struct nc_choice_item {
    bool phrases_vary;   /* one picture, several phrases; else one phrase, several pictures */
    size_t first, count; /* its options in `option`: indices of views, or of phrases */
    size_t fixed;        /* the phrase, or the view, that all options meet */
    size_t answer;       /* 0 .. count - 1 */
    size_t group;        /* index into groups */
};

struct nc_choice_items {
    struct nc_choice_item *items;
    size_t count;
    size_t *option;
    size_t option_count;
    const char **phrases; /* each once */
    size_t phrase_count;
    struct nc_view *views; /* each once */
    size_t view_count;
    const char **images; /* names, each once */
    size_t image_count;
    const char **groups; /* groups[0] is "" */
    size_t group_count;
    void *owned;
};

/* NC_BAD_INPUT names the file, the item's index and what is wrong with it. */
int nc_choice_items_load(const char *path, struct nc_choice_items *items);
void nc_choice_items_free(struct nc_choice_items *items);

/* features[view_count, embedding]: every view through the vision tower; `folder` holds the
 * pictures. A picture is decoded once for all its boxes. A missing or broken picture is
 * NC_BAD_INPUT: leaving it out would change the score. */
int nc_views_encode(struct nc_encoder *encoder, const struct nc_model *model,
                    const struct nc_choice_items *items, const char *folder, float *features);

/* scores[option_count] = cosines; choices[count]. */
void nc_choices_decide(const struct nc_choice_items *items, const float *phrase_features,
                       const float *view_features, size_t embedding, float *scores, size_t *choices);

/* A share with its 95% interval, from `resamples` bootstrap samples (percentiles; seed 0). */
struct nc_share {
    size_t n;
    double score, low, high;
};
int nc_share_bootstrap(const bool *right, size_t n, size_t resamples, struct nc_share *share);

#endif
