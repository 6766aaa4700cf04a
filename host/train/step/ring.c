/* A term of InfoNCE over the batch of all ranks, whose text features go round a ring (ranks.h). */
#include "parts.h"

#include "marks.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>

/* ---- Memory ----------------------------------------------------------------------------- */

static size_t group_bytes(const struct nc_step *step)
{
    return step->ranks->size * step->ring.group_stride * sizeof(int32_t);
}

/* Whether the texts of all terms lie side by side in each batch: no role comes between them. */
static bool side_by_side(const struct nc_step *step)
{
    for (size_t i = 0; i < step->losses.part_count; i++) {
        const struct nc_loss_term *term = step->losses.parts[i].grid;
        if (term && term->source && term->texts > 1)
            return false;
        for (unsigned k = 1; term && k < term->texts; k++) {
            unsigned between = 0;
            for (unsigned role = term->text[k - 1] + 1; role < term->text[k]; role++)
                between |= step->losses.roles & 1u << role;
            if (between || term->text[k] < term->text[k - 1])
                return false;
        }
    }
    return true;
}

static size_t rounded_up(size_t count)
{
    return (count + 15) / 16 * 16;
}

int nc_step_ring_plan(struct nc_step *step, size_t longest, struct nc_arena *arena)
{
    struct nc_ops *ops = step->ops;
    struct nc_step_ring *ring = &step->ring;
    size_t embedding = step->shape->embedding, rows = nc_step_grid_rows(step, longest);
    ring->stride = rounded_up(rows);
    ring->group_stride = rounded_up(nc_step_sides(step) * longest);
    ring->identity_host = malloc(ring->stride * sizeof *ring->identity_host);
    if (!ring->identity_host)
        return nc_error(NC_FAILED, "train: no memory");
    size_t block = rows * embedding, sums = 2 * ring->stride * sizeof(float);
    size_t travelling = block * nc_type_size(step->config->loss_precision);
    struct {
        size_t bytes;
        void *slot;
    } slots[] = {
        {travelling, &ring->text[0]},
        {travelling, &ring->text[1]},
        {side_by_side(step) ? 0 : travelling, &ring->gathered},
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
    const struct nc_step_grid *grid; /* the rank's own texts against its own pictures */
    const void *text_home; /* its own texts, side by side */
    size_t number;         /* t */
    nc_ticket text, sums, dtext; /* what is on its way here */
};

/* Whose captions are here in turn t. */
static size_t visitor(const struct turn *t, size_t number)
{
    size_t ranks = t->step->ranks->size;
    return (t->step->ranks->rank + ranks - number) % ranks;
}

/* Examples of that rank, and their texts in the term. */
static size_t examples_in(const struct turn *t, size_t number)
{
    const struct nc_share *share = t->batch->share;
    size_t rank = visitor(t, number), first = share->first[rank];
    return nc_batch_count(t->batch->examples, share->list + first, share->first[rank + 1] - first,
                          t->grid->term->source);
}

static size_t texts_in(const struct turn *t, size_t number)
{
    return t->grid->term->texts * examples_in(t, number);
}

static const void *text_in(const struct turn *t, size_t number)
{
    return number ? t->step->ring.text[number % 2] : t->text_home;
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
    size_t row = t->grid->common.width * nc_type_size(t->grid->common.type), next = t->number + 1;
    return nc_communicator_exchange(t->step->ranks, text_in(t, t->number),
                                    texts_in(t, t->number) * row, t->step->ring.text[next % 2],
                                    texts_in(t, next) * row, &t->text);
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
    size_t row = t->grid->common.width * sizeof(float);
    return nc_communicator_exchange(t->step->ranks, ring->dtext[from % 2],
                                    texts_in(t, from) * row, ring->dtext[(from + 1) % 2],
                                    texts_in(t, from + 1) * row, &t->dtext);
}

static int wait_for(const struct turn *t, nc_ticket ticket)
{
    return nc_communicator_wait(t->step->ranks, ticket);
}

/* The texts of this turn. `dtext`: where their gradients go, unless they are the rank's own. */
static struct nc_grid_texts texts_of(const struct turn *t, float *dtext)
{
    const struct nc_step_ring *ring = &t->step->ring;
    const struct nc_grid_texts *own = &t->grid->texts;
    if (t->number == 0)
        return *own;
    size_t rank = visitor(t, t->number), count = examples_in(t, t->number), first = 0;
    const struct nc_share *share = t->batch->share;
    size_t examples = share->first[rank + 1] - share->first[rank];
    for (unsigned s = 1; s < t->grid->term->source; s++) /* other sources' come before */
        first += nc_batch_count(t->batch->examples, share->list + share->first[rank], examples, s);
    struct nc_grid_texts texts = {.count = count, .rows = text_in(t, t->number), .drows = dtext,
                                  .row_max = sums_in(t, t->number), .positive = ring->unused,
                                  .weight = own->weight ? ring->weight : NULL};
    texts.row_log = texts.row_max + ring->stride;
    for (unsigned k = 0; k < t->grid->term->texts; k++) {
        int picture = nc_term_picture_of(t->grid->term, k);
        texts.place[k] = k * count;
        if (own->group[k])
            texts.group[k] = ring->group + rank * ring->group_stride + first +
                             t->grid->term->picture[picture] * examples;
    }
    return texts;
}

static bool has_sums(const struct turn *t)
{
    return nc_term_has_sums(t->grid->term);
}

/* The texts of this turn against the rank's own pictures. What has no sums is computed at once, with its
 * gradients. */
static int score(const struct turn *t, const struct nc_grid_texts *texts, bool backward)
{
    struct nc_ops *ops = t->step->ops;
    struct nc_infonce calls[NC_MOST_CALLS];
    size_t count = nc_grid_calls(t->grid->term, &t->grid->common, texts, &t->grid->pictures, calls);
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = !has_sums(t) ? nc_step_sigmoid(t->step, &calls[i], backward)
                 : backward   ? ops->infonce_backward(ops->backend, &calls[i])
                              : ops->infonce_forward(ops->backend, &calls[i]);
    return status;
}

/* ---- Forward ---------------------------------------------------------------------------- */

static int forward_turn(struct turn *t)
{
    int status = wait_for(t, t->text);
    if (status == NC_OK && t->number && has_sums(t))
        status = pass_sums(t, t->number - 1);
    if (status == NC_OK && t->number + 1 < t->step->ranks->size)
        status = pass_text(t);
    if (status == NC_OK && t->number && has_sums(t))
        status = wait_for(t, t->sums);
    struct nc_grid_texts texts = texts_of(t, NULL);
    if (status == NC_OK && t->number && texts.weight && !has_sums(t))
        status = nc_step_weigh(t->step, t->grid->term, texts.count, t->step->ring.weight, NULL);
    if (status == NC_OK)
        status = score(t, &texts, false);
    return status == NC_OK ? settle(t) : status;
}

static int forward(struct turn *t)
{
    int status = settle(t);
    for (; t->number < t->step->ranks->size && status == NC_OK; t->number++)
        status = forward_turn(t);
    if (status == NC_OK && has_sums(t))
        status = pass_sums(t, t->number - 1);
    return status == NC_OK && has_sums(t) ? wait_for(t, t->sums) : status;
}

/* ---- Backward --------------------------------------------------------------------------- */

/* to[count, width] += part */
static int add(const struct turn *t, size_t count, const float *part, float *to)
{
    struct nc_ops *ops = t->step->ops;
    struct nc_scatter scatter = {.count = count,
                                 .width = t->grid->common.width,
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
    int status = wait_for(t, has_sums(t) ? t->sums : t->text); /* sums come behind the text */
    if (status == NC_OK && t->number > 1)
        status = pass_dtext(t, t->number - 1);
    if (status == NC_OK && more)
        status = pass_text(t);
    if (status == NC_OK && more && has_sums(t))
        status = pass_sums(t, t->number);
    float *dtext = t->number == 1 ? ring->dtext[1] : ring->part;
    size_t count = texts_in(t, t->number);
    struct nc_grid_texts texts = texts_of(t, dtext);
    if (status == NC_OK && t->number && texts.weight)
        status = nc_step_weigh(t->step, t->grid->term, texts.count, ring->weight, NULL);
    if (status == NC_OK && t->number && count)
        status = ops->zero(ops->backend, dtext, count * t->grid->common.width * sizeof(float));
    if (status == NC_OK)
        status = score(t, &texts, true);
    if (status == NC_OK && t->number > 1)
        status = wait_for(t, t->dtext);
    if (status == NC_OK && t->number > 1)
        status = add(t, count, ring->part, ring->dtext[t->number % 2]);
    return status == NC_OK ? settle(t) : status;
}

static int backward(struct turn *t)
{
    const struct nc_grid_texts *own = &t->grid->texts;
    size_t width = t->grid->common.width;
    int status = NC_OK;
    for (; t->number < t->step->ranks->size && status == NC_OK; t->number++)
        status = backward_turn(t);
    if (status == NC_OK)
        status = pass_dtext(t, t->number - 1);
    if (status == NC_OK)
        status = wait_for(t, t->dtext);
    const float *home = t->step->ring.dtext[t->number % 2];
    for (unsigned k = 0, next; k < t->grid->term->texts && status == NC_OK; k = next) {
        for (next = k + 1; next < t->grid->term->texts; next++)
            if (own->place[next] != own->place[next - 1] + own->count)
                break;
        status = add(t, (next - k) * own->count, home + k * own->count * width,
                     own->drows + own->place[k] * width);
    }
    return status;
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
        for (size_t i = share->first[rank], at = rank * ring->group_stride; i < share->first[rank + 1];
             i++, at++) {
            group[at] = batch->examples->image[share->list[i]];
            if (nc_step_sides(step) > 1)
                group[at + share->first[rank + 1] - share->first[rank]] =
                    batch->examples->distractor_image[share->list[i]];
        }
    status = ops->copy_queued(ops->backend, NC_COMPUTE, ring->group, group, group_bytes(step));
    return status == NC_OK ? ops->mark(ops->backend, NC_COMPUTE, sent) : status;
}

int nc_step_ring_begin(struct nc_step *step, const struct nc_batch *batch)
{
    return send_groups(step, batch);
}

/* The rank's own texts of the term, side by side. */
static int gather_own(struct turn *t)
{
    struct nc_ops *ops = t->step->ops;
    const struct nc_grid_texts *own = &t->grid->texts;
    size_t row = t->grid->common.width * nc_type_size(t->grid->common.type);
    const char *rows = own->rows;
    char *gathered = t->step->ring.gathered;
    int status = NC_OK;
    bool apart = false;
    t->text_home = rows + own->place[0] * row;
    for (unsigned k = 1; k < t->grid->term->texts; k++)
        apart = apart || own->place[k] != own->place[k - 1] + own->count;
    if (!apart || !own->count)
        return NC_OK;
    t->text_home = gathered;
    for (unsigned k = 0; k < t->grid->term->texts && status == NC_OK; k++)
        status = ops->copy(ops->backend, gathered + k * own->count * row,
                           rows + own->place[k] * row, own->count * row);
    return status;
}

int nc_step_ring_grid(struct nc_step *step, const struct nc_batch *batch,
                      const struct nc_loss_term *term, bool gradients)
{
    struct nc_step_grid grid;
    nc_step_grid_of(step, batch, term, &grid);
    struct turn ahead = {.step = step, .batch = batch, .grid = &grid};
    int status = nc_step_grid_start(step, &grid);
    if (status == NC_OK)
        status = gather_own(&ahead);
    struct turn back = ahead;
    if (status == NC_OK && gradients && !has_sums(&ahead)) {
        status = settle(&back);
        return status == NC_OK ? backward(&back) : status;
    }
    if (status == NC_OK)
        status = forward(&ahead);
    if (status == NC_OK && has_sums(&ahead))
        status = nc_step_grid_sum(step, &grid);
    return status == NC_OK && gradients ? backward(&back) : status;
}
