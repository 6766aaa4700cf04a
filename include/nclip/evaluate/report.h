/* The report of a run: one HTML file that needs no other, and the scores before and after training
 * as numbers.
 *
 * The items are those of `nclip evaluate choices`. The name of a group may name a part behind a
 * slash: "negation/held-out pair" counts for "negation" too. The choices come from the
 * evaluation's --items file, a line each: {"index": 0, "choice": 2, "scores": [...]}. */
#ifndef NCLIP_EVALUATE_REPORT_H
#define NCLIP_EVALUATE_REPORT_H

#include "nclip/evaluate/evaluate.h"

#include <stddef.h>
#include <stdio.h>

enum { NC_REPORT_NAME = 128 };

struct nc_report_group {
    char name[NC_REPORT_NAME];   /* "negation": all of it; "" for items without a group */
    char part[NC_REPORT_NAME];   /* "": the whole; "held-out pair"; "rest": what has no slash */
    size_t items, before, after; /* how many, and how many were right */
};

struct nc_report_scores {
    struct nc_choice_items items;
    size_t *before, *after; /* [items.count] what was chosen */
    /* Wholes in order of appearance, each followed by its parts (none when it has only one). */
    struct nc_report_group *groups;
    size_t group_count;
};

/* NC_BAD_INPUT names the file and the item or the line. Every item must have been answered once. */
int nc_report_scores_load(const char *items, const char *before, const char *after,
                          struct nc_report_scores *scores);
void nc_report_scores_free(struct nc_report_scores *scores); /* {0} is allowed */

/* A table for people. */
void nc_report_scores_print(const struct nc_report_scores *scores, FILE *out);

/* One JSON object: "negation_before", "negation_after" and so on as fractions of 1, "seconds" when
 * it is not negative, and "groups": {"negation/held-out pair": {"n", "before", "after"}}. */
int nc_report_scores_write(const struct nc_report_scores *scores, double seconds, const char *path);

struct nc_report_options {
    const char *run;    /* run folder: metrics.jsonl, and config.yaml where there is one */
    const char *images; /* folder of the items' pictures; not read without scores */
    const char *title;
    double seconds; /* negative: not told */
};

/* `scores` may be NULL. A picture that cannot be read is shown as missing. */
int nc_report_write(const struct nc_report_options *options, const struct nc_report_scores *scores,
                    const char *path);

#endif
