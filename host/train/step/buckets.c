/* Sums gradients over the ranks while the backward pass still runs, bucket by bucket. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>

enum { ALIGNED = 16 }; /* elements: where buffers may start */

static size_t largest_bucket(const struct nc_config *config)
{
    size_t elements = (size_t)config->bucket_bytes / sizeof(float) / ALIGNED * ALIGNED;
    return elements ? elements : ALIGNED;
}

/* A range from its end down, as the backward pass goes. */
static void cut_range(const struct nc_range *range, size_t largest, struct nc_step_buckets *buckets)
{
    for (size_t end = range->count; end;) {
        size_t start = end > largest ? (end - largest + ALIGNED - 1) / ALIGNED * ALIGNED : 0;
        buckets->list[buckets->count++] = (struct nc_bucket){.offset = range->offset + start,
                                                             .count = end - start};
        end = start;
    }
}

struct nc_slice nc_step_bucket_slice(const struct nc_step *step, const struct nc_bucket *bucket)
{
    return nc_communicator_slice(bucket->count, step->ranks->size, step->ranks->rank);
}

int nc_step_buckets_plan(struct nc_step *step)
{
    struct nc_step_buckets *buckets = &step->buckets;
    size_t largest = largest_bucket(step->config), most = 0;
    for (size_t i = 0; i < step->range_count; i++)
        most += step->ranges[i].count / (largest > ALIGNED ? largest - ALIGNED : 1) + 2;
    buckets->list = calloc(most ? most : 1, sizeof *buckets->list);
    if (!buckets->list)
        return nc_error(NC_FAILED, "train: no memory");
    for (size_t i = step->range_count; i-- > 0;)
        cut_range(&step->ranges[i], largest, buckets);
    if (!step->config->shard_optimizer)
        return NC_OK;
    step->moments = 0;
    for (size_t i = 0; i < buckets->count; i++) {
        buckets->list[i].moment = step->moments;
        step->moments +=
            (nc_step_bucket_slice(step, &buckets->list[i]).count + ALIGNED - 1) / ALIGNED * ALIGNED;
    }
    return NC_OK;
}

void nc_step_buckets_begin(struct nc_step *step)
{
    step->buckets.started = 0;
    step->buckets.last = 0;
}

int nc_step_buckets_ready(void *context, size_t from)
{
    struct nc_step *step = context;
    struct nc_ops *ops = step->ops;
    struct nc_step_buckets *buckets = &step->buckets;
    nc_communicator_tick(step->ranks);
    if (buckets->started == buckets->count || buckets->list[buckets->started].offset < from)
        return NC_OK;
    int status = ops->host_memory ? ops->synchronize(ops->backend) : NC_OK;
    while (status == NC_OK && buckets->started < buckets->count &&
           buckets->list[buckets->started].offset >= from) {
        const struct nc_bucket *bucket = &buckets->list[buckets->started++];
        float *gradient = step->gradient + bucket->offset;
        status =
            step->config->shard_optimizer
                ? nc_communicator_reduce_scatter(step->ranks, gradient, bucket->count,
                                                 &buckets->last)
                : nc_communicator_all_reduce(step->ranks, gradient, bucket->count, &buckets->last);
    }
    return status;
}

int nc_step_buckets_finish(struct nc_step *step)
{
    int status = nc_step_buckets_ready(step, 0);
    return status == NC_OK ? nc_communicator_wait(step->ranks, step->buckets.last) : status;
}
