/* nclip train: fine-tune the text tower on captions and cached image embeddings. */
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/ops.h"
#include "nclip/support/error.h"
#include "nclip/train/train.h"

#include <stdio.h>

static const struct nc_help help = {
    .usage = "nclip train --model DIR --captions FILE --embeddings STORE | --examples SET --out RUN "
             "[--config FILE|PRESET]",
    .purpose =
        "Fine-tunes CLIP's text tower on captions, against image embeddings that nclip embed made "
        "once. The vision tower is frozen and never runs. Writes the run folder RUN: config.yaml, "
        "metrics.jsonl, TensorBoard events, and best/ and last/, each a complete Hugging Face "
        "folder.\n\nPresets: `default` (corrected recipe), `negationclip` (the paper's recipe to "
        "the letter), and the field's others: `hard_negative` (each contradiction is one more negative), "
        "`con_clip` (captions need a contradiction and a distractor), `negbench` (choices), `semclip` "
        "(a paraphrase and a contradiction), `omni_negclip` (two files of captions, with contradictions "
        "and with absences), `siglip` (the sigmoid loss), `keep` (features are held near the model's "
        "own). A loss is a list of terms that a config may put together anew (configs/README.md). Any key "
        "of a config can be overridden with --set, for instance --set batch_size=256 --set "
        "trainable=blocks.0-3,projection; configs/default.yaml explains them all.\n\nCtrl-C writes "
        "a checkpoint; the same command with --resume goes on.\n\nA set of nclip prepare (--examples) takes "
        "the place of --captions. One that does not fit in pool_bytes (default: a quarter of the free "
        "memory) is streamed: read ahead in random blocks, which are mixed in the pool.\n\nStarted by mpirun or srun, the "
        "ranks train one model together: the batch, with all its negatives, is divided among them, "
        "and the result is that of one rank. configs/cluster/ has examples.",
    .examples = "nclip train --model clip-vit-large-patch14 --captions negated.json \\\n"
                "            --embeddings store --out runs/first\n"
                "nclip train ... --config negationclip --set seed=1 --out runs/paper\n"
                "nclip train ... --out runs/paper --resume\n"
                "nclip train --model clip-vit-large-patch14 --examples set --out runs/large\n"
                "mpirun -n 8 nclip train ... --device cuda --out runs/eight",
};

static int print_json(const struct nc_train_result *result)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "steps", (double)result->steps);
    cJSON_AddNumberToObject(root, "epochs", (double)result->epochs);
    cJSON_AddNumberToObject(root, "loss", result->last_loss);
    if (result->best_epoch) {
        cJSON_AddNumberToObject(root, "best_epoch", (double)result->best_epoch);
        cJSON_AddNumberToObject(root, "best_validation_loss", result->best_validation_loss);
    }
    cJSON_AddNumberToObject(root, "seconds", result->seconds);
    cJSON_AddNumberToObject(root, "captions_per_second", result->captions_per_second);
    cJSON_AddNumberToObject(root, "planned_bytes", (double)result->planned_bytes);
    cJSON_AddNumberToObject(root, "peak_bytes", (double)result->peak_bytes);
    if (result->streamed) {
        cJSON_AddNumberToObject(root, "waited_seconds", result->waited_seconds);
        cJSON_AddNumberToObject(root, "read_bytes", (double)result->read_bytes);
    }
    return nc_json_print(stdout, root, true);
}

static void print_text(const struct nc_train_options *options, const struct nc_train_result *result)
{
    printf("%llu steps in %.1f s, %.1f captions/s\n", (unsigned long long)result->steps,
           result->seconds, result->captions_per_second);
    printf("memory: %.2f GiB planned, %.2f GiB at the peak\n",
           (double)result->planned_bytes / 0x1p30, (double)result->peak_bytes / 0x1p30);
    if (result->streamed)
        printf("data: %.2f GB read, %.1f s waited for (%.1f%%)\n", (double)result->read_bytes / 1e9,
               result->waited_seconds, 100 * result->waited_seconds / result->seconds);
    if (result->best_epoch)
        printf("best: epoch %llu, validation loss %.4f, in %s/best\n",
               (unsigned long long)result->best_epoch, result->best_validation_loss,
               options->run_folder);
    else
        printf("the model is in %s/best\n", options->run_folder);
}

/* The same on every rank; a failure that not all of them have ends the others. */
static int train(struct nc_train_options *options, const char *source,
                 const struct nc_string_list *overrides, struct nc_train_result *result)
{
    struct nc_config *config = NULL;
    int status = nc_config_load(source, overrides->items, overrides->count, &config);
    options->config = config;
    if (status == NC_OK)
        status = nc_train(options, result);
    nc_config_free(config);
    if (!options->ranks)
        return status;
    if (status != NC_OK && !result->stopped)
        nc_communicator_abort(options->ranks, status);
    /* mpirun kills what is left once the first rank ends: what is to be said is said before. */
    if (result->stopped && !options->ranks->rank)
        fprintf(stderr, "nclip: %s\n", nc_error_message());
    if (result->stopped)
        (void)nc_communicator_barrier(options->ranks);
    if (options->ranks->rank || result->stopped)
        nc_error_silence();
    nc_communicator_destroy(options->ranks);
    return status;
}

static int run(int argc, char **argv)
{
    struct nc_train_options options = {.device = "cpu"};
    const char *source = "default";
    struct nc_string_list overrides = {0}, captions = {0};
    size_t device_number = SIZE_MAX;
    bool json = false;
    const struct nc_option table[] = {
        {"--config", "FILE|PRESET", "the recipe (default: default)", NC_OPTION_STRING, &source,
         .offered = nc_config_presets()},
        {"--model", "DIR", "Hugging Face folder of the CLIP to start from", NC_OPTION_STRING,
         &options.model_folder, .required = true},
        {"--captions", "FILE", "COCO caption JSON, or JSONL with image and caption; several files are one, or "
         "as many sources as the key sources draws from", NC_OPTION_LIST, &captions},
        {"--examples", "SET", "or, in their place, a set that nclip prepare made of captions",
         NC_OPTION_STRING, &options.examples},
        {"--embeddings", "STORE",
         "store that nclip embed made with this model (a set knows its own)", NC_OPTION_STRING,
         &options.embeddings},
        {"--out", "RUN", "run folder to write", NC_OPTION_STRING, &options.run_folder,
         .required = true},
        {"--set", "KEY=VALUE", "override a key of the config", NC_OPTION_LIST,
         &overrides},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING,
         &options.device, .choices = nc_ops_names()},
        {"--device-number", "N",
         "which of several GPUs (default: the rank's number on its host, 0 for one alone)",
         NC_OPTION_SIZE, &device_number},
        {"--resume", NULL, "continue RUN from its last checkpoint, as if never stopped",
         NC_OPTION_FLAG, &options.resume},
        {"--quiet", NULL, "no tables and no progress", NC_OPTION_FLAG, &options.quiet},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    struct nc_train_result result = {0};
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    options.captions = captions.items;
    options.caption_count = captions.count;
    if (!captions.count == !options.examples)
        status = nc_error(NC_USAGE, "train: %s (see `nclip train --help`)",
                          captions.count ? "--captions and --examples exclude each other"
                                           : "--captions FILE or --examples SET is missing");
    else if (!options.examples && !options.embeddings)
        status = nc_error(NC_USAGE, "train: --embeddings STORE is missing, which --captions needs "
                                    "(see `nclip train --help`)");
    if (status == NC_OK)
        status = nc_communicator_create(&options.ranks);
    bool first = !options.ranks || options.ranks->rank == 0;
    if (device_number == SIZE_MAX)
        device_number = options.ranks ? options.ranks->local_rank : 0;
    options.device_number = (int)device_number;
    options.quiet |= !first;
    if (status == NC_OK)
        status = train(&options, source, &overrides, &result);
    if (status == NC_OK && first && json)
        status = print_json(&result);
    else if (status == NC_OK && first)
        print_text(&options, &result);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_train = {"train", "fine-tune the text tower on captions", run};
