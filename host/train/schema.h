/* The keys of a training config in one table, by which they are read, checked and written. */
#ifndef NCLIP_HOST_TRAIN_SCHEMA_H
#define NCLIP_HOST_TRAIN_SCHEMA_H

#include "losses/members.h"
#include "nclip/train/config.h"

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum config_kind {
    CONFIG_COUNT,  /* uint64_t */
    CONFIG_NUMBER, /* double */
    CONFIG_SWITCH, /* bool */
    CONFIG_CHOICE, /* an enum: the index of its string in `choices` */
    CONFIG_LIST,   /* `trainable` */
    CONFIG_COUNTS, /* `sources` */
    CONFIG_LOSS,   /* `loss`: a choice, or a list of terms */
};

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset;              /* in struct nc_config */
    const char *section;        /* heading before this key in a written file, or NULL */
    const char *const *choices; /* ends with NULL */
    double least, most;
    bool not_least, not_most; /* the bound itself is excluded */
    bool of_the_ranks;        /* how a run is computed, not what: may differ on resume */
    const char *before;       /* its value in runs of before there was such a key; or NULL */
};

enum { CONFIG_KEYS = 48 };
extern const struct config_key config_keys[CONFIG_KEYS];

const struct config_key *config_key_find(const char *name); /* NULL: no such key */

/* Writes "PATH line N" for the line of `text` that sets `key`, "PATH" when none does (in a list
 * in one line, say). Returns `where`. */
const char *config_where(const char *path, const char *text, const char *key, char *where,
                         size_t size);

/* NC_BAD_INPUT: "WHERE: no key "lr": did you mean ...? The keys are ..." */
int config_key_unknown(const char *where, const char *name);

/* Stores the value that `text` stands for, checked. `where` names file and line, or the
 * option. A list is given by its elements, separated by commas. Failure is NC_BAD_INPUT. */
int config_key_set(const struct config_key *key, const char *where, const char *text,
                   struct nc_config *config);
int config_key_set_list(const char *where, const char *const *items, size_t count,
                        struct nc_config *config);
int config_key_set_counts(const struct config_key *key, const char *where,
                          const char *const *items, size_t count, struct nc_config *config);
int config_key_set_terms(const char *where, const struct nc_term_layer *terms, unsigned count,
                         struct nc_config *config);

/* One line "name: value". */
void config_key_print(const struct config_key *key, const struct nc_config *config, FILE *out);

/* What one YAML file says: a scalar a key, in the table's order, NULL where it says nothing. */
struct config_layer {
    char *values[CONFIG_KEYS];
    char **list;
    unsigned list_count;
    char **counts; /* of `sources` */
    unsigned counts_count;
    struct nc_term_layer *terms; /* of `loss`, where it is a list */
    unsigned terms_count;
};

/* Reads YAML of `size` bytes through a libcyaml schema made from the table. */
int config_layer_load(const char *path, const char *text, size_t size, struct config_layer **layer);
void config_layer_free(struct config_layer *layer);

#endif
