/* What was found out about a checkpoint, for people or as JSON, with the command that comes next.
 */
#include "nclip/checkpoints/identify.h"

#include "exchange.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/terminal.h"

#include <stdlib.h>
#include <string.h>

/* ---- The next command ---- */

/* A path as one word of a shell's. */
static void put_path(FILE *out, const char *path)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*path && *path != '-' && strspn(path, plain) == strlen(path)) {
        fputs(path, out);
        return;
    }
    fputs(*path == '-' ? "./'" : "'", out);
    for (; *path; path++) {
        if (*path == '\'')
            fputs("'\\''", out);
        else
            fputc(*path, out);
    }
    fputc('\'', out);
}

/* A new folder's name, after the checkpoint's, in the working folder. */
static void put_out(FILE *out, const char *path, const char *ending)
{
    char name[256];
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin && path[begin - 1] != '/')
        begin--;
    snprintf(name, sizeof name - 8, "%.*s", (int)(end - begin < 200 ? end - begin : 200),
             path + begin);
    size_t known = nc_weights_ending(name);
    if (strlen(name) > known)
        name[strlen(name) - known] = 0;
    if (!*name || strspn(name, "./") == strlen(name))
        snprintf(name, sizeof name, "model");
    strcat(name, ending);
    put_path(out, name);
}

static void put_import(FILE *out, const struct nc_identity *identity)
{
    bool text_only = identity->use != NC_CHECKPOINT_IMPORT,
         openai = strcmp(identity->names, "OpenAI's") == 0;
    bool hf = strcmp(identity->names, "transformers'") == 0;
    fprintf(out, "nclip import ");
    if (identity->config_alone) {
        fprintf(out, "WEIGHTS --config ");
        put_path(out, identity->path);
    } else {
        put_path(out, identity->path);
        if (!openai && !hf && !identity->config)
            fprintf(out, " --config " NC_OPEN_CLIP_CONFIG);
    }
    if (!identity->captions.can && identity->has_tokenizer)
        fprintf(out, " --no-tokenizer");
    else if (!identity->has_tokenizer)
        fprintf(out, " --tokenizer DIR");
    if (text_only)
        fprintf(out, " --text-only --embeddings STORE");
    fprintf(out, " --out ");
    put_out(out, identity->config_alone ? "model" : identity->path, text_only ? "-text" : "-hf");
}

static void put_next(FILE *out, const struct nc_identity *identity)
{
    if (identity->use == NC_CHECKPOINT_NEEDS) {
        fprintf(
            out,
            "nclip doctor --model FOLDER, once config.json, the weights and the tokenizer's files "
            "are in one folder");
    } else if (identity->use != NC_CHECKPOINT_READY) {
        put_import(out, identity);
    } else if (identity->has_vision) {
        fprintf(out, "nclip embed --model ");
        put_path(out, identity->path);
        fprintf(out, " --images DIR --out STORE");
    } else if (strcmp(identity->vision, "none") != 0) {
        put_import(out, identity);
    } else {
        fprintf(out, identity->captions.can ? "nclip train --model " : "nclip encode --model ");
        put_path(out, identity->path);
        fprintf(out, identity->captions.can ? " --captions FILE --embeddings STORE --out RUN"
                                            : " --ids FILE --out FEATURES.npy");
    }
}

/* The caller frees it; NULL without memory. */
static char *next_command(const struct nc_identity *identity)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    put_next(out, identity);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- Telling ---- */

static bool add_verdict(cJSON *root, const char *key, const struct nc_verdict *verdict)
{
    cJSON *object = cJSON_AddObjectToObject(root, key);
    return object && cJSON_AddBoolToObject(object, "can", verdict->can) &&
           (!*verdict->why || cJSON_AddStringToObject(object, "why", verdict->why));
}

static int print_json(const struct nc_identity *identity, const char *next, FILE *out)
{
    static const char *const uses[] = {"ready", "import", "text_only", "needs", "refused"};
    cJSON *root = cJSON_CreateObject();
    bool refused = identity->use == NC_CHECKPOINT_REFUSED;
    bool complete =
        cJSON_AddStringToObject(root, "kind", identity->config_alone ? "config" : "checkpoint") &&
        cJSON_AddStringToObject(root, "path", identity->path) &&
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
        cJSON_AddStringToObject(root, "cleaning", nc_text_cleaning_names[identity->cleaning]) &&
        add_verdict(root, "trains", &identity->trains) &&
        add_verdict(root, "captions", &identity->captions) &&
        add_verdict(root, "pictures", &identity->pictures) &&
        cJSON_AddStringToObject(root, "use", uses[identity->use]) &&
        cJSON_AddStringToObject(root, refused ? "why" : "next",
                                refused ? identity->trains.why : next);
    return nc_json_print(out, root, complete);
}

static void print_line(FILE *out, const char *name, const char *text)
{
    fprintf(out, "  %-14s ", name);
    nc_terminal_print(out, text);
    fputc('\n', out);
}

static void print_verdict(FILE *out, const char *name, const struct nc_verdict *verdict,
                          const char *with)
{
    fprintf(out, "  %-14s %s", name, verdict->can ? "yes" : "no");
    if (verdict->can)
        fprintf(out, ": %s", with);
    if (*verdict->why) {
        fprintf(out, verdict->can ? ", " : ": ");
        nc_terminal_print(out, verdict->why);
    }
    fputc('\n', out);
}

static void print_tower(FILE *out, const struct nc_identity *identity)
{
    print_line(out, "text tower", identity->text);
    if (identity->text_width)
        fprintf(out, "  %-14s width %zu, %zu blocks, %zu positions, %zu tokens\n", "",
                identity->text_width, identity->text_layers, identity->context,
                identity->vocabulary);
    if (identity->mask)
        fprintf(out, "  %-14s mask %s, pooling %s, %s\n", "", identity->mask, identity->pooling,
                identity->activation);
    print_line(out, "vision tower", identity->vision);
}

int nc_identity_print(const struct nc_identity *identity, FILE *out, bool json)
{
    char *next = next_command(identity), captions[160];
    if (!next)
        return nc_error(NC_FAILED, "%s: no memory", identity->path);
    if (json) {
        int status = print_json(identity, next, out);
        free(next);
        return status;
    }
    nc_terminal_print(out, identity->path);
    if (identity->config_alone)
        fprintf(out, ": a config of %s, without weights\n\n", identity->names);
    else
        fprintf(out, ": weights by %s names, %zu tensors, %.1f MB\n\n", identity->names,
                identity->tensors, identity->bytes / 1e6);
    print_tower(out, identity);
    if (!identity->config_alone) {
        fprintf(out, "  %-14s %s beside it\n", "config",
                identity->config ? identity->config : "none");
        fprintf(out, "  %-14s %s beside it\n", "tokenizer",
                identity->has_tokenizer ? "files" : "none");
    }
    snprintf(captions, sizeof captions, "to ids, by its tokenizer%s%s%s",
             identity->cleaning ? ", after open_clip's cleaning (" : "",
             identity->cleaning ? nc_text_cleaning_names[identity->cleaning] : "",
             identity->cleaning ? ")" : "");
    fputc('\n', out);
    print_verdict(out, "trains", &identity->trains,
                  "the text tower and the logit scale; encode --ids, evaluate, export");
    print_verdict(out, "captions", &identity->captions, captions);
    print_verdict(out, "pictures", &identity->pictures, "embed, evaluate");
    if (identity->use == NC_CHECKPOINT_REFUSED) {
        free(next);
        return NC_OK;
    }
    fputc('\n', out);
    print_line(out, "next", next);
    if (strstr(next, " --embeddings STORE"))
        print_line(out, "",
                   "STORE: its pictures' embeddings, by the program that has its vision tower "
                   "(nclip store import)");
    free(next);
    return NC_OK;
}

int nc_checkpoint_tell(const char *path, FILE *out, bool json)
{
    struct nc_identity identity;
    int status = nc_checkpoint_identify(path, &identity);
    if (status != NC_OK)
        return status;
    status = nc_identity_print(&identity, out, json);
    nc_identity_free(&identity);
    return status;
}
