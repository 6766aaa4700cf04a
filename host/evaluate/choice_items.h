/* Putting together items to choose from. */
#ifndef NCLIP_HOST_EVALUATE_CHOICE_ITEMS_H
#define NCLIP_HOST_EVALUATE_CHOICE_ITEMS_H

#include "nclip/evaluate/evaluate.h"
#include "nclip/formats/csv.h"
#include "nclip/formats/json.h"

int choice_items_begin(struct nc_choice_items *items);

/* Phrases, names and groups are not copied: `data` holds them, and is released with the items (at
 * once when this fails). */
int choice_items_keep(struct nc_choice_items *items, void *data, void (*release)(void *));

/* Whether the file holds a table (CSV, TSV) or not (JSON), by its first lines. */
int choice_items_is_table(const char *path, bool *table);

/* A file whose strings are phrases and names: it lives as long as the items. */
int choice_items_load_json(struct nc_choice_items *items, const char *path, cJSON **root);
int choice_items_load_csv(struct nc_choice_items *items, const char *path, struct nc_csv **csv);

/* Each is kept once; *index is where. */
int choice_items_phrase(struct nc_choice_items *items, const char *text, size_t *index);
int choice_items_view(struct nc_choice_items *items, const char *image, const double *box,
                      size_t *index);

/* One more option of the item that choice_items_add() will end: items->option_count, when its
 * first option was added, is item.first. */
int choice_items_option(struct nc_choice_items *items, size_t index);
int choice_items_add(struct nc_choice_items *items, const char *where, const char *group,
                     struct nc_choice_item *item); /* sets item.count and item.group */

/* Encodes, decides, writes request->items, and fills the result. */
int choice_items_evaluate(const struct nc_choice_items *items, struct nc_evaluator *evaluator,
                          const struct nc_request *request, struct nc_result *result);

/* One line of --items. `options` numbers the scores; NULL: they are of options 0, 1, ... */
int item_write(struct nc_writer *writer, size_t index, size_t choice, size_t answer,
               const float *scores, const size_t *options, size_t count);

#endif
