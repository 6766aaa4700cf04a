/* Cuts a term's rectangle of texts and pictures into calls (grid.h). */
#include "grid.h"

/* Of a text that is true of no picture of a call: its number is that of none. */
static const size_t NOWHERE = (size_t)1 << 40;

static bool is_target(const struct nc_loss_term *term, unsigned k)
{
    int m = nc_term_picture_of(term, k);
    return m >= 0 && nc_term_target_of(term, (unsigned)m) == (int)k;
}

bool nc_term_has_others(const struct nc_loss_term *term)
{
    for (unsigned k = 0; k < term->texts; k++)
        if (nc_term_picture_of(term, k) >= 0 && !is_target(term, k))
            return true;
    return false;
}

/* ---- Runs: what lies side by side --------------------------------------------------------------- */

/* Whether texts `first` to k - 1 and k are one block of rows, in which pairs lie on one diagonal. */
static bool joins(const struct nc_loss_term *term, const struct nc_grid_texts *t, unsigned first,
                  unsigned k)
{
    int begin = nc_term_picture_of(term, first), before = nc_term_picture_of(term, k - 1);
    int own = nc_term_picture_of(term, k);
    if (t->place[k] != t->place[k - 1] + t->count)
        return false;
    if (t->group[k] ? !t->group[k - 1] || t->group[k] != t->group[k - 1] + t->count
                    : t->group[k - 1] != NULL)
        return false;
    if (!t->own)
        return true;
    if (begin < 0)
        return own < 0;
    int there = begin + (int)(k - first); /* the picture on the diagonal */
    if (own < 0)
        return there >= (int)term->pictures;
    return before >= 0 && own == there && is_target(term, k) == is_target(term, first);
}

static unsigned text_run(const struct nc_loss_term *term, const struct nc_grid_texts *t,
                         unsigned first)
{
    unsigned end = first + 1;
    while (end < term->texts && joins(term, t, first, end))
        end++;
    return end;
}

static unsigned picture_run(const struct nc_loss_term *term, const struct nc_grid_pictures *p,
                            unsigned first)
{
    unsigned end = first + 1;
    while (end < term->pictures && p->place[end] == p->place[end - 1] + p->count)
        end++;
    return end;
}

/* ---- Calls -------------------------------------------------------------------------------------- */

static const void *row(const void *rows, size_t at, const struct nc_infonce *n)
{
    return (const char *)rows + at * n->width * nc_type_size(n->type);
}

static struct nc_infonce call_of(const struct nc_loss_term *term, const struct nc_infonce *common,
                                 const struct nc_grid_texts *t, const struct nc_grid_pictures *p,
                                 unsigned k, unsigned texts, unsigned m, unsigned pictures)
{
    struct nc_infonce n = *common;
    size_t at = k * t->count, column = m * p->count;
    int own = t->own ? nc_term_picture_of(term, k) : -1;
    n.captions = texts * t->count;
    n.images = pictures * p->count;
    n.first_caption = own < 0 ? NOWHERE : (size_t)own * p->count;
    n.first_image = column;
    n.text = row(t->rows, t->place[k], &n);
    n.image = row(p->rows, p->place[m], &n);
    n.caption_group = t->group[k];
    n.image_group = t->group[k] ? p->group + p->place[m] : NULL;
    n.caption_weight = t->weight ? t->weight + at : NULL;
    n.image_weight = p->weight ? p->weight + column : NULL;
    n.image_positive = own >= 0 && !is_target(term, k) ? p->elsewhere + column : NULL;
    n.row_max = t->row_max + at;
    n.row_log = t->row_log + at;
    n.positive = t->positive + at;
    n.column_max = p->column_max + column;
    n.column_log = p->column_log + column;
    n.dtext = t->drows ? t->drows + t->place[k] * n.width : NULL;
    if (!t->own || k || m) {
        n.extras = 0;
        n.extra = NULL;
    }
    return n;
}

size_t nc_grid_calls(const struct nc_loss_term *term, const struct nc_infonce *common,
                     const struct nc_grid_texts *t, const struct nc_grid_pictures *p,
                     struct nc_infonce calls[NC_MOST_CALLS])
{
    size_t count = 0;
    if (!t->count || !p->count)
        return 0;
    for (unsigned k = 0, next; k < term->texts; k = next) {
        next = text_run(term, t, k);
        for (unsigned m = 0, end; m < term->pictures; m = end) {
            end = picture_run(term, p, m);
            calls[count++] = call_of(term, common, t, p, k, next - k, m, end - m);
        }
    }
    return count;
}

struct nc_sigmoid nc_grid_sigmoid(const struct nc_infonce *n, bool gradients)
{
    return (struct nc_sigmoid){
        .type = n->type, .captions = n->captions, .images = n->images, .width = n->width,
        .first_caption = n->first_caption, .first_image = n->first_image, .total = n->total,
        .text = n->text, .image = n->image, .logit_scale = n->logit_scale,
        .caption_group = n->caption_group, .image_group = n->image_group,
        .caption_weight = n->caption_weight, .image_weight = n->image_weight, .extras = n->extras,
        .extra = n->extra, .extra_image = n->extra_image, .dtext = gradients ? n->dtext : NULL,
        .dextra = gradients ? n->dextra : NULL,
        .dlogit_scale = gradients ? n->dlogit_scale : NULL};
}

size_t nc_grid_losses(const struct nc_loss_term *term, size_t total, const struct nc_grid_texts *t,
                      const struct nc_grid_pictures *p, float *loss,
                      struct nc_infonce_loss sums[NC_TEXT_ROLES])
{
    size_t count = 0;
    for (unsigned k = 0, next; k < term->texts && t->count; k = next) {
        int own = nc_term_picture_of(term, k);
        unsigned paired = 0; /* texts of the run that are true of a picture: the first ones */
        next = text_run(term, t, k);
        while (k + paired < next && nc_term_picture_of(term, k + paired) >= 0)
            paired++;
        size_t at = k * t->count, column = (size_t)(own < 0 ? 0 : own) * p->count;
        if (paired)
            sums[count++] = (struct nc_infonce_loss){
                .pairs = paired * t->count, .total = total, .row_max = t->row_max + at,
                .row_log = t->row_log + at, .column_max = p->column_max + column,
                .column_log = p->column_log + column, .positive = t->positive + at,
                .caption_weight = t->weight ? t->weight + at : NULL,
                .image_weight = p->weight ? p->weight + column : NULL,
                .image_positive = is_target(term, k) ? NULL : p->elsewhere + column, .loss = loss};
    }
    return count;
}
