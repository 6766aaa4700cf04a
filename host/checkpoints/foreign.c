/* Weights by OpenAI's and open_clip's names: which file, which name a parameter has there, and rows of
 * the table as tensors of that form. */
#include "exchange.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

int nc_foreign_files(const char *path, char **folder, char **weights)
{
    static const char *const names[] = {NC_OPEN_CLIP_WEIGHTS, "open_clip_pytorch_model.safetensors",
                                        "open_clip_pytorch_model.bin"};
    const char *slash = strrchr(path, '/');
    bool inside = nc_folder_exists(path), found = false;
    *folder = inside  ? strdup(path)
              : slash ? strndup(path, (size_t)(slash - path) + 1)
                      : strdup(".");
    *weights = NULL;
    for (size_t i = 0; inside && !found && i < sizeof names / sizeof names[0]; i++) {
        if (!nc_folder_holds(path, names[i]))
            continue;
        found = true;
        *weights = nc_path_join(path, names[i]);
    }
    if (!found)
        *weights = strdup(path);
    if (*folder && *weights)
        return NC_OK;
    free(*folder);
    free(*weights);
    *folder = *weights = NULL;
    return nc_error(NC_FAILED, "%s: no memory", path);
}

const char *nc_foreign_prefix(const struct nc_tensors *tensors)
{
    static const char custom[] = "text.";
    for (size_t i = 0; i < nc_tensors_count(tensors); i++)
        if (strncmp(nc_tensors_at(tensors, i)->name, custom, sizeof custom - 1) == 0)
            return custom;
    return "";
}

const char *nc_foreign_name(const char *prefix, const struct nc_parameter *row,
                            char name[NC_FOREIGN_NAME])
{
    bool custom = row->tower == NC_TOWER_TEXT && row->role != NC_LOGIT_SCALE &&
                  row->role != NC_LOGIT_BIAS;
    snprintf(name, NC_FOREIGN_NAME, "%s%s", custom ? prefix : "", row->openai_name);
    return name;
}

int nc_foreign_add(struct nc_outputs *outputs, const struct nc_model *model, size_t i,
                   const enum nc_type *type)
{
    const struct nc_parameter *row = &model->table.rows[i];
    const struct nc_tensor *const *sources = &model->sources[i];
    if (row->openai_slice > 0)
        return NC_OK;
    struct nc_output *output = nc_outputs_add(outputs);
    if (!output)
        return nc_error(NC_FAILED, "%s: no memory for its tensors", model->folder);
    nc_output_take(output, model->file, sources[0]);
    output->name = row->openai_name;
    if (type)
        output->type_name = nc_tensor_type_name(*type);
    if (row->openai_transposed) {
        output->shape[0] = row->shape[1];
        output->shape[1] = row->shape[0];
        output->pieces[0].transposed = true;
    }
    for (size_t k = 1; row->openai_slice == 0 && k < 3; k++) {
        if (!type && sources[k]->type != sources[0]->type)
            return nc_error(
                NC_BAD_INPUT,
                "%s: \"%s\" and \"%s\" have different types, but are one tensor in this "
                "format; give --dtype",
                model->folder, row[0].name, row[k].name);
        output->shape[0] += row[k].shape[0];
        output->pieces[k] = (struct nc_piece){
            .file = model->file, .tensor = sources[k], .count = sources[k]->count};
        output->piece_count++;
    }
    return NC_OK;
}
