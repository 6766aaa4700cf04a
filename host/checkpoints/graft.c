/* A fine-tuned text tower put back into the checkpoint that it comes from, of which all else is
 * copied byte for byte (but an end's id that open_clip 4 misses in the config): so that the whole
 * model can be used, whatever its vision tower is. */
#include "exchange.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "staging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const struct nc_model *model;
    const char *original;
    const enum nc_type *type;
    bool by_hf_names;
    const char *prefix;
    char *folder, *weights;
    struct nc_tensors *file;
    struct nc_outputs outputs;
    size_t replaced; /* tensors of the text tower that were found */
};

/* LongCLIP keeps its positions twice, of which it reads some from either: both get all. */
static bool holds_stretched(const struct job *job, const char *tensor)
{
    return !job->by_hf_names && strcmp(tensor, NC_STRETCHED_POSITIONS) == 0;
}

/* The row that the tensor holds, or the first of three; NULL when it is none of the text tower's. */
static const struct nc_parameter *find_row(const struct job *job, const char *tensor)
{
    const struct nc_parameter_table *table = &job->model->table;
    char name[NC_FOREIGN_NAME];
    if (holds_stretched(job, tensor))
        return nc_parameter_find(table, NC_TOWER_TEXT, NC_POSITION_EMBEDDING, NC_NO_BLOCK);
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower == NC_TOWER_TEXT &&
            strcmp(tensor, job->by_hf_names ? row->name
                                            : nc_foreign_name(job->prefix, row, name)) == 0)
            return row;
    }
    return NULL;
}

static int no_memory(const struct job *job)
{
    return nc_error(NC_FAILED, "%s: no memory for its tensors", job->original);
}

static int check_shape(const struct job *job, const struct nc_tensor *tensor,
                       const struct nc_output *output)
{
    char theirs[220], ours[220];
    /* logit_scale is a scalar or [1] */
    bool one = output->rank < 2 && tensor->rank < 2 && tensor->count == 1 &&
               (!output->rank || output->shape[0] == 1);
    if (one || (tensor->rank == output->rank &&
                memcmp(tensor->shape, output->shape, tensor->rank * sizeof tensor->shape[0]) == 0))
        return NC_OK;
    return nc_error(NC_BAD_INPUT,
                    "%s: tensor \"%s\" has the shape %s, but the text tower of %s has %s; it comes "
                    "from another model",
                    nc_tensors_path(job->file, tensor), tensor->name,
                    nc_shape_text(tensor->rank, tensor->shape, theirs, sizeof theirs),
                    job->model->folder, nc_shape_text(output->rank, output->shape, ours, sizeof ours));
}

/* The text tower's tensor in the original's form. */
static int add_own(struct job *job, const struct nc_parameter *row, const struct nc_tensor *tensor)
{
    const struct nc_model *model = job->model;
    size_t i = (size_t)(row - model->table.rows);
    int status = NC_OK;
    if (job->by_hf_names) {
        struct nc_output *output = nc_outputs_add(&job->outputs);
        if (!output)
            return no_memory(job);
        nc_output_take(output, model->file, model->sources[i]);
        if (job->type)
            output->type_name = nc_tensor_type_name(*job->type);
    } else {
        status = nc_foreign_add(&job->outputs, model, i, job->type);
    }
    if (status != NC_OK)
        return status;
    struct nc_output *output = &job->outputs.items[job->outputs.count - 1];
    output->name = tensor->name;
    status = check_shape(job, tensor, output);
    output->rank = tensor->rank;
    memcpy(output->shape, tensor->shape, sizeof tensor->shape);
    job->replaced += !holds_stretched(job, tensor->name);
    return status;
}

static int list_tensors(struct job *job)
{
    int status = NC_OK;
    for (size_t i = 0; i < nc_tensors_count(job->file) && status == NC_OK; i++) {
        const struct nc_tensor *tensor = nc_tensors_at(job->file, i);
        const struct nc_parameter *row = find_row(job, tensor->name);
        if (row) {
            status = add_own(job, row, tensor);
            continue;
        }
        struct nc_output *output = nc_outputs_add(&job->outputs);
        if (!output)
            return no_memory(job);
        nc_output_take(output, job->file, tensor);
        output->name = tensor->name;
    }
    /* A logit_bias that training gave the tower stays behind where the original has none. */
    size_t needed = 0;
    for (size_t i = 0; i < job->model->table.count; i++) {
        const struct nc_parameter *row = &job->model->table.rows[i];
        bool left_out = row->role == NC_LOGIT_BIAS && !nc_tensors_find(job->file, row->name);
        needed += row->tower == NC_TOWER_TEXT && !left_out &&
                  (job->by_hf_names || row->openai_slice < 1);
    }
    if (status == NC_OK && job->replaced != needed)
        status = nc_error(NC_BAD_INPUT,
                          "%s: holds %zu of the %zu tensors of the text tower by the names of this "
                          "format; it is no checkpoint that the tower comes from",
                          job->original, job->replaced, needed);
    return status;
}

/* open_clip 4 reads no config that pools at the end's token and does not say its id, which open_clip 3
 * took for 2. */
static int lacks_end(const char *path, bool *lacks)
{
    cJSON *root;
    int status = nc_json_load(path, &root);
    *lacks = false;
    if (status != NC_OK)
        return status;
    const cJSON *model = nc_json_member(root, "model_cfg");
    const cJSON *text = nc_json_member(model ? model : root, "text_cfg");
    const cJSON *pool = nc_json_member(text, "pool_type"), *end = nc_json_member(text, "eos_id");
    *lacks = cJSON_IsString(pool) && strcmp(pool->valuestring, "eos") == 0 && !end;
    cJSON_Delete(root);
    return NC_OK;
}

static int write_open_clip_config(const struct job *job, const struct nc_staging *staging)
{
    char *from = nc_path_join(job->folder, NC_OPEN_CLIP_CONFIG), id[16];
    char *to = nc_staging_path(staging, NC_OPEN_CLIP_CONFIG);
    bool lacks = false;
    int status = from && to ? NC_OK : no_memory(job);
    if (status == NC_OK && nc_file_exists(from))
        status = lacks_end(from, &lacks);
    snprintf(id, sizeof id, "%d", (int)job->model->shape.end_token);
    if (status == NC_OK && lacks)
        status = nc_config_copy_with_member(from, to, "text_cfg", "eos_id", id);
    else if (status == NC_OK)
        status = nc_staging_copy(staging, job->folder, NC_OPEN_CLIP_CONFIG);
    free(from);
    free(to);
    return status;
}

/* The original's; its dtype follows where the text tower brings another one. */
static int write_config(const struct job *job, const struct nc_staging *staging)
{
    static const char name[] = "config.json";
    bool other = false;
    if (!job->by_hf_names)
        return write_open_clip_config(job, staging);
    for (size_t i = 0; i < job->outputs.count; i++) {
        const struct nc_tensor *tensor = nc_tensors_find(job->file, job->outputs.items[i].name);
        other = other || strcmp(tensor->type_name, job->outputs.items[i].type_name) != 0;
    }
    if (!other || !nc_folder_holds(job->folder, name))
        return nc_staging_copy(staging, job->folder, name);
    char *from = nc_path_join(job->folder, name), *to = nc_staging_path(staging, name);
    int status = from && to ? nc_config_copy_with_dtype(from, to, nc_outputs_type(&job->outputs), false)
                            : no_memory(job);
    free(from);
    free(to);
    return status;
}

static int write_folder(const struct job *job, const struct nc_staging *staging)
{
    char *path = nc_staging_path(staging, job->by_hf_names ? "model.safetensors"
                                                           : NC_OPEN_CLIP_WEIGHTS);
    int status = path ? nc_outputs_write(&job->outputs, path) : no_memory(job);
    free(path);
    if (status == NC_OK)
        status = write_config(job, staging);
    if (status == NC_OK)
        status = nc_staging_copy_tokenizer(staging, job->folder);
    return status == NC_OK ? nc_staging_copy_preprocessing(staging, job->folder) : status;
}

int nc_model_graft(const struct nc_model *model, enum nc_format format, const char *original,
                   const enum nc_type *type, const char *folder)
{
    struct job job = {.model = model, .original = original, .type = type,
                      .by_hf_names = format == NC_FORMAT_HF};
    struct nc_staging staging;
    int status = format == NC_FORMAT_HF || format == NC_FORMAT_OPEN_CLIP
                     ? nc_foreign_files(original, &job.folder, &job.weights)
                     : nc_error(NC_USAGE, "export: a checkpoint is given with --format hf or "
                                          "open_clip, whichever names its tensors have");
    if (status == NC_OK)
        status = nc_tensors_open(job.weights, &job.file);
    if (status == NC_OK) {
        job.prefix = nc_foreign_prefix(job.file);
        status = list_tensors(&job);
    }
    if (status == NC_OK)
        status = nc_staging_begin(folder, &staging);
    if (status == NC_OK)
        status = nc_staging_end(&staging, write_folder(&job, &staging));
    nc_outputs_free(&job.outputs);
    nc_tensors_close(job.file);
    free(job.folder);
    free(job.weights);
    return status;
}
