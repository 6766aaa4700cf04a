/* Describes a batch's InfoNCE to the backend: converts its inputs to the loss's precision and
 * weighs its terms. */
#include "parts.h"

#include "nclip/support/error.h"

struct nc_infonce nc_step_describe_loss(const struct nc_step *step, size_t pairs, size_t extras)
{
    const struct nc_config *config = step->config;
    size_t embedding = step->shape->embedding;
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    enum nc_type type = config->loss_precision;
    size_t captions = nc_step_sides(step) * pairs;
    if (captions > pairs || !config->hard_negatives) /* captions like others, or for other terms */
        extras = 0;
    const char *text = type == NC_FLOAT32 ? (void *)step->features : step->loss_features;
    return (struct nc_infonce){
        .type = type, .captions = captions, .images = captions, .width = embedding, .total = captions,
        .text = text, .image = type == NC_FLOAT32 ? (void *)step->inputs.image : step->loss_image,
        .logit_scale = step->master ? step->master + scale : NULL,
        .caption_group = config->mask_same_image ? step->inputs.group : NULL,
        .image_group = config->mask_same_image ? step->inputs.group : NULL, .extras = extras,
        .extra = extras && text ? text + pairs * embedding * nc_type_size(type) : NULL,
        .extra_image = step->inputs.extra_image, .caption_weight = step->caption_weight,
        .image_weight = step->image_weight, .row_max = step->row_max,
        .row_log = step->row_log, .column_max = step->column_max, .column_log = step->column_log,
        .positive = step->positive, .dtext = step->dfeatures,
        .dextra = step->dfeatures ? step->dfeatures + pairs * embedding : NULL,
        .dlogit_scale = step->gradient ? step->gradient + scale : NULL,
        .scratch = step->infonce_scratch};
}

int nc_step_convert_features(struct nc_step *step, size_t pairs, size_t extras)
{
    struct nc_ops *ops = step->ops;
    size_t width = step->shape->embedding;
    if (step->config->loss_precision == NC_FLOAT32)
        return NC_OK;
    int status = ops->convert(ops->backend, step->loss_features, NC_BFLOAT16, step->features,
                              NC_FLOAT32, (pairs + extras) * width);
    return status == NC_OK ? ops->convert(ops->backend, step->loss_image, NC_BFLOAT16,
                                          step->inputs.image, NC_FLOAT32,
                                          nc_step_sides(step) * pairs * width)
                           : status;
}

int nc_step_weigh(struct nc_step *step, size_t pairs, float *captions, float *images)
{
    struct nc_ops *ops = step->ops;
    float weight = (float)step->config->infonce;
    float third = weight * (4.0f / 3); /* of a term that InfoNCE counts 1 / (2 * 2 * pairs) */
    int status = NC_OK;
    if (nc_step_sides(step) == 1) {
        if (captions)
            status = ops->fill(ops->backend, captions, weight, pairs);
        return images && status == NC_OK ? ops->fill(ops->backend, images, weight, pairs) : status;
    }
    if (captions)
        status = ops->fill(ops->backend, captions, third, pairs);
    if (captions && status == NC_OK)
        status = ops->fill(ops->backend, captions + pairs, 0, pairs);
    if (images && status == NC_OK)
        status = ops->fill(ops->backend, images, third, 2 * pairs);
    return status;
}
