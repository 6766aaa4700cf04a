/* The parts of the loss that a picture has with its own texts alone (ops.h: nc_own_terms). Each rank
 * computes those of its own examples: nothing goes round. */
#include "parts.h"

#include "nclip/support/error.h"

size_t nc_step_choosing(const struct nc_batch *batch, unsigned source)
{
    const struct nc_batch_source *own = &batch->source[source];
    size_t pictures = 0, texts;
    for (size_t i = 0; i < own->count && own->texts[NC_TEXT_CHOICES]; i++) {
        (void)nc_examples_text(batch->examples, NC_TEXT_CHOICES, batch->list[own->first + i], &texts);
        pictures += texts > 0;
    }
    return pictures;
}

/* What the means of a part are over, on this rank. */
static float count_of(const struct nc_batch *batch, const struct nc_loss_part *part)
{
    if (part->grid || part->role == NC_NO_ROLE)
        return 0;
    return (float)(part->by_pictures ? nc_step_choosing(batch, part->source)
                                     : batch->source[part->source].texts[part->role]);
}

int nc_step_count_own(struct nc_step *step, const struct nc_batch *batch, bool ranks)
{
    struct nc_ops *ops = step->ops;
    const struct nc_losses *losses = &step->losses;
    float *counts = step->numbers->own_count;
    int status = NC_OK;
    nc_ticket ticket;
    if (!losses->has_own)
        return NC_OK;
    for (size_t i = 0; i < losses->part_count && status == NC_OK; i++)
        status = ops->fill(ops->backend, counts + i, count_of(batch, &losses->parts[i]), 1);
    if (status == NC_OK && ranks && ops->host_memory)
        status = ops->synchronize(ops->backend);
    if (status == NC_OK && ranks)
        status = nc_communicator_all_reduce(step->ranks, counts, losses->part_count, &ticket);
    return status == NC_OK && ranks ? nc_communicator_wait(step->ranks, ticket) : status;
}

int nc_step_own_terms(struct nc_step *step, const struct nc_batch *batch, size_t number,
                      bool gradients)
{
    struct nc_ops *ops = step->ops;
    const struct nc_loss_part *part = &step->losses.parts[number];
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    const struct nc_batch_source *own = &batch->source[part->source];
    size_t width = step->shape->embedding, place = batch->count, extras = 0, first = 0;
    if (part->role != NC_NO_ROLE) {
        place = nc_batch_place(batch, part->role) + own->before[part->role];
        extras = own->texts[part->role];
    } else {
        first = own->first; /* texts name their pictures by the batch's numbers, captions none */
    }
    size_t pairs = part->role != NC_NO_ROLE ? batch->count : own->count;
    if (!pairs || (!extras && part->own.keep == 0))
        return NC_OK;
    struct nc_own_terms n = {
        .pairs = pairs, .extras = extras, .width = width, .total = own->total,
        .weights = part->own, .count = &step->numbers->own_count[number],
        .text = step->features + first * width, .image = step->inputs.image + first * width,
        .extra = step->features + place * width,
        .extra_image = step->inputs.extra_image + (place - batch->count),
        .base = step->inputs.base ? step->inputs.base + first * width : NULL,
        .basis = step->basis, .logit_scale = step->master + scale,
        .loss = gradients ? NULL : &step->numbers->loss,
        .dtext = gradients ? step->dfeatures + first * width : NULL,
        .dextra = gradients ? step->dfeatures + place * width : NULL,
        .dlogit_scale = gradients ? step->gradient + scale : NULL, .scratch = step->own_scratch};
    return ops->own_terms(ops->backend, &n);
}
