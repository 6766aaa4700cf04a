/* The gradient's norm, clipping, the optimizer; and what to say when a number is none. */
#include "step_parts.h"

#include "nclip/error.h"

#include <math.h>

static int clip(struct nc_step *step)
{
    struct nc_ops *ops = step->ops;
    double *sum = &step->numbers->squared_norm;
    int status = ops->zero(ops->backend, sum, sizeof *sum);
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++)
        status = ops->squared_norm(ops->backend, step->gradient + step->ranges[i].offset,
                                   step->ranges[i].count, sum);
    struct nc_clipping clip = {.squared_norm = sum, .limit = step->config->gradient_clip,
                           .factor = &step->numbers->factor};
    return status == NC_OK ? ops->clip(ops->backend, &clip) : status;
}

static int update(struct nc_step *step, void *context)
{
    (void)context;
    struct nc_ops *ops = step->ops;
    const struct nc_config *config = step->config;
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    int status = clip(step);
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++) {
        const struct nc_range *range = &step->ranges[i];
        struct nc_adamw adamw = {
            .count = range->count, .parameter = step->master + range->offset,
            .gradient = step->gradient + range->offset, .first = step->first + range->moment,
            .second = step->second + range->moment,
            .shadow = step->shadow ? step->shadow + range->offset : NULL, .beta1 = config->beta1,
            .beta2 = config->beta2, .epsilon = config->epsilon,
            .weight_decay = config->weight_decay, .pace = step->inputs.pace,
            .gradient_factor = &step->numbers->factor,
            .limit = range->logit_scale ? (float)config->logit_scale_max : 0};
        status = ops->adamw(ops->backend, &adamw);
    }
    return status == NC_OK ? ops->copy(ops->backend, &step->numbers->logit_scale,
                                       step->master + scale, sizeof(float))
                           : status;
}

int nc_step_update(struct nc_step *step)
{
    struct nc_part_key key = {.part = NC_PART_UPDATE};
    return nc_step_record(step, &key, update, NULL);
}

static int squared_norm(struct nc_step *step, const float *data, size_t count, double *value)
{
    struct nc_ops *ops = step->ops;
    double *sum = &step->numbers->squared_norm;
    int status = ops->zero(ops->backend, sum, sizeof *sum);
    if (status == NC_OK)
        status = ops->squared_norm(ops->backend, data, count, sum);
    return status == NC_OK ? ops->download(ops->backend, value, sum, sizeof *value) : status;
}

/* Something is not a number: names the first tensor that shows it. */
int nc_step_not_finite(struct nc_step *step, uint64_t number, const char *what, size_t pairs)
{
    double sum;
    for (int pass = 0; pass < 2; pass++) {
        const float *buffer = pass ? step->gradient : step->master;
        for (size_t i = 0; i < step->table->count; i++) {
            const struct nc_parameter *row = &step->table->rows[i];
            if (row->tower != NC_TOWER_TEXT || (pass && !step->trainable[i]))
                continue;
            int status = squared_norm(step, buffer + row->offset, row->count, &sum);
            if (status != NC_OK)
                return status;
            if (!isfinite(sum))
                return nc_error(NC_FAILED,
                                "step %llu: the %s is not finite; the first tensor that is not is %s%s. "
                                "A lower learning_rate or a gradient_clip may help",
                                (unsigned long long)number, what, pass ? "the gradient of " : "",
                                row->name);
        }
        if (pass)
            break;
        struct {
            const char *name;
            const float *data;
        } inputs[] = {{"the image embeddings of the batch", step->inputs.image},
                      {"the text features of the batch", step->features}};
        for (size_t i = 0; i < 2; i++) {
            int status = squared_norm(step, inputs[i].data, pairs * step->shape->embedding, &sum);
            if (status != NC_OK)
                return status;
            if (!isfinite(sum))
                return nc_error(NC_FAILED, "step %llu: the %s is not finite; the first tensor that is not is %s",
                                (unsigned long long)number, what, inputs[i].name);
        }
    }
    return nc_error(NC_FAILED, "step %llu: the %s is not finite", (unsigned long long)number, what);
}
