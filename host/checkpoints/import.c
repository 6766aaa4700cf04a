/* Reads a state dict of open_clip or OpenAI, or a model of transformers' of which the text tower is
 * taken alone, finds its shape, and writes a Hugging Face folder. */
#include "exchange.h"
#include "import_tokenizer.h"
#include "nclip/model/family.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "staging.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const struct nc_import_options *options;
    const char *path;
    char *folder;  /* that the weights are in */
    char *weights; /* the file, or the folder of shards */
    char *config;  /* open_clip_config.json, or NULL; by_hf_names: config.json */
    bool by_hf_names; /* of the tensors; only with text_only */
    const char *prefix; /* of the names of a custom text tower: "text.", or "" */
    struct nc_import_tokenizer tokenizer;
    struct nc_tensors *file;
    struct nc_model_shape shape;
    struct nc_preprocess preprocess;
    struct nc_parameter_table table;
    struct nc_outputs outputs;
};

static int no_memory(const struct job *job)
{
    return nc_error(NC_FAILED, "%s: no memory for its tensors", job->path);
}

/* ---- where things are ---- */

static int find_config(struct job *job)
{
    if (job->options->config)
        job->config = strdup(job->options->config);
    else if (job->by_hf_names || job->options->origin != NC_ORIGIN_OPENAI)
        job->config = nc_path_join(job->folder,
                                   job->by_hf_names ? "config.json" : NC_OPEN_CLIP_CONFIG);
    if (!job->config && (job->options->config || job->options->origin != NC_ORIGIN_OPENAI))
        return no_memory(job);
    if (job->config && !job->options->config && !nc_file_exists(job->config)) {
        free(job->config);
        job->config = NULL;
    }
    return NC_OK;
}

/* ---- what is it? ---- */

/* Models that are refused, by the beginning of a tensor's name that only they have. */
static const struct {
    const char *prefix, *what;
    bool vision; /* of no matter where the text tower alone is taken */
} others[] = {
    {"text_model.", "a model with Hugging Face's names, which needs no import", true},
    {"visual.layer1.", "a ResNet; nclip reads vision transformers", true},
    {"visual.attnpool.", "a ResNet; nclip reads vision transformers", true},
    {"visual.trunk.", "a vision tower of timm; nclip reads CLIP's own", true},
    {"text.transformer.embeddings.", "a text tower of transformers; nclip reads CLIP's own", false},
    {"text_decoder.", "a CoCa; nclip reads CLIP", false},
};

static int check_kind(struct job *job)
{
    static const char hf[] = "text_model.embeddings.token_embedding.weight";
    job->prefix = nc_foreign_prefix(job->file);
    job->by_hf_names = job->options->text_only && nc_tensors_find(job->file, hf);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i].vision && job->options->text_only)
            continue;
        for (size_t k = 0; k < nc_tensors_count(job->file); k++) {
            const struct nc_tensor *tensor = nc_tensors_at(job->file, k);
            if (strncmp(tensor->name, others[i].prefix, strlen(others[i].prefix)) == 0)
                return nc_error(NC_BAD_INPUT, "%s: tensor \"%s\" is of %s%s",
                                nc_tensors_path(job->file, tensor), tensor->name, others[i].what,
                                others[i].vision ? " (--text-only takes the text tower alone)" : "");
        }
    }
    return NC_OK;
}

static const char *source_name(const struct job *job, const struct nc_parameter *row,
                               char name[NC_FOREIGN_NAME])
{
    if (job->by_hf_names)
        snprintf(name, NC_FOREIGN_NAME, "%s", row->name);
    else
        nc_foreign_name(job->prefix, row, name);
    return name;
}

static bool has_facts(const struct job *job)
{
    for (size_t i = 0; i < NC_OPENAI_FACTS; i++)
        if (!nc_tensors_find(job->file, nc_openai_facts[i]))
            return false;
    return true;
}

/* ---- the shape ---- */

/* The tensor of a role by its name in `names`, with as many dimensions as the row. */
static int find_role(const struct job *job, const struct nc_parameter_table *names,
                     enum nc_tower tower, enum nc_role role, int block,
                     const struct nc_tensor **tensor)
{
    char name[NC_FOREIGN_NAME];
    const struct nc_parameter *row = nc_parameter_find(names, tower, role, block);
    *tensor = nc_tensors_find(job->file, source_name(job, row, name));
    if (!*tensor)
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%s\" is missing; this is no CLIP by OpenAI's or open_clip's "
                        "names",
                        job->path, name);
    if ((*tensor)->rank != row->rank)
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%s\" has %zu dimensions, not %zu", job->path,
                        name, (*tensor)->rank, row->rank);
    for (size_t i = 0; i < row->rank; i++)
        if (!(*tensor)->shape[i])
            return nc_error(NC_BAD_INPUT, "%s: tensor \"%s\" is empty", job->path, name);
    return NC_OK;
}

/* One more than the last block that has a tensor, so that a block without any is found missing. */
static size_t count_layers(const struct job *job, const struct nc_parameter_table *names,
                           enum nc_tower tower)
{
    size_t layers = 0;
    char name[NC_FOREIGN_NAME];
    for (size_t i = 0; i < names->count; i++) {
        const struct nc_parameter *row = &names->rows[i];
        if (row->tower == tower && row->block >= (int)layers &&
            nc_tensors_find(job->file, source_name(job, row, name)))
            layers = (size_t)row->block + 1;
    }
    return layers;
}

/* A projection with a bias is a layer, with names of its own. */
static bool projection_bias(const struct job *job)
{
    char name[NC_FOREIGN_NAME];
    snprintf(name, sizeof name, "%stext_projection.bias", job->prefix);
    return nc_tensors_find(job->file, name) != NULL;
}

/* Of the text tower, without config: heads of 64 and QuickGELU, as OpenAI's readers take it.
 * Source: OpenAI's clip/model.py, build_model(). */
static int text_from_tensors(struct job *job, const struct nc_parameter_table *names)
{
    const struct nc_tensor *token, *position, *projection, *fc;
    int status = find_role(job, names, NC_TOWER_TEXT, NC_TOKEN_EMBEDDING, NC_NO_BLOCK, &token);
    if (status == NC_OK)
        status = find_role(job, names, NC_TOWER_TEXT, NC_POSITION_EMBEDDING, NC_NO_BLOCK, &position);
    if (status == NC_OK)
        status = find_role(job, names, NC_TOWER_TEXT, NC_PROJECTION, NC_NO_BLOCK, &projection);
    if (status == NC_OK)
        status = find_role(job, names, NC_TOWER_TEXT, NC_FC1_WEIGHT, 0, &fc);
    if (status != NC_OK)
        return status;
    bool usual = token->shape[0] == NC_CLIP_VOCABULARY;
    job->shape = (struct nc_model_shape){
        .projection_bias = projection_bias(job),
        .text = {token->shape[1], count_layers(job, names, NC_TOWER_TEXT), token->shape[1] / 64,
                 fc->shape[0], NC_QUICK_GELU, 1e-5f},
        .embedding = projection->shape[projection_bias(job) ? 0 : 1],
        .vocabulary = token->shape[0],
        .context = position->shape[0],
        .end_rule = usual ? NC_END_FIRST : NC_END_ARGMAX,
        .end_token = usual ? NC_CLIP_END : 2,
        .logit_scale_initial = 2.6592f};
    return NC_OK;
}

static int vision_from_tensors(struct job *job, const struct nc_parameter_table *names)
{
    const struct nc_tensor *patch, *places, *fc;
    struct nc_model_shape *shape = &job->shape;
    int status = find_role(job, names, NC_TOWER_VISION, NC_PATCH_EMBEDDING, NC_NO_BLOCK, &patch);
    if (status == NC_OK)
        status = find_role(job, names, NC_TOWER_VISION, NC_POSITION_EMBEDDING, NC_NO_BLOCK, &places);
    if (status == NC_OK)
        status = find_role(job, names, NC_TOWER_VISION, NC_FC1_WEIGHT, 0, &fc);
    if (status != NC_OK)
        return status;
    size_t side = (size_t)llround(sqrt((double)(places->shape[0] - 1)));
    shape->vision = (struct nc_tower_shape){
        patch->shape[0], count_layers(job, names, NC_TOWER_VISION), patch->shape[0] / 64,
        fc->shape[0], NC_QUICK_GELU, 1e-5f};
    shape->image_size = side * patch->shape[2];
    shape->patch_size = patch->shape[2];
    shape->channels = patch->shape[1];
    if (shape->image_size < shape->patch_size || shape->channels != 3)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"%s\" and \"%s\" belong to no tower that reads pictures of 3 channels",
                        job->path, patch->name, places->name);
    return NC_OK;
}

static int shape_from_tensors(struct job *job)
{
    struct nc_model_shape probe = {.text = {1, NC_MOST_LAYERS, 1, 1},
                                   .vision = {1, NC_MOST_LAYERS, 1, 1},
                                   .embedding = 1,
                                   .vocabulary = 1,
                                   .context = 1,
                                   .image_size = 1,
                                   .patch_size = 1,
                                   .channels = 1,
                                   .projection_bias = projection_bias(job)};
    struct nc_parameter_table names;
    int status = nc_parameter_table_create(&probe, &names);
    if (status != NC_OK)
        return status;
    status = text_from_tensors(job, &names);
    if (status == NC_OK && !job->options->text_only)
        status = vision_from_tensors(job, &names);
    nc_parameter_table_destroy(&names);
    return status;
}

/* OpenAI's readers take a width for heads of 64. */
static int check_heads(const struct job *job, const char *which, size_t width)
{
    return width % 64 ? nc_error(NC_BAD_INPUT,
                                 "%s: %s tower: a width of %zu is no multiple of OpenAI's heads of "
                                 "64; give --config with an " NC_OPEN_CLIP_CONFIG,
                                 job->path, which, width)
                      : NC_OK;
}

/* config.json says everything. */
static int hf_shape(struct job *job)
{
    if (!job->config)
        return nc_error(NC_BAD_INPUT, "%s: there is no config.json beside it", job->path);
    int status = nc_model_shape_read(job->config, &job->shape);
    job->shape.vision = (struct nc_tower_shape){0};
    return status == NC_OK ? nc_parameter_table_create(&job->shape, &job->table) : status;
}

static int find_shape(struct job *job)
{
    enum nc_origin origin = job->options->origin;
    if (job->by_hf_names)
        return hf_shape(job);
    if (origin == NC_ORIGIN_OPEN_CLIP && !job->config)
        return nc_error(NC_BAD_INPUT,
                        "%s: there is no " NC_OPEN_CLIP_CONFIG " beside it; open_clip's weights do "
                        "not say heads and activation, so give --config",
                        job->path);
    if (origin == NC_ORIGIN_DETECT && !job->config && !has_facts(job))
        return nc_error(
            NC_BAD_INPUT,
            "%s: nothing says whether these are OpenAI's or open_clip's weights, and so "
            "which activation; give --from openai (heads of 64, quick_gelu) or --config "
            "with an " NC_OPEN_CLIP_CONFIG,
            job->path);
    int status = shape_from_tensors(job);
    if (status == NC_OK && job->config)
        status = nc_open_clip_config_read(job->config, job->options->text_only, &job->shape,
                                          &job->preprocess);
    else if (status == NC_OK)
        nc_preprocess_default(job->shape.image_size, &job->preprocess);
    if (status == NC_OK && !job->config)
        status = check_heads(job, "text", job->shape.text.width);
    if (status == NC_OK && !job->config && !job->options->text_only)
        status = check_heads(job, "vision", job->shape.vision.width);
    job->shape.logit_bias = nc_tensors_find(job->file, "logit_bias") != NULL;
    job->shape.family = nc_family_for(&job->shape);
    if (status == NC_OK && nc_shape_has_vision(&job->shape) &&
        !nc_families[job->shape.family].has_vision)
        status = nc_error(NC_BAD_INPUT,
                          "%s: its text tower's mask, pooling or biases are none that a CLIP of both "
                          "towers has; --text-only takes the text tower alone",
                          job->config ? job->config : job->path);
    if (status == NC_OK)
        status = nc_model_shape_check(job->config ? job->config : job->path, &job->shape);
    if (status == NC_OK)
        status = nc_parameter_table_create(&job->shape, &job->table);
    return status;
}

/* ---- tensors ---- */

/* LongCLIP keeps the positions that it stretched in a table of their own, of which the first 20, those
 * of CLIP, are never read. Source: LongCLIP's model/model_longclip.py. */
static int stretch_positions(const struct job *job, const struct nc_parameter *row,
                             struct nc_output *output)
{
    enum { KEPT = 20 };
    const struct nc_piece *whole = &output->pieces[0];
    const struct nc_tensor *more = nc_tensors_find(job->file, NC_STRETCHED_POSITIONS);
    if (!more || row->shape[0] <= KEPT)
        return NC_OK;
    if (more->rank != 2 || memcmp(more->shape, row->shape, 2 * sizeof more->shape[0]) != 0 ||
        more->type != whole->tensor->type)
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%s\" has another shape or type than \"%s\", which it goes on",
                        nc_tensors_path(job->file, more), more->name, whole->tensor->name);
    size_t kept = KEPT * row->shape[1];
    output->pieces[1] = (struct nc_piece){
        .file = job->file, .tensor = more, .first = kept, .count = row->count - kept};
    output->pieces[0].count = kept;
    output->piece_count = 2;
    return NC_OK;
}

static int add_row(struct job *job, const struct nc_parameter *row,
                   const struct nc_tensor *tensor)
{
    char expected_text[120], actual_text[220];
    size_t expected[4];
    memcpy(expected, row->shape, sizeof expected);
    bool transposed = row->openai_transposed && !job->by_hf_names;
    bool sliced = row->openai_slice >= 0 && !job->by_hf_names;
    if (transposed) {
        expected[0] = row->shape[1];
        expected[1] = row->shape[0];
    }
    if (sliced)
        expected[0] *= 3;
    const char *path = nc_tensors_path(job->file, tensor);
    /* open_clip has logit_scale of one dimension as well */
    bool one = row->rank < 2 && row->count == 1 && tensor->rank < 2 && tensor->count == 1;
    if (!one && (tensor->rank != row->rank ||
                 memcmp(tensor->shape, expected, row->rank * sizeof expected[0]) != 0))
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%s\" has the shape %s, but %s asks for %s",
                        path, tensor->name,
                        nc_shape_text(tensor->rank, tensor->shape, actual_text, sizeof actual_text),
                        job->config ? job->config : "the rest of the model",
                        nc_shape_text(row->rank, expected, expected_text, sizeof expected_text));
    if (tensor->type < 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%s\" is of type %s; nclip reads F32, F16 and BF16", path,
                        tensor->name, tensor->type_name);
    struct nc_output *output = nc_outputs_add(&job->outputs);
    if (!output)
        return no_memory(job);
    nc_output_take(output, job->file, tensor);
    output->name = row->name;
    if (job->options->type)
        output->type_name = nc_tensor_type_name(*job->options->type);
    output->rank = row->rank;
    memcpy(output->shape, row->shape, sizeof row->shape);
    output->pieces[0].transposed = transposed;
    output->pieces[0].count = row->count;
    if (row->role == NC_POSITION_EMBEDDING && row->tower == NC_TOWER_TEXT)
        return stretch_positions(job, row, output);
    if (sliced)
        output->pieces[0].first = (size_t)row->openai_slice * row->count;
    return NC_OK;
}

static int list_tensors(struct job *job)
{
    char first_missing[NC_FOREIGN_NAME] = "", name[NC_FOREIGN_NAME];
    size_t missing = 0;
    int status = NC_OK;
    for (size_t i = 0; i < job->table.count; i++) {
        const struct nc_parameter *row = &job->table.rows[i];
        const struct nc_tensor *tensor = nc_tensors_find(job->file, source_name(job, row, name));
        if (!tensor && !*first_missing)
            memcpy(first_missing, name, sizeof name);
        /* query, key and value are one */
        missing += !tensor && (row->openai_slice <= 0 || job->by_hf_names);
        if (tensor && status == NC_OK)
            status = add_row(job, row, tensor);
    }
    if (!missing)
        return status;
    char more[48] = "";
    if (missing > 1)
        snprintf(more, sizeof more, " (and %zu more)", missing - 1);
    return nc_error(NC_BAD_INPUT, "%s: tensor \"%s\"%s is missing", job->path, first_missing, more);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool is_of_vision(const char *name)
{
    static const char *const begin[] = {"visual.", "vision_model.", "visual_projection.",
                                        "text_model.embeddings.position_ids"}; /* a buffer */
    for (size_t i = 0; i < sizeof begin / sizeof begin[0]; i++)
        if (strncmp(name, begin[i], strlen(begin[i])) == 0)
            return true;
    return false;
}

/* A tensor that is not read would be a part of the model that is left out. Of the text tower alone
 * is taken what belongs to it: the vision tower's may be anything. */
static int check_unknown(const struct job *job)
{
    static const char mask[] = "attn_mask"; /* a buffer of old versions, -inf above the diagonal */
    char(*names)[NC_FOREIGN_NAME] = calloc(job->table.count, sizeof *names);
    const char **known = malloc(job->table.count * sizeof *known), *unknown = NULL;
    if (!known || !names) {
        free(known);
        free(names);
        return no_memory(job);
    }
    for (size_t i = 0; i < job->table.count; i++)
        known[i] = source_name(job, &job->table.rows[i], names[i]);
    qsort(known, job->table.count, sizeof *known, by_name);
    for (size_t i = 0; i < nc_tensors_count(job->file) && !unknown; i++) {
        const char *name = nc_tensors_at(job->file, i)->name;
        size_t prefix = strncmp(name, job->prefix, strlen(job->prefix)) == 0 ? strlen(job->prefix) : 0;
        bool fact = strcmp(name + prefix, mask) == 0 || strcmp(name, NC_STRETCHED_POSITIONS) == 0 ||
                    (job->options->text_only && is_of_vision(name));
        for (size_t k = 0; k < NC_OPENAI_FACTS; k++)
            fact = fact || strcmp(name, nc_openai_facts[k]) == 0;
        if (!fact && !bsearch(&name, known, job->table.count, sizeof *known, by_name))
            unknown = name;
    }
    free(known);
    free(names);
    return unknown ? nc_error(NC_BAD_INPUT,
                              "%s: tensor \"%.200s\" has no place in a CLIP of this shape",
                              job->path, unknown)
                   : NC_OK;
}

/* ---- the folder ---- */

static int write_folder(const struct job *job, const struct nc_staging *staging)
{
    char *tensors = nc_staging_path(staging, "model.safetensors");
    char *config = nc_staging_path(staging, "config.json");
    char *preprocess = nc_staging_path(staging, "preprocessor_config.json");
    int status = tensors && config && preprocess ? NC_OK : no_memory(job);
    bool text_only = job->options->text_only;
    const struct nc_embedding_store *store = job->options->embeddings;
    if (status == NC_OK)
        status = nc_outputs_write(&job->outputs, tensors);
    if (status == NC_OK)
        status = nc_hf_config_write(config, &job->shape,
                                    text_only ? NC_FORMAT_HF_TEXT_PROJECTION : NC_FORMAT_HF,
                                    nc_outputs_type(&job->outputs),
                                    store ? nc_embedding_store_info(store)->model_hash : NULL);
    if (status == NC_OK && !text_only)
        status = nc_preprocess_write(preprocess, &job->preprocess);
    if (status == NC_OK)
        status = nc_import_tokenizer_write(&job->tokenizer, staging);
    free(tensors);
    free(config);
    free(preprocess);
    return status;
}

/* All that can be found wrong before anything is written. */
static int prepare(struct job *job, bool *has_tokenizer)
{
    int status = nc_foreign_files(job->path, &job->folder, &job->weights);
    if (status == NC_OK)
        status = nc_tensors_open(job->weights, &job->file);
    if (status == NC_OK)
        status = check_kind(job);
    if (status == NC_OK)
        status = find_config(job);
    if (status == NC_OK)
        status = find_shape(job);
    if (status == NC_OK && job->options->embeddings)
        status = nc_embedding_store_expect(job->options->embeddings, NULL, job->shape.embedding);
    if (status == NC_OK)
        status = list_tensors(job);
    if (status == NC_OK)
        status = check_unknown(job);
    if (status == NC_OK)
        status = nc_import_tokenizer_read(job->options, job->folder,
                                          job->by_hf_names ? NULL : job->config, job->by_hf_names,
                                          &job->shape, &job->tokenizer);
    *has_tokenizer = status == NC_OK && job->tokenizer.folder;
    return status;
}

static void release(struct job *job)
{
    nc_outputs_free(&job->outputs);
    nc_parameter_table_destroy(&job->table);
    nc_tensors_close(job->file);
    free(job->folder);
    free(job->weights);
    free(job->config);
}

int nc_model_import(const char *path, const struct nc_import_options *options, const char *folder,
                    bool *has_tokenizer)
{
    struct job job = {.options = options, .path = path};
    struct nc_staging staging;
    int status = prepare(&job, has_tokenizer);
    if (status == NC_OK)
        status = nc_staging_begin(folder, &staging);
    if (status == NC_OK)
        status = nc_staging_end(&staging, write_folder(&job, &staging));
    release(&job);
    return status;
}

int nc_model_import_check(const char *path, const struct nc_import_options *options,
                          struct nc_model_shape *shape, bool *has_tokenizer)
{
    struct job job = {.options = options, .path = path};
    int status = prepare(&job, has_tokenizer);
    *shape = job.shape;
    release(&job);
    return status;
}
