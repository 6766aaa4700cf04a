/* What nclip info says of a model's folder. */
#include "folder.h"

#include "nclip/formats/json.h"
#include "nclip/model/family.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct summary {
    size_t parameters[2]; /* by enum nc_tower */
    size_t bytes[2];      /* in the files */
    float logit_scale;
    char vision_hash[17];
    cJSON
        *merge; /* merge.json, where the model lies between two; alpha, base and tuned are there */
};

static int read_merge(const char *folder, cJSON **merge)
{
    char *path = nc_path_join(folder, "merge.json");
    const char *base, *tuned;
    double alpha;
    int status = path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    *merge = NULL;
    if (status == NC_OK && nc_file_exists(path)) {
        status = nc_json_load(path, merge);
        if (status == NC_OK)
            status = nc_json_number(path, *merge, "alpha", &alpha);
        if (status == NC_OK)
            status = nc_json_string(path, *merge, "base", &base);
        if (status == NC_OK)
            status = nc_json_string(path, *merge, "tuned", &tuned);
    }
    free(path);
    return status;
}

static const cJSON *member(const struct summary *summary, const char *key)
{
    return nc_json_member(summary->merge, key);
}

static int summarize(const struct nc_model *model, struct summary *summary)
{
    *summary = (struct summary){.logit_scale = nc_model_logit_scale(model)};
    int status = read_merge(model->folder, &summary->merge);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < model->table.count; i++) {
        const struct nc_parameter *row = &model->table.rows[i];
        const struct nc_tensor *tensor = model->sources[i];
        summary->parameters[row->tower] += row->count;
        summary->bytes[row->tower] += tensor->bytes;
    }
    if (!nc_shape_has_vision(&model->shape)) {
        memcpy(summary->vision_hash, model->embeddings, sizeof model->embeddings);
        return NC_OK;
    }
    return nc_model_vision_hash(model, summary->vision_hash);
}

static void print_row(FILE *out, const char *name, size_t text, size_t vision)
{
    fprintf(out, "  %-14s %12zu", name, text);
    if (vision)
        fprintf(out, " %12zu", vision);
    fputc('\n', out);
}

static void print_words(FILE *out, const char *name, const char *text, const char *vision)
{
    fprintf(out, "  %-14s %12s%s%*s\n", name, text, vision ? " " : "", vision ? 12 : 0,
            vision ? vision : "");
}

static void print_tensor(FILE *out, const struct nc_parameter *row,
                         const struct nc_tensor *tensor)
{
    char shape[100] = "";
    size_t used = 0;
    for (size_t i = 0; i < row->rank; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%zu", i ? " x " : "",
                                 row->shape[i]);
    fprintf(out, "  %-62s %-20s %-4s %12zu\n", row->name, row->rank ? shape : "1",
            tensor->type_name, row->count);
}

static const char *family_name(const struct nc_model_shape *shape)
{
    const struct nc_family *family = &nc_families[shape->family];
    return family->model_type ? family->model_type : family->text_type;
}

static void describe_text(const struct nc_model *model, const struct summary *summary, FILE *out,
                          bool parameters)
{
    const struct nc_model_shape *shape = &model->shape;
    const struct nc_tower_shape *text = &shape->text, *vision = &shape->vision;
    bool both = nc_shape_has_vision(shape);
    bool clip = shape->family == NC_FAMILY_CLIP;
    fprintf(out, "%s: a %s%s of %.1f million parameters, %.1f MB\n\n", model->folder,
            clip ? "CLIP" : family_name(shape),
            both ? "" : "'s text tower without its vision tower",
            (double)(summary->parameters[0] + summary->parameters[1]) / 1e6,
            (double)(summary->bytes[0] + summary->bytes[1]) / 1e6);
    print_words(out, "", "text", both ? "vision" : NULL);
    print_row(out, "parameters", summary->parameters[0], summary->parameters[1]);
    print_words(out, "stored as", nc_type_name(nc_model_file_type(model, NC_TOWER_TEXT)),
                both ? nc_type_name(nc_model_file_type(model, NC_TOWER_VISION)) : NULL);
    print_row(out, "width", text->width, vision->width);
    print_row(out, "blocks", text->layers, vision->layers);
    print_row(out, "heads", text->heads, vision->heads);
    print_row(out, "head size", text->width / text->heads, both ? vision->width / vision->heads : 0);
    print_row(out, "mlp", text->mlp, vision->mlp);
    print_row(out, "tokens", shape->context, both ? nc_vision_tokens(shape) : 0);
    print_words(out, "activation", nc_activation_names[text->activation],
                both ? nc_activation_names[vision->activation] : NULL);
    char epsilon[2][24];
    snprintf(epsilon[0], sizeof epsilon[0], "%g", (double)text->epsilon);
    snprintf(epsilon[1], sizeof epsilon[1], "%g", (double)vision->epsilon);
    print_words(out, "layernorm eps", epsilon[0], both ? epsilon[1] : NULL);
    fputc('\n', out);
    fprintf(out, "  %-14s %zu dimensions\n", "embedding", shape->embedding);
    fprintf(out, "  %-14s %zu tokens\n", "vocabulary", shape->vocabulary);
    if (shape->mask != NC_MASK_CAUSAL)
        fprintf(out, "  %-14s none: tokens see %s\n", "mask",
                shape->mask == NC_MASK_NONE ? "all of the context, padding too"
                                            : "all of their caption, but no padding");
    if (nc_shape_is_padded(shape))
        fprintf(out, "  %-14s token %d, to all of the context\n", "padding", (int)shape->pad_token);
    if (shape->end_rule == NC_END_LAST)
        fprintf(out, "  %-14s the last place of the context\n", "read at");
    else if (shape->end_rule == NC_END_ARGMAX)
        fprintf(out, "  %-14s the largest token id (eos_token_id is 2)\n", "caption ends");
    else
        fprintf(out, "  %-14s the first token %d\n", "caption ends", shape->end_token);
    if (both)
        fprintf(out, "  %-14s %zu x %zu pixels in patches of %zu x %zu\n", "pictures",
            shape->image_size, shape->image_size, shape->patch_size, shape->patch_size);
    fprintf(out, "  %-14s %.4f (similarities are multiplied by %.2f)\n", "logit scale",
            (double)summary->logit_scale, exp((double)summary->logit_scale));
    if (both || *summary->vision_hash)
        fprintf(out, "  %-14s %s\n", both ? "vision hash" : "embeddings of", summary->vision_hash);
    else
        fprintf(out, "  %-14s none named (nclip import --text-only --embeddings STORE)\n",
                "embeddings of");
    if (model->has_foreign_vision)
        fprintf(out, "  %-14s nclip import %s --text-only --embeddings STORE --out DIR: its vision "
                     "tower is none that nclip computes\n", "next", model->folder);
    if (summary->merge) {
        fprintf(out, "  %-14s alpha %g, from ", "merged", member(summary, "alpha")->valuedouble);
        nc_terminal_print(out, member(summary, "base")->valuestring);
        fprintf(out, " (0) to ");
        nc_terminal_print(out, member(summary, "tuned")->valuestring);
        fprintf(out, " (1)\n");
    }
    for (size_t i = 0; i < model->unknown_count; i++) {
        fprintf(out, "  %-14s ", i ? "" : "unknown");
        nc_terminal_print(out, model->unknown[i]);
        fprintf(out, "\n");
    }
    if (parameters) {
        fprintf(out, "\n  %-62s %-20s %-4s %12s\n", "parameter", "shape", "type", "elements");
        for (size_t i = 0; i < model->table.count; i++)
            print_tensor(out, &model->table.rows[i], model->sources[i]);
    }
}

/* Sizes here are far below 2^53. A failed addition shows as a NULL result at the end. */
static bool add_number(cJSON *object, const char *key, double value)
{
    return cJSON_AddNumberToObject(object, key, value) != NULL;
}

static bool add_string(cJSON *object, const char *key, const char *value)
{
    return cJSON_AddStringToObject(object, key, value) != NULL;
}

static bool add_tower(cJSON *root, const struct nc_model *model, const struct summary *summary,
                      enum nc_tower tower)
{
    const struct nc_model_shape *shape = &model->shape;
    bool text = tower == NC_TOWER_TEXT;
    const struct nc_tower_shape *part = text ? &shape->text : &shape->vision;
    cJSON *object = cJSON_AddObjectToObject(root, text ? "text" : "vision");
    bool done = add_number(object, "parameters", (double)summary->parameters[tower]) &&
                add_string(object, "type", nc_type_name(nc_model_file_type(model, tower))) &&
                add_number(object, "bytes", (double)summary->bytes[tower]) &&
                add_number(object, "width", (double)part->width) &&
                add_number(object, "layers", (double)part->layers) &&
                add_number(object, "heads", (double)part->heads) &&
                add_number(object, "head_size", (double)(part->width / part->heads)) &&
                add_number(object, "mlp", (double)part->mlp) &&
                add_string(object, "activation", nc_activation_names[part->activation]) &&
                add_number(object, "layer_norm_eps", round((double)part->epsilon * 1e12) / 1e12);
    if (text)
        return done && add_number(object, "vocabulary", (double)shape->vocabulary) &&
               add_number(object, "context", (double)shape->context) &&
               add_string(object, "end_rule", nc_end_rule_names[shape->end_rule]) &&
               add_string(object, "mask", nc_mask_names[shape->mask]) &&
               add_number(object, "pad_token", shape->pad_token) &&
               cJSON_AddBoolToObject(object, "projection_bias", shape->projection_bias) &&
               cJSON_AddBoolToObject(object, "logit_bias", shape->logit_bias) &&
               add_number(object, "end_token", shape->end_token);
    return done && add_number(object, "image_size", (double)shape->image_size) &&
           add_number(object, "patch_size", (double)shape->patch_size) &&
           add_number(object, "tokens", (double)nc_vision_tokens(shape)) &&
           add_string(object, "hash", summary->vision_hash);
}

static bool add_parameter(cJSON *array, const struct nc_parameter *row,
                          const struct nc_tensor *tensor)
{
    cJSON *object = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        return false;
    }
    bool done = add_string(object, "name", row->name) &&
                add_string(object, "openai_name", row->openai_name) &&
                add_string(object, "tower", row->tower == NC_TOWER_TEXT ? "text" : "vision") &&
                add_string(object, "type", tensor->type_name);
    cJSON *shape = cJSON_AddArrayToObject(object, "shape");
    for (size_t i = 0; i < row->rank && done; i++)
        done = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)row->shape[i]));
    return done && shape;
}

static cJSON *describe_json(const struct nc_model *model, const struct summary *summary,
                            bool parameters)
{
    cJSON *root = cJSON_CreateObject();
    bool done =
        add_string(root, "kind", "model") && add_string(root, "family", family_name(&model->shape)) &&
        add_string(root, "folder", model->folder) &&
        add_number(root, "parameters", (double)(summary->parameters[0] + summary->parameters[1])) &&
        add_number(root, "embedding", (double)model->shape.embedding) &&
        add_number(root, "logit_scale", (double)summary->logit_scale) &&
        add_tower(root, model, summary, NC_TOWER_TEXT) &&
        (nc_shape_has_vision(&model->shape)
             ? add_tower(root, model, summary, NC_TOWER_VISION)
             : add_string(root, "embeddings", summary->vision_hash));
    if (summary->merge && done) {
        cJSON *merge = cJSON_AddObjectToObject(root, "merge");
        done = add_number(merge, "alpha", member(summary, "alpha")->valuedouble) &&
               add_string(merge, "base", member(summary, "base")->valuestring) &&
               add_string(merge, "tuned", member(summary, "tuned")->valuestring);
    }
    cJSON *unknown = cJSON_AddArrayToObject(root, "unknown");
    for (size_t i = 0; i < model->unknown_count && done; i++)
        done = cJSON_AddItemToArray(unknown, cJSON_CreateString(model->unknown[i]));
    cJSON *rows = parameters ? cJSON_AddArrayToObject(root, "parameter_table") : NULL;
    for (size_t i = 0; rows && i < model->table.count && done; i++)
        done = add_parameter(rows, &model->table.rows[i], model->sources[i]);
    if (done && unknown && (rows || !parameters))
        return root;
    cJSON_Delete(root);
    return NULL;
}

int nc_model_describe(const struct nc_model *model, FILE *out, bool json, bool parameters)
{
    struct summary summary;
    int status = summarize(model, &summary);
    if (status == NC_OK && json)
        status = nc_json_print(out, describe_json(model, &summary, parameters), true);
    else if (status == NC_OK)
        describe_text(model, &summary, out, parameters);
    cJSON_Delete(summary.merge);
    return status;
}
