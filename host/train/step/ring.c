/* InfoNCE over the batch of all ranks, whose text features go round a ring (ranks.h). */
#include "parts.h"

#include "marks.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>

/* ---- Memory ----------------------------------------------------------------------------- */

static size_t group_bytes(const struct nc_step *step)
{
    return step->ranks->size * step->ring.stride * sizeof(int32_t);
}

int nc_step_ring_plan(struct nc_step *step, size_t longest, struct nc_arena *arena)
{
    struct nc_ops *ops = step->ops;
    struct nc_step_ring *ring = &step->ring;
    size_t embedding = step->shape->embedding;
    ring->longest = longest;
    ring->stride = (longest + 15) / 16 * 16;
    ring->identity_host = malloc(ring->stride * sizeof *ring->identity_host);
    if (!ring->identity_host)
        return nc_error(NC_FAILED, "train: no memory");
    size_t block = longest * embedding, sums = 2 * ring->stride * sizeof(float);
    struct {
        size_t bytes;
        void *slot;
    } slots[] = {
        {block * nc_type_size(step->config->loss_precision), &ring->text[0]},
        {block * nc_type_size(step->config->loss_precision), &ring->text[1]},
        {block * sizeof(float), &ring->dtext[0]},
        {block * sizeof(float), &ring->dtext[1]},
        {block * sizeof(float), &ring->part},
        {sums, &ring->own_sums},
        {sums, &ring->sums[0]},
        {sums, &ring->sums[1]},
        {ring->stride * sizeof(float), &ring->unused},
        {nc_step_weighted(step) ? ring->stride * sizeof(float) : 0, &ring->weight},
        {group_bytes(step), &ring->group},
        {ring->stride * sizeof(int32_t), &ring->identity},
    };
    int status = NC_OK;
    for (size_t i = 0; i < sizeof slots / sizeof *slots && status == NC_OK; i++)
        if (slots[i].bytes)
            status = nc_arena_reserve(arena, "other ranks' features", slots[i].bytes, slots[i].slot);
    for (size_t i = 0; i < NC_GROUP_BLOCKS && status == NC_OK; i++)
        status = ops->allocate_host(ops->backend, group_bytes(step), (void **)&ring->group_host[i]);
    return status;
}

int nc_step_ring_start(struct nc_step *step)
{
    struct nc_step_ring *ring = &step->ring;
    step->row_max = ring->own_sums;
    step->row_log = ring->own_sums + ring->stride;
    for (size_t i = 0; i < ring->stride; i++)
        ring->identity_host[i] = (int32_t)i;
    return step->ops->upload(step->ops->backend, ring->identity, ring->identity_host,
                             ring->stride * sizeof *ring->identity_host);
}

void nc_step_ring_free(struct nc_step *step)
{
    struct nc_step_ring *ring = &step->ring;
    for (size_t i = 0; i < NC_GROUP_BLOCKS; i++)
        if (ring->group_host[i])
            step->ops->release_host(step->ops->backend, ring->group_host[i], group_bytes(step));
    free(ring->identity_host);
    *ring = (struct nc_step_ring){0};
}

/* ---- A turn of the ring ---------------------------------------------------------------- */

/* One pass round the ring: where it stands. */
struct turn {
    struct nc_step *step;
    const struct nc_batch *batch;
    const struct nc_infonce *own; /* the rank's own captions against its own pictures */
    size_t number;                /* t */
    nc_ticket text, sums, dtext;  /* what is on its way here */
};

/* Whose captions are here in turn t. */
static size_t visitor(const struct turn *t, size_t number)
{
    size_t ranks = t->step->ranks->size;
    return (t->step->ranks->rank + ranks - number) % ranks;
}

static size_t captions_in(const struct turn *t, size_t number)
{
    const size_t *first = t->batch->share->first;
    size_t rank = visitor(t, number);
    return nc_step_sides(t->step) * (first[rank + 1] - first[rank]);
}

static const void *text_in(const struct turn *t, size_t number)
{
    return number ? t->step->ring.text[number % 2] : t->own->text;
}

static float *sums_in(const struct turn *t, size_t number)
{
    return number ? t->step->ring.sums[number % 2] : t->step->ring.own_sums;
}

/* What the operations have put out can be sent. */
static int settle(const struct turn *t)
{
    struct nc_ops *ops = t->step->ops;
    nc_communicator_tick(t->step->ranks);
    return ops->host_memory ? ops->synchronize(ops->backend) : NC_OK;
}

/* The captions of turn t go on, those of turn t + 1 come. */
static int pass_text(struct turn *t)
{
    size_t row = t->own->width * nc_type_size(t->own->type), next = t->number + 1;
    return nc_communicator_exchange(t->step->ranks, text_in(t, t->number),
                                    captions_in(t, t->number) * row, t->step->ring.text[next % 2],
                                    captions_in(t, next) * row, &t->text);
}

/* The sums of turn `from` go on; those of the turn after it come. */
static int pass_sums(struct turn *t, size_t from)
{
    size_t bytes = 2 * t->step->ring.stride * sizeof(float);
    bool home = from + 1 == t->step->ranks->size;
    return nc_communicator_exchange(t->step->ranks, sums_in(t, from), bytes,
                                    sums_in(t, home ? 0 : from + 1), bytes, &t->sums);
}

static int pass_dtext(struct turn *t, size_t from)
{
    struct nc_step_ring *ring = &t->step->ring;
    size_t row = t->own->width * sizeof(float);
    return nc_communicator_exchange(t->step->ranks, ring->dtext[from % 2],
                                    captions_in(t, from) * row, ring->dtext[(from + 1) % 2],
                                    captions_in(t, from + 1) * row, &t->dtext);
}

static int wait_for(const struct turn *t, nc_ticket ticket)
{
    return nc_communicator_wait(t->step->ranks, ticket);
}

/* The captions of this turn against the rank's own pictures. */
static struct nc_infonce block_of(const struct turn *t)
{
    struct nc_infonce n = *t->own;
    if (t->number == 0)
        return n;
    const struct nc_step_ring *ring = &t->step->ring;
    size_t rank = visitor(t, t->number);
    n.captions = captions_in(t, t->number);
    n.first_caption = nc_step_sides(t->step) * t->batch->share->first[rank];
    n.caption_weight = ring->weight;
    n.text = text_in(t, t->number);
    n.caption_group = n.caption_group ? ring->group + rank * ring->stride : NULL;
    n.row_max = sums_in(t, t->number);
    n.row_log = n.row_max + ring->stride;
    n.positive = ring->unused;
    n.extras = 0;
    n.extra = NULL;
    return n;
}

static bool empty(const struct nc_infonce *n)
{
    return !n->captions || !n->images;
}

/* ---- Forward ---------------------------------------------------------------------------- */

static int forward_turn(struct turn *t)
{
    struct nc_ops *ops = t->step->ops;
    int status = wait_for(t, t->text);
    if (status == NC_OK && t->number)
        status = pass_sums(t, t->number - 1);
    if (status == NC_OK && t->number + 1 < t->step->ranks->size)
        status = pass_text(t);
    if (status == NC_OK && t->number)
        status = wait_for(t, t->sums);
    struct nc_infonce n = block_of(t);
    if (status == NC_OK && !empty(&n))
        status = ops->infonce_forward(ops->backend, &n);
    return status == NC_OK ? settle(t) : status;
}

static int forward(struct turn *t)
{
    int status = settle(t);
    for (; t->number < t->step->ranks->size && status == NC_OK; t->number++)
        status = forward_turn(t);
    if (status == NC_OK)
        status = pass_sums(t, t->number - 1);
    return status == NC_OK ? wait_for(t, t->sums) : status;
}

/* ---- Backward --------------------------------------------------------------------------- */

/* to[count, width] += part */
static int add(const struct turn *t, size_t count, const float *part, float *to)
{
    struct nc_ops *ops = t->step->ops;
    struct nc_scatter scatter = {.count = count,
                                 .width = t->own->width,
                                 .rows = count,
                                 .row = t->step->ring.identity,
                                 .dy = part,
                                 .dx = to};
    return count ? ops->scatter(ops->backend, &scatter) : NC_OK;
}

static int backward_turn(struct turn *t)
{
    struct nc_ops *ops = t->step->ops;
    struct nc_step_ring *ring = &t->step->ring;
    bool more = t->number + 1 < t->step->ranks->size;
    int status = wait_for(t, t->sums); /* behind the text */
    if (status == NC_OK && t->number > 1)
        status = pass_dtext(t, t->number - 1);
    if (status == NC_OK && more)
        status = pass_text(t);
    if (status == NC_OK && more)
        status = pass_sums(t, t->number);
    struct nc_infonce n = block_of(t);
    if (t->number)
        n.dtext = t->number == 1 ? ring->dtext[1] : ring->part;
    if (status == NC_OK && t->number && n.caption_weight)
        status = nc_step_weigh(t->step, n.captions / nc_step_sides(t->step), ring->weight, NULL);
    if (status == NC_OK && t->number && n.captions)
        status = ops->zero(ops->backend, n.dtext, n.captions * n.width * sizeof(float));
    if (status == NC_OK && !empty(&n))
        status = ops->infonce_backward(ops->backend, &n);
    if (status == NC_OK && t->number > 1)
        status = wait_for(t, t->dtext);
    if (status == NC_OK && t->number > 1)
        status = add(t, n.captions, ring->part, ring->dtext[t->number % 2]);
    return status == NC_OK ? settle(t) : status;
}

static int backward(struct turn *t)
{
    struct nc_ops *ops = t->step->ops;
    const struct nc_infonce *n = t->own;
    const struct nc_batch *batch = t->batch;
    size_t bytes = (batch->count + batch->extras) * n->width * sizeof(float);
    int status = bytes ? ops->zero(ops->backend, n->dtext, bytes) : NC_OK;
    if (status == NC_OK)
        status = ops->zero(ops->backend, n->dlogit_scale, sizeof(float));
    for (; t->number < t->step->ranks->size && status == NC_OK; t->number++)
        status = backward_turn(t);
    if (status == NC_OK)
        status = pass_dtext(t, t->number - 1);
    if (status == NC_OK)
        status = wait_for(t, t->dtext);
    if (status == NC_OK)
        status = add(t, n->captions, t->step->ring.dtext[t->number % 2], n->dtext);
    return status == NC_OK
               ? nc_step_own_terms(t->step, batch->count, batch->extras, batch->total, true)
               : status;
}

/* ---- The loss --------------------------------------------------------------------------- */

/* Without waiting: the block was last on its way two batches ago. */
static int send_groups(struct nc_step *step, const struct nc_batch *batch)
{
    struct nc_ops *ops = step->ops;
    struct nc_step_ring *ring = &step->ring;
    const struct nc_share *share = batch->share;
    if (!step->config->mask_same_image)
        return NC_OK;
    size_t turn = ring->group_turn++ % NC_GROUP_BLOCKS;
    unsigned sent = NC_MARK_RANKS + (unsigned)turn;
    int32_t *group = ring->group_host[turn];
    int status = ops->host_wait(ops->backend, sent);
    if (status != NC_OK)
        return status;
    for (size_t rank = 0; rank < share->size; rank++)
        for (size_t i = share->first[rank], at = rank * ring->stride; i < share->first[rank + 1]; i++, at++) {
            group[at] = batch->examples->image[share->list[i]];
            if (nc_step_sides(step) > 1)
                group[at + share->first[rank + 1] - share->first[rank]] =
                    batch->examples->distractor_image[share->list[i]];
        }
    status = ops->copy_queued(ops->backend, NC_COMPUTE, ring->group, group, group_bytes(step));
    return status == NC_OK ? ops->mark(ops->backend, NC_COMPUTE, sent) : status;
}

static int start_sums(struct nc_step *step, size_t count)
{
    struct nc_ops *ops = step->ops;
    float *running[] = {step->row_max, step->row_log, step->column_max, step->column_log};
    int status = NC_OK;
    for (size_t i = 0; i < sizeof running / sizeof *running && status == NC_OK && count; i++)
        status = ops->fill(ops->backend, running[i], -INFINITY, count);
    return status;
}

static int sum_loss(struct nc_step *step, const struct nc_batch *batch,
                    const struct nc_infonce *n)
{
    struct nc_ops *ops = step->ops;
    struct nc_infonce_loss sum = {.pairs = n->captions, .total = n->total, .row_max = n->row_max,
                                  .row_log = n->row_log, .column_max = n->column_max,
                                  .column_log = n->column_log, .positive = n->positive,
                                  .caption_weight = n->caption_weight,
                                  .image_weight = n->image_weight, .loss = &step->numbers->loss};
    nc_ticket ticket;
    int status = ops->zero(ops->backend, sum.loss, sizeof(float));
    if (status == NC_OK && sum.pairs)
        status = ops->infonce_loss(ops->backend, &sum);
    if (status == NC_OK)
        status = nc_step_count_own(step, batch->extras, true);
    if (status == NC_OK)
        status = nc_step_own_terms(step, batch->count, batch->extras, batch->total, false);
    if (status == NC_OK && ops->host_memory)
        status = ops->synchronize(ops->backend);
    if (status == NC_OK)
        status = nc_communicator_all_reduce(step->ranks, sum.loss, 1, &ticket);
    return status == NC_OK ? nc_communicator_wait(step->ranks, ticket) : status;
}

int nc_step_ring_loss(struct nc_step *step, const struct nc_batch *batch, bool gradients)
{
    size_t rank = step->ranks->rank;
    struct nc_infonce own = nc_step_describe_loss(step, batch->count, batch->extras);
    own.total = nc_step_sides(step) * batch->total;
    own.first_caption = own.first_image = nc_step_sides(step) * batch->share->first[rank];
    struct turn ahead = {.step = step, .batch = batch, .own = &own}, back = ahead;
    int status = send_groups(step, batch);
    if (status == NC_OK && batch->count)
        status = nc_step_convert_features(step, batch->count, batch->extras);
    if (status == NC_OK && batch->count)
        status = nc_step_weigh(step, batch->count, step->caption_weight, step->image_weight);
    if (status == NC_OK)
        status = start_sums(step, own.captions);
    if (status == NC_OK)
        status = forward(&ahead);
    if (status == NC_OK)
        status = sum_loss(step, batch, &own);
    return status == NC_OK && gradients ? backward(&back) : status;
}
