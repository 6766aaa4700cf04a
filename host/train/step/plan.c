/* Reserves the memory of a step for the largest batch that training will see. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>

enum { MOST_KEPT = 512 << 20 }; /* bytes of norms */

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Neighbours in the buffer become one range; padding between them stays zero. */
static int make_ranges(struct nc_step *step)
{
    const struct nc_parameter_table *table = step->table;
    step->ranges = calloc(table->count, sizeof *step->ranges);
    if (!step->ranges)
        return nc_error(NC_FAILED, "train: no memory");
    bool open = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower != NC_TOWER_TEXT)
            continue;
        bool scale = row->role == NC_LOGIT_SCALE;
        if (step->trainable[i] && (!open || scale)) {
            step->ranges[step->range_count++] = (struct nc_range){.offset = row->offset};
        }
        if (step->trainable[i]) {
            struct nc_range *range = &step->ranges[step->range_count - 1];
            range->count = row->offset + row->count - range->offset;
        }
        open = step->trainable[i] && !scale;
    }
    for (size_t i = 0; i < step->range_count; i++) {
        step->ranges[i].moment = step->moments;
        step->moments += (step->ranges[i].count + 15) / 16 * 16;
    }
    return NC_OK;
}

/* Also of other ranks' texts against this one's pictures. */
static size_t infonce_scratch(struct nc_step *step, const struct nc_step_need *need)
{
    struct nc_ops *ops = step->ops;
    struct nc_infonce own = nc_step_largest_call(step, step->batch, need->beside), block = own;
    block.captions = most(nc_step_grid_rows(step, need->longest), own.captions);
    return most(ops->infonce_scratch(ops->backend, &own), ops->infonce_scratch(ops->backend, &block));
}

static size_t sigmoid_scratch(struct nc_step *step, const struct nc_step_need *need)
{
    struct nc_ops *ops = step->ops;
    struct nc_infonce call = nc_step_largest_call(step, step->batch, need->beside);
    call.captions = most(nc_step_grid_rows(step, need->longest), call.captions);
    struct nc_sigmoid n = nc_grid_sigmoid(&call, true);
    return step->losses.sigmoid ? ops->sigmoid_scratch(ops->backend, &n) : 0;
}

/* Whether a picture has true texts beside its target. */
static bool has_others(const struct nc_step *step)
{
    for (size_t i = 0; i < step->losses.part_count; i++)
        if (step->losses.parts[i].grid && nc_term_has_others(step->losses.parts[i].grid))
            return true;
    return false;
}

static int reserve(struct nc_step *step, struct nc_arena *arena, const struct nc_step_need *need)
{
    size_t parameters = step->table->tower_elements[NC_TOWER_TEXT];
    size_t embedding = step->shape->embedding, batch = step->batch;
    size_t pictures = nc_step_sides(step) * batch;
    size_t grid_rows = nc_step_grid_rows(step, batch), columns = nc_step_grid_columns(step, batch);
    struct nc_ops *ops = step->ops;
    bool parts = step->micro < step->batch, rounded = step->config->loss_precision != NC_FLOAT32;
    size_t features = (batch + need->beside) * embedding;
    size_t micro = parts ? (need->captions + 1) * embedding : 0;
    struct {
        const char *label;
        size_t bytes;
        void *slot;
    } slots[] = {
        {"parameters (fp32)", parameters * 4, &step->master},
        {"parameters (bf16)", step->config->precision == NC_BFLOAT16 ? parameters * 2 : 0,
         &step->shadow},
        {"gradients", parameters * 4, &step->gradient},
        {"optimizer", nc_step_has_moment(step->config, 0) ? step->moments * 4 : 0, &step->first},
        {"optimizer", nc_step_has_moment(step->config, 1) ? step->moments * 4 : 0, &step->second},
        {"features", features * 4, &step->features},
        {"features", features * 4, &step->dfeatures},
        {"features", micro * 4, &step->micro_features},
        {"features", micro * 4, &step->micro_dfeatures},
        {"features", rounded ? features * 2 : 0, &step->loss_features},
        {"image embeddings", pictures * embedding * 4, &step->inputs.image},
        {"image embeddings", rounded ? pictures * embedding * 2 : 0, &step->loss_image},
        {"base features", step->losses.keeps ? batch * embedding * 4 : 0,
         &step->inputs.base},
        {"loss", pictures * 4, &step->inputs.group},
        {"loss", nc_step_weighted(step) ? grid_rows * 4 : 0, &step->caption_weight},
        {"loss", nc_step_weighted(step) ? columns * 4 : 0, &step->image_weight},
        {"loss", has_others(step) ? columns * 4 : 0, &step->elsewhere},
        {"loss", most(1, need->beside) * 4, &step->inputs.extra_image},
        {"loss", sizeof *step->inputs.pace, &step->inputs.pace},
        /* alone, all four side by side (nc_step_set_parameters); else two of them travel */
        {"loss", step->ranks ? 0 : 4 * nc_step_running(step) * 4, &step->row_max},
        {"loss", step->ranks ? columns * 4 : 0, &step->column_max},
        {"loss", step->ranks ? columns * 4 : 0, &step->column_log},
        {"loss", grid_rows * 4, &step->positive},
        {"loss", step->losses.projects ? 2 * embedding * 4 : 0, &step->basis},
        {"loss", sizeof *step->numbers, &step->numbers},
        {"loss", infonce_scratch(step, need), &step->infonce_scratch},
        {"loss", sigmoid_scratch(step, need), &step->sigmoid_scratch},
        {"loss", step->losses.has_own ? ops->own_terms_scratch(ops->backend, batch) : 0,
         &step->own_scratch},
    };
    int status = step->ranks ? nc_step_ring_plan(step, need->longest, arena) : NC_OK;
    for (size_t i = 0; i < sizeof slots / sizeof *slots && status == NC_OK; i++)
        if (slots[i].bytes)
            status = nc_arena_reserve(arena, slots[i].label, slots[i].bytes, slots[i].slot);
    return status;
}

/* A GPU, which has its memory for this, keeps norms while they are small beside it. Where the
 * processor computes, memory is what is short. */
static bool keep_norms(const struct nc_step *step, const struct nc_step_need *need)
{
    const struct nc_tower_shape *text = &step->shape->text;
    size_t row = 2 * text->layers * text->width * nc_type_size(step->config->precision);
    return step->ops->record_begin && need->rows <= MOST_KEPT / row;
}

static int create(struct nc_ops *ops, const struct nc_model_shape *shape,
                  const struct nc_parameter_table *table, const struct nc_config *config,
                  const bool *trainable, const struct nc_step_sample *sample,
                  struct nc_communicator *ranks, struct nc_arena *arena, struct nc_step **out)
{
    *out = NULL;
    struct nc_step *step = calloc(1, sizeof *step);
    if (!step)
        return nc_error(NC_FAILED, "train: no memory");
    step->ops = ops;
    step->shape = shape;
    step->table = table;
    step->config = config;
    step->trainable = trainable;
    step->ranks = ranks;
    nc_losses_of(config, &step->losses);
    struct nc_step_need *need = &step->need;
    int status = NC_OK;
    for (size_t i = 0; ranks && i < NC_STEPS_IN_FLIGHT && status == NC_OK; i++)
        status = nc_share_create(ranks->size, sample->batch, sample->examples, &step->shares[i]);
    if (status == NC_OK)
        status = nc_step_survey(step, sample, need);
    if (status == NC_OK)
        status = make_ranges(step);
    if (status == NC_OK && ranks)
        status = nc_step_buckets_plan(step);
    if (status == NC_OK)
        status = reserve(step, arena, need);
    if (status == NC_OK) {
        struct nc_text_capacity capacity = {need->captions, need->rows, need->tokens,
                                            need->repeated, true, keep_norms(step, need)};
        status = nc_text_tower_create(ops, step->shape, step->table, config->precision, &capacity,
                                      arena, &step->tower);
    }
    if (status == NC_OK) {
        struct nc_piece_capacity capacity = {step->micro, nc_step_sides(step), need->captions,
                                             need->rows, need->tokens, shape->embedding,
                                             step->losses.keeps};
        status = nc_step_inputs_plan(&step->staging, ops, &capacity, arena);
    }
    for (size_t i = 0; i < NC_STEPS_IN_FLIGHT && status == NC_OK; i++)
        status = ops->allocate_host(ops->backend, sizeof *step->arrived[i], (void **)&step->arrived[i]);
    if (status != NC_OK) {
        nc_step_destroy(step);
        return status;
    }
    *out = step;
    return NC_OK;
}

int nc_step_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                   const struct nc_parameter_table *table, const struct nc_config *config,
                   const bool *trainable, const struct nc_examples *examples,
                   struct nc_communicator *ranks, struct nc_arena *arena, struct nc_step **step)
{
    size_t largest = most(examples->training_count, examples->validation_count);
    struct nc_step_sample all = {.examples = examples,
                                 .batch = config->batch_size < largest
                                              ? (size_t)config->batch_size : largest};
    return create(ops, shape, table, config, trainable, &all, ranks, arena, step);
}

int nc_step_create_sampled(struct nc_ops *ops, const struct nc_model_shape *shape,
                           const struct nc_parameter_table *table, const struct nc_config *config,
                           const bool *trainable, const struct nc_step_sample *sample,
                           struct nc_communicator *ranks, struct nc_arena *arena,
                           struct nc_step **step)
{
    return create(ops, shape, table, config, trainable, sample, ranks, arena, step);
}

void nc_step_destroy(struct nc_step *step)
{
    if (!step)
        return;
    nc_text_tower_destroy(step->tower);
    nc_packing_destroy(&step->packing);
    free(step->ranges);
    free(step->buckets.list);
    nc_step_ring_free(step);
    for (size_t i = 0; i < NC_STEPS_IN_FLIGHT; i++)
        nc_share_free(&step->shares[i]);
    nc_step_inputs_free(&step->staging);
    for (size_t i = 0; i < NC_STEPS_IN_FLIGHT; i++)
        if (step->arrived[i])
            step->ops->release_host(step->ops->backend, step->arrived[i], sizeof *step->arrived[i]);
    free(step);
}
