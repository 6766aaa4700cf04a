/* The update: the gradient's norm, clipping, the optimizer; and the error that names the first tensor
 * that is not finite. */
#include "parts.h"

#include "nclip/support/error.h"

#include <math.h>

/* With a sharded optimizer a rank has its slice of each bucket, and the moments of those. */
static bool sharded(const struct nc_step *step)
{
    return step->ranks && step->config->shard_optimizer;
}

static int add_slices(struct nc_step *step, double *sum)
{
    struct nc_ops *ops = step->ops;
    nc_ticket ticket;
    int status = NC_OK;
    for (size_t i = 0; i < step->buckets.count && status == NC_OK; i++) {
        const struct nc_bucket *bucket = &step->buckets.list[i];
        struct nc_slice slice = nc_step_bucket_slice(step, bucket);
        if (slice.count)
            status = ops->squared_norm(ops->backend, step->gradient + bucket->offset + slice.first,
                                       slice.count, sum);
    }
    if (status == NC_OK && ops->host_memory)
        status = ops->synchronize(ops->backend);
    if (status == NC_OK)
        status = nc_communicator_add(step->ranks, sum, 1, &ticket);
    return status == NC_OK ? nc_communicator_wait(step->ranks, ticket) : status;
}

static int clip(struct nc_step *step)
{
    struct nc_ops *ops = step->ops;
    double *sum = &step->numbers->squared_norm;
    int status = ops->zero(ops->backend, sum, sizeof *sum);
    if (status == NC_OK && sharded(step))
        status = add_slices(step, sum);
    for (size_t i = 0; i < step->range_count && status == NC_OK && !sharded(step); i++)
        status = ops->squared_norm(ops->backend, step->gradient + step->ranges[i].offset,
                                   step->ranges[i].count, sum);
    struct nc_clipping clip = {.squared_norm = sum, .limit = step->config->gradient_clip,
                           .factor = &step->numbers->factor};
    return status == NC_OK ? ops->clip(ops->backend, &clip) : status;
}

/* Each rank updates its slices, which all others then get; a bucket travels while the next is
 * computed. */
static int update_slices(struct nc_step *step)
{
    struct nc_ops *ops = step->ops;
    const struct nc_step_buckets *buckets = &step->buckets;
    nc_ticket ticket = 0;
    int status = NC_OK;
    for (size_t i = 0; i < buckets->count && status == NC_OK; i++) {
        const struct nc_bucket *bucket = &buckets->list[i];
        struct nc_slice slice = nc_step_bucket_slice(step, bucket);
        const struct nc_range range = {bucket->offset + slice.first, slice.count, bucket->moment};
        status = nc_step_optimize(step, &range);
        if (status == NC_OK && ops->host_memory)
            status = ops->synchronize(ops->backend);
        if (status == NC_OK)
            status = nc_communicator_all_gather(step->ranks, step->master + bucket->offset,
                                                bucket->count, &ticket);
    }
    if (status == NC_OK)
        status = nc_communicator_wait(step->ranks, ticket);
    for (size_t i = 0; i < buckets->count && status == NC_OK && step->shadow; i++)
        status = ops->convert(ops->backend, step->shadow + buckets->list[i].offset, NC_BFLOAT16,
                              step->master + buckets->list[i].offset, NC_FLOAT32,
                              buckets->list[i].count);
    return status;
}

int nc_step_update_now(struct nc_step *step)
{
    struct nc_ops *ops = step->ops;
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    int status = clip(step);
    if (status == NC_OK && sharded(step))
        status = update_slices(step);
    for (size_t i = 0; i < step->range_count && status == NC_OK && !sharded(step); i++)
        status = nc_step_optimize(step, &step->ranges[i]);
    return status == NC_OK ? ops->copy(ops->backend, &step->numbers->logit_scale,
                                       step->master + scale, sizeof(float))
                           : status;
}

static int update(struct nc_step *step, void *context)
{
    (void)context;
    return nc_step_update_now(step);
}

int nc_step_update(struct nc_step *step)
{
    struct nc_part_key key = {.part = NC_PART_UPDATE};
    if (sharded(step))
        return nc_step_update_now(step);
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

/* Names the first tensor with a value that is not finite. */
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

/* ---- Moments, for a checkpoint --------------------------------------------------------- */

static float *moments_of(struct nc_step *step, int which)
{
    return which ? step->second : step->first;
}

int nc_step_read_moments(struct nc_step *step, int which, float *host)
{
    struct nc_ops *ops = step->ops;
    const float *moments = moments_of(step, which);
    int status = NC_OK;
    for (size_t i = 0; i < step->range_count && status == NC_OK && !sharded(step); i++) {
        const struct nc_range *range = &step->ranges[i];
        status = ops->download(ops->backend, host + range->offset, moments + range->moment,
                               range->count * sizeof(float));
    }
    for (size_t i = 0; sharded(step) && i < step->buckets.count && status == NC_OK; i++) {
        const struct nc_bucket *bucket = &step->buckets.list[i];
        struct nc_slice slice = nc_step_bucket_slice(step, bucket);
        struct nc_communicator *base = step->ranks->base;
        nc_ticket ticket = 0;
        if (slice.count)
            status = ops->download(ops->backend, host + bucket->offset + slice.first,
                                   moments + bucket->moment, slice.count * sizeof(float));
        if (status == NC_OK)
            status = nc_communicator_all_gather(base, host + bucket->offset, bucket->count, &ticket);
        if (status == NC_OK)
            status = nc_communicator_wait(base, ticket);
    }
    return status;
}

int nc_step_write_moments(struct nc_step *step, int which, const float *host)
{
    struct nc_ops *ops = step->ops;
    float *moments = moments_of(step, which);
    int status = NC_OK;
    for (size_t i = 0; i < step->range_count && status == NC_OK && !sharded(step); i++) {
        const struct nc_range *range = &step->ranges[i];
        status = ops->upload(ops->backend, moments + range->moment, host + range->offset,
                             range->count * sizeof(float));
    }
    for (size_t i = 0; sharded(step) && i < step->buckets.count && status == NC_OK; i++) {
        const struct nc_bucket *bucket = &step->buckets.list[i];
        struct nc_slice slice = nc_step_bucket_slice(step, bucket);
        if (slice.count)
            status = ops->upload(ops->backend, moments + bucket->moment,
                                 host + bucket->offset + slice.first, slice.count * sizeof(float));
    }
    return status;
}
