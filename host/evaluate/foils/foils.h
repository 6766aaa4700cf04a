/* One reader a benchmark; each adds the items of one file. */
#ifndef NCLIP_HOST_EVALUATE_FOILS_FOILS_H
#define NCLIP_HOST_EVALUATE_FOILS_FOILS_H

#include "../choice_items.h"

/* A file that was recognised by its keys or columns. JSON: an object of entries (VALSE,
 * SugarCrepe), or CC-Neg's. The file's name without its ending is the group. */
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
