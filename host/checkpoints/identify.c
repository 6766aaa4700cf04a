/* Tells what a checkpoint is by its files and the names of its tensors, and what nclip can do with
 * it by trying all of that but the writing. */
#include "nclip/checkpoints/identify.h"

#include "exchange.h"
#include "nclip/formats/json.h"
#include "nclip/model/family.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

size_t nc_weights_ending(const char *path)
{
    static const char *const endings[] = {".safetensors", ".safetensors.index.json", ".pt",  ".pth",
                                          ".bin",         ".bin.index.json",         ".ckpt"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (nc_path_ends(path, endings[i]))
            return strlen(endings[i]);
    return 0;
}

static bool is_config_name(const char *path)
{
    return nc_path_ends(path, NC_OPEN_CLIP_CONFIG) || strcmp(path, "config.json") == 0 ||
           nc_path_ends(path, "/config.json");
}

bool nc_checkpoint_is_one(const char *path)
{
    static const char *const weights[] = {
        NC_OPEN_CLIP_WEIGHTS,           "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",  "model.safetensors",
        "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json"};
    if (!nc_folder_exists(path))
        return nc_weights_ending(path) > 0 || (is_config_name(path) && nc_file_exists(path));
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        if (nc_folder_holds(path, weights[i]))
            return true;
    return false;
}

/* ---- Kinds, by the beginning of a tensor's name; the first row that fits counts ---- */

struct kind {
    const char *prefix, *what;
    const char *why; /* nclip does not compute it; NULL: it does */
};

static const struct kind visions[] = {
    {"visual.class_embedding", "CLIP's own, a vision transformer", NULL},
    {"vision_model.embeddings.class_embedding", "CLIP's own, a vision transformer", NULL},
    {"visual.trunk.", "timm's", "its vision tower is timm's"},
    {"visual.layer1.", "a ResNet", "its vision tower is a ResNet"},
    {"visual.attnpool.", "a ResNet", "its vision tower is a ResNet"},
    {"visual.", "another one", "its vision tower is none of CLIP's"},
    {"vision_model.", "another one", "its vision tower is none of CLIP's"},
    {"image_encoder.", "another one", "its vision tower is none of CLIP's"},
};

static const struct kind texts[] = {
    {"text_decoder.", "CoCa's, with a decoder", "it is a CoCa, whose text tower has a token more"},
    {"text.cls_emb", "one that is read at a token of its own",
     "its text tower is read at a token of its own"},
    {"text.transformer.embeddings.", "one of transformers' (BERT and its like)",
     "its text tower is no CLIP's"},
    {"text.transformer.encoder.", "one of transformers' (BERT and its like)",
     "its text tower is no CLIP's"},
    {"text_model.head.", "SigLIP's, which sees all tokens at once", NULL},
    {"text.token_embedding.weight", "CLIP's own, as a custom text tower", NULL},
    {"token_embedding.weight", "CLIP's own", NULL},
    {"text_model.embeddings.token_embedding.weight", "CLIP's own", NULL},
};

static const struct kind *find_kind(const struct nc_tensors *tensors, const struct kind *kinds,
                                    size_t count)
{
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < nc_tensors_count(tensors); i++)
            if (strncmp(nc_tensors_at(tensors, i)->name, kinds[k].prefix,
                        strlen(kinds[k].prefix)) == 0)
                return &kinds[k];
    return NULL;
}

static bool starts(const struct nc_tensors *tensors, const char *prefix)
{
    const struct kind kind = {.prefix = prefix};
    return find_kind(tensors, &kind, 1) != NULL;
}

/* The text tower's sizes, which its tensors' shapes tell. */
static void measure_text(const struct nc_tensors *tensors, struct nc_identity *identity)
{
    static const char *const tokens[] = {"token_embedding.weight", "text.token_embedding.weight",
                                         "text_model.embeddings.token_embedding.weight"};
    static const char *const places[] = {"positional_embedding", "text.positional_embedding",
                                         "text_model.embeddings.position_embedding.weight"};
    static const char *const blocks[] = {"transformer.resblocks.%d.ln_1.weight",
                                         "text.transformer.resblocks.%d.ln_1.weight",
                                         "text_model.encoder.layers.%d.layer_norm1.weight"};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        const struct nc_tensor *token = nc_tensors_find(tensors, tokens[i]);
        const struct nc_tensor *place = nc_tensors_find(tensors, places[i]);
        if (!token || !place || token->rank != 2 || place->rank != 2)
            continue;
        identity->vocabulary = token->shape[0];
        identity->text_width = token->shape[1];
        identity->context = place->shape[0];
        for (int block = 0; block < NC_MOST_LAYERS; block++) {
            char name[NC_FOREIGN_NAME];
            snprintf(name, sizeof name, blocks[i], block);
            if (!nc_tensors_find(tensors, name))
                break;
            identity->text_layers++;
        }
        return;
    }
}

/* ---- What can be done with it ---- */

static void cannot(struct nc_verdict *verdict, const char *why)
{
    verdict->can = false;
    snprintf(verdict->why, sizeof verdict->why, "%s", why);
}

static void refuse(struct nc_identity *identity, const char *why)
{
    identity->use = NC_CHECKPOINT_REFUSED;
    cannot(&identity->trains, why);
}

static void take_shape(struct nc_identity *identity, const struct nc_model_shape *shape)
{
    identity->mask = nc_mask_names[shape->mask];
    identity->pooling = nc_end_rule_names[shape->end_rule];
    identity->activation = nc_activation_names[shape->text.activation];
    identity->text_width = shape->text.width;
    identity->text_layers = shape->text.layers;
    identity->context = shape->context;
    identity->vocabulary = shape->vocabulary;
}

static void judge_no_tokenizer(struct nc_identity *identity)
{
    cannot(
        &identity->captions,
        identity->vocabulary == NC_CLIP_VOCABULARY
            ? "no tokenizer lies beside it; its vocabulary is CLIP's, whose tokenizer any CLIP's "
              "folder has"
            : "no tokenizer lies beside it");
}

/* What nclip import says of it, of the tower and then of the tokenizer. */
static int try_import(struct nc_identity *identity, const char *path, bool text_only)
{
    struct nc_import_options options = {.text_only = text_only, .no_tokenizer = true};
    struct nc_model_shape shape;
    bool has_tokenizer;
    int status = nc_model_import_check(path, &options, &shape, &has_tokenizer);
    if (status != NC_OK)
        return status;
    take_shape(identity, &shape);
    identity->use = text_only ? NC_CHECKPOINT_TEXT_ONLY : NC_CHECKPOINT_IMPORT;
    identity->trains.can = true;
    identity->has_vision = !text_only;
    identity->pictures.can = !text_only;
    options.no_tokenizer = false;
    if (!identity->has_tokenizer) {
        judge_no_tokenizer(identity);
        return NC_OK;
    }
    status = nc_model_import_check(path, &options, &shape, &has_tokenizer);
    identity->captions.can = status == NC_OK;
    if (status == NC_BAD_INPUT)
        cannot(&identity->captions, nc_error_message());
    return status == NC_BAD_INPUT ? NC_OK : status;
}

/* Both towers, or else the text tower alone. */
static int try_imports(struct nc_identity *identity, const char *path)
{
    bool by_hf_names = strcmp(identity->names, "transformers'") == 0;
    int status = by_hf_names ? NC_BAD_INPUT : try_import(identity, path, false);
    if (status != NC_BAD_INPUT)
        return status;
    if (!by_hf_names && !*identity->pictures.why)
        cannot(&identity->pictures, nc_error_message());
    status = try_import(identity, path, true);
    if (status != NC_BAD_INPUT)
        return status;
    refuse(identity, nc_error_message());
    return NC_OK;
}

/* Without the config that says heads and activation: by the names alone. */
static void judge_by_names(struct nc_identity *identity, const struct kind *vision)
{
    bool both = vision && !vision->why;
    identity->use = both ? NC_CHECKPOINT_IMPORT : NC_CHECKPOINT_TEXT_ONLY;
    identity->trains.can = true;
    snprintf(identity->trains.why, sizeof identity->trains.why,
             "where its " NC_OPEN_CLIP_CONFIG
             " is given, or open_clip's model_configs/NAME.json, which "
             "say heads and activation");
    identity->has_vision = identity->pictures.can = both;
    identity->captions.can = identity->has_tokenizer;
    if (!identity->has_tokenizer)
        judge_no_tokenizer(identity);
}

/* A folder with config.json and all that it asks for. */
static int open_model(struct nc_identity *identity, const char *folder)
{
    struct nc_model *model;
    struct nc_preprocess preprocess;
    int status = nc_model_open(folder, &model);
    if (status != NC_OK)
        return status;
    const struct nc_model_shape *shape = nc_model_shape(model);
    take_shape(identity, shape);
    identity->use = NC_CHECKPOINT_READY;
    identity->trains.can = true;
    identity->has_vision = nc_shape_has_vision(shape);
    status = nc_model_need_vision(model);
    if (status == NC_OK)
        status = nc_preprocess_load(folder, shape->image_size, &preprocess);
    identity->pictures.can = status == NC_OK;
    if (status != NC_OK)
        cannot(&identity->pictures, nc_error_message());
    struct nc_tokenizer *tokenizer = NULL;
    identity->captions.can = false;
    if (!identity->has_tokenizer)
        judge_no_tokenizer(identity);
    else if (nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer) != NC_OK)
        cannot(&identity->captions, nc_error_message());
    else if (nc_tokenizer_vocabulary_size(tokenizer) > shape->vocabulary)
        cannot(&identity->captions,
               "its tokenizer knows more tokens than the model: it is another's");
    else
        identity->captions.can = true;
    nc_tokenizer_destroy(tokenizer);
    nc_model_close(model);
    return NC_OK;
}

static int judge(const struct nc_tensors *tensors, const char *path, struct nc_identity *identity)
{
    const struct kind *text = find_kind(tensors, texts, sizeof texts / sizeof texts[0]);
    const struct kind *vision = find_kind(tensors, visions, sizeof visions / sizeof visions[0]);
    bool hf = starts(tensors, "text_model.") || starts(tensors, "vision_model.");
    bool facts = nc_tensors_find(tensors, nc_openai_facts[0]) != NULL;
    identity->names = hf      ? "transformers'"
                      : facts ? "OpenAI's"
                      : text  ? "open_clip's"
                              : "nobody's we know";
    identity->text = text ? text->what : "none";
    identity->vision = vision ? vision->what : "none";
    const char *own = hf ? "config.json" : NC_OPEN_CLIP_CONFIG;
    identity->config = nc_folder_holds(identity->folder, own) ? own : NULL;
    if (!text || text->why) {
        refuse(identity, text ? text->why : "it holds no text tower of a name that is known here");
        return NC_OK;
    }
    if (!vision || vision->why)
        cannot(&identity->pictures, vision ? vision->why : "it has no vision tower");
    if (hf && !identity->config) {
        identity->use = NC_CHECKPOINT_NEEDS;
        cannot(&identity->trains,
               "weights by transformers' names say no heads: the config.json that "
               "belongs to them is not beside them");
        return NC_OK;
    }
    if (!hf && !facts && !identity->config) {
        judge_by_names(identity, vision);
        return NC_OK;
    }
    int status = hf ? open_model(identity, identity->folder) : NC_BAD_INPUT;
    if (status != NC_BAD_INPUT)
        return status;
    char why[sizeof identity->trains.why];
    snprintf(why, sizeof why, "%s", nc_error_message());
    status = try_imports(identity, path);
    if (status == NC_OK && identity->use == NC_CHECKPOINT_REFUSED && hf)
        refuse(identity, why);
    return status;
}

/* ---- What was given ---- */

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
}

/* A config without its weights. */
static int identify_config(struct nc_identity *identity)
{
    struct nc_model_shape shape = {0};
    struct nc_preprocess preprocess;
    cJSON *root;
    const char *path = identity->path;
    int status = nc_json_load(path, &root);
    if (status != NC_OK)
        return status;
    bool open_clip = nc_json_member(root, "model_cfg") || nc_json_member(root, "text_cfg");
    bool hf = nc_json_member(root, "model_type") || nc_json_member(root, "text_config");
    cJSON_Delete(root);
    if (!open_clip && !hf)
        return nc_error(NC_BAD_INPUT,
                        "%s: neither weights, nor the config of a model (open_clip's has text_cfg, "
                        "transformers' model_type)",
                        path);
    identity->config_alone = true;
    identity->names = open_clip ? "open_clip's" : "transformers'";
    identity->text = identity->vision = "as the config says";
    status = open_clip ? nc_open_clip_config_read(path, true, &shape, &preprocess)
                       : nc_model_shape_read(path, &shape);
    if (status == NC_OK && open_clip) {
        shape.family = nc_family_for(&shape);
        status = nc_model_shape_check(path, &shape);
    }
    if (status == NC_BAD_INPUT) {
        refuse(identity, nc_error_message());
        return NC_OK;
    }
    if (status != NC_OK)
        return status;
    take_shape(identity, &shape);
    identity->trains.can = open_clip;
    identity->use = open_clip ? NC_CHECKPOINT_IMPORT : NC_CHECKPOINT_NEEDS;
    if (!open_clip)
        cannot(&identity->trains, "the weights are not beside it");
    cannot(&identity->captions, "the tokenizer's files are beside the weights");
    struct nc_model_shape both = {0};
    status = open_clip ? nc_open_clip_config_read(path, false, &both, &preprocess) : NC_OK;
    identity->has_vision = identity->pictures.can =
        status == NC_OK && (!open_clip || nc_families[nc_family_for(&both)].has_vision) &&
        nc_families[shape.family].has_vision;
    if (status == NC_BAD_INPUT)
        cannot(&identity->pictures, nc_error_message());
    else if (!identity->pictures.can)
        cannot(&identity->pictures, "its vision tower is none of CLIP's");
    if (open_clip && !identity->pictures.can)
        identity->use = NC_CHECKPOINT_TEXT_ONLY;
    if (open_clip && nc_text_cleaning_of_config(path, &identity->cleaning) != NC_OK)
        cannot(&identity->captions, nc_error_message());
    return status == NC_BAD_INPUT ? NC_OK : status;
}

static int identify_weights(struct nc_identity *identity)
{
    char *weights;
    const char *path = identity->path;
    struct nc_tensors *tensors = NULL;
    int status = nc_foreign_files(path, &identity->folder, &weights);
    if (status != NC_OK)
        return status;
    /* Published folders may hold one model for both programs: the one that needs no import counts.
     */
    bool hf = nc_folder_holds(path, "config.json") && (nc_folder_holds(path, "model.safetensors") ||
                                                       nc_folder_holds(path, "pytorch_model.bin"));
    status = nc_tensors_open(hf ? path : weights, &tensors);
    if (status == NC_OK) {
        identity->tensors = nc_tensors_count(tensors);
        for (size_t i = 0; i < identity->tensors; i++)
            identity->bytes += (double)nc_tensors_at(tensors, i)->bytes;
        identity->has_tokenizer = nc_tokenizer_is_in(identity->folder);
        measure_text(tensors, identity);
        status = judge(tensors, path, identity);
    }
    struct nc_tokenizer *tokenizer;
    if (status == NC_OK && identity->captions.can &&
        nc_tokenizer_load(identity->folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer) == NC_OK) {
        identity->cleaning = nc_tokenizer_cleaning(tokenizer);
        nc_tokenizer_destroy(tokenizer);
    }
    nc_tensors_close(tensors);
    free(weights);
    return status;
}

int nc_checkpoint_identify(const char *path, struct nc_identity *identity)
{
    *identity = (struct nc_identity){0};
    if (!nc_file_exists(path) && !nc_folder_exists(path))
        return nc_error(NC_BAD_INPUT, "%s: no such file or folder", path);
    bool config = nc_path_ends(path, ".json") && nc_weights_ending(path) == 0;
    char *folder = config ? folder_of(path) : NULL;
    /* A config beside its weights is a name for both. */
    bool beside = folder && is_config_name(path) && nc_checkpoint_is_one(folder);
    identity->path = beside ? folder : strdup(path);
    int status = (config && !folder) || !identity->path ? nc_error(NC_FAILED, "%s: no memory", path)
                 : config && !beside                    ? identify_config(identity)
                                                        : identify_weights(identity);
    if (!beside)
        free(folder);
    /* A model's folder is what commands take, not the file in it. */
    if (status == NC_OK && identity->use == NC_CHECKPOINT_READY &&
        !nc_folder_exists(identity->path)) {
        free(identity->path);
        identity->path = folder_of(path);
        if (!identity->path)
            status = nc_error(NC_FAILED, "%s: no memory", path);
    }
    if (status != NC_OK)
        nc_identity_free(identity);
    return status;
}

void nc_identity_free(struct nc_identity *identity)
{
    free(identity->path);
    free(identity->folder);
    *identity = (struct nc_identity){0};
}
