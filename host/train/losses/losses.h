/* The terms that a config's loss comes to, and what they need of examples. */
#ifndef NCLIP_HOST_TRAIN_LOSSES_LOSSES_H
#define NCLIP_HOST_TRAIN_LOSSES_LOSSES_H

#include "nclip/ops.h"
#include "nclip/train/config.h"

#include <stdbool.h>
#include <stddef.h>

/* What is computed at once: a term of all texts against all pictures, or all terms in a row that a
 * picture has with its own texts of one role. */
struct nc_loss_part {
    const struct nc_loss_term *grid; /* infonce or sigmoid; NULL: own terms, and these: */
    struct nc_own_weights own;
    unsigned source;  /* whose examples: 0: all */
    int role;         /* of the texts, or NC_NO_ROLE: with none */
    bool by_pictures; /* the mean is over pictures that have such texts, not over the texts */
};

enum { NC_MOST_PARTS = NC_MOST_TERMS + 8 };

struct nc_losses {
    struct nc_loss_term terms[NC_MOST_PARTS];
    size_t term_count;
    struct nc_loss_part parts[NC_MOST_PARTS]; /* in the terms' order */
    size_t part_count;
    unsigned roles;    /* a mask of the texts beside captions that examples bring */
    bool distractors;  /* and whether they bring those */
    /* of the examples of each source, 0 being where there is one alone: the texts without which they
     * are left out, and whether they are without a distractor */
    unsigned needed[NC_MOST_SOURCES + 1];
    bool needs_distractor[NC_MOST_SOURCES + 1];
    size_t texts, pictures; /* roles of the grid that has most */
    bool keeps, projects, has_own, sigmoid; /* some term is keep; alike or unlike; no grid; sigmoid */
};

/* The list that `loss` names or is, with the terms behind it that the keys infonce, choice, hinge_*
 * and preserve stand for. Terms of weight 0 are not there. `losses` must stay where it is. */
void nc_losses_of(const struct nc_config *config, struct nc_losses *losses);

const char *nc_term_name(enum nc_term_kind kind); /* "infonce" */

/* Whether texts of a batch meet its pictures in it, all with all; and whether that takes sums that run
 * over all of them before there is a gradient. */
static inline bool nc_term_is_grid(const struct nc_loss_term *term)
{
    return term->kind == NC_TERM_INFONCE || term->kind == NC_TERM_SIGMOID;
}
static inline bool nc_term_has_sums(const struct nc_loss_term *term)
{
    return term->kind == NC_TERM_INFONCE;
}

/* Whether examples bring texts of the role; captions always. */
static inline bool nc_losses_take(const struct nc_losses *losses, int role)
{
    return role == NC_TEXT_CAPTION || losses->roles >> role & 1;
}

/* "a contradiction and a distractor whose picture is in the store": what an example must have beside
 * its caption. Returns `text`. */
const char *nc_losses_needs(const struct nc_losses *losses, char *text, size_t size);

/* NC_BAD_INPUT where the list cannot be computed. `where` names the config. */
int nc_losses_check(const char *where, const struct nc_config *config);

/* The place among the term's pictures of the one that text k is true of, or -1; the place among its
 * texts of the one that picture m is to choose, or -1. */
int nc_term_picture_of(const struct nc_loss_term *term, unsigned k);
int nc_term_target_of(const struct nc_loss_term *term, unsigned m);

/* For how much the cross-entropies of text k, or of picture m, count: twice their part in the term, as
 * InfoNCE of ops.h halves it. */
float nc_term_row_weight(const struct nc_loss_term *term, unsigned k);
float nc_term_column_weight(const struct nc_loss_term *term, unsigned m);

#endif
