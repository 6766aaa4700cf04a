/* Writes a model in the form of another program: transformers, open_clip or OpenAI's state dict. */
#include "exchange.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"
#include "staging.h"

#include <stdlib.h>
#include <string.h>

const char *const nc_format_names[] = {"hf",        "hf-text", "hf-text-projection",
                                       "open_clip", "openai",  NULL};

const char *const nc_openai_facts[NC_OPENAI_FACTS] = {"input_resolution", "context_length",
                                                      "vocab_size"};

struct job {
    const struct nc_model *model;
    enum nc_format format;
    const enum nc_type *type;
    struct nc_preprocess preprocess;
    struct nc_outputs outputs;
    int64_t facts[NC_OPENAI_FACTS];
};

static int no_memory(const struct job *job)
{
    return nc_error(NC_FAILED, "%s: no memory for its tensors", job->model->folder);
}

/* ---- what the format cannot say ---- */

static int check_openai_tower(const struct job *job, const char *which,
                              const struct nc_tower_shape *tower)
{
    const char *folder = job->model->folder;
    if (tower->width / 64 != tower->heads)
        return nc_error(NC_BAD_INPUT,
                        "%s: its %s tower has %zu heads, but a width of %zu means %zu to the "
                        "readers of OpenAI's state dicts; use --format open_clip",
                        folder, which, tower->heads, tower->width, tower->width / 64);
    if (tower->mlp != 4 * tower->width)
        return nc_error(NC_BAD_INPUT,
                        "%s: its %s tower's mlp is %zu, but a width of %zu means %zu to the "
                        "readers of OpenAI's state dicts; use --format open_clip",
                        folder, which, tower->mlp, tower->width, 4 * tower->width);
    if (tower->activation != NC_QUICK_GELU)
        return nc_error(NC_BAD_INPUT,
                        "%s: its %s tower's activation is %s, but OpenAI's state dicts are read "
                        "with quick_gelu; use --format open_clip",
                        folder, which, nc_activation_names[tower->activation]);
    if (tower->epsilon != 1e-5f)
        return nc_error(NC_BAD_INPUT,
                        "%s: its %s tower's layernorm epsilon is %g, but OpenAI's state dicts are "
                        "read with 1e-05; use --format open_clip",
                        folder, which, (double)tower->epsilon);
    return NC_OK;
}

static int check_openai(const struct job *job)
{
    const struct nc_model_shape *shape = &job->model->shape;
    const char *folder = job->model->folder;
    int status = check_openai_tower(job, "text", &shape->text);
    if (status == NC_OK)
        status = check_openai_tower(job, "vision", &shape->vision);
    if (status != NC_OK)
        return status;
    if (shape->end_rule == NC_END_FIRST && (size_t)shape->end_token + 1 != shape->vocabulary)
        return nc_error(NC_BAD_INPUT,
                        "%s: captions end at token %d, but OpenAI's state dicts are read at the "
                        "largest id, which is %zu here; use --format open_clip",
                        folder, (int)shape->end_token, shape->vocabulary - 1);
    if (shape->image_size % shape->patch_size)
        return nc_error(NC_BAD_INPUT,
                        "%s: pictures of %zu are no multiple of its patches of %zu, but OpenAI's "
                        "state dicts are read as if; use --format open_clip",
                        folder, shape->image_size, shape->patch_size);
    struct nc_preprocess plain;
    nc_preprocess_default(shape->image_size, &plain);
    char *ours = nc_preprocess_describe(&job->preprocess), *theirs = nc_preprocess_describe(&plain);
    if (!ours || !theirs)
        status = no_memory(job);
    else if (strcmp(ours, theirs) != 0)
        status =
            nc_error(NC_BAD_INPUT,
                     "%s: its preprocessing of pictures (%s) is not CLIP's own, which OpenAI's "
                     "state dicts are read with; use --format open_clip",
                     folder, ours);
    free(ours);
    free(theirs);
    return status;
}

/* ---- tensors ---- */

static const char *type_name(const struct job *job, const struct nc_tensor *tensor)
{
    return job->type ? nc_tensor_type_name(*job->type) : tensor->type_name;
}

/* Everything that the folder holds, as it is named there. */
static int list_all(struct job *job)
{
    const struct nc_model *model = job->model;
    for (size_t i = 0; i < nc_tensors_count(model->file); i++) {
        const struct nc_tensor *tensor = nc_tensors_at(model->file, i);
        struct nc_output *output = nc_outputs_add(&job->outputs);
        if (!output)
            return no_memory(job);
        nc_output_take(output, model->file, tensor);
        output->name = tensor->name;
        for (size_t k = 0; k < model->table.count; k++)
            if (model->sources[k] == tensor)
                output->type_name = type_name(job, tensor);
    }
    return NC_OK;
}

static int list_text(struct job *job)
{
    const struct nc_model *model = job->model;
    for (size_t i = 0; i < model->table.count; i++) {
        const struct nc_parameter *row = &model->table.rows[i];
        if (row->tower != NC_TOWER_TEXT || row->role == NC_LOGIT_SCALE ||
            row->role == NC_LOGIT_BIAS ||
            (row->role == NC_PROJECTION && job->format == NC_FORMAT_HF_TEXT &&
             !model->shape.projection_bias)) /* a head is part of the tower */
            continue;
        struct nc_output *output = nc_outputs_add(&job->outputs);
        if (!output)
            return no_memory(job);
        nc_output_take(output, model->file, model->sources[i]);
        output->name = row->name;
        output->type_name = type_name(job, model->sources[i]);
    }
    return NC_OK;
}

static int list_facts(struct job *job)
{
    const struct nc_model_shape *shape = &job->model->shape;
    const size_t facts[NC_OPENAI_FACTS] = {shape->image_size, shape->context, shape->vocabulary};
    for (size_t i = 0; i < NC_OPENAI_FACTS; i++) {
        struct nc_output *output = nc_outputs_add(&job->outputs);
        if (!output)
            return no_memory(job);
        job->facts[i] = (int64_t)facts[i];
        output->name = nc_openai_facts[i];
        output->type_name = "I64";
        output->pieces[0] =
            (struct nc_piece){.bytes = &job->facts[i], .count = sizeof job->facts[i]};
        output->piece_count = 1;
    }
    return NC_OK;
}

static int list_tensors(struct job *job)
{
    if (job->format == NC_FORMAT_HF)
        return list_all(job);
    if (job->format == NC_FORMAT_HF_TEXT || job->format == NC_FORMAT_HF_TEXT_PROJECTION)
        return list_text(job);
    int status = NC_OK;
    for (size_t i = 0; i < job->model->table.count && status == NC_OK; i++) {
        /* OpenAI's model has no place for it */
        if (job->format == NC_FORMAT_OPENAI && job->model->table.rows[i].role == NC_LOGIT_BIAS)
            continue;
        status = nc_foreign_add(&job->outputs, job->model, i, job->type);
    }
    if (status == NC_OK && job->format == NC_FORMAT_OPENAI)
        status = list_facts(job);
    return status;
}

/* ---- config ---- */

/* open_clip's built-in tokenizer knows CLIP's own vocabulary only, and cleans texts in its own way. */
static int write_open_clip_config(const struct job *job, const char *to)
{
    const struct nc_model *model = job->model;
    enum nc_text_cleaning cleaning;
    int status = nc_text_cleaning_noted(model->folder, &cleaning);
    bool own = (model->shape.vocabulary != NC_CLIP_VOCABULARY || cleaning != NC_TEXT_AS_IT_IS) &&
               nc_tokenizer_is_in(model->folder);
    return status == NC_OK ? nc_open_clip_config_write(model->folder, to, &model->shape,
                                                       &job->preprocess, own, cleaning)
                           : status;
}

static int write_config(const struct job *job, const struct nc_staging *staging)
{
    const struct nc_model *model = job->model;
    bool open_clip = job->format == NC_FORMAT_OPEN_CLIP;
    if (job->format == NC_FORMAT_OPENAI)
        return NC_OK;
    char *from = nc_path_join(model->folder, "config.json");
    char *to = nc_staging_path(staging, open_clip ? NC_OPEN_CLIP_CONFIG : "config.json");
    int status = NC_OK;
    if (!from || !to)
        status = no_memory(job);
    else if (open_clip)
        status = write_open_clip_config(job, to);
    else if (job->format != NC_FORMAT_HF)
        status = nc_hf_config_write(to, &model->shape, job->format, nc_outputs_type(&job->outputs),
                                    NULL);
    else if (job->type)
        status = nc_config_copy_with_dtype(from, to, *job->type, false);
    else
        status = nc_staging_copy(staging, model->folder, "config.json");
    free(from);
    free(to);
    return status;
}

static int write_folder(struct job *job, const struct nc_staging *staging)
{
    const char *folder = job->model->folder;
    bool text_only =
        job->format == NC_FORMAT_HF_TEXT || job->format == NC_FORMAT_HF_TEXT_PROJECTION;
    int status = write_config(job, staging);
    char *path = nc_staging_path(staging, job->format == NC_FORMAT_OPEN_CLIP ? NC_OPEN_CLIP_WEIGHTS
                                                                             : "model.safetensors");
    if (status == NC_OK)
        status = path ? nc_outputs_write(&job->outputs, path) : no_memory(job);
    free(path);
    if (status == NC_OK)
        status = nc_staging_copy_tokenizer(staging, folder);
    if (status == NC_OK && !text_only && job->format != NC_FORMAT_OPEN_CLIP)
        status = nc_staging_copy_preprocessing(staging, folder);
    return status;
}

int nc_model_export(const struct nc_model *model, enum nc_format format, const enum nc_type *type,
                    const char *folder)
{
    struct job job = {.model = model, .format = format, .type = type};
    struct nc_staging staging;
    int status = NC_OK;
    bool both = format == NC_FORMAT_OPEN_CLIP || format == NC_FORMAT_OPENAI;
    if (both)
        status = nc_model_need_vision(model);
    if (status == NC_OK && both)
        status = nc_preprocess_load(model->folder, model->shape.image_size, &job.preprocess);
    if (status == NC_OK && format == NC_FORMAT_OPENAI)
        status = check_openai(&job);
    if (status == NC_OK)
        status = list_tensors(&job);
    if (status == NC_OK)
        status = nc_staging_begin(folder, &staging);
    if (status == NC_OK)
        status = nc_staging_end(&staging, write_folder(&job, &staging));
    nc_outputs_free(&job.outputs);
    return status;
}
