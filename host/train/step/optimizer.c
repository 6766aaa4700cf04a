/* The optimizer over a part of the trained parameters. All parameters share one rate and one decay,
 * but for what a config sets apart: norms and biases may go without decay, and the logit scale and
 * bias may have a rate of their own. Neighbours that are updated alike are updated at once. */
#include "parts.h"

#include "nclip/support/error.h"

bool nc_step_has_moment(const struct nc_config *config, int which)
{
    switch (config->optimizer) {
    case NC_OPTIMIZER_ADAMW:
        return true;
    case NC_OPTIMIZER_RMSPROP:
        return which == 1;
    case NC_OPTIMIZER_SGD:
        return which == 0 && config->momentum != 0;
    }
    return false;
}

/* Neighbouring elements of the text tower's buffer, and how they are updated. */
struct piece {
    size_t first, count;
    bool decays, of_logits, limited;
};

static struct piece piece_of(const struct nc_step *step, const struct nc_parameter *row)
{
    bool scale = row->role == NC_LOGIT_SCALE;
    return (struct piece){.decays = step->config->decay_norms_and_biases || row->rank > 1,
                          .of_logits = scale || row->role == NC_LOGIT_BIAS, .limited = scale};
}

static bool alike(const struct piece *a, const struct piece *b)
{
    return a->decays == b->decays && a->of_logits == b->of_logits && a->limited == b->limited;
}

static int update(const struct nc_step *step, const struct nc_range *range, const struct piece *p)
{
    struct nc_ops *ops = step->ops;
    const struct nc_config *c = step->config;
    size_t moment = range->moment + (p->first - range->offset);
    const struct nc_adamw_pace *pace = p->of_logits ? &step->inputs.pace->logits
                                                    : &step->inputs.pace->others;
    float *parameter = step->master + p->first, *gradient = step->gradient + p->first;
    float *first = step->first ? step->first + moment : NULL;
    float *second = step->second ? step->second + moment : NULL;
    nc_bfloat16 *shadow = step->shadow ? step->shadow + p->first : NULL;
    float limit = p->limited ? (float)c->logit_scale_max : 0, *factor = &step->numbers->factor;
    double decay = p->decays ? c->weight_decay : 0;
    if (!p->count)
        return NC_OK;
    if (c->optimizer == NC_OPTIMIZER_RMSPROP) {
        struct nc_rmsprop rmsprop = {
            .count = p->count, .parameter = parameter, .gradient = gradient, .second = second,
            .shadow = shadow, .alpha = c->rmsprop_alpha, .epsilon = c->epsilon,
            .weight_decay = decay, .learning_rate = &pace->learning_rate,
            .gradient_factor = factor, .limit = limit};
        return ops->rmsprop(ops->backend, &rmsprop);
    }
    if (c->optimizer == NC_OPTIMIZER_SGD) {
        struct nc_sgd sgd = {
            .count = p->count, .parameter = parameter, .gradient = gradient, .first = first,
            .shadow = shadow, .momentum = c->momentum, .weight_decay = decay,
            .learning_rate = &pace->learning_rate, .gradient_factor = factor, .limit = limit};
        return ops->sgd(ops->backend, &sgd);
    }
    struct nc_adamw adamw = {
        .count = p->count, .parameter = parameter, .gradient = gradient, .first = first,
        .second = second, .shadow = shadow, .beta1 = c->beta1, .beta2 = c->beta2,
        .epsilon = c->epsilon, .weight_decay = decay, .pace = pace, .gradient_factor = factor,
        .limit = limit};
    return ops->adamw(ops->backend, &adamw);
}

int nc_step_optimize(const struct nc_step *step, const struct nc_range *range)
{
    const struct nc_parameter_table *table = step->table;
    size_t last = range->offset + range->count;
    struct piece open = {0};
    int status = NC_OK;
    for (size_t i = 0; i < table->count && status == NC_OK; i++) {
        const struct nc_parameter *row = &table->rows[i];
        size_t from = row->offset > range->offset ? row->offset : range->offset;
        size_t to = row->offset + row->count < last ? row->offset + row->count : last;
        if (row->tower != NC_TOWER_TEXT || !step->trainable[i] || from >= to)
            continue;
        struct piece piece = piece_of(step, row);
        if (!open.count || !alike(&open, &piece)) {
            status = update(step, range, &open);
            open = piece;
            open.first = from;
        }
        open.count = to - open.first; /* padding between neighbours is 0, and stays */
    }
    return status == NC_OK ? update(step, range, &open) : status;
}
