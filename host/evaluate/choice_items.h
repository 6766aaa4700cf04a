/* The functions by which readers of benchmarks add items to choose from, and the evaluation of
 * those items. The reader adds an item's options first, then the item. */
#ifndef NCLIP_HOST_EVALUATE_CHOICE_ITEMS_H
#define NCLIP_HOST_EVALUATE_CHOICE_ITEMS_H

#include "nclip/evaluate/evaluate.h"
#include "nclip/formats/csv.h"
#include "nclip/formats/json.h"

int choice_items_begin(struct nc_choice_items *items);

/* Hands over `data`, which holds phrases, names or groups: they are not copied. It is released
 * with the items, or at once when this fails. */
int choice_items_keep(struct nc_choice_items *items, void *data, void (*release)(void *));

/* Whether the file holds a table (CSV, TSV) or not (JSON), by its first lines. */
int choice_items_is_table(const char *path, bool *table);

/* A file whose strings are phrases and names: it lives as long as the items. */
int choice_items_load_json(struct nc_choice_items *items, const char *path, cJSON **root);
int choice_items_load_csv(struct nc_choice_items *items, const char *path, struct nc_csv **csv);

/* Adds a phrase, or a picture or a part of one, unless it is there already; *index is its place. */
int choice_items_phrase(struct nc_choice_items *items, const char *text, size_t *index);
int choice_items_view(struct nc_choice_items *items, const char *image, const double *box,
                      size_t *index);

/* Adds an option, the index of a phrase or a view, to the item that choice_items_add() will
 * complete. item.first is items->option_count as it was before the item's first option. */
int choice_items_option(struct nc_choice_items *items, size_t index);
int choice_items_add(struct nc_choice_items *items, const char *where, const char *group,
                     struct nc_choice_item *item); /* sets item.count and item.group */

/* Encodes phrases and pictures, chooses, writes request->items, and fills the result. */
int choice_items_evaluate(const struct nc_choice_items *items, struct nc_evaluator *evaluator,
                          const struct nc_request *request, struct nc_result *result);

/* Writes one line of --items. scores[i] is the score of option options[i], or of option i where
 * `options` is NULL. */
int item_write(struct nc_writer *writer, size_t index, size_t choice, size_t answer,
               const float *scores, const size_t *options, size_t count);

#endif
