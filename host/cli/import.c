/* nclip import: a state dict of open_clip or OpenAI to a Hugging Face folder. */
#include "nclip/checkpoints/exchange.h"
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip import SOURCE --out DIR [--from open_clip|openai]",
    .purpose =
        "Makes a Hugging Face folder of open_clip's or OpenAI's weights: names and layouts change, "
        "values and types do not. SOURCE is a file (safetensors; or .pt, .pth, .bin: a state dict, a "
        "training checkpoint, OpenAI's TorchScript, of which nothing is run), the index of several, "
        "or a folder, of which open_clip_model.safetensors, open_clip_pytorch_model.bin, "
        "model.safetensors or pytorch_model.bin is read, with the tokenizer files beside it.\n\n"
        "Sizes come from the tensors; heads, activation and preprocessing from "
        "open_clip_config.json. "
        "OpenAI's weights have no config: heads of 64 and quick_gelu are a fact of that format. "
        "Models with other towers (ResNets, timm's, other text towers, CoCa) are refused, "
        "and so is any tensor that has no place in a CLIP. Where open_clip cleans texts before its "
        "tokenizer, so does nclip with the folder that is written. nclip doctor --model SOURCE tells "
        "beforehand what comes of it.\n\n"
        "--text-only takes the text tower of a model with any vision tower, of transformers' SigLIP, "
        "SigLIP 2 and MetaCLIP 2 too. Such a folder trains, encodes texts and is evaluated on "
        "embeddings that another program made, and it knows that it has no vision tower.",
    .examples = "nclip import CLIP-ViT-B-32-laion2B --out clip-b32-laion\n"
                "nclip import ViT-L-14.pt --from openai --tokenizer clip-l14 --out l14\n"
                "nclip import convnext.pt --config open_clip_config.json --text-only \\\n"
                "    --embeddings stores/convnext --tokenizer clip-l14 --out text\n"
                "nclip import siglip2-base --text-only --embeddings stores/siglip2 --out text",
    .positional_least = 1,
    .positional_most = 1,
};

static int print_json(const char *out, const char *source)
{
    cJSON *root = cJSON_CreateObject();
    bool complete = cJSON_AddStringToObject(root, "out", out) &&
                    cJSON_AddStringToObject(root, "source", source);
    return nc_json_print(stdout, root, complete);
}

static int run(int argc, char **argv)
{
    const char *from = NULL, *dtype = NULL, *out = NULL;
    const char *store_path = NULL;
    struct nc_import_options options = {0};
    bool json = false, has_tokenizer;
    static const char *const types[] = {"fp32", "bf16", "fp16", NULL};
    static const char *const origins[] = {"open_clip", "openai", NULL};
    const struct nc_option table[] = {
        {"--out", "DIR", "folder to write; new or empty", NC_OPTION_STRING, &out, .required = true},
        {"--from", "NAME", "whose weights they are (default: by the files)", NC_OPTION_STRING,
         &from, .choices = origins},
        {"--config", "JSON", "open_clip_config.json (default: the one beside the weights)",
         NC_OPTION_STRING, &options.config},
        {"--tokenizer", "DIR", "folder with tokenizer files (default: that of the weights)",
         NC_OPTION_STRING, &options.tokenizer},
        {"--no-tokenizer", NULL, "without the tokenizer that lies beside the weights: for --ids",
         NC_OPTION_FLAG, &options.no_tokenizer},
        {"--dtype", "TYPE", "of all parameters (default: as they are stored)", NC_OPTION_STRING,
         &dtype, .choices = types},
        {"--text-only", NULL,
         "the text tower alone, whatever the vision tower is: for training and evaluating on "
         "embeddings that are there",
         NC_OPTION_FLAG, &options.text_only},
        {"--embeddings", "STORE",
         "with --text-only: you say that these embeddings are of this model's vision tower",
         NC_OPTION_STRING, &store_path},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    enum nc_type type = dtype ? nc_type_named(dtype) : NC_FLOAT32;
    options.type = dtype ? &type : NULL;
    options.origin = !from                         ? NC_ORIGIN_DETECT
                     : strcmp(from, "openai") == 0 ? NC_ORIGIN_OPENAI
                                                   : NC_ORIGIN_OPEN_CLIP;
    if (options.origin == NC_ORIGIN_OPENAI && options.config)
        status =
            nc_error(NC_USAGE, "import: --config belongs to open_clip; OpenAI's weights have none");
    if (status == NC_OK && options.tokenizer && options.no_tokenizer)
        status = nc_error(NC_USAGE, "import: give one of --tokenizer and --no-tokenizer");
    struct nc_embedding_store *store = NULL;
    if (status == NC_OK && store_path && !options.text_only)
        status = nc_error(NC_USAGE, "import: --embeddings goes with --text-only: a vision tower says "
                                    "for itself which embeddings are its own");
    if (status == NC_OK && store_path)
        status = nc_embedding_store_open(store_path, &store);
    options.embeddings = store;
    if (status == NC_OK)
        status = nc_model_import(arguments.positional[0], &options, out, &has_tokenizer);
    if (status == NC_OK && !has_tokenizer && !options.no_tokenizer)
        fprintf(
            stderr,
            "%s: no tokenizer files came with the weights; copy them there (vocab.json with merges.txt, "
            "tokenizer.json or spiece.model), "
            "or import with --tokenizer\n",
            out);
    if (status == NC_OK && json)
        status = print_json(out, arguments.positional[0]);
    else if (status == NC_OK)
        printf("%s: %s as a Hugging Face folder\n", out, arguments.positional[0]);
    nc_embedding_store_close(store);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_import = {"import",
                                             "open_clip's or OpenAI's weights to a folder", run};
