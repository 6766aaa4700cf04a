/* The loss of a batch and its gradients: pictures, micro batches through the tower, InfoNCE. */
#include "step_parts.h"

#include "nclip/error.h"

#include <math.h>

struct nc_infonce nc_step_describe_loss(const struct nc_step *step, size_t pairs, size_t extras)
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
    struct nc_weights weights = nc_step_weights(step);
    int status = nc_examples_pack(examples, step->config, list + part->first, part->count,
                                  &step->packing, &part->extras);
    if (status == NC_OK)
        status = nc_text_tower_forward(step->tower, &weights, &step->packing, keep, false,
                                       step->micro_features);
    return status;
}

/* Features of all captions of the batch, then the sums of the loss. */
int nc_step_loss_forward(struct nc_step *step, const struct nc_examples *examples,
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
    *loss = nc_step_describe_loss(step, count, extras);
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

int nc_step_loss_backward(struct nc_step *step, const struct nc_examples *examples,
                         const uint32_t *list, size_t count, const struct nc_infonce *loss)
{
    struct nc_ops *ops = step->ops;
    struct nc_weights weights = nc_step_weights(step);
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
