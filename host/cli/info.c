/* nclip info: what is in a model folder, an embedding store, a run folder or a file of captions. */
#include "info_captions.h"
#include "info_set.h"

#include "nclip/captions/set.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/checkpoints/identify.h"
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"
#include "nclip/support/terminal.h"
#include "nclip/train/config.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_NONE, KIND_MODEL, KIND_CHECKPOINT, KIND_STORE, KIND_SET, KIND_RUN };

static int holds_ending(const char *folder, const char *ending, bool *found)
{
    *found = false;
    DIR *directory = opendir(folder);
    struct dirent *entry;
    if (!directory && nc_error_kind(errno) == NC_FAILED)
        return nc_error_read(folder);
    while (directory && !*found && (entry = readdir(directory)))
        *found = nc_path_ends(entry->d_name, ending);
    if (directory)
        closedir(directory);
    return NC_OK;
}

static int find_kind(const char *folder, enum kind *kind)
{
    bool store;
    int status = holds_ending(folder, ".embeddings", &store);
    char *work = nc_path_join(folder, NC_SET_WORK);
    bool set = nc_folder_holds(folder, NC_SET_FILE) || (work && nc_folder_exists(work));
    free(work);
    bool run = nc_folder_holds(folder, "config.yaml") || nc_folder_holds(folder, "metrics.jsonl");
    *kind = nc_folder_holds(folder, "config.json") ? KIND_MODEL
            : store                                ? KIND_STORE
            : set                                  ? KIND_SET
            : run                                  ? KIND_RUN
            : nc_checkpoint_is_one(folder)         ? KIND_CHECKPOINT
                                                   : KIND_NONE;
    return status;
}

/* ---- A model ------------------------------------------------------------------------- */

static int describe_model(const char *folder, bool json, bool parameters)
{
    struct nc_model *model;
    int status = nc_model_open(folder, &model);
    if (status == NC_OK)
        status = nc_model_describe(model, stdout, json, parameters);
    nc_model_close(model);
    return status;
}

/* ---- A store ------------------------------------------------------------------------- */

static int describe_store(const char *folder, bool json, bool verify)
{
    struct nc_embedding_store *store;
    struct nc_embedding_verified verified = {0};
    const char *first_key = NULL;
    int status = nc_embedding_store_open(folder, &store);
    if (status != NC_OK)
        return status;
    const struct nc_embedding_info *info = nc_embedding_store_info(store);
    size_t rows = nc_embedding_store_count(store), shards = nc_embedding_store_shards(store);
    size_t old = nc_embedding_store_old_shards(store), skipped;
    status = nc_embedding_store_skipped(store, &skipped);
    if (status == NC_OK && rows)
        status = nc_embedding_store_key(store, 0, &first_key);
    if (status == NC_OK && verify)
        status = nc_embedding_store_verify(store, &verified);
    double rate = verified.seconds > 0 ? 1e-6 * (double)verified.bytes / verified.seconds : 0;
    if (status == NC_OK && json) {
        cJSON *root = cJSON_CreateObject();
        bool complete = cJSON_AddStringToObject(root, "kind", "store") &&
                        cJSON_AddStringToObject(root, "folder", folder) &&
                        cJSON_AddNumberToObject(root, "rows", (double)rows) &&
                        cJSON_AddNumberToObject(root, "dimension", (double)info->dimension) &&
                        cJSON_AddStringToObject(root, "type", nc_type_name(info->type)) &&
                        cJSON_AddBoolToObject(root, "normalized", info->normalized) &&
                        cJSON_AddStringToObject(root, "model_hash", info->model_hash) &&
                        cJSON_AddStringToObject(root, "preprocessing", info->preprocessing) &&
                        cJSON_AddNumberToObject(root, "shards", (double)shards) &&
                        cJSON_AddNumberToObject(root, "old_shards", (double)old) &&
                        cJSON_AddBoolToObject(root, "verified", verify) &&
                        cJSON_AddNumberToObject(root, "skipped", (double)skipped);
        if (verify)
            complete = complete &&
                       cJSON_AddNumberToObject(root, "verified_bytes", (double)verified.bytes) &&
                       cJSON_AddNumberToObject(root, "verified_seconds", verified.seconds);
        status = nc_json_print(stdout, root, complete);
    } else if (status == NC_OK) {
        printf("%s: embeddings of %zu picture%s\n\n", folder, rows, rows == 1 ? "" : "s");
        printf("  dimension      %zu, %s, %s\n", info->dimension, nc_type_name(info->type),
               info->normalized ? "normalised" : "not normalised");
        printf("  model          %s (the vision hash that nclip info MODEL shows)\n",
               info->model_hash);
        printf("  preprocessing  ");
        nc_terminal_print(stdout, info->preprocessing);
        printf("\n");
        if (verify || old == shards)
            printf("  shards         %zu, their checksums are right\n", shards);
        else
            printf("  shards         %zu, their heads are right (--verify reads all)\n", shards);
        if (old)
            printf("  of version 1   %zu: read whole at opening, unlike after nclip store upgrade\n",
                   old);
        if (verified.bytes)
            printf("  verified       %.1f MB in %.1f s, %.0f MB/s\n", 1e-6 * (double)verified.bytes,
                   verified.seconds, rate);
        printf("  skipped        %zu%s\n", skipped, skipped ? " (see skipped.jsonl)" : "");
        if (first_key) {
            printf("  first key      ");
            nc_terminal_print(stdout, first_key);
            printf("\n");
        }
    }
    nc_embedding_store_close(store);
    return status;
}

/* ---- A run --------------------------------------------------------------------------- */

struct validation {
    size_t epoch;
    double loss;
};

struct progress {
    size_t steps, epochs; /* of the last line; an epoch may be under way */
    double loss, logit_scale, captions_per_second;
    struct validation *validations;
    size_t count, best; /* index of the lowest; meaningless when count is 0 */
};

static int read_line(void *context, const char *where, const cJSON *root)
{
    struct progress *progress = context;
    double validation = NAN;
    size_t step = progress->steps;
    int status = nc_json_optional_size(where, root, "step", &step);
    if (status == NC_OK)
        status = nc_json_optional_size(where, root, "epoch", &progress->epochs);
    if (status == NC_OK)
        status = nc_json_optional_number(where, root, "loss", &progress->loss);
    if (status == NC_OK)
        status = nc_json_optional_number(where, root, "logit_scale", &progress->logit_scale);
    if (status == NC_OK)
        status = nc_json_optional_number(where, root, "captions_per_second",
                                         &progress->captions_per_second);
    if (status == NC_OK)
        status = nc_json_optional_number(where, root, "validation_loss", &validation);
    progress->steps = step;
    if (status != NC_OK || isnan(validation))
        return status;
    struct validation *larger =
        realloc(progress->validations, (progress->count + 1) * sizeof *larger);
    if (!larger)
        return nc_error(NC_FAILED, "%s: no memory", where);
    progress->validations = larger;
    larger[progress->count] = (struct validation){progress->epochs, validation};
    if (!progress->count || validation < larger[progress->best].loss)
        progress->best = progress->count;
    progress->count++;
    return NC_OK;
}

static int read_metrics(const char *folder, struct progress *progress)
{
    char *path = nc_path_join(folder, "metrics.jsonl");
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    /* A last line without its end: the run is writing, or was killed while it wrote. */
    int status =
        nc_file_exists(path) ? nc_json_lines_load(path, true, read_line, progress) : NC_OK;
    free(path);
    return status;
}

static int read_config(const char *folder, struct nc_config **config)
{
    *config = NULL;
    if (!nc_folder_holds(folder, "config.yaml"))
        return NC_OK;
    char *path = nc_path_join(folder, "config.yaml");
    int status =
        path ? nc_config_load(path, NULL, 0, config) : nc_error(NC_FAILED, "%s: no memory", folder);
    free(path);
    return status;
}

static bool holds_checkpoint(const char *folder, const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "%s/model.safetensors", name);
    return nc_folder_holds(folder, file);
}

static int print_run_json(const char *folder, const struct nc_config *config,
                          const struct progress *progress)
{
    cJSON *root = cJSON_CreateObject();
    bool complete =
        cJSON_AddStringToObject(root, "kind", "run") &&
        cJSON_AddStringToObject(root, "folder", folder) &&
        cJSON_AddNumberToObject(root, "steps", (double)progress->steps) &&
        cJSON_AddNumberToObject(root, "epoch", (double)progress->epochs) &&
        cJSON_AddNumberToObject(root, "loss", progress->loss) &&
        cJSON_AddNumberToObject(root, "logit_scale", progress->logit_scale) &&
        cJSON_AddNumberToObject(root, "captions_per_second", progress->captions_per_second);
    cJSON *list = cJSON_AddArrayToObject(root, "validations");
    for (size_t i = 0; i < progress->count && complete; i++) {
        cJSON *item = cJSON_CreateObject();
        complete = cJSON_AddItemToArray(list, item) &&
                   cJSON_AddNumberToObject(item, "epoch", (double)progress->validations[i].epoch) &&
                   cJSON_AddNumberToObject(item, "validation_loss", progress->validations[i].loss);
    }
    if (config && complete) {
        cJSON *object = cJSON_AddObjectToObject(root, "config");
        complete = cJSON_AddStringToObject(object, "precision", nc_type_name(config->precision)) &&
                   cJSON_AddNumberToObject(object, "batch_size", (double)config->batch_size) &&
                   cJSON_AddNumberToObject(object, "learning_rate", config->learning_rate) &&
                   cJSON_AddNumberToObject(object, "epochs", (double)config->epochs) &&
                   nc_json_add_count(object, "seed", config->seed);
    }
    complete = complete && list &&
               cJSON_AddBoolToObject(root, "best", holds_checkpoint(folder, "best")) &&
               cJSON_AddBoolToObject(root, "last", holds_checkpoint(folder, "last"));
    return nc_json_print(stdout, root, complete);
}

static void print_run(const char *folder, const struct nc_config *config,
                      const struct progress *progress)
{
    char number[NC_NUMBER_SIZE];
    printf("%s: a training run, %zu steps done\n\n", folder, progress->steps);
    if (config) {
        printf("  batch size     %llu captions, %s\n", (unsigned long long)config->batch_size,
               nc_type_name(config->precision));
        printf("  learning rate  %s\n", nc_number_text(config->learning_rate, number));
        printf("  epoch          %zu of %llu\n", progress->epochs,
               (unsigned long long)config->epochs);
        printf("  trains         ");
        for (unsigned i = 0; i < config->trainable_count; i++)
            printf("%s%s", i ? ", " : "", config->trainable[i]);
        printf("\n");
    }
    if (progress->steps)
        printf("  last step      loss %.4f, logit scale %.4f, %.1f captions/s\n", progress->loss,
               progress->logit_scale, progress->captions_per_second);
    printf("  checkpoints    %s%s\n", holds_checkpoint(folder, "last") ? "last" : "none yet",
           holds_checkpoint(folder, "best") ? ", best" : "");
    if (progress->count)
        printf("\n  epoch   validation loss\n");
    for (size_t i = 0; i < progress->count; i++)
        printf("  %5zu   %.4f%s\n", progress->validations[i].epoch, progress->validations[i].loss,
               i == progress->best ? "   the best" : "");
}

static int describe_run(const char *folder, bool json)
{
    struct progress progress = {0};
    struct nc_config *config = NULL;
    int status = read_config(folder, &config);
    if (status == NC_OK)
        status = read_metrics(folder, &progress);
    if (status == NC_OK && json)
        status = print_run_json(folder, config, &progress);
    else if (status == NC_OK)
        print_run(folder, config, &progress);
    nc_config_free(config);
    free(progress.validations);
    return status;
}

/* ---- The command --------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
    static const struct nc_help help = {
        .usage = "nclip info MODEL|CHECKPOINT|STORE|SET|RUN|CAPTIONS [--parameters] "
                 "[--verify] [--json]",
        .purpose = "Tells what is in a folder: a CLIP model (shapes, types, activation, "
                   "end-of-text rule, logit scale, alpha of a merge), an embedding store of nclip "
                   "embed, a set of nclip prepare, or a run of "
                   "nclip train; what a checkpoint of any kind is (safetensors, .pt, .bin), "
                   "whether nclip can use it, and which command comes next; or in a file of captions: how many deny something, with which "
                   "words, and which models and prompts they come from.",
        .examples = "nclip info clip-vit-large-patch14 --parameters\n"
                    "nclip info store --verify\n"
                    "nclip info negated.json\n"
                    "nclip info runs/first --json",
        .positional_least = 1,
        .positional_most = 1,
    };
    bool json = false, parameters = false, verify = false;
    const struct nc_option options[] = {
        {"--parameters", NULL, "list every parameter of a model", NC_OPTION_FLAG, &parameters,
         .required = false},
        {"--verify", NULL, "read every block of a store and check it against its checksum",
         NC_OPTION_FLAG, &verify, .required = false},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json, .required = false},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    const char *folder = arguments.positional[0];
    enum kind kind;
    status = find_kind(folder, &kind);
    if (status != NC_OK)
        kind = KIND_NONE;
    else if (parameters && kind != KIND_MODEL && kind != KIND_NONE)
        status = nc_error(NC_USAGE, "%s: --parameters goes with a model folder", folder);
    else if (verify && kind != KIND_STORE && kind != KIND_NONE)
        status = nc_error(NC_USAGE, "%s: --verify goes with an embedding store", folder);
    else if (kind == KIND_MODEL)
        status = describe_model(folder, json, parameters);
    else if (kind == KIND_CHECKPOINT)
        status = nc_checkpoint_tell(folder, stdout, json);
    else if (kind == KIND_STORE)
        status = describe_store(folder, json, verify);
    else if (kind == KIND_SET)
        status = info_set(folder, json, NULL);
    else if (kind == KIND_RUN)
        status = describe_run(folder, json);
    else if (nc_folder_exists(folder))
        status = nc_error(NC_BAD_INPUT,
                          "%s: neither a model (config.json), nor an embedding store "
                          "(shard-*.embeddings), nor a prepared set (set.json), nor a run (config.yaml)",
                          folder);
    else if (nc_file_exists(folder))
        status = info_captions(folder, json);
    else
        status = nc_error(NC_BAD_INPUT, "%s: no such file or folder", folder);
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command nc_command_info = {"info",
                                           "what is in a model, a store, a run or captions", run};
