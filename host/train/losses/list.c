/* Puts the list of a loss together: what `loss` names, or lists itself, then the terms that keys of
 * their own stand for. */
#include "losses.h"

#include "nclip/support/error.h"

#include <stdio.h>

/* ---- What stands where ------------------------------------------------------------------------ */

int nc_term_picture_of(const struct nc_loss_term *term, unsigned k)
{
    static const int wanted[NC_TEXT_ROLES] = {
        [NC_TEXT_CAPTION] = NC_PICTURE_IMAGE,          [NC_TEXT_ABSENCE] = NC_PICTURE_IMAGE,
        [NC_TEXT_PARAPHRASE] = NC_PICTURE_IMAGE,       [NC_TEXT_CHOICES] = -1,
        [NC_TEXT_CONTRADICTION] = NC_PICTURE_DISTRACTOR};
    for (unsigned m = 0; m < term->pictures; m++)
        if ((int)term->picture[m] == wanted[term->text[k]])
            return (int)m;
    return -1;
}

int nc_term_target_of(const struct nc_loss_term *term, unsigned m)
{
    for (unsigned k = 0; k < term->texts; k++)
        if (nc_term_picture_of(term, k) == (int)m)
            return (int)k;
    return -1;
}

static double parts_of(const struct nc_loss_term *term)
{
    double sum = 0;
    for (unsigned k = 0; k < term->texts; k++)
        sum += term->row[k];
    for (unsigned m = 0; m < term->pictures; m++)
        sum += term->column[m];
    return sum;
}

float nc_term_row_weight(const struct nc_loss_term *term, unsigned k)
{
    if (term->kind == NC_TERM_SIGMOID)
        return 1;
    return (float)term->weight * (float)(2 * term->row[k] / parts_of(term));
}

float nc_term_column_weight(const struct nc_loss_term *term, unsigned m)
{
    if (term->kind == NC_TERM_SIGMOID)
        return (float)term->weight;
    return (float)term->weight * (float)(2 * term->column[m] / parts_of(term));
}

/* ---- The list --------------------------------------------------------------------------------- */

static void add(struct nc_losses *l, const struct nc_loss_term *term)
{
    if (term->weight != 0 && l->term_count < NC_MOST_PARTS)
        l->terms[l->term_count++] = *term;
}

static void add_own(struct nc_losses *l, enum nc_term_kind kind, double weight, double low,
                    double high)
{
    const struct nc_loss_term term = {.kind = kind, .weight = weight, .hard = NC_NO_ROLE,
                                      .texts = kind != NC_TERM_KEEP,
                                      .text = {NC_TEXT_CONTRADICTION}, .low = low, .high = high,
                                      .margin = low};
    add(l, &term);
}

static void add_terms(struct nc_losses *l, const struct nc_config *c)
{
    const bool two = c->loss == NC_LOSS_CON_CLIP;
    const struct nc_loss_term named = {
        .kind = NC_TERM_INFONCE, .weight = c->infonce, .texts = two ? 2 : 1,
        .text = {NC_TEXT_CAPTION, NC_TEXT_CONTRADICTION}, .row = {1}, .pictures = two ? 2 : 1,
        .picture = {NC_PICTURE_IMAGE, NC_PICTURE_DISTRACTOR}, .column = {1, 1},
        .hard = !two && c->contradictions && c->hard_negatives ? NC_TEXT_CONTRADICTION
                                                               : NC_NO_ROLE};
    for (unsigned i = 0; i < c->term_count; i++)
        add(l, &c->terms[i]);
    if (!c->term_count)
        add(l, &named);
    add_own(l, NC_TERM_CHOICE, c->choice, 0, 0);
    add_own(l, NC_TERM_HINGE_PICTURE, c->hinge_picture, c->hinge_picture_low,
            c->hinge_picture_high);
    add_own(l, NC_TERM_HINGE_TEXT, c->hinge_text, c->hinge_text_low, c->hinge_text_high);
    add_own(l, NC_TERM_HINGE_APART, c->hinge_apart, c->hinge_apart_margin, 0);
    add_own(l, NC_TERM_KEEP, c->preserve, 0, 0);
}

/* The weight of a term among those of a call, which has one of each kind. */
static float *slot(struct nc_own_weights *own, enum nc_term_kind kind)
{
    return kind == NC_TERM_CHOICE          ? &own->choice
           : kind == NC_TERM_HINGE_PICTURE ? &own->picture
           : kind == NC_TERM_HINGE_TEXT    ? &own->text
           : kind == NC_TERM_HINGE_APART   ? &own->apart
           : kind == NC_TERM_ALIKE         ? &own->alike
           : kind == NC_TERM_UNLIKE        ? &own->unlike
                                           : &own->keep;
}

static void set_own(struct nc_own_weights *own, const struct nc_loss_term *term)
{
    *slot(own, term->kind) = (float)term->weight;
    if (term->kind == NC_TERM_HINGE_PICTURE) {
        own->picture_low = (float)term->low;
        own->picture_high = (float)term->high;
    } else if (term->kind == NC_TERM_HINGE_TEXT) {
        own->text_low = (float)term->low;
        own->text_high = (float)term->high;
    } else if (term->kind == NC_TERM_HINGE_APART) {
        own->apart_margin = (float)term->margin;
    }
}

/* Neighbours over texts of one role are one call. */
static void add_part(struct nc_losses *l, const struct nc_loss_term *term)
{
    struct nc_loss_part *last = l->part_count ? &l->parts[l->part_count - 1] : NULL;
    int role = term->texts ? (int)term->text[0] : NC_NO_ROLE;
    bool by_pictures = role == NC_TEXT_CHOICES && term->kind == NC_TERM_CHOICE;
    bool keep = term->kind == NC_TERM_KEEP || (last && last->own.keep != 0);
    bool joins = last && !last->grid && *slot(&last->own, term->kind) == 0 &&
                 last->source == term->source && (!keep || !term->source) &&
                 (role == NC_NO_ROLE || last->role == NC_NO_ROLE ||
                  (last->role == role && last->by_pictures == by_pictures));
    if (nc_term_is_grid(term)) {
        l->parts[l->part_count++] = (struct nc_loss_part){.grid = term, .source = term->source,
                                                           .role = NC_NO_ROLE};
        return;
    }
    if (!joins) {
        last = &l->parts[l->part_count++];
        *last = (struct nc_loss_part){.source = term->source, .role = NC_NO_ROLE};
    }
    if (role != NC_NO_ROLE) {
        last->role = role;
        last->by_pictures = by_pictures;
    }
    set_own(&last->own, term);
}

static void need(struct nc_losses *l, const struct nc_loss_term *term)
{
    for (unsigned k = 0; k < term->texts; k++)
        l->roles |= 1u << term->text[k];
    if (!nc_term_is_grid(term)) {
        l->has_own = true;
        l->keeps = l->keeps || term->kind == NC_TERM_KEEP;
        l->projects = l->projects || term->kind == NC_TERM_ALIKE || term->kind == NC_TERM_UNLIKE;
        return;
    }
    for (unsigned s = 0; s <= NC_MOST_SOURCES; s++)
        for (unsigned k = 0; k < term->texts && (!term->source || term->source == s); k++)
            l->needed[s] |= 1u << term->text[k] & ~(1u << NC_TEXT_CAPTION);
    if (term->hard != NC_NO_ROLE)
        l->roles |= 1u << term->hard;
    for (unsigned s = 0; s <= NC_MOST_SOURCES; s++)
        for (unsigned m = 0; m < term->pictures && (!term->source || term->source == s); m++)
            if (term->picture[m] == NC_PICTURE_DISTRACTOR)
                l->distractors = l->needs_distractor[s] = true;
    l->sigmoid = l->sigmoid || term->kind == NC_TERM_SIGMOID;
    l->texts = term->texts > l->texts ? term->texts : l->texts;
    l->pictures = term->pictures > l->pictures ? term->pictures : l->pictures;
}

void nc_losses_of(const struct nc_config *config, struct nc_losses *l)
{
    *l = (struct nc_losses){.texts = 1, .pictures = 1};
    add_terms(l, config);
    for (size_t i = 0; i < l->term_count; i++) {
        add_part(l, &l->terms[i]);
        need(l, &l->terms[i]);
    }
    /* A loss that is named brings the contradictions there are, whether a term takes them or not. */
    if (!config->term_count && config->contradictions)
        l->roles |= 1u << NC_TEXT_CONTRADICTION;
    l->roles &= ~(1u << NC_TEXT_CAPTION);
}

const char *nc_losses_needs(const struct nc_losses *l, char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int role = NC_TEXT_CAPTION + 1; role <= NC_TEXT_ROLES && used < size; role++) {
        bool picture = role == NC_TEXT_ROLES;
        bool needed = false;
        for (unsigned s = 0; s <= NC_MOST_SOURCES; s++)
            needed = needed || (picture ? l->needs_distractor[s] : l->needed[s] >> role & 1);
        if (!needed)
            continue;
        const char *name = picture ? "distractor whose picture is in the store"
                                   : nc_text_role_name((enum nc_text_role)role);
        int length = snprintf(text + used, size - used, "%s%s %s", used ? " and " : "",
                              *name == 'a' ? "an" : "a", name);
        used += length < 0 ? 0 : (size_t)length;
    }
    return text;
}

/* ---- What cannot be ----------------------------------------------------------------------------- */

static int check_grid(const char *where, const struct nc_loss_term *term)
{
    const char *name = nc_term_name(term->kind);
    if (term->kind == NC_TERM_INFONCE && !(parts_of(term) > 0))
        return nc_error(NC_BAD_INPUT, "%s: rows and columns of an infonce term are all 0", where);
    for (unsigned k = 0; k < term->texts; k++) {
        const char *role = nc_text_role_name(term->text[k]);
        if (term->text[k] == NC_TEXT_CHOICES)
            return nc_error(NC_BAD_INPUT,
                            "%s: %s takes one text of a role, and choices are several: name "
                            "them in hard, or in a term choice", where, name);
        if (term->row[k] != 0 && nc_term_picture_of(term, k) < 0)
            return nc_error(NC_BAD_INPUT,
                            "%s: rows counts each %s, and none of pictures is one that it is true "
                            "of: set its number to 0", where, role);
    }
    for (unsigned m = 0; m < term->pictures; m++)
        if (term->column[m] != 0 && nc_term_target_of(term, m) < 0)
            return nc_error(NC_BAD_INPUT,
                            "%s: columns counts picture %u, and none of texts is true of it: set "
                            "its number to 0, or add the text", where, m + 1);
    if (term->hard != NC_NO_ROLE && term->picture[0] != NC_PICTURE_IMAGE)
        return nc_error(NC_BAD_INPUT, "%s: hard is of images: name image first in pictures", where);
    if (term->hard == NC_TEXT_CAPTION)
        return nc_error(NC_BAD_INPUT, "%s: hard names caption, which is true of its image", where);
    return NC_OK;
}

static int check_term(const char *where, const struct nc_loss_term *term)
{
    static const char *const keys[NC_TERM_KINDS] = {
        [NC_TERM_HINGE_PICTURE] = "hinge_picture", [NC_TERM_HINGE_TEXT] = "hinge_text"};
    if (nc_term_is_grid(term))
        return check_grid(where, term);
    const char *name = nc_term_name(term->kind);
    if (term->texts && (term->texts > 1 || term->text[0] == NC_TEXT_CAPTION))
        return nc_error(NC_BAD_INPUT,
                        "%s: %s is between a caption and texts of one other role, as texts: "
                        "[contradiction]", where, name);
    if (keys[term->kind] && term->low > term->high)
        return nc_error(NC_BAD_INPUT, "%s: %s_low is above %s_high: it must be at most that", where,
                        name, name);
    return NC_OK;
}

int nc_losses_check(const char *where, const struct nc_config *config)
{
    struct nc_losses l;
    int status = NC_OK;
    if (config->term_count && config->infonce != 1)
        return nc_error(NC_BAD_INPUT,
                        "%s: infonce is the weight of a loss that is named, and loss is a list: set "
                        "weight in its terms", where);
    uint64_t drawn = 0;
    for (unsigned i = 0; i < config->source_count; i++)
        drawn += config->sources[i];
    if (config->source_count && drawn != config->batch_size)
        return nc_error(NC_BAD_INPUT, "%s: sources draws %llu examples, and batch_size is %llu: it must be "
                        "their sum", where, (unsigned long long)drawn,
                        (unsigned long long)config->batch_size);
    nc_losses_of(config, &l);
    if (!l.term_count)
        return nc_error(NC_BAD_INPUT, "%s: the loss has no term of a weight above 0", where);
    for (size_t i = 0; i < l.term_count && status == NC_OK; i++) {
        const struct nc_loss_term *term = &l.terms[i];
        bool denied = term->hard == NC_TEXT_CONTRADICTION;
        for (unsigned k = 0; k < term->texts; k++)
            denied = denied || term->text[k] == NC_TEXT_CONTRADICTION;
        if (denied && !config->contradictions)
            status = nc_error(NC_BAD_INPUT,
                              "%s: %s is made of contradictions: set contradictions to true", where,
                              config->loss == NC_LOSS_CON_CLIP ? "loss con_clip"
                                                               : nc_term_name(term->kind));
        if (status == NC_OK && term->source > config->source_count)
            status = nc_error(NC_BAD_INPUT, "%s: %s is over source %u, and sources draws from %u", where,
                              nc_term_name(term->kind), term->source, config->source_count);
        if (status == NC_OK && term->source && term->hard != NC_NO_ROLE)
            status = nc_error(NC_BAD_INPUT, "%s: hard goes with examples of all sources: leave source "
                              "out, or give the texts a term choice", where);
        if (status == NC_OK)
            status = check_term(where, term);
    }
    return status;
}
