/* What captions were before training: the features near which `preserve` holds them. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>

static int add_base(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                    size_t count)
{
    size_t size = (size_t)step->config->batch_size, slot = step->submitted % NC_STEPS_IN_FLIGHT;
    int status = NC_OK;
    for (size_t start = 0; start < count && status == NC_OK; start += size) {
        size_t left = count - start;
        struct nc_batch batch = nc_step_batch(step, examples, list + start,
                                              left < size ? left : size, slot);
        status = nc_step_features(step, &batch, step->staging.base);
    }
    return status;
}

int nc_step_keep_base(struct nc_step *step, const struct nc_examples *examples)
{
    size_t width = step->shape->embedding;
    if (!step->losses.keeps)
        return NC_OK;
    float *base = calloc(examples->count * width, sizeof *base);
    if (!base)
        return nc_error(NC_FAILED, "train: no memory for the features of %zu captions, which "
                        "preserve needs", examples->count);
    free(step->staging.base);
    step->staging.base = base;
    int status = NC_OK;
    for (size_t k = 0; k < 2 * NC_MOST_SOURCES && status == NC_OK; k++) {
        size_t count;
        const uint32_t *list = nc_examples_once(examples, k, &count);
        status = list ? add_base(step, examples, list, count) : NC_OK;
    }
    /* Each caption is on one rank, and 0 on all others: the sum is exact. */
    nc_ticket ticket;
    if (status == NC_OK && step->ranks)
        status = nc_communicator_all_reduce(step->ranks->base, base, examples->count * width,
                                            &ticket);
    return status == NC_OK && step->ranks ? nc_communicator_wait(step->ranks->base, ticket)
                                          : status;
}
