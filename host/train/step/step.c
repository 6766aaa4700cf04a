/* Submits and collects optimizer steps, and evaluates the loss alone. */
#include "parts.h"

#include "marks.h"
#include "nclip/support/error.h"

#include <math.h>

static int start_numbers(struct nc_step *step)
{
    const struct nc_step_numbers numbers = {.factor = 1};
    struct nc_ops *ops = step->ops;
    int status = ops->upload(ops->backend, step->numbers, &numbers, sizeof numbers);
    return status == NC_OK ? ops->synchronize(ops->backend) : status;
}

int nc_step_set_parameters(struct nc_step *step, const float *master)
{
    struct nc_ops *ops = step->ops;
    size_t count = step->table->tower_elements[NC_TOWER_TEXT];
    /* With one micro batch its features are the batch's. */
    if (!step->micro_features) {
        step->micro_features = step->features;
        step->micro_dfeatures = step->dfeatures;
    }
    if (!step->ranks) {
        step->row_log = step->row_max + nc_step_running(step);
        step->column_max = step->row_log + nc_step_running(step);
        step->column_log = step->column_max + nc_step_running(step);
    }
    int status = step->ranks ? nc_step_ring_start(step) : NC_OK;
    if (status == NC_OK)
        status = nc_step_set_basis(step);
    if (status == NC_OK)
        status = ops->upload(ops->backend, step->master, master, count * sizeof(float));
    if (status == NC_OK && step->shadow)
        status = ops->convert(ops->backend, step->shadow, NC_BFLOAT16, step->master, NC_FLOAT32, count);
    /* Padding between parameters is never written, and frozen ones have no gradient. */
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++)
        status = ops->zero(ops->backend, step->gradient + step->ranges[i].offset,
                           step->ranges[i].count * sizeof(float));
    if (status == NC_OK && step->first)
        status = ops->zero(ops->backend, step->first, step->moments * sizeof(float));
    if (status == NC_OK && step->second)
        status = ops->zero(ops->backend, step->second, step->moments * sizeof(float));
    return status == NC_OK ? start_numbers(step) : status;
}

int nc_step_evaluate(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                     size_t count, double *loss)
{
    struct nc_batch batch = nc_step_batch(step, examples, list, count,
                                          step->submitted % NC_STEPS_IN_FLIGHT);
    float value;
    int status = nc_step_loss_forward(step, &batch, false);
    if (status == NC_OK)
        status = step->ops->download(step->ops->backend, &value, &step->numbers->loss, sizeof value);
    if (status == NC_OK)
        *loss = value;
    return status;
}

/* ---- Steps in flight ------------------------------------------------------------------- */

size_t nc_step_pending(const struct nc_step *step)
{
    return step->submitted - step->collected;
}

/* The logit scale's rate follows the same schedule as all others. */
static struct nc_paces paces_of(const struct nc_config *config, uint64_t number, double learning_rate)
{
    double own = config->logit_scale_learning_rate;
    const struct nc_adamw_pace others = {learning_rate, 1 - pow(config->beta1, (double)number),
                                         1 - pow(config->beta2, (double)number)};
    struct nc_paces paces = {others, others};
    if (own != 0)
        paces.logits.learning_rate *= own / config->learning_rate;
    return paces;
}

int nc_step_submit(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                   size_t count, uint64_t number, double learning_rate)
{
    struct nc_ops *ops = step->ops;
    size_t slot = step->submitted % NC_STEPS_IN_FLIGHT;
    if (nc_step_pending(step) == NC_STEPS_IN_FLIGHT)
        return nc_error(NC_FAILED, "train: %d steps are in flight already", NC_STEPS_IN_FLIGHT);
    const struct nc_paces paces = paces_of(step->config, number, learning_rate);
    struct nc_batch batch = nc_step_batch(step, examples, list, count, slot);
    batch.pace = &paces;
    step->flights[slot] = (struct nc_flight){examples, list, count, number};
    bool done;
    int status = nc_step_whole(step, &batch, &done);
    if (status == NC_OK && !done)
        status = nc_step_loss_forward(step, &batch, true);
    if (status == NC_OK && !done)
        status = nc_step_loss_backward(step, &batch);
    if (status == NC_OK && !done)
        status = nc_step_update(step);
    if (status == NC_OK)
        status = ops->copy_queued(ops->backend, NC_COMPUTE, step->arrived[slot], step->numbers,
                                  sizeof *step->numbers);
    if (status == NC_OK)
        status = ops->mark(ops->backend, NC_COMPUTE, NC_MARK_RESULT + (unsigned)slot);
    if (status == NC_OK)
        step->submitted++;
    return status;
}

/* A step with a value that is not finite changes nothing: it is run once more to look at its
 * tensors. */
static int explain(struct nc_step *step, const struct nc_flight *flight, const char *what)
{
    struct nc_batch batch = nc_step_batch(step, flight->examples, flight->list, flight->count,
                                          step->submitted % NC_STEPS_IN_FLIGHT);
    step->collected = step->submitted;
    int status = nc_step_loss_forward(step, &batch, true);
    if (status == NC_OK)
        status = nc_step_loss_backward(step, &batch);
    return status == NC_OK ? nc_step_not_finite(step, flight->number, what, batch.count) : status;
}

int nc_step_collect(struct nc_step *step, struct nc_step_result *result)
{
    struct nc_ops *ops = step->ops;
    size_t slot = step->collected % NC_STEPS_IN_FLIGHT;
    if (!nc_step_pending(step))
        return nc_error(NC_FAILED, "train: no step is in flight");
    int status = ops->host_wait(ops->backend, NC_MARK_RESULT + (unsigned)slot);
    if (status != NC_OK)
        return status;
    step->collected++;
    const struct nc_step_numbers *numbers = step->arrived[slot];
    *result = (struct nc_step_result){numbers->loss, sqrt(numbers->squared_norm),
                                      numbers->logit_scale};
    if (!isfinite(result->loss))
        return explain(step, &step->flights[slot], "loss");
    if (!isfinite(result->gradient_norm))
        return explain(step, &step->flights[slot], "gradient");
    return NC_OK;
}

int nc_step_train(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                  size_t count, uint64_t number, double learning_rate,
                  struct nc_step_result *result)
{
    int status = nc_step_submit(step, examples, list, count, number, learning_rate);
    return status == NC_OK ? nc_step_collect(step, result) : status;
}
