/* Writes a complete model folder with the text tower's parameters replaced. */
#include "folder.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "outputs.h"
#include "staging.h"

#include <stdlib.h>
#include <string.h>

/* The tensor's row when its bytes come from the text tower's parameters, else NULL. */
static const struct nc_parameter *text_row(const struct nc_model *model,
                                           const struct nc_tensor *tensor)
{
    for (size_t i = 0; i < model->table.count; i++) {
        if (model->table.rows[i].tower == NC_TOWER_TEXT && model->sources[i] == tensor)
            return &model->table.rows[i];
    }
    return NULL;
}

static int write_tensors(const struct nc_model *model, const char *path,
                         const float *text_parameters, enum nc_type type)
{
    struct nc_outputs outputs = {0};
    size_t in_file = nc_tensors_count(model->file), count = in_file + (model->added.data != NULL);
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const struct nc_tensor *tensor =
            i < in_file ? nc_tensors_at(model->file, i) : &model->added;
        const struct nc_parameter *row = text_row(model, tensor);
        struct nc_output *output = nc_outputs_add(&outputs);
        if (!output) {
            status = nc_error(NC_FAILED, "%s: no memory", path);
            break;
        }
        output->name = tensor->name;
        nc_output_take(output, model->file, tensor);
        if (row) {
            output->type_name = nc_tensor_type_name(type);
            output->pieces[0] =
                (struct nc_piece){.values = text_parameters + row->offset, .count = row->count};
        }
    }
    if (status == NC_OK)
        status = nc_outputs_write(&outputs, path);
    nc_outputs_free(&outputs);
    return status;
}

/* Whether any row of the tower has another type than `type` in the source. */
static bool tower_differs(const struct nc_model *model, enum nc_tower tower, enum nc_type type)
{
    for (size_t i = 0; i < model->table.count; i++) {
        if (model->table.rows[i].tower == tower && model->sources[i]->type != (int)type)
            return true;
    }
    return false;
}

static int write_config(const struct nc_model *model, const struct nc_staging *staging,
                        enum nc_type type)
{
    if (!tower_differs(model, NC_TOWER_TEXT, type))
        return nc_staging_copy(staging, model->folder, "config.json");
    bool mixed = tower_differs(model, NC_TOWER_VISION, type);
    char *from = nc_path_join(model->folder, "config.json");
    char *to = nc_staging_path(staging, "config.json");
    int status =
        from && to ? nc_config_copy_with_dtype(from, to, mixed ? NC_FLOAT32 : type, mixed)
                   : nc_error(NC_FAILED, "%s: no memory", staging->final);
    free(from);
    free(to);
    return status;
}

int nc_model_save(const struct nc_model *model, const char *folder, const float *text_parameters,
                  enum nc_type type)
{
    struct nc_staging staging;
    int status = nc_staging_begin(folder, &staging);
    if (status != NC_OK)
        return status;
    char *tensors = nc_staging_path(&staging, "model.safetensors");
    status = tensors ? write_tensors(model, tensors, text_parameters, type)
                     : nc_error(NC_FAILED, "%s: no memory", folder);
    free(tensors);
    if (status == NC_OK)
        status = write_config(model, &staging, type);
    if (status == NC_OK)
        status = nc_staging_copy_tokenizer(&staging, model->folder);
    if (status == NC_OK)
        status = nc_staging_copy_preprocessing(&staging, model->folder);
    return nc_staging_end(&staging, status);
}
