#ifndef NCLIP_HOST_EVALUATE_FOILS_ITEMS_H
#define NCLIP_HOST_EVALUATE_FOILS_ITEMS_H

#include "../choice_items.h"

/* Adds an item of a picture (or the part of it in `box`), its caption and its foils; the caption
 * is option 0. `strict`: right only when the caption scores above all foils. NC_BAD_INPUT names
 * `where`. */
int foils_add(struct nc_choice_items *items, const char *where, const char *group, bool strict,
              const char *image, const double *box, const char *caption, const char *const *foils,
              size_t foil_count);

#endif
