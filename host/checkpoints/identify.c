/* Tells what a checkpoint is by its files and the names of its tensors. */
#include "nclip/checkpoints/identify.h"

#include "exchange.h"
#include "nclip/formats/json.h"
#include "nclip/model/family.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/terminal.h"
#include "nclip/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static bool is_weights_name(const char *path)
{
    static const char *const endings[] = {".safetensors", ".safetensors.index.json", ".pt", ".pth",
                                          ".bin",         ".bin.index.json",         ".ckpt"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (nc_path_ends(path, endings[i]))
            return true;
    return false;
}

bool nc_checkpoint_is_one(const char *path)
{
    static const char *const weights[] = {
        NC_OPEN_CLIP_WEIGHTS, "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
        "model.safetensors",  "model.safetensors.index.json",        "pytorch_model.bin",
        "pytorch_model.bin.index.json"};
    if (!nc_folder_exists(path))
        return is_weights_name(path);
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

static void judge(const struct nc_tensors *tensors, struct nc_identity *identity)
{
    const struct kind *text = find_kind(tensors, texts, sizeof texts / sizeof texts[0]);
    const struct kind *vision = find_kind(tensors, visions, sizeof visions / sizeof visions[0]);
    bool hf = starts(tensors, "text_model.") || starts(tensors, "vision_model.");
    bool facts = nc_tensors_find(tensors, nc_openai_facts[0]) != NULL;
    identity->names = hf ? "transformers'" : facts ? "OpenAI's" : text ? "open_clip's" : "nobody's we know";
    identity->text = text ? text->what : "none";
    identity->vision = vision ? vision->what : "none";
    if (!text)
        identity->why = "it holds no text tower of a name that is known here";
    else if (text->why)
        identity->why = text->why;
    if (identity->why)
        identity->use = NC_CHECKPOINT_REFUSED;
    else if (vision && !vision->why)
        identity->use = hf ? NC_CHECKPOINT_READY : NC_CHECKPOINT_IMPORT;
    else if (!hf || (vision && nc_tensors_find(tensors, "logit_scale")))
        identity->use = NC_CHECKPOINT_TEXT_ONLY;
    else if (!vision && nc_tensors_find(tensors, "logit_scale"))
        identity->use = NC_CHECKPOINT_READY;
    else {
        identity->use = NC_CHECKPOINT_REFUSED;
        identity->why = vision ? vision->why : "it is a text model without a logit scale";
    }
}

/* What the config beside it says of the text tower; one that is refused refuses the checkpoint. */
static void read_config(struct nc_identity *identity)
{
    struct nc_model_shape shape = {0};
    struct nc_preprocess preprocess;
    bool hf = strcmp(identity->names, "transformers'") == 0;
    bool openai = strcmp(identity->names, "OpenAI's") == 0;
    if (identity->use == NC_CHECKPOINT_REFUSED || openai || (!hf && !identity->has_config))
        return;
    char *path = nc_path_join(identity->folder, hf ? "config.json" : NC_OPEN_CLIP_CONFIG);
    if (!path || !nc_file_exists(path)) {
        free(path);
        return;
    }
    int status = hf ? nc_model_shape_read(path, &shape)
                    : nc_open_clip_config_read(path, true, &shape, &preprocess);
    if (status == NC_OK) {
        identity->mask = nc_mask_names[shape.mask];
        identity->pooling = nc_end_rule_names[shape.end_rule];
        identity->activation = nc_activation_names[shape.text.activation];
        /* Both towers are imported where both are CLIP's own. */
        bool both = nc_families[nc_family_for(&shape)].has_vision &&
                    (hf || nc_open_clip_config_read(path, false, &shape, &preprocess) == NC_OK);
        if (identity->use == NC_CHECKPOINT_IMPORT && !both)
            identity->use = NC_CHECKPOINT_TEXT_ONLY;
    } else {
        snprintf(identity->reason, sizeof identity->reason, "%s", nc_error_message());
        identity->use = NC_CHECKPOINT_REFUSED;
        identity->why = identity->reason;
    }
    free(path);
}

int nc_checkpoint_identify(const char *path, struct nc_identity *identity)
{
    *identity = (struct nc_identity){0};
    char *weights;
    struct nc_tensors *tensors = NULL;
    int status = nc_foreign_files(path, &identity->folder, &weights);
    if (status != NC_OK)
        return status;
    status = nc_tensors_open(weights, &tensors);
    if (status == NC_OK) {
        identity->tensors = nc_tensors_count(tensors);
        for (size_t i = 0; i < identity->tensors; i++)
            identity->bytes += (double)nc_tensors_at(tensors, i)->bytes;
        identity->has_config = nc_folder_holds(identity->folder, NC_OPEN_CLIP_CONFIG);
        identity->has_tokenizer = nc_tokenizer_is_in(identity->folder);
        measure_text(tensors, identity);
        judge(tensors, identity);
        read_config(identity);
    }
    nc_tensors_close(tensors);
    free(weights);
    if (status != NC_OK)
        nc_identity_free(identity);
    return status;
}

void nc_identity_free(struct nc_identity *identity)
{
    free(identity->folder);
    *identity = (struct nc_identity){0};
}

/* ---- Telling ---- */

/* The command that comes next, in `text`; the path is left to the reader's eye. */
static const char *next_command(const struct nc_identity *identity, char text[256])
{
    bool text_only = identity->use == NC_CHECKPOINT_TEXT_ONLY;
    bool openai = strcmp(identity->names, "OpenAI's") == 0;
    bool hf = strcmp(identity->names, "transformers'") == 0;
    const char *config = openai || hf || identity->has_config ? "" : " --config open_clip_config.json";
    if (identity->use == NC_CHECKPOINT_READY)
        return "nclip train --model FOLDER ..., where FOLDER holds config.json and the tokenizer too";
    snprintf(text, 256, "nclip import SOURCE%s%s%s --out DIR", config,
             identity->has_tokenizer ? "" : " --tokenizer DIR",
             text_only ? " --text-only --embeddings STORE" : "");
    return text;
}

static int print_json(const struct nc_identity *identity, const char *path, FILE *out)
{
    static const char *const uses[] = {"ready", "import", "text_only", "refused"};
    char command[256];
    cJSON *root = cJSON_CreateObject();
    bool refused = identity->use == NC_CHECKPOINT_REFUSED;
    bool complete =
        cJSON_AddStringToObject(root, "kind", "checkpoint") &&
        cJSON_AddStringToObject(root, "path", path) &&
        cJSON_AddStringToObject(root, "names", identity->names) &&
        cJSON_AddNumberToObject(root, "tensors", (double)identity->tensors) &&
        cJSON_AddNumberToObject(root, "bytes", identity->bytes) &&
        cJSON_AddStringToObject(root, "text", identity->text) &&
        cJSON_AddNumberToObject(root, "text_width", (double)identity->text_width) &&
        cJSON_AddNumberToObject(root, "text_layers", (double)identity->text_layers) &&
        cJSON_AddNumberToObject(root, "context", (double)identity->context) &&
        cJSON_AddNumberToObject(root, "vocabulary", (double)identity->vocabulary) &&
        (!identity->mask || (cJSON_AddStringToObject(root, "mask", identity->mask) &&
                             cJSON_AddStringToObject(root, "pooling", identity->pooling) &&
                             cJSON_AddStringToObject(root, "activation", identity->activation))) &&
        cJSON_AddStringToObject(root, "vision", identity->vision) &&
        cJSON_AddStringToObject(root, "use", uses[identity->use]) &&
        cJSON_AddStringToObject(root, refused ? "why" : "next",
                                refused ? identity->why : next_command(identity, command));
    return nc_json_print(out, root, complete);
}

int nc_identity_print(const struct nc_identity *identity, const char *path, FILE *out, bool json)
{
    char command[256];
    if (json)
        return print_json(identity, path, out);
    nc_terminal_print(out, path);
    fprintf(out, ": weights by %s names, %zu tensors, %.1f MB\n\n", identity->names,
            identity->tensors, identity->bytes / 1e6);
    fprintf(out, "  %-14s %s\n", "text tower", identity->text);
    if (identity->text_width)
        fprintf(out, "  %-14s width %zu, %zu blocks, %zu positions, %zu tokens\n", "",
                identity->text_width, identity->text_layers, identity->context,
                identity->vocabulary);
    if (identity->mask)
        fprintf(out, "  %-14s mask %s, pooling %s, %s\n", "", identity->mask, identity->pooling,
                identity->activation);
    fprintf(out, "  %-14s %s\n", "vision tower", identity->vision);
    fprintf(out, "  %-14s %s\n", "config",
            identity->has_config ? NC_OPEN_CLIP_CONFIG " beside it" : "no " NC_OPEN_CLIP_CONFIG
                                                                      " beside it");
    fprintf(out, "  %-14s %s\n", "tokenizer", identity->has_tokenizer ? "beside it" : "none beside it");
    if (identity->use == NC_CHECKPOINT_REFUSED)
        fprintf(out, "  %-14s cannot be trained here: %s\n", "use", identity->why);
    else
        fprintf(out, "  %-14s %s\n", "next", next_command(identity, command));
    return NC_OK;
}
