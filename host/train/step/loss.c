/* The loss of a batch and its gradients: runs the micro batches through the text tower forward,
 * computes InfoNCE over all of their features, and runs them backward. */
#include "parts.h"

#include "nclip/support/error.h"

#include <math.h>

/* ---- Micro batches through the tower ---------------------------------------------------- */

/* The batch keeps captions and contradictions apart; a micro batch holds its share of both. */
struct part {
    size_t first, count;        /* examples of the batch */
    size_t first_extra, extras; /* contradictions of the batch */
    bool flag;                  /* forward: kept for backward; backward: added to what is there */
};

static struct nc_part_key key_of(enum nc_step_part what, const struct nc_step *step,
                                 const struct part *part)
{
    const struct nc_packing *p = &step->packing;
    return (struct nc_part_key){.part = what, .flag = part->flag, .captions = p->captions,
                                .rows = p->rows, .longest = (uint32_t)p->longest,
                                .shared = p->repeated > 0};
}

static int move_features(struct nc_step *step, const struct nc_batch *batch,
                         const struct part *part, float *whole, float *micro, bool to_batch)
{
    struct nc_ops *ops = step->ops;
    size_t width = step->shape->embedding, row = width * sizeof(float);
    if (whole == micro)
        return NC_OK;
    float *captions = whole + part->first * width;
    float *extras = whole + (batch->count + part->first_extra) * width;
    float *micro_extras = micro + part->count * width;
    int status = ops->copy(ops->backend, to_batch ? captions : micro, to_batch ? micro : captions,
                           part->count * row);
    if (status == NC_OK && part->extras)
        status = ops->copy(ops->backend, to_batch ? extras : micro_extras,
                           to_batch ? micro_extras : extras, part->extras * row);
    return status;
}

/* Rounds the sizes up: with fewer different sizes, recordings are replayed more often. */
static void round_up(struct nc_step *step)
{
    enum { TOKENS = 16 };
    struct nc_packing *p = &step->packing;
    size_t longest = (p->longest + TOKENS - 1) / TOKENS * TOKENS;
    nc_packing_pad(p);
    p->longest = longest < step->shape->context ? longest : step->shape->context;
}

/* Packs the micro batch and puts it in place; with its pictures where they are not there yet. */
static int load_part(struct nc_step *step, const struct nc_batch *batch, struct part *part,
                     bool pictures)
{
    int status = nc_examples_pack(batch->examples, step->shape, step->config, batch->list + part->first,
                                  part->count, &step->packing, &part->extras);
    if (status != NC_OK)
        return status;
    if (step->ops->record_begin)
        round_up(step);
    return nc_step_inputs_load(&step->staging, batch->examples, batch->list + part->first,
                               part->count, part->first, batch->count, part->first_extra, &step->packing,
                               pictures && !part->first ? batch->pace : NULL,
                               pictures ? &step->inputs : NULL, step->tower);
}

static int tower_forward(struct nc_step *step, void *context)
{
    const struct part *part = context;
    struct nc_weights weights = nc_step_weights(step);
    return nc_text_tower_forward(step->tower, &weights, &step->packing, part->flag, false,
                                 step->micro_features);
}

static int tower_backward(struct nc_step *step, void *context)
{
    const struct part *part = context;
    struct nc_weights weights = nc_step_weights(step);
    return nc_text_tower_backward(step->tower, &weights, &step->packing, step->micro_dfeatures,
                                  step->trainable, part->flag, step->gradient);
}

static int forward_part(struct nc_step *step, const struct nc_batch *batch, struct part *part,
                        bool pictures, bool keep)
{
    int status = load_part(step, batch, part, pictures);
    part->flag = keep;
    struct nc_part_key key = key_of(NC_PART_FORWARD, step, part);
    return status == NC_OK ? nc_step_record(step, &key, tower_forward, part) : status;
}

static bool next_part(const struct nc_step *step, const struct nc_batch *batch, struct part *part)
{
    part->first += part->count;
    part->first_extra += part->extras;
    size_t left = batch->count - part->first;
    part->count = left < step->micro ? left : step->micro;
    return left > 0;
}

/* ---- The loss --------------------------------------------------------------------------- */

struct loss {
    size_t pairs, extras;
    bool gradients;
};

static int loss_gradients(struct nc_step *step, const struct loss *loss, const struct nc_infonce *n)
{
    struct nc_ops *ops = step->ops;
    int status = ops->zero(ops->backend, step->dfeatures,
                           (loss->pairs + loss->extras) * n->width * sizeof(float));
    if (status == NC_OK)
        status = ops->zero(ops->backend, n->dlogit_scale, sizeof(float));
    if (status == NC_OK)
        status = ops->infonce_backward(ops->backend, n);
    return status == NC_OK ? nc_step_own_terms(step, loss->pairs, loss->extras, loss->pairs, true)
                           : status;
}

static int compute_loss(struct nc_step *step, void *context)
{
    struct nc_ops *ops = step->ops;
    const struct loss *loss = context;
    struct nc_infonce n = nc_step_describe_loss(step, loss->pairs, loss->extras);
    int status = nc_step_convert_features(step, loss->pairs, loss->extras);
    if (status == NC_OK)
        status = nc_step_weigh(step, loss->pairs, step->caption_weight, step->image_weight);
    if (status == NC_OK) /* all four */
        status = ops->fill(ops->backend, step->row_max, -INFINITY, 4 * nc_step_running(step));
    if (status == NC_OK)
        status = ops->infonce_forward(ops->backend, &n);
    if (status == NC_OK)
        status = ops->zero(ops->backend, &step->numbers->loss, sizeof(float));
    struct nc_infonce_loss sum = {.pairs = n.captions, .total = n.total, .row_max = n.row_max,
                                  .row_log = n.row_log, .column_max = n.column_max,
                                  .column_log = n.column_log, .positive = n.positive,
                                  .caption_weight = n.caption_weight,
                                  .image_weight = n.image_weight, .loss = &step->numbers->loss};
    if (status == NC_OK)
        status = ops->infonce_loss(ops->backend, &sum);
    if (status == NC_OK)
        status = nc_step_count_own(step, loss->extras, false);
    if (status == NC_OK)
        status = nc_step_own_terms(step, loss->pairs, loss->extras, loss->pairs, false);
    return status == NC_OK && loss->gradients ? loss_gradients(step, loss, &n) : status;
}

int nc_step_loss_forward(struct nc_step *step, struct nc_batch *batch, bool gradients)
{
    struct part part = {0};
    int status = NC_OK;
    if (!batch->count && batch->pace) /* no piece that could carry it */
        status = step->ops->upload(step->ops->backend, step->inputs.pace, batch->pace,
                                   sizeof *batch->pace);
    while (status == NC_OK && next_part(step, batch, &part)) {
        nc_communicator_tick(step->ranks);
        status = forward_part(step, batch, &part, true, gradients && batch->count <= step->micro);
        if (status == NC_OK)
            status = move_features(step, batch, &part, step->features, step->micro_features, true);
    }
    if (status != NC_OK)
        return status;
    batch->extras = part.first_extra;
    if (step->ranks)
        return nc_step_ring_loss(step, batch, gradients);
    struct loss loss = {batch->count, batch->extras, gradients};
    struct nc_part_key key = {.part = NC_PART_LOSS, .flag = gradients, .captions = loss.pairs,
                              .extras = loss.extras};
    return nc_step_record(step, &key, compute_loss, &loss);
}

struct whole {
    struct part part;
    struct loss loss;
};

static int whole_step(struct nc_step *step, void *context)
{
    struct whole *whole = context;
    int status = tower_forward(step, &whole->part);
    if (status == NC_OK)
        status = compute_loss(step, &whole->loss);
    whole->part.flag = false; /* nothing is there that it would be added to */
    if (status == NC_OK)
        status = tower_backward(step, &whole->part);
    return status == NC_OK ? nc_step_update_now(step) : status;
}

int nc_step_whole(struct nc_step *step, struct nc_batch *batch, bool *done)
{
    struct whole whole = {0};
    *done = false;
    if (step->ranks || !step->ops->record_begin || !batch->count || batch->count > step->micro ||
        step->config->contradictions || nc_step_has_own_terms(step))
        return NC_OK;
    *done = true;
    (void)next_part(step, batch, &whole.part);
    int status = load_part(step, batch, &whole.part, true);
    batch->extras = whole.part.extras;
    whole.part.flag = true;
    whole.loss = (struct loss){batch->count, batch->extras, true};
    struct nc_part_key key = key_of(NC_PART_STEP, step, &whole.part);
    key.extras = batch->extras;
    return status == NC_OK ? nc_step_record(step, &key, whole_step, &whole) : status;
}

int nc_step_features(struct nc_step *step, const struct nc_batch *batch, float *rows)
{
    struct nc_ops *ops = step->ops;
    struct part part = {0};
    size_t width = step->shape->embedding;
    int status = NC_OK;
    while (status == NC_OK && next_part(step, batch, &part)) {
        nc_communicator_tick(step->ranks);
        status = forward_part(step, batch, &part, false, false);
        for (size_t i = 0; i < part.count && status == NC_OK; i++)
            status = ops->download(ops->backend, rows + batch->list[part.first + i] * width,
                                   step->micro_features + i * width, width * sizeof(float));
    }
    return status;
}

/* The last piece's gradients are sent to the other ranks while it still runs, which cannot be
 * recorded. */
static int backward_part(struct nc_step *step, const struct nc_batch *batch, struct part *part)
{
    if (step->ranks && part->first + part->count == batch->count) {
        nc_text_tower_watch_gradients(step->tower, nc_step_buckets_ready, step);
        int status = tower_backward(step, part);
        nc_text_tower_watch_gradients(step->tower, NULL, NULL);
        return status;
    }
    struct nc_part_key key = key_of(NC_PART_BACKWARD, step, part);
    return nc_step_record(step, &key, tower_backward, part);
}

static int zero_gradients(struct nc_step *step)
{
    struct nc_ops *ops = step->ops;
    int status = NC_OK;
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++)
        status = ops->zero(ops->backend, step->gradient + step->ranges[i].offset,
                           step->ranges[i].count * sizeof(float));
    return status;
}

int nc_step_loss_backward(struct nc_step *step, struct nc_batch *batch)
{
    struct part part = {0};
    int status = NC_OK;
    if (step->ranks)
        nc_step_buckets_begin(step);
    if (!batch->count)
        status = zero_gradients(step);
    while (status == NC_OK && next_part(step, batch, &part)) {
        if (batch->count > step->micro) /* the pass before kept nothing */
            status = forward_part(step, batch, &part, false, true);
        else
            part.extras = batch->extras;
        if (status == NC_OK)
            status = move_features(step, batch, &part, step->dfeatures, step->micro_dfeatures, false);
        part.flag = part.first > 0;
        if (status == NC_OK)
            status = backward_part(step, batch, &part);
    }
    if (status == NC_OK && step->ranks)
        status = nc_step_buckets_finish(step);
    return status;
}
