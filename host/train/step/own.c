/* The terms of the loss that a picture has with its own texts alone (ops.h: nc_own_terms). Each
 * rank computes those of its own examples: nothing goes round. */
#include "parts.h"

#include "nclip/support/error.h"

bool nc_step_has_own_terms(const struct nc_step *step)
{
    const struct nc_config *c = step->config;
    return c->preserve != 0 || c->choice != 0 || c->hinge_picture != 0 || c->hinge_text != 0 ||
           c->hinge_apart != 0;
}

int nc_step_count_own(struct nc_step *step, size_t extras, bool ranks)
{
    struct nc_ops *ops = step->ops;
    float *count = &step->numbers->own_count;
    nc_ticket ticket;
    if (!nc_step_has_own_terms(step))
        return NC_OK;
    int status = ops->fill(ops->backend, count, (float)extras, 1);
    if (status == NC_OK && ranks && ops->host_memory)
        status = ops->synchronize(ops->backend);
    if (status == NC_OK && ranks)
        status = nc_communicator_all_reduce(step->ranks, count, 1, &ticket);
    return status == NC_OK && ranks ? nc_communicator_wait(step->ranks, ticket) : status;
}

int nc_step_own_terms(struct nc_step *step, size_t pairs, size_t extras, size_t total,
                      bool gradients)
{
    struct nc_ops *ops = step->ops;
    const struct nc_config *c = step->config;
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    size_t width = step->shape->embedding;
    if (!pairs || !nc_step_has_own_terms(step))
        return NC_OK;
    struct nc_own_terms n = {
        .pairs = pairs, .extras = extras, .width = width, .total = total,
        .weights = {.choice = (float)c->choice, .picture = (float)c->hinge_picture,
                    .picture_low = (float)c->hinge_picture_low,
                    .picture_high = (float)c->hinge_picture_high, .text = (float)c->hinge_text,
                    .text_low = (float)c->hinge_text_low, .text_high = (float)c->hinge_text_high,
                    .apart = (float)c->hinge_apart, .apart_margin = (float)c->hinge_apart_margin,
                    .keep = (float)c->preserve},
        .count = &step->numbers->own_count, .text = step->features, .image = step->inputs.image,
        .extra = step->features + pairs * width, .extra_image = step->inputs.extra_image,
        .base = step->inputs.base,
        .logit_scale = step->master + scale, .loss = gradients ? NULL : &step->numbers->loss,
        .dtext = gradients ? step->dfeatures : NULL,
        .dextra = gradients ? step->dfeatures + pairs * width : NULL,
        .dlogit_scale = gradients ? step->gradient + scale : NULL, .scratch = step->own_scratch};
    return ops->own_terms(ops->backend, &n);
}
