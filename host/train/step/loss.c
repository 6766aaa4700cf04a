/* The loss of a batch and its gradients: runs the micro batches through the text tower forward,
 * computes InfoNCE over all of their features, and runs them backward. */
#include "parts.h"

#include "nclip/support/error.h"

#include <xxhash.h>

/* ---- Micro batches through the tower ---------------------------------------------------- */

/* The batch keeps the texts of each role apart; a micro batch holds its share of each. */
struct part {
    size_t first, count;            /* examples of the batch */
    size_t before[NC_TEXT_ROLES];   /* texts of the pieces before it */
    size_t texts[NC_TEXT_ROLES];    /* of this one */
    bool flag;                      /* forward: kept for backward; backward: added to what is there */
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
    size_t width = step->shape->embedding, at = 0;
    int status = NC_OK;
    if (whole == micro)
        return NC_OK;
    for (int role = 0; role < NC_TEXT_ROLES && status == NC_OK; at += part->texts[role++]) {
        float *there = whole + (nc_batch_place(batch, role) + part->before[role]) * width;
        float *here = micro + at * width;
        if (part->texts[role])
            status = ops->copy(ops->backend, to_batch ? there : here, to_batch ? here : there,
                               part->texts[role] * width * sizeof(float));
    }
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
    struct nc_piece_texts texts = {{0}, {0}};
    int status = nc_examples_pack(batch->examples, step->shape, step->config, batch->list + part->first,
                                  part->count, &step->packing);
    if (status != NC_OK)
        return status;
    for (int role = NC_TEXT_CAPTION + 1; role < NC_TEXT_ROLES; role++) {
        texts.count[role] = part->texts[role];
        texts.place[role] = nc_batch_place(batch, role) + part->before[role] - batch->count;
    }
    if (step->ops->record_begin)
        round_up(step);
    return nc_step_inputs_load(&step->staging, batch->examples, batch->list + part->first,
                               part->count, part->first, batch->count, &texts, &step->packing,
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
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        part->before[role] += part->texts[role];
    size_t left = batch->count - part->first;
    part->count = left < step->micro ? left : step->micro;
    (void)nc_examples_count_texts(batch->examples, batch->list + part->first, part->count, part->texts);
    return left > 0;
}

/* ---- The loss --------------------------------------------------------------------------- */

struct loss {
    const struct nc_batch *batch;
    bool gradients;
};

static int zero_loss(struct nc_step *step, const struct loss *loss)
{
    struct nc_ops *ops = step->ops;
    size_t texts = loss->batch->count + loss->batch->beside;
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    int status = ops->zero(ops->backend, &step->numbers->loss, sizeof(float));
    if (status == NC_OK && loss->gradients && texts)
        status = ops->zero(ops->backend, step->dfeatures,
                           texts * step->shape->embedding * sizeof(float));
    if (status == NC_OK && loss->gradients)
        status = ops->zero(ops->backend, step->gradient + scale, sizeof(float));
    if (status == NC_OK && loss->gradients && step->losses.sigmoid)
        status = ops->zero(ops->backend, step->gradient + nc_step_bias(step), sizeof(float));
    return status;
}

/* Part after part, on one rank or on several. */
static int compute_loss(struct nc_step *step, void *context)
{
    const struct loss *loss = context;
    const struct nc_batch *batch = loss->batch;
    int status = batch->count ? nc_step_convert_features(step, batch) : NC_OK;
    if (status == NC_OK)
        status = zero_loss(step, loss);
    if (status == NC_OK)
        status = nc_step_count_own(step, batch, step->ranks != NULL);
    for (size_t i = 0; i < step->losses.part_count && status == NC_OK; i++) {
        const struct nc_loss_term *grid = step->losses.parts[i].grid;
        if (grid)
            status = step->ranks
                         ? nc_step_ring_grid(step, batch, grid, loss->gradients)
                         : nc_step_grid(step, batch, grid, loss->gradients);
        else
            status = nc_step_own_terms(step, batch, i, false);
        if (!grid && loss->gradients && status == NC_OK)
            status = nc_step_own_terms(step, batch, i, true);
    }
    return status;
}

/* What a recording holds beyond how many texts of each role there are. */
static uint64_t hash_sources(const struct nc_batch *batch)
{
    uint64_t hash = 0;
    for (unsigned s = 0; s <= NC_MOST_SOURCES; s++) {
        const uint64_t choosing = nc_step_choosing(batch, s);
        hash = XXH64(&batch->source[s], sizeof batch->source[s], hash);
        hash = XXH64(&choosing, sizeof choosing, hash);
    }
    return hash;
}

/* Other ranks have parts of it. */
static int ring_loss(struct nc_step *step, struct loss *loss)
{
    struct nc_ops *ops = step->ops;
    nc_ticket ticket;
    int status = nc_step_ring_begin(step, loss->batch);
    if (status == NC_OK)
        status = compute_loss(step, loss);
    if (status == NC_OK && ops->host_memory)
        status = ops->synchronize(ops->backend);
    if (status == NC_OK)
        status = nc_communicator_all_reduce(step->ranks, &step->numbers->loss, 1, &ticket);
    return status == NC_OK ? nc_communicator_wait(step->ranks, ticket) : status;
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
    struct loss loss = {batch, gradients};
    if (step->ranks)
        return ring_loss(step, &loss);
    struct nc_part_key key = {.part = NC_PART_LOSS, .flag = gradients, .captions = batch->count};
    for (int role = NC_TEXT_CAPTION + 1; role < NC_TEXT_ROLES; role++)
        key.texts[role - 1] = (uint32_t)batch->texts[role];
    key.others = hash_sources(batch);
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
        step->losses.roles || step->losses.has_own)
        return NC_OK;
    *done = true;
    (void)next_part(step, batch, &whole.part);
    int status = load_part(step, batch, &whole.part, true);
    whole.part.flag = true;
    whole.loss = (struct loss){batch, true};
    struct nc_part_key key = key_of(NC_PART_STEP, step, &whole.part);
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
