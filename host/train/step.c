#include "step.h"

#include "nclip/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Planning ----------------------------------------------------------------------- */

struct need {
    size_t captions, rows, tokens, extras; /* of one micro batch */
    size_t batch_extras;                   /* of one batch */
};

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Packs every micro batch of a list as training will, and keeps the largest sizes. */
static int survey(const struct nc_examples *examples, const struct nc_config *config,
                  const uint32_t *list, size_t count, size_t micro, struct nc_packing *packing,
                  struct need *need)
{
    size_t batch = (size_t)config->batch_size, extras;
    for (size_t start = 0; start < count; start += batch) {
        size_t size = count - start < batch ? count - start : batch, batch_extras = 0;
        for (size_t at = 0; at < size; at += micro) {
            size_t part = size - at < micro ? size - at : micro;
            int status = nc_examples_pack(examples, config, list + start + at, part, packing, &extras);
            if (status != NC_OK)
                return status;
            need->captions = most(need->captions, packing->captions);
            need->rows = most(need->rows, packing->rows);
            need->tokens = most(need->tokens, packing->tokens);
            need->extras = most(need->extras, extras);
            batch_extras += extras;
        }
        need->batch_extras = most(need->batch_extras, batch_extras);
    }
    return NC_OK;
}

static size_t longest_text(const struct nc_examples *examples)
{
    size_t longest = 1;
    for (size_t i = 0; i < examples->texts; i++)
        longest = most(longest, examples->token_start[i + 1] - examples->token_start[i]);
    return longest;
}

static int plan_batches(struct nc_step *step, const struct nc_examples *examples, struct need *need)
{
    const struct nc_config *config = step->config;
    size_t texts = step->micro * (config->contradictions ? 2 : 1);
    *need = (struct need){0};
    int status = nc_packing_create(texts, texts * longest_text(examples), &step->packing);
    uint32_t *order = malloc(most(1, examples->training_count) * sizeof *order);
    if (status == NC_OK && !order)
        status = nc_error(NC_FAILED, "train: no memory");
    for (uint64_t epoch = 0; epoch < config->epochs && status == NC_OK; epoch++) {
        nc_examples_order(examples, config->seed, epoch, order);
        status = survey(examples, config, order, examples->training_count, step->micro,
                        &step->packing, need);
    }
    if (status == NC_OK)
        status = survey(examples, config, examples->validation, examples->validation_count,
                        step->micro, &step->packing, need);
    free(order);
    return status;
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
            step->ranges[step->range_count++] =
                (struct nc_range){.offset = row->offset, .logit_scale = scale};
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

static struct nc_infonce describe_loss(const struct nc_step *step, size_t pairs, size_t extras)
{
    const struct nc_config *config = step->config;
    size_t embedding = step->shape->embedding;
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    return (struct nc_infonce){
        .type = NC_FLOAT32, .captions = pairs, .images = pairs, .width = embedding, .total = pairs,
        .text = step->features, .image = step->image,
        .logit_scale = step->master ? step->master + scale : NULL,
        .caption_group = config->mask_same_image ? step->group : NULL,
        .image_group = config->mask_same_image ? step->group : NULL, .extras = extras,
        .extra = extras && step->features ? step->features + pairs * embedding : NULL,
        .extra_image = step->extra_image, .row_max = step->row_max, .row_log = step->row_log,
        .column_max = step->column_max, .column_log = step->column_log,
        .positive = step->positive, .dtext = step->dfeatures,
        .dextra = step->dfeatures ? step->dfeatures + pairs * embedding : NULL,
        .dlogit_scale = step->gradient ? step->gradient + scale : NULL,
        .scratch = step->infonce_scratch};
}

static int reserve(struct nc_step *step, struct nc_arena *arena, const struct need *need)
{
    size_t parameters = step->table->tower_elements[NC_TOWER_TEXT];
    size_t embedding = step->shape->embedding, batch = step->batch;
    bool parts = step->micro < step->batch;
    struct nc_infonce loss = describe_loss(step, batch, need->batch_extras);
    size_t features = (batch + need->batch_extras) * embedding;
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
        {"optimizer", step->moments * 4, &step->first},
        {"optimizer", step->moments * 4, &step->second},
        {"features", features * 4, &step->features},
        {"features", features * 4, &step->dfeatures},
        {"features", micro * 4, &step->micro_features},
        {"features", micro * 4, &step->micro_dfeatures},
        {"image embeddings", batch * embedding * 4, &step->image},
        {"loss", batch * 4, &step->group},
        {"loss", most(1, need->batch_extras) * 4, &step->extra_image},
        {"loss", batch * 4, &step->row_max},
        {"loss", batch * 4, &step->row_log},
        {"loss", batch * 4, &step->column_max},
        {"loss", batch * 4, &step->column_log},
        {"loss", batch * 4, &step->positive},
        {"loss", 4, &step->loss},
        {"loss", 4, &step->factor},
        {"loss", 8, &step->norm},
        {"loss", step->ops->infonce_scratch(step->ops->backend, &loss), &step->infonce_scratch},
    };
    int status = NC_OK;
    for (size_t i = 0; i < sizeof slots / sizeof *slots && status == NC_OK; i++)
        if (slots[i].bytes)
            status = nc_arena_reserve(arena, slots[i].label, slots[i].bytes, slots[i].slot);
    return status;
}

int nc_step_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                   const struct nc_parameter_table *table, const struct nc_config *config,
                   const bool *trainable, const struct nc_examples *examples,
                   struct nc_arena *arena, struct nc_step **out)
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
    size_t largest = most(examples->training_count, examples->validation_count);
    step->batch = config->batch_size < largest ? (size_t)config->batch_size : largest;
    step->micro = config->micro_batch_size && config->micro_batch_size < step->batch
                      ? (size_t)config->micro_batch_size : step->batch;
    struct need need;
    int status = plan_batches(step, examples, &need);
    if (status == NC_OK)
        status = make_ranges(step);
    if (status == NC_OK)
        status = reserve(step, arena, &need);
    if (status == NC_OK) {
        struct nc_text_capacity capacity = {need.captions, need.rows, need.tokens, true};
        status = nc_text_tower_create(ops, step->shape, step->table, config->precision, &capacity,
                                      arena, &step->tower);
    }
    step->image_host = malloc(step->batch * step->shape->embedding * sizeof(float));
    step->index_host = malloc(most(step->batch, need.batch_extras) * sizeof(int32_t));
    step->row_host = malloc(step->batch * sizeof(size_t));
    if (status == NC_OK && (!step->image_host || !step->index_host || !step->row_host))
        status = nc_error(NC_FAILED, "train: no memory");
    if (status != NC_OK) {
        nc_step_destroy(step);
        return status;
    }
    *out = step;
    return NC_OK;
}

void nc_step_destroy(struct nc_step *step)
{
    if (!step)
        return;
    nc_text_tower_destroy(step->tower);
    nc_packing_destroy(&step->packing);
    free(step->ranges);
    free(step->image_host);
    free(step->index_host);
    free(step->row_host);
    free(step);
}

static struct nc_weights weights_of(const struct nc_step *step)
{
    return (struct nc_weights){step->master, step->shadow};
}

int nc_step_set_parameters(struct nc_step *step, const float *master)
{
    struct nc_ops *ops = step->ops;
    size_t count = step->table->tower_elements[NC_TOWER_TEXT];
    /* With one micro batch its features are the batch's. */
    if (!step->micro_features) {
        step->micro_features = step->features;
        step->micro_dfeatures = step->dfeatures;
    }
    int status = ops->upload(ops->backend, step->master, master, count * sizeof(float));
    if (status == NC_OK && step->shadow)
        status = ops->convert(ops->backend, step->shadow, NC_BFLOAT16, step->master, NC_FLOAT32, count);
    /* Padding between parameters is never written, and frozen ones have no gradient. */
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++)
        status = ops->zero(ops->backend, step->gradient + step->ranges[i].offset,
                           step->ranges[i].count * sizeof(float));
    if (status == NC_OK)
        status = ops->zero(ops->backend, step->first, step->moments * sizeof(float));
    if (status == NC_OK)
        status = ops->zero(ops->backend, step->second, step->moments * sizeof(float));
    return status;
}

/* ---- The loss ------------------------------------------------------------------------ */

static int upload_pictures(struct nc_step *step, const struct nc_examples *examples,
                           const uint32_t *list, size_t count, size_t *extras)
{
    struct nc_ops *ops = step->ops;
    size_t embedding = step->shape->embedding;
    for (size_t i = 0; i < count; i++)
        step->row_host[i] = examples->embedding[list[i]];
    nc_embedding_store_gather(examples->store, step->row_host, count, NC_FLOAT32, step->image_host);
    if (!nc_embedding_store_info(examples->store)->normalized) {
        for (size_t i = 0; i < count; i++) {
            float *row = step->image_host + i * embedding;
            double sum = 0;
            for (size_t k = 0; k < embedding; k++)
                sum += (double)row[k] * row[k];
            float factor = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
            for (size_t k = 0; k < embedding; k++)
                row[k] *= factor;
        }
    }
    int status = ops->upload(ops->backend, step->image, step->image_host,
                             count * embedding * sizeof(float));
    for (size_t i = 0; i < count; i++)
        step->index_host[i] = examples->image[list[i]];
    if (status == NC_OK)
        status = ops->upload(ops->backend, step->group, step->index_host, count * sizeof(int32_t));
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    *extras = 0;
    for (size_t i = 0; i < count; i++)
        if (examples->contradiction[list[i]] != NC_NO_CONTRADICTION)
            step->index_host[(*extras)++] = (int32_t)i;
    if (status == NC_OK && *extras)
        status = ops->upload(ops->backend, step->extra_image, step->index_host,
                             *extras * sizeof(int32_t));
    return status;
}

/* One micro batch through the tower, or its gradients back through it. The batch keeps
 * captions and contradictions apart; a micro batch holds its share of both. */
struct part {
    size_t first, count;        /* examples of the batch */
    size_t first_extra, extras; /* contradictions of the batch */
    size_t pairs;               /* captions of the batch: where contradictions start */
};

static int move_features(struct nc_step *step, const struct part *part, float *batch, float *micro,
                         bool to_batch)
{
    struct nc_ops *ops = step->ops;
    size_t width = step->shape->embedding, row = width * sizeof(float);
    if (batch == micro)
        return NC_OK;
    float *captions = batch + part->first * width;
    float *extras = batch + (part->pairs + part->first_extra) * width;
    float *micro_extras = micro + part->count * width;
    int status = ops->copy(ops->backend, to_batch ? captions : micro, to_batch ? micro : captions,
                           part->count * row);
    if (status == NC_OK && part->extras)
        status = ops->copy(ops->backend, to_batch ? extras : micro_extras,
                           to_batch ? micro_extras : extras, part->extras * row);
    return status;
}

static int forward_part(struct nc_step *step, const struct nc_examples *examples,
                        const uint32_t *list, struct part *part, bool keep)
{
    struct nc_weights weights = weights_of(step);
    int status = nc_examples_pack(examples, step->config, list + part->first, part->count,
                                  &step->packing, &part->extras);
    if (status == NC_OK)
        status = nc_text_tower_forward(step->tower, &weights, &step->packing, keep, false,
                                       step->micro_features);
    return status;
}

/* Features of all captions of the batch, then the sums of the loss. */
static int loss_forward(struct nc_step *step, const struct nc_examples *examples,
                        const uint32_t *list, size_t count, bool keep, struct nc_infonce *loss)
{
    struct nc_ops *ops = step->ops;
    size_t extras;
    int status = upload_pictures(step, examples, list, count, &extras);
    struct part part = {.pairs = count};
    for (; part.first < count && status == NC_OK; part.first += part.count) {
        part.count = count - part.first < step->micro ? count - part.first : step->micro;
        status = forward_part(step, examples, list, &part, keep && count <= step->micro);
        if (status == NC_OK)
            status = move_features(step, &part, step->features, step->micro_features, true);
        part.first_extra += part.extras;
    }
    if (status != NC_OK)
        return status;
    *loss = describe_loss(step, count, extras);
    float *running[] = {step->row_max, step->row_log, step->column_max, step->column_log};
    for (size_t i = 0; i < sizeof running / sizeof *running && status == NC_OK; i++)
        status = ops->fill(ops->backend, running[i], -INFINITY, count);
    if (status == NC_OK)
        status = ops->infonce_forward(ops->backend, loss);
    if (status == NC_OK)
        status = ops->zero(ops->backend, step->loss, sizeof(float));
    struct nc_infonce_loss sum = {.pairs = count, .total = count, .row_max = step->row_max,
                                  .row_log = step->row_log, .column_max = step->column_max,
                                  .column_log = step->column_log, .positive = step->positive,
                                  .loss = step->loss};
    return status == NC_OK ? ops->infonce_loss(ops->backend, &sum) : status;
}

static int download_loss(struct nc_step *step, double *loss)
{
    float value;
    int status = step->ops->download(step->ops->backend, &value, step->loss, sizeof value);
    *loss = value;
    return status;
}

int nc_step_evaluate(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                     size_t count, double *loss)
{
    struct nc_infonce infonce;
    int status = loss_forward(step, examples, list, count, false, &infonce);
    return status == NC_OK ? download_loss(step, loss) : status;
}

/* ---- Gradients and update -------------------------------------------------------------- */

static int squared_norm(struct nc_step *step, const float *data, size_t count, double *sum)
{
    struct nc_ops *ops = step->ops;
    int status = ops->zero(ops->backend, step->norm, sizeof(double));
    if (status == NC_OK)
        status = ops->squared_norm(ops->backend, data, count, step->norm);
    return status == NC_OK ? ops->download(ops->backend, sum, step->norm, sizeof *sum) : status;
}

/* Something is not a number: names the first tensor that shows it. */
static int not_finite(struct nc_step *step, uint64_t number, const char *what, size_t pairs)
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
        } inputs[] = {{"the image embeddings of the batch", step->image},
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

static int loss_backward(struct nc_step *step, const struct nc_examples *examples,
                         const uint32_t *list, size_t count, const struct nc_infonce *loss)
{
    struct nc_ops *ops = step->ops;
    struct nc_weights weights = weights_of(step);
    int status = ops->zero(ops->backend, step->dfeatures,
                           (count + loss->extras) * step->shape->embedding * sizeof(float));
    if (status == NC_OK)
        status = ops->zero(ops->backend, loss->dlogit_scale, sizeof(float));
    if (status == NC_OK)
        status = ops->infonce_backward(ops->backend, loss);
    struct part part = {.pairs = count};
    for (; part.first < count && status == NC_OK; part.first += part.count) {
        part.count = count - part.first < step->micro ? count - part.first : step->micro;
        if (count > step->micro)
            status = forward_part(step, examples, list, &part, true);
        else
            part.extras = loss->extras;
        if (status == NC_OK)
            status = move_features(step, &part, step->dfeatures, step->micro_dfeatures, false);
        if (status == NC_OK)
            status = nc_text_tower_backward(step->tower, &weights, &step->packing,
                                            step->micro_dfeatures, step->trainable, part.first > 0,
                                            step->gradient);
        part.first_extra += part.extras;
    }
    return status;
}

static int update(struct nc_step *step, uint64_t number, double learning_rate, double norm)
{
    struct nc_ops *ops = step->ops;
    const struct nc_config *config = step->config;
    bool clip = config->gradient_clip > 0 && norm > config->gradient_clip;
    float factor = clip ? (float)(config->gradient_clip / norm) : 1.0f;
    int status = NC_OK;
    if (clip)
        status = ops->upload(ops->backend, step->factor, &factor, sizeof factor);
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++) {
        const struct nc_range *range = &step->ranges[i];
        struct nc_adamw adamw = {
            .count = range->count, .parameter = step->master + range->offset,
            .gradient = step->gradient + range->offset, .first = step->first + range->moment,
            .second = step->second + range->moment,
            .shadow = step->shadow ? step->shadow + range->offset : NULL,
            .learning_rate = learning_rate, .beta1 = config->beta1,
            .beta2 = config->beta2, .epsilon = config->epsilon,
            .weight_decay = config->weight_decay, .step = number,
            .gradient_factor = clip ? step->factor : NULL,
            .limit = range->logit_scale ? (float)config->logit_scale_max : 0};
        status = ops->adamw(ops->backend, &adamw);
    }
    return status;
}

int nc_step_train(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                  size_t count, uint64_t number, double learning_rate, double *loss,
                  double *gradient_norm)
{
    struct nc_infonce infonce;
    int status = loss_forward(step, examples, list, count, true, &infonce);
    if (status == NC_OK)
        status = download_loss(step, loss);
    if (status != NC_OK)
        return status;
    if (!isfinite(*loss))
        return not_finite(step, number, "loss", count);
    status = loss_backward(step, examples, list, count, &infonce);
    double sum = 0;
    for (size_t i = 0; i < step->range_count && status == NC_OK; i++) {
        double part;
        status = squared_norm(step, step->gradient + step->ranges[i].offset, step->ranges[i].count,
                              &part);
        sum += part;
    }
    if (status != NC_OK)
        return status;
    *gradient_norm = sqrt(sum);
    if (!isfinite(*gradient_norm))
        return not_finite(step, number, "gradient", count);
    return update(step, number, learning_rate, *gradient_norm);
}

int nc_step_logit_scale(struct nc_step *step, float *value)
{
    size_t offset = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    return step->ops->download(step->ops->backend, value, step->master + offset, sizeof *value);
}
