/* nclip evaluate: the numbers of a benchmark, as it defines them. */
#include "evaluate_report.h"

#include "nclip/cli/command.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <string.h>

enum { MOST_BENCHMARKS = 32 };

static const struct nc_help help = {
    .usage =
        "nclip evaluate BENCHMARK --model DIR --annotations FILE|DIR (--images DIR | "
        "--embeddings STORE)\nnclip evaluate report --model NAME=DIR ... --data DIR --out FILE",
    .purpose =
        "negrefcocog: the published NegRefCOCOg.json over COCO train2014; the referred one of two "
        "boxes of a picture.\n"
        "foils: the caption above its foil. VALSE's JSON pieces, SugarCrepe's JSON, CREPE's CSV, "
        "NegBench's multiple choice CSV, and CC-Neg as JSON; a file or a folder of them.\n"
        "retrieval: recall at 1, 5 and 10 both ways. Karpathy's dataset_coco.json or "
        "dataset_flickr30k.json, NegBench's retrieval CSV, and captions (COCO JSON or JSONL).\n"
        "zeroshot: the class of a picture, from names alone. A folder with a folder for each "
        "class; --classes imagenet.txt names ImageNet's.\n"
        "attributes: CelebA's list_attr_celeba.txt; each attribute's prompt against its denial.\n"
        "choices: your own items: a JSON array of {\"phrase\", \"images\", \"answer\"}, "
        "{\"phrase\", \"image\", \"boxes\", \"answer\"} or {\"image\", \"phrases\", \"answer\"}; "
        "answer counts from 0, and a \"group\" is scored on its own too.\n"
        "--method composes captions (negrefcocog, foils, retrieval, choices) without training, of "
        "the features of what they affirm and what they deny: their difference, or SpaceVLM's "
        "closed form (space).\n"
        "report: several models side by side; see `nclip evaluate report --help`.\n\n"
        "--embeddings takes the pictures from a store of `nclip embed` (all but boxes), so that "
        "they are not encoded again. Names in a benchmark's file are looked for below these "
        "folders, also without their first parts; a name with \"..\" is refused. The score's "
        "definition is printed beside it, with a 95% interval by the bootstrap.",
    .examples =
        "nclip evaluate negrefcocog --model clip --annotations NegRefCOCOg.json \\\n"
        "    --images train2014\n"
        "nclip evaluate foils --model clip --annotations existence.json --images visual7w\n"
        "nclip evaluate retrieval --model clip --annotations dataset_coco.json \\\n"
        "    --embeddings stores/coco-val\n"
        "nclip evaluate zeroshot --model clip --classes imagenet.txt --images imagenet/val --json\n"
        "nclip evaluate attributes --model clip --annotations celeba --images img_align_celeba",
    .positional_least = 1,
    .positional_most = 1,
};

static int evaluate(const struct nc_benchmark *benchmark,
                    const struct nc_evaluator_options *options, struct nc_request *request,
                    const char *items, bool json)
{
    struct nc_evaluator *evaluator = NULL;
    struct nc_result result = {0};
    int status = NC_OK;
    if (benchmark->annotations && !request->annotations)
        status = nc_error(NC_USAGE, "evaluate %s: needs --annotations: %s", benchmark->name,
                          benchmark->annotations_help);
    else if (!request->images && !options->embeddings)
        status =
            nc_error(NC_USAGE, "evaluate %s: needs --images, or --embeddings with a store of them",
                     benchmark->name);
    if (status == NC_OK)
        status = nc_evaluator_open(options, &evaluator);
    if (status == NC_OK && items)
        status = nc_writer_create(items, &request->items);
    if (status == NC_OK)
        status = nc_benchmark_run(benchmark, evaluator, request, &result);
    if (status == NC_OK && items)
        status = nc_writer_commit(request->items);
    else
        nc_writer_abort(request->items);
    if (status == NC_OK)
        status = nc_result_print(&result, json, stdout);
    nc_result_free(&result);
    nc_evaluator_close(evaluator);
    return status;
}

static int run(int argc, char **argv)
{
    struct nc_evaluator_options options = {.device = "cpu"};
    struct nc_request request = {.composition = {.weight = 1, .threshold = 0.92}};
    const char *items = NULL, *precision = "fp32", *method = nc_method_names[NC_METHOD_PLAIN];
    bool json = false;
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &options.model,
         .required = true},
        {"--annotations", "FILE|DIR", "the benchmark's items (all but zeroshot)", NC_OPTION_STRING,
         &request.annotations},
        {"--images", "DIR", "folder that the pictures are in", NC_OPTION_STRING, &request.images},
        {"--embeddings", "STORE", "the pictures, embedded", NC_OPTION_STRING, &options.embeddings},
        {"--split", "NAME", "retrieval, attributes: which part (default: test)", NC_OPTION_STRING,
         &request.split},
        {"--classes", "FILE",
         "zeroshot: a class a line, FOLDER<tab>NAME; imagenet.txt is built in (default: the "
         "folders' names)",
         NC_OPTION_STRING, &request.classes},
        {"--templates", "FILE", "zeroshot: a template a line, {} is the name (default: CLIP's 80)",
         NC_OPTION_STRING, &request.templates},
        {"--prompts", "FILE",
         "attributes: ATTRIBUTE<tab>PROMPT<tab>DENIAL a line (default: configs/celeba.txt)",
         NC_OPTION_STRING, &request.prompts},
        {"--transparency", "RULE",
         "drop (open_clip, OpenAI) or white (transformers 5); default: the model's, mostly drop",
         NC_OPTION_STRING, &options.transparency, .choices = nc_transparency_names},
        {"--strict", NULL, "refuse damaged pictures, also those that PIL reads", NC_OPTION_FLAG,
         &options.strict},
        {"--skip-unreadable", NULL,
         "pass over pictures that cannot be read, and say how many; the score is of the others",
         NC_OPTION_FLAG, &options.skip_unreadable},
        {"--method", "NAME",
         "how captions are encoded: plain, or composed without training of what they affirm and "
         "deny (default: plain)",
         NC_OPTION_STRING, &method, .choices = nc_method_names},
        {"--splits", "FILE", "affirmed and denied parts, JSONL or CSV (default: split by rules)",
         NC_OPTION_STRING, &request.composition.splits},
        {"--threshold", "COSINE", "of --method space (default: 0.92)", NC_OPTION_NUMBER,
         &request.composition.threshold},
        {"--denied-weight", "W", "of --method difference (default: 1)", NC_OPTION_NUMBER,
         &request.composition.weight},
        {"--items", "FILE", "write each item's choice and scores, one JSON object a line",
         NC_OPTION_STRING, &items},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING, &precision,
         .choices = precisions},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING,
         &options.device, .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE,
         &options.device_number},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    const char *names[MOST_BENCHMARKS + 1] = {NULL};
    for (size_t i = 0; nc_benchmarks[i] && i < MOST_BENCHMARKS; i++)
        names[i] = nc_benchmarks[i]->name;
    struct nc_help with_names = help;
    with_names.choices = names;
    struct nc_arguments arguments;
    const struct nc_benchmark *benchmark;
    int status = nc_options_parse(&with_names, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    options.precision = nc_type_named(precision);
    for (int i = 0; i < NC_METHODS; i++)
        if (strcmp(nc_method_names[i], method) == 0)
            request.composition.method = (enum nc_method)i;
    status = nc_composition_check(&request.composition);
    if (status == NC_OK)
        status = nc_benchmark_find(arguments.positional[0], &benchmark);
    if (status == NC_OK)
        status = evaluate(benchmark, &options, &request, items, json);
    nc_arguments_free(&arguments, table);
    return status;
}

static const struct nc_command *const kinds[] = {&evaluate_report, NULL};
const struct nc_command nc_command_evaluate = {"evaluate", "measure a model on a benchmark", run,
                                               kinds};
