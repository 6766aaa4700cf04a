/* nclip export: a model in the form that another program reads. */
#include "model_folder.h"

#include "nclip/checkpoints/exchange.h"
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip export --model DIR|RUN --format NAME --out DIR",
    .purpose =
        "Writes a model for other programs, with its config and tokenizer files. Of a run folder, "
        "RUN/best is taken. Tensors keep their type and every byte unless --dtype is given.\n\n"
        "hf: transformers' CLIPModel, without what training left beside it\n"
        "hf-text: CLIPTextModel, the text_encoder of Stable Diffusion\n"
        "hf-text-projection: CLIPTextModelWithProjection, the text_encoder_2 of SDXL\n"
        "open_clip: open_clip_model.safetensors and open_clip_config.json, for "
        "open_clip.create_model_and_transforms('local-dir:DIR')\n"
        "openai: model.safetensors by OpenAI's names, for "
        "clip.model.build_model(load_file(...))\n\n"
        "--with ORIGINAL puts the text tower back into the checkpoint that it comes from (a file or "
        "folder with hf's or open_clip's names, in any of the forms that nclip import reads): all "
        "else, a vision tower that nclip does not compute included, is copied byte for byte.\n\n"
        "What a format cannot say (open_clip: two activations; openai: gelu, heads other than 64, "
        "other preprocessing) is refused.",
    .examples =
        "nclip export --model runs/timm --format open_clip --with timm/model.pt --out timm-no\n"
        "nclip export --model runs/first --format open_clip --out first-open_clip\n"
        "nclip export --model runs/first/best --format hf-text --dtype fp16 --out text_encoder",
};

/* Only the plain copy keeps tensors that no row of the table names. */
static void warn_of_unknown(const struct nc_model *model, const char *out)
{
    const char *const *names;
    size_t count = nc_model_unknown(model, &names);
    if (count)
        fprintf(stderr, "%s: left out what is no part of a CLIP: \"%s\"%s\n", out, names[0],
                count > 1 ? " and more (nclip info lists them)" : "");
}

static int print_json(const char *out, const char *format)
{
    cJSON *root = cJSON_CreateObject();
    bool complete = cJSON_AddStringToObject(root, "out", out) &&
                    cJSON_AddStringToObject(root, "format", format);
    return nc_json_print(stdout, root, complete);
}

static int run(int argc, char **argv)
{
    const char *given = NULL, *format_name = NULL, *dtype = NULL, *out = NULL, *original = NULL;
    bool json = false;
    static const char *const types[] = {"fp32", "bf16", "fp16", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR|RUN", "Hugging Face folder of a CLIP, or a run", NC_OPTION_STRING, &given,
         .required = true},
        {"--format", "NAME", "who is to read it", NC_OPTION_STRING, &format_name, .required = true,
         .choices = nc_format_names},
        {"--out", "DIR", "folder to write; new or empty", NC_OPTION_STRING, &out, .required = true},
        {"--with", "ORIGINAL", "the checkpoint whose text tower this is; the rest is taken from it",
         NC_OPTION_STRING, &original},
        {"--dtype", "TYPE",
         "of all parameters, with --with of the text tower (default: as they are stored)",
         NC_OPTION_STRING, &dtype, .choices = types},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    struct nc_model *model = NULL;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    bool shown = arguments.help_shown;
    nc_arguments_free(&arguments, table);
    if (status != NC_OK || shown)
        return status;
    enum nc_format format = NC_FORMAT_HF;
    while (strcmp(nc_format_names[format], format_name) != 0)
        format++;
    enum nc_type type = dtype ? nc_type_named(dtype) : NC_FLOAT32;
    char *folder = model_folder(given);
    status = folder ? nc_model_open(folder, &model) : nc_error(NC_FAILED, "export: no memory");
    if (status == NC_OK)
        status = original ? nc_model_graft(model, format, original, dtype ? &type : NULL, out)
                          : nc_model_export(model, format, dtype ? &type : NULL, out);
    if (status == NC_OK && format != NC_FORMAT_HF && !original)
        warn_of_unknown(model, out);
    if (status == NC_OK && json)
        status = print_json(out, format_name);
    else if (status == NC_OK)
        printf("%s: %s for %s\n", out, folder, format_name);
    nc_model_close(model);
    free(folder);
    return status;
}

const struct nc_command nc_command_export = {"export",
                                             "a model for transformers, open_clip, OpenAI", run};
