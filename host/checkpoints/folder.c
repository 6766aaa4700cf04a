/* Opens a model's folder, checks its tensors against the table of parameters, and loads a tower. */
#include "folder.h"

#include "nclip/model/family.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements that are read before their part of the mapping is given back: large
 * enough for all threads, small enough that loading adds nothing to the memory
 * that a run plans. */
enum { CHUNK = 1 << 20, SLICE = 1 << 15 };

static bool same_shape(const struct nc_parameter *row, const struct nc_tensor *tensor)
{
    return row->rank == tensor->rank &&
           memcmp(row->shape, tensor->shape, row->rank * sizeof row->shape[0]) == 0;
}

const char *nc_shape_text(size_t rank, const size_t *shape, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (size_t i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? ", " : "", shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
    return text;
}

static int check_tensor(const struct nc_model *model, const struct nc_parameter *row,
                        const struct nc_tensor *tensor)
{
    const char *path = nc_tensors_path(model->file, tensor);
    char expected[120], actual[220];
    if (!same_shape(row, tensor))
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%s\" has the shape %s, but config.json asks for "
                        "%s",
                        path, row->name,
                        nc_shape_text(tensor->rank, tensor->shape, actual, sizeof actual),
                        nc_shape_text(row->rank, row->shape, expected, sizeof expected));
    if (tensor->type < 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%s\" is of type %s; nclip reads F32, F16 and "
                        "BF16",
                        path, row->name, tensor->type_name);
    return NC_OK;
}

static int missing_error(const struct nc_model *model, const char *first, size_t missing)
{
    char more[48] = "";
    if (missing > 1)
        snprintf(more, sizeof more, " (and %zu more)", missing - 1);
    bool openai = nc_tensors_find(model->file, "visual.class_embedding") != NULL;
    return nc_error(NC_BAD_INPUT, "%s: tensor \"%s\"%s is missing; %s", model->folder, first, more,
                    openai
                        ? "the names are OpenAI's and open_clip's, so use nclip import first"
                    : nc_shape_has_vision(&model->shape)
                        ? "a CLIP with both towers, saved by transformers' CLIPModel, is needed"
                        : "of a text model without it nothing can be trained or compared");
}

/* The tensor of a row, or NULL. A logit_bias that was added lies in no file. */
static const struct nc_tensor *find_source(const struct nc_model *model,
                                           const struct nc_parameter *row)
{
    const struct nc_tensor *tensor = nc_tensors_find(model->file, row->name);
    return !tensor && row->role == NC_LOGIT_BIAS && model->added.data ? &model->added : tensor;
}

static int bind_tensors(struct nc_model *model)
{
    const struct nc_parameter_table *table = &model->table;
    free(model->sources);
    model->sources = calloc(table->count, sizeof *model->sources);
    if (!model->sources)
        return nc_error(NC_FAILED, "%s: no memory for its table of parameters", model->folder);
    const char *first_missing = NULL;
    size_t missing = 0;
    int status = NC_OK;
    for (size_t i = 0; i < table->count; i++) {
        model->sources[i] = find_source(model, &table->rows[i]);
        if (!model->sources[i]) {
            if (!missing++)
                first_missing = table->rows[i].name;
        } else if (status == NC_OK) {
            status = check_tensor(model, &table->rows[i], model->sources[i]);
        }
    }
    return missing ? missing_error(model, first_missing, missing) : status;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* A buffer of old checkpoints, 0 .. n-1, that no longer means anything. */
static bool is_position_ids(const char *name)
{
    return strcmp(name, "text_model.embeddings.position_ids") == 0 ||
           strcmp(name, "vision_model.embeddings.position_ids") == 0;
}

/* Of a family whose vision tower nclip does not compute. */
static bool is_foreign_vision(const struct nc_model *model, const char *name)
{
    static const char prefix[] = "vision_model.";
    return !nc_families[model->shape.family].has_vision &&
           strncmp(name, prefix, sizeof prefix - 1) == 0;
}

static int list_unknown(struct nc_model *model)
{
    const struct nc_parameter_table *table = &model->table;
    size_t tensors = nc_tensors_count(model->file);
    const char **known = malloc(table->count * sizeof *known);
    model->unknown = malloc((tensors + 1) * sizeof *model->unknown);
    if (!known || !model->unknown) {
        free(known);
        return nc_error(NC_FAILED, "%s: no memory for its table of parameters", model->folder);
    }
    for (size_t i = 0; i < table->count; i++)
        known[i] = table->rows[i].name;
    qsort(known, table->count, sizeof *known, compare_names);
    for (size_t i = 0; i < tensors; i++) {
        const char *name = nc_tensors_at(model->file, i)->name;
        model->has_foreign_vision |= is_foreign_vision(model, name);
        if (!is_position_ids(name) && !is_foreign_vision(model, name) &&
            !bsearch(&name, known, table->count, sizeof *known, compare_names))
            model->unknown[model->unknown_count++] = name;
    }
    free(known);
    return NC_OK;
}

/* No family's config.json says whether there is a logit_bias: SigLIP always has one, and a CLIP
 * that was trained with a sigmoid loss has the tensor. */
static int make_table(struct nc_model *model, const char *config)
{
    const struct nc_tensor *bias = nc_tensors_find(model->file, "logit_bias");
    if (bias && !bias->rank)
        model->shape.logit_bias = true;
    int status = nc_parameter_table_create(&model->shape, &model->table);
    if (status != NC_OK)
        nc_error_prefix(status, "%s", config);
    return status;
}

int nc_model_open(const char *folder, struct nc_model **out)
{
    *out = NULL;
    if (!nc_folder_exists(folder))
        return nc_error(NC_BAD_INPUT,
                        "%s: not a folder; a Hugging Face CLIP folder with "
                        "config.json and model.safetensors is needed",
                        folder);
    char *config = NULL;
    struct nc_model *model = calloc(1, sizeof *model);
    int status = nc_error(NC_FAILED, "%s: no memory", folder);
    if (!model || !(model->folder = strdup(folder)) ||
        !(config = nc_path_join(folder, "config.json")))
        goto cleanup;
    status = nc_model_shape_read(config, &model->shape);
    if (status == NC_OK && nc_families[model->shape.family].pads_by_tokenizer)
        status = nc_padding_read(folder, &model->shape);
    if (status == NC_OK && !nc_shape_has_vision(&model->shape))
        status = nc_hf_embeddings_read(config, model->embeddings);
    if (status == NC_OK)
        status = nc_tensors_open(folder, &model->file);
    if (status == NC_OK)
        status = make_table(model, config);
    if (status == NC_OK)
        status = bind_tensors(model);
    if (status == NC_OK)
        status = list_unknown(model);
cleanup:
    free(config);
    if (status == NC_OK)
        *out = model;
    else
        nc_model_close(model);
    return status;
}

int nc_model_add_logit_bias(struct nc_model *model, float value)
{
    if (model->shape.logit_bias)
        return NC_OK;
    model->shape.logit_bias = true;
    model->added_value = value;
    model->added = (struct nc_tensor){.name = "logit_bias", .type_name = "F32",
                                      .type = NC_FLOAT32, .count = 1, .bytes = sizeof(float),
                                      .data = (const uint8_t *)&model->added_value};
    nc_parameter_table_destroy(&model->table);
    int status = nc_parameter_table_create(&model->shape, &model->table);
    return status == NC_OK ? bind_tensors(model) : status;
}

int nc_model_need_vision(const struct nc_model *model)
{
    return nc_shape_has_vision(&model->shape)
               ? NC_OK
           : model->has_foreign_vision
               ? nc_error(NC_BAD_INPUT,
                          "%s: its vision tower (%s) is none that nclip computes: embed the pictures "
                          "with another program, and import it with --text-only --embeddings STORE",
                          model->folder, nc_families[model->shape.family].model_type)
               : nc_error(NC_BAD_INPUT,
                          "%s: has no vision tower (it was imported with --text-only, or is a text "
                          "model): pictures need the model it is of",
                          model->folder);
}

void nc_model_close(struct nc_model *model)
{
    if (!model)
        return;
    nc_tensors_close(model->file);
    nc_parameter_table_destroy(&model->table);
    free(model->sources);
    free(model->unknown);
    free(model->folder);
    free(model);
}

const char *nc_model_folder(const struct nc_model *model)
{
    return model->folder;
}

const struct nc_model_shape *nc_model_shape(const struct nc_model *model)
{
    return &model->shape;
}

const struct nc_parameter_table *nc_model_table(const struct nc_model *model)
{
    return &model->table;
}

size_t nc_model_unknown(const struct nc_model *model, const char *const **names)
{
    *names = model->unknown;
    return model->unknown_count;
}

enum nc_type nc_model_file_type(const struct nc_model *model, enum nc_tower tower)
{
    size_t elements[3] = {0}; /* by enum nc_type */
    for (size_t i = 0; i < model->table.count; i++) {
        if (model->table.rows[i].tower == tower)
            elements[model->sources[i]->type] += model->sources[i]->count;
    }
    enum nc_type type = NC_FLOAT32;
    for (int i = NC_BFLOAT16; i <= NC_FLOAT16; i++) {
        if (elements[i] > elements[type])
            type = i;
    }
    return type;
}

float nc_model_logit_scale(const struct nc_model *model)
{
    float value = 0;
    for (size_t i = 0; i < model->table.count; i++) {
        if (model->table.rows[i].role == NC_LOGIT_SCALE)
            nc_convert(&value, NC_FLOAT32, model->sources[i]->data, model->sources[i]->type, 1);
    }
    return value;
}

size_t nc_first_non_finite(const float *values, size_t count)
{
    for (size_t start = 0; start < count; start += 4096) {
        size_t end = count - start < 4096 ? count : start + 4096;
        uint32_t found = 0; /* a loop without exits, so that it is vectorised */
        for (size_t i = start; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            found |= (bits & 0x7f800000u) == 0x7f800000u;
        }
        for (size_t i = start; found && i < end; i++) {
            if (!isfinite(values[i]))
                return i;
        }
    }
    return count;
}

static int load_tensor(const struct nc_model *model, const struct nc_parameter *row,
                       const struct nc_tensor *tensor, float *out)
{
    size_t element = nc_type_size(tensor->type);
    for (size_t start = 0; start < row->count; start += CHUNK) {
        size_t count = row->count - start < CHUNK ? row->count - start : CHUNK;
        size_t first_bad = SIZE_MAX;
#pragma omp parallel for reduction(min : first_bad) if (count > 4 * SLICE)
        for (size_t slice = 0; slice < count; slice += SLICE) {
            size_t length = count - slice < SLICE ? count - slice : SLICE;
            float *values = out + start + slice;
            nc_convert(values, NC_FLOAT32, tensor->data + (start + slice) * element, tensor->type,
                       length);
            size_t bad = nc_first_non_finite(values, length);
            if (bad < length && start + slice + bad < first_bad)
                first_bad = start + slice + bad;
        }
        nc_tensors_release(model->file, tensor, start * element, count * element);
        if (first_bad != SIZE_MAX)
            return nc_error(NC_BAD_INPUT,
                            "%s: tensor \"%s\" holds %g at element %zu; a model needs "
                            "finite weights",
                            nc_tensors_path(model->file, tensor), row->name,
                            (double)out[first_bad], first_bad);
    }
    return NC_OK;
}

int nc_model_load(const struct nc_model *model, enum nc_tower tower, float *parameters)
{
    const struct nc_parameter_table *table = &model->table;
    size_t filled = 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower != tower)
            continue;
        memset(parameters + filled, 0, (row->offset - filled) * sizeof *parameters);
        int status = load_tensor(model, row, model->sources[i], parameters + row->offset);
        if (status != NC_OK)
            return status;
        filled = row->offset + row->count;
    }
    memset(parameters + filled, 0, (table->tower_elements[tower] - filled) * sizeof *parameters);
    return nc_tensors_check(model->file);
}
