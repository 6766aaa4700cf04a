/* A loss as a list of weighted terms over what examples have by their roles. In YAML:
 *
 *     loss:
 *       - {term: infonce, texts: [caption, contradiction], pictures: [image, distractor]}
 *       - {term: choice, texts: [contradiction], weight: 0.5}
 *
 * With N examples (of `source`, the number of a captions file, where it is named), S = exp(logit_scale),
 * and a mean over all examples of the batch:
 *
 *     infonce        the weighted mean of cross-entropies. A row is a text among all `pictures`, with
 *                    its own one as the target; a column is a picture among all `texts`. `rows` and
 *                    `columns` say for how much each role counts, by default 1 for the first text and
 *                    for each picture. A text is true of its image, a contradiction of the distractor;
 *                    a picture's target is the first of `texts` that is true of it. `hard` is a role
 *                    whose texts are one more negative for their own image alone.
 *     sigmoid        SigLIP's loss over all pairs of `texts` and `pictures`, each a question of its own, with
 *                    the model's logit_bias; `hard` as in infonce
 *     choice         cross-entropy of a picture's choice between its caption and its own `texts`
 *     hinge_picture, hinge_text, hinge_apart, alike, unlike, keep
 *                    between a caption and its own `texts`, or what it was before training: the terms
 *                    picture, text, apart, alike, unlike and keep of ops.h (nc_own_terms)
 *
 * Examples that lack a role which a term's `texts` or `pictures` name in infonce are left out; the
 * other terms are means over those that have the role. */
#ifndef NCLIP_TRAIN_TERMS_H
#define NCLIP_TRAIN_TERMS_H

#include "nclip/captions/set.h"

enum nc_term_kind {
    NC_TERM_INFONCE,
    NC_TERM_SIGMOID,
    NC_TERM_CHOICE,
    NC_TERM_HINGE_PICTURE,
    NC_TERM_HINGE_TEXT,
    NC_TERM_HINGE_APART,
    NC_TERM_ALIKE,
    NC_TERM_UNLIKE,
    NC_TERM_KEEP,
    NC_TERM_KINDS
};

enum nc_picture_role { NC_PICTURE_IMAGE, NC_PICTURE_DISTRACTOR, NC_PICTURE_ROLES };

enum {
    NC_MOST_TERMS = 16, /* of a list */
    NC_MOST_SOURCES = 8,
    NC_NO_ROLE = -1,
};

struct nc_loss_term {
    enum nc_term_kind kind;
    double weight;
    unsigned source; /* whose examples it is over, from 1; 0: all */
    /* texts and pictures by their places in the list, which infonce alone has several of */
    unsigned texts, pictures;
    enum nc_text_role text[NC_TEXT_ROLES];
    enum nc_picture_role picture[NC_PICTURE_ROLES];
    double row[NC_TEXT_ROLES], column[NC_PICTURE_ROLES];
    int hard; /* a text's role, or NC_NO_ROLE */
    double low, high, margin;
};

#endif
