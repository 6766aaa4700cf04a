/* The gradient's norm, the optimizer, and what to say when a number is none. */
#include "step_parts.h"

#include "nclip/error.h"

#include <math.h>

static int squared_norm(struct nc_step *step, const float *data, size_t count, double *sum)
{
    struct nc_ops *ops = step->ops;
    int status = ops->zero(ops->backend, step->norm, sizeof(double));
    if (status == NC_OK)
        status = ops->squared_norm(ops->backend, data, count, step->norm);
    return status == NC_OK ? ops->download(ops->backend, sum, step->norm, sizeof *sum) : status;
}

int nc_step_gradient_norm(struct nc_step *step, double *norm)
{
    double sum = 0, part;
    for (size_t i = 0; i < step->range_count; i++) {
        int status = squared_norm(step, step->gradient + step->ranges[i].offset,
                                  step->ranges[i].count, &part);
        if (status != NC_OK)
            return status;
        sum += part;
    }
    *norm = sqrt(sum);
    return NC_OK;
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
        } inputs[] = {{"the image embeddings of the batch", step->image},
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

int nc_step_update(struct nc_step *step, uint64_t number, double learning_rate, double norm)
{
    struct nc_ops *ops = step->ops;
    const struct nc_config *config = step->config;
    bool clip = config->gradient_clip > 0 && norm > config->gradient_clip;
    float factor = clip ? (float)(config->gradient_clip / norm) : 1.0f;
    int status = NC_OK;
    if (clip)
        status = ops->upload(ops->backend, step->factor, &factor, sizeof factor);
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++) {
        const struct nc_range *range = &step->ranges[i];
        struct nc_adamw adamw = {
            .count = range->count, .parameter = step->master + range->offset,
            .gradient = step->gradient + range->offset, .first = step->first + range->moment,
            .second = step->second + range->moment,
            .shadow = step->shadow ? step->shadow + range->offset : NULL,
            .learning_rate = learning_rate, .beta1 = config->beta1,
            .beta2 = config->beta2, .epsilon = config->epsilon,
            .weight_decay = config->weight_decay, .step = number,
            .gradient_factor = clip ? step->factor : NULL,
            .limit = range->logit_scale ? (float)config->logit_scale_max : 0};
        status = ops->adamw(ops->backend, &adamw);
    }
    return status;
}
