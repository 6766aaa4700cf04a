/* Several models side by side over a suite of benchmarks.
 *
 * A suite is a JSON file (configs/benchmarks.json is built in):
 *
 *     {"paper": {"title": "...", "models": ["CLIP", ...]},
 *      "benchmarks": [{"name": "NegRefCOCOg", "benchmark": "negrefcocog", "annotations": "...",
 *                      "images": "...", "embeddings": "...", "classes": "...", "templates": "...",
 *                      "prompts": "...", "split": "...", "paper": [57.27, null, ...]}, ...]}
 *
 * Paths are relative to a data folder. A benchmark whose files are not there is passed over.
 */
#ifndef NCLIP_EVALUATE_COMPARISON_H
#define NCLIP_EVALUATE_COMPARISON_H

#include "nclip/evaluate/evaluate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct nc_suite_entry {
    const char *name;
    const struct nc_benchmark *benchmark;
    struct nc_request request; /* paths below the data folder */
    const char *embeddings;    /* or NULL */
    double *paper;             /* [paper_count] per cent; NaN: not told */
    const char *missing;       /* the first path that is not there; NULL: all are */
};

struct nc_suite {
    const char *paper_title;
    const char **paper_models;
    size_t paper_count;
    struct nc_suite_entry *entries;
    size_t entry_count;
    void *owned;
};

/* `path` NULL: the one that is built in. NC_BAD_INPUT names the file and the benchmark. */
int nc_suite_load(const char *path, const char *data, struct nc_suite *suite);
void nc_suite_free(struct nc_suite *suite); /* {0} is allowed */

struct nc_comparison_model {
    const char *name, *folder;
};

struct nc_comparison {
    const struct nc_suite *suite;
    const struct nc_comparison_model *models;
    size_t model_count;
    struct nc_result *results;  /* [entries, models]; n = 0: not evaluated */
    struct nc_samples *samples; /* [entries] */
};

/* Evaluates every model on every benchmark that is there; each picture is encoded once for models
 * that share a vision tower. `options` tells device and precision. `suite` and `models` must
 * outlive it; nc_comparison_free() also when it fails. NC_BAD_INPUT when no benchmark is there,
 * naming where the first was looked for. */
int nc_comparison_run(const struct nc_suite *suite, const struct nc_comparison_model *models,
                      size_t model_count, const struct nc_evaluator_options *options,
                      struct nc_comparison *comparison);
void nc_comparison_free(struct nc_comparison *comparison); /* {0} is allowed */

/* One table; or one JSON object, "models": [...], "benchmarks": [{"name", "benchmark", "scores":
 * {model: {"score", "n", "interval"}}, "paper": {model: score}}], scores as fractions of 1. */
int nc_comparison_print(const struct nc_comparison *comparison, bool json, FILE *out);

/* One page that needs no other file. */
int nc_comparison_write(const struct nc_comparison *comparison, const char *title,
                        const char *path);

#endif
