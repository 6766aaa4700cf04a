/* The members of a term in YAML, in one table by which they are read, checked and written. */
#ifndef NCLIP_HOST_TRAIN_LOSSES_MEMBERS_H
#define NCLIP_HOST_TRAIN_LOSSES_MEMBERS_H

#include "nclip/train/terms.h"

#include <cyaml/cyaml.h>
#include <stdio.h>

enum nc_term_member {
    NC_MEMBER_TERM,
    NC_MEMBER_TEXTS,
    NC_MEMBER_PICTURES,
    NC_MEMBER_ROWS,
    NC_MEMBER_COLUMNS,
    NC_MEMBER_HARD,
    NC_MEMBER_LOW,
    NC_MEMBER_HIGH,
    NC_MEMBER_MARGIN,
    NC_MEMBER_WEIGHT,
    NC_MEMBER_SOURCE,
    NC_TERM_MEMBERS
};

/* A member as it was read: a list of strings; none: the term says nothing of it. */
struct nc_member_layer {
    char *value; /* of a member that is no list */
    char **list;
    unsigned list_count;
};

struct nc_term_layer {
    struct nc_member_layer members[NC_TERM_MEMBERS];
};

/* The libcyaml schema of a term. */
struct nc_term_schema {
    cyaml_schema_value_t item, string;
    cyaml_schema_field_t fields[NC_TERM_MEMBERS + 1];
};
void nc_term_make_schema(struct nc_term_schema *schema);

/* `where` names the term: "run.yaml line 3: term 2". Failure is NC_BAD_INPUT. */
int nc_term_read(const char *where, const struct nc_term_layer *layer, struct nc_loss_term *term);

/* NC_BAD_INPUT: "WHERE: a term has no member "text": did you mean texts? ..." */
int nc_term_member_unknown(const char *where, const char *name);

/* Writes "{term: ...}", which reads back as the same term. */
void nc_term_print(const struct nc_loss_term *term, FILE *out);

#endif
