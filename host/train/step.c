#include "step_parts.h"

#include "nclip/error.h"

#include <math.h>

int nc_step_set_parameters(struct nc_step *step, const float *master)
{
    struct nc_ops *ops = step->ops;
    size_t count = step->table->tower_elements[NC_TOWER_TEXT];
    /* With one micro batch its features are the batch's. */
    if (!step->micro_features) {
        step->micro_features = step->features;
        step->micro_dfeatures = step->dfeatures;
    }
    int status = ops->upload(ops->backend, step->master, master, count * sizeof(float));
    if (status == NC_OK && step->shadow)
        status = ops->convert(ops->backend, step->shadow, NC_BFLOAT16, step->master, NC_FLOAT32, count);
    /* Padding between parameters is never written, and frozen ones have no gradient. */
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++)
        status = ops->zero(ops->backend, step->gradient + step->ranges[i].offset,
                           step->ranges[i].count * sizeof(float));
    if (status == NC_OK)
        status = ops->zero(ops->backend, step->first, step->moments * sizeof(float));
    if (status == NC_OK)
        status = ops->zero(ops->backend, step->second, step->moments * sizeof(float));
    return status;
}

static int download_loss(struct nc_step *step, double *loss)
{
    float value;
    int status = step->ops->download(step->ops->backend, &value, step->loss, sizeof value);
    *loss = value;
    return status;
}

int nc_step_evaluate(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                     size_t count, double *loss)
{
    struct nc_infonce infonce;
    int status = nc_step_loss_forward(step, examples, list, count, false, &infonce);
    return status == NC_OK ? download_loss(step, loss) : status;
}

int nc_step_train(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                  size_t count, uint64_t number, double learning_rate, double *loss,
                  double *gradient_norm)
{
    struct nc_infonce infonce;
    int status = nc_step_loss_forward(step, examples, list, count, true, &infonce);
    if (status == NC_OK)
        status = download_loss(step, loss);
    if (status != NC_OK)
        return status;
    if (!isfinite(*loss))
        return nc_step_not_finite(step, number, "loss", count);
    status = nc_step_loss_backward(step, examples, list, count, &infonce);
    if (status == NC_OK)
        status = nc_step_gradient_norm(step, gradient_norm);
    if (status != NC_OK)
        return status;
    if (!isfinite(*gradient_norm))
        return nc_step_not_finite(step, number, "gradient", count);
    return nc_step_update(step, number, learning_rate, *gradient_norm);
}

int nc_step_logit_scale(struct nc_step *step, float *value)
{
    size_t offset = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    return step->ops->download(step->ops->backend, value, step->master + offset, sizeof *value);
}
