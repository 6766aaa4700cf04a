/* Blends two models: (1 - alpha) x base + alpha x tuned. */
#include "exchange.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "staging.h"

#include <stdlib.h>
#include <string.h>

static int same_tower(const struct nc_model *base, const struct nc_model *tuned, const char *which,
                      const struct nc_tower_shape *a, const struct nc_tower_shape *b)
{
    if (a->activation != b->activation || a->epsilon != b->epsilon || a->heads != b->heads)
        return nc_error(NC_BAD_INPUT,
                        "%s and %s: their %s towers differ in activation, heads or layernorm "
                        "epsilon, so no model lies between them",
                        base->folder, tuned->folder, which);
    return NC_OK;
}

static int check_same(const struct nc_model *base, const struct nc_model *tuned)
{
    char a[120], b[120];
    const struct nc_model_shape *one = &base->shape, *other = &tuned->shape;
    for (size_t i = 0; i < base->table.count && i < tuned->table.count; i++) {
        const struct nc_parameter *row = &base->table.rows[i], *twin = &tuned->table.rows[i];
        if (strcmp(row->name, twin->name) != 0)
            break;
        if (memcmp(row->shape, twin->shape, sizeof row->shape) != 0)
            return nc_error(NC_BAD_INPUT,
                            "%s and %s: tensor \"%s\" has the shape %s in one and %s in the other, "
                            "so no model lies between them",
                            base->folder, tuned->folder, row->name,
                            nc_shape_text(row->rank, row->shape, a, sizeof a),
                            nc_shape_text(twin->rank, twin->shape, b, sizeof b));
    }
    if (base->table.count != tuned->table.count || one->text.layers != other->text.layers)
        return nc_error(NC_BAD_INPUT,
                        "%s has %zu and %zu blocks, %s %zu and %zu, so no model lies between them",
                        base->folder, one->text.layers, one->vision.layers, tuned->folder,
                        other->text.layers, other->vision.layers);
    if (one->family != other->family || one->mask != other->mask)
        return nc_error(NC_BAD_INPUT, "%s and %s: they are of different families, so no model lies "
                                      "between them", base->folder, tuned->folder);
    int status = same_tower(base, tuned, "text", &one->text, &other->text);
    if (status == NC_OK)
        status = same_tower(base, tuned, "vision", &one->vision, &other->vision);
    if (status == NC_OK &&
        (one->end_rule != other->end_rule || one->end_token != other->end_token ||
         one->image_size != other->image_size))
        status = nc_error(NC_BAD_INPUT,
                          "%s and %s: they differ in the end of text or the size of pictures, so "
                          "no model lies between them",
                          base->folder, tuned->folder);
    return status;
}

static int list_tensors(const struct nc_model *base, const struct nc_model *tuned, double alpha,
                        const enum nc_type *type, struct nc_outputs *outputs)
{
    for (size_t i = 0; i < base->table.count; i++) {
        const struct nc_tensor *from = base->sources[i], *to = tuned->sources[i];
        struct nc_output *output = nc_outputs_add(outputs);
        if (!output)
            return nc_error(NC_FAILED, "%s: no memory for its tensors", base->folder);
        nc_output_take(output, base->file, from);
        output->name = base->table.rows[i].name;
        bool same = from->type == to->type && memcmp(from->data, to->data, from->bytes) == 0;
        nc_tensors_release(base->file, from, 0, from->bytes);
        nc_tensors_release(tuned->file, to, 0, to->bytes);
        if (!same && alpha == 1) {
            nc_output_take(output, tuned->file, to);
            output->type_name = "F32";
        } else if (!same && alpha == 0) { /* no sum with zeros: it would make -0 a +0 */
            output->type_name = "F32";
        } else if (!same) {
            output->pieces[0].other_file = tuned->file;
            output->pieces[0].other = to;
            output->pieces[0].alpha = alpha;
            output->type_name = "F32";
        }
        if (type)
            output->type_name = nc_tensor_type_name(*type);
    }
    return NC_OK;
}

static int write_record(const char *path, const struct nc_model *base, const struct nc_model *tuned,
                        double alpha)
{
    cJSON *root = cJSON_CreateObject();
    bool done = cJSON_AddNumberToObject(root, "alpha", alpha) &&
                cJSON_AddStringToObject(root, "base", base->folder) &&
                cJSON_AddStringToObject(root, "tuned", tuned->folder);
    return nc_json_write(path, root, done);
}

static int write_folder(const struct nc_model *base, const struct nc_model *tuned, double alpha,
                        const enum nc_type *type, const struct nc_outputs *outputs,
                        const struct nc_staging *staging)
{
    char *from = nc_path_join(tuned->folder, "config.json");
    char *config = nc_staging_path(staging, "config.json");
    char *tensors = nc_staging_path(staging, "model.safetensors");
    char *record = nc_staging_path(staging, "merge.json");
    int status = from && config && tensors && record
                     ? nc_outputs_write(outputs, tensors)
                     : nc_error(NC_FAILED, "%s: no memory", staging->final);
    if (status == NC_OK)
        status = nc_config_copy_with_dtype(from, config, type ? *type : NC_FLOAT32, true);
    if (status == NC_OK)
        status = write_record(record, base, tuned, alpha);
    if (status == NC_OK)
        status = nc_staging_copy_tokenizer(staging, tuned->folder);
    if (status == NC_OK)
        status = nc_staging_copy_preprocessing(staging, tuned->folder);
    free(from);
    free(config);
    free(tensors);
    free(record);
    return status;
}

/* Where one alone was trained with a sigmoid loss, the merged model has its logit_bias. */
static int match_logit_bias(struct nc_model *model, const struct nc_model *other)
{
    const struct nc_parameter *row =
        nc_parameter_find(&other->table, NC_TOWER_TEXT, NC_LOGIT_BIAS, NC_NO_BLOCK);
    if (!row)
        return NC_OK;
    const struct nc_tensor *bias = other->sources[row - other->table.rows];
    float value;
    nc_convert(&value, NC_FLOAT32, bias->data, bias->type, 1);
    return nc_model_add_logit_bias(model, value);
}

int nc_model_merge(struct nc_model *base, struct nc_model *tuned, double alpha,
                   const enum nc_type *type, const char *folder)
{
    struct nc_outputs outputs = {0};
    struct nc_staging staging;
    int status = NC_OK;
    if (!(alpha >= 0 && alpha <= 1))
        status = nc_error(NC_USAGE, "alpha is %g; it lies between 0 (base) and 1 (tuned)", alpha);
    if (status == NC_OK)
        status = match_logit_bias(base, tuned);
    if (status == NC_OK)
        status = match_logit_bias(tuned, base);
    if (status == NC_OK)
        status = check_same(base, tuned);
    if (status == NC_OK)
        status = list_tensors(base, tuned, alpha, type, &outputs);
    if (status == NC_OK)
        status = nc_staging_begin(folder, &staging);
    if (status == NC_OK)
        status =
            nc_staging_end(&staging, write_folder(base, tuned, alpha, type, &outputs, &staging));
    nc_outputs_free(&outputs);
    return status;
}
