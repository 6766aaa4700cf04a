/* Evaluation: a model's numbers on published benchmarks, each as its paper defines it.
 *
 * A benchmark (host/evaluate/, one file each, with its definition and source) reads its own
 * published files from a local folder, lets an evaluator embed what they name, and fills a result:
 * one score, its parts, and 95% intervals by the bootstrap. What people evaluate may be a subset:
 * a file that differs from the published one is a warning that says what was expected.
 */
#ifndef NCLIP_EVALUATE_EVALUATE_H
#define NCLIP_EVALUATE_EVALUATE_H

#include "nclip/checkpoints/folder.h"
#include "nclip/evaluate/composition.h"
#include "nclip/ops.h"
#include "nclip/support/files.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Scores ---------------------------------------------------------------------------------- */

/* A share, or a mean of shares, with its 95% interval. */
struct nc_share {
    size_t n; /* items */
    double score, low, high;
};

enum { NC_RESAMPLES = 1000 };

/* From `resamples` bootstrap samples of the items (percentiles; seed 0). */
int nc_share_bootstrap(const bool *right, size_t n, size_t resamples, struct nc_share *share);

/* The mean over groups of the share in each; groups without items do not count. group[n] is below
 * `groups`. Items are drawn within their group. */
int nc_mean_bootstrap(const bool *right, const size_t *group, size_t n, size_t groups,
                      size_t resamples, struct nc_share *share);

/* sum(hits) / sum(items) over clusters, such as the captions of one picture, which are drawn
 * whole. share.n is the number of items. */
int nc_cluster_bootstrap(const size_t *hits, const size_t *items, size_t clusters, size_t resamples,
                         struct nc_share *share);

/* The bootstrap's random numbers (SplitMix64): the interval must not change from run to run. */
size_t nc_bootstrap_draw(uint64_t *state, size_t n); /* 0 .. n - 1; *state is 0 at first */
/* The percentiles of scores[resamples], which are sorted by it. */
void nc_bootstrap_interval(double *scores, size_t resamples, struct nc_share *share);

struct nc_part {
    char *name; /* owned */
    struct nc_share share;
};

struct nc_result {
    const char *benchmark, *definition; /* static; what the score is, and what equals count */
    struct nc_share score;
    struct nc_part *parts;
    size_t part_count;
    bool skipped;                /* pictures that cannot be read are passed over */
    size_t unreadable, left_out; /* such pictures, and the items that need one */
    enum nc_method method; /* by which texts were encoded; NC_METHOD_PLAIN: nothing is said of it */
    size_t texts, composed; /* of the texts, how many had a denied part */
};

int nc_result_add(struct nc_result *result, const char *name, const struct nc_share *share);
void nc_result_free(struct nc_result *result); /* {0} is allowed */
/* A table with the definition beneath, or one object with "benchmark", "score", "n", "interval",
 * "definition" and, where there are parts, "groups": {name: {"score", "n", "interval"}}; where
 * unreadable pictures are passed over, "unreadable" and "left_out"; where a method composed the texts,
 * "method": {"name", "texts", "composed"}. */
int nc_result_print(const struct nc_result *result, bool json, FILE *out);

/* ---- What is evaluated ----------------------------------------------------------------------- */

/* A picture, or a part of one. */
struct nc_view {
    size_t image; /* index into images */
    bool has_box;
    double box[4]; /* x, y, width, height in pixels */
};

struct nc_views {
    struct nc_view *items; /* each once */
    size_t count;
    const char **images; /* names, each once */
    size_t image_count;
};

/* A model ready to embed what a benchmark names. The vision tower is loaded when a picture must
 * be encoded. */
struct nc_evaluator_options {
    const char *model;      /* folder */
    const char *embeddings; /* a store of the pictures, made by the model's vision tower; or NULL */
    const char *device;
    size_t device_number;
    enum nc_type precision;
    const char *transparency; /* of nc_transparency_names; NULL: as the model has it */
    bool strict;              /* damaged pictures are refused, also those that PIL reads */
    bool skip_unreadable;     /* pictures that cannot be read are passed over */
};
struct nc_evaluator;
int nc_evaluator_open(const struct nc_evaluator_options *options, struct nc_evaluator **evaluator);
void nc_evaluator_close(struct nc_evaluator *evaluator); /* NULL is allowed */
const struct nc_evaluator_options *nc_evaluator_options(const struct nc_evaluator *evaluator);
size_t nc_evaluator_embedding(const struct nc_evaluator *evaluator);
struct nc_ops *nc_evaluator_ops(struct nc_evaluator *evaluator);

/* features[count, embedding], L2-normalised. */
int nc_evaluator_texts(struct nc_evaluator *evaluator, const char *const *texts, size_t count,
                       float *features);

/* features[views->count, embedding], L2-normalised: whole pictures from the store where there is
 * one (the key is the name), everything else from the picture files in `folder`; a picture is
 * decoded once for all its boxes. Where a name is not found, its end behind a slash is tried: files
 * name pictures by paths on their makers' machines. Nothing outside `folder` is read: a name with
 * ".." in it is NC_BAD_INPUT. So is a missing or broken picture, as leaving it out changes the score;
 * where the options say that such are passed over, missing[views->count] tells which views are of
 * them (features: zeros), unless nothing could be read. */
int nc_evaluator_views(struct nc_evaluator *evaluator, const struct nc_views *views,
                       const char *folder, float *features, bool *missing);

/* Pictures that were passed over, and damaged ones: how many, and on standard error which. */
size_t nc_evaluator_unreadable(const struct nc_evaluator *evaluator);
void nc_evaluator_tell(const struct nc_evaluator *evaluator);

/* Names of all pictures: the store's keys, or without a store those below `folder`. The strings
 * are valid until the evaluator is closed; the caller frees the array. */
int nc_evaluator_pictures(struct nc_evaluator *evaluator, const char *folder, const char ***names,
                          size_t *count);

/* Another evaluator's features of the same views are taken over when its vision tower is equal:
 * several models are compared on pictures that are encoded once. `slot` names the views. Either may
 * be closed first. */
struct nc_picture_cache;
int nc_picture_cache_create(struct nc_picture_cache **cache);
void nc_picture_cache_destroy(struct nc_picture_cache *cache); /* NULL is allowed */
void nc_evaluator_use_cache(struct nc_evaluator *evaluator, struct nc_picture_cache *cache,
                            size_t slot);

/* ---- Benchmarks ------------------------------------------------------------------------------ */

struct nc_request {
    const char *annotations;           /* the benchmark's file, or a folder of them */
    const char *images;                /* folder; NULL with a store */
    const char *classes, *templates;   /* zeroshot: files; NULL: the folders' names, CLIP's 80 */
    const char *prompts;               /* attributes: a file; NULL: configs/celeba.txt */
    const char *split;                 /* retrieval, attributes; NULL: "test" */
    struct nc_composition composition; /* of benchmarks that compose; {0}: plain */
    struct nc_writer *items;           /* one JSON object a line; or NULL */
    struct nc_samples *samples;        /* filled with some of the items; or NULL */
};

struct nc_benchmark {
    const char *name, *definition;
    bool annotations;             /* it needs them */
    bool composes;                /* its captions' features may be composed of their parts */
    const char *annotations_help; /* which files those are */
    int (*run)(const struct nc_benchmark *, struct nc_evaluator *, const struct nc_request *,
               struct nc_result *);
};
extern const struct nc_benchmark *const nc_benchmarks[]; /* ends with NULL */

/* An unknown name is NC_USAGE and lists the names there are. */
int nc_benchmark_find(const char *name, const struct nc_benchmark **benchmark);

/* Fills *result, which the caller frees also when it fails. */
int nc_benchmark_run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
                     const struct nc_request *request, struct nc_result *result);

/* ---- Choosing one of several ----------------------------------------------------------------- */

/* One phrase and several pictures (or boxes of one picture), or one picture and several phrases;
 * one of them is right. The choice is the highest cosine. */
struct nc_choice_item {
    bool phrases_vary;   /* one picture, several phrases; else one phrase, several pictures */
    bool strict;         /* right only when above all others; else the first of equals is chosen */
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
    struct nc_views views;
    const char **groups; /* groups[0] is "" */
    size_t group_count;
    bool mean_over_groups;  /* the score is the mean of the groups' shares, not the share of all */
    const char *definition; /* static; of the score, where the benchmark's own says less; or NULL */
    void *owned;
};

/* A JSON array of items of any of these forms; "-" is standard input:
 *
 *     {"phrase": "...", "images": ["a.png", "b.png"], "answer": 1}
 *     {"phrase": "...", "image": "a.jpg", "boxes": [[x, y, width, height], ...], "answer": 0}
 *     {"image": "a.jpg", "phrases": ["...", "..."], "answer": 0}
 *     {"image": "a.jpg", "phrase": "...", "bbox_list": [[...], ...], "ref_bbox": [...]} NegRefCOCOg
 *
 * "group" (a string, optional) makes a line of its own in the result. NC_BAD_INPUT names the file,
 * the item's index and what is wrong with it. */
int nc_choice_items_load(const char *path, struct nc_choice_items *items);

/* Caption against foil(s): VALSE, SugarCrepe, CREPE, CC-Neg, NegBench; see
 * host/evaluate/foils/foils.c. */
int nc_foils_load(const char *path, struct nc_choice_items *items);

void nc_choice_items_free(struct nc_choice_items *items);

/* scores[option_count] = cosines; choices[count]. */
void nc_choices_decide(const struct nc_choice_items *items, const float *phrase_features,
                       const float *view_features, size_t embedding, float *scores,
                       size_t *choices);

/* ---- Building NegRefCOCOg ------------------------------------------------------------------ */

struct nc_negrefcocog_options {
    const char *refs, *instances; /* files */
    const char *out;
    double margin; /* pixels by which boxes are enlarged on every side, within the picture */
};

struct nc_negrefcocog_counts {
    size_t expressions, negated, items, pictures;
    size_t word_not, word_no, word_without; /* how often each stands in the items */
};

/* See host/evaluate/negrefcocog_build.c. NC_BAD_INPUT names the file and the entry. */
int nc_negrefcocog_build(const struct nc_negrefcocog_options *options,
                         struct nc_negrefcocog_counts *counts);

#endif
