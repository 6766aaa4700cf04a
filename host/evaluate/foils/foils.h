/* The readers of foil benchmarks, one file each: foils_is_X() recognises a file by its keys or
 * columns, foils_read_X() adds its items. */
#ifndef NCLIP_HOST_EVALUATE_FOILS_FOILS_H
#define NCLIP_HOST_EVALUATE_FOILS_FOILS_H

#include "../choice_items.h"

/* A file while it is read: JSON or CSV. `piece` is its name without the ending, which becomes the
 * group of its items. */
struct foils_file {
    const char *path, *piece;
    cJSON *root; /* one of them */
    struct nc_csv *csv;
};

bool foils_is_valse(const struct foils_file *file);
int foils_read_valse(const struct foils_file *file, struct nc_choice_items *items);

bool foils_is_sugarcrepe(const struct foils_file *file);
int foils_read_sugarcrepe(const struct foils_file *file, struct nc_choice_items *items);

bool foils_is_ccneg(const struct foils_file *file);
int foils_read_ccneg(const struct foils_file *file, struct nc_choice_items *items);

bool foils_is_crepe(const struct foils_file *file);
int foils_read_crepe(const struct foils_file *file, struct nc_choice_items *items);

bool foils_is_negbench(const struct foils_file *file);
int foils_read_negbench(const struct foils_file *file, struct nc_choice_items *items);

#endif
