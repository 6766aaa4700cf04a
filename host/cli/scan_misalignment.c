/* nclip scan --misalignment: do captions with a negation fit their pictures? */
#include "scan_misalignment.h"

#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/scan/misalignment.h"
#include "nclip/scan/misalignment_judge.h"
#include "nclip/support/error.h"
#include "nclip/support/interval.h"
#include "nclip/support/signals.h"
#include "nclip/support/terminal.h"

#include <stdio.h>

static const struct nc_help help = {
    .usage = "nclip scan --misalignment --model DIR --embeddings STORE --captions FILE [options]",
    .purpose =
        "Compares each caption that holds a negation with the same caption stripped of it (\"a "
        "street with no cars\": \"a street with cars\") by how near either is to its picture, and "
        "tells how often the picture prefers the stripped one.\n\n"
        "Stripping: no, not, never and n't go; without becomes with, none some, nobody somebody, "
        "nothing something, nor and, absent present, absence presence, lacks has; behind them any "
        "becomes some. \"Not only\" is left alone.\n\n"
        "With a model that sees pictures (--vision-url), it is asked of each thing denied by no, "
        "without, lack or absence whether it is in the picture. Its answers are kept in --journal, "
        "so that a run that was stopped goes on. Its key is read from NCLIP_VISION_API_KEY, else "
        "OPENAI_API_KEY.",
    .examples =
        "nclip scan --misalignment --model clip-l14 --embeddings stores/laion \\\n"
        "    --captions laion.jsonl --examples 10\n"
        "nclip scan --misalignment --model clip-l14 --embeddings stores/laion --captions "
        "laion.jsonl \\\n    --images laion/ --vision-url http://127.0.0.1:8001 --vision-model "
        "llava --journal asked.journal",
};

struct request {
    const char *model, *store, *captions, *images, *device, *prompts;
    struct nc_misalignment_options options;
    struct nc_chat_options chat;
    size_t seed;
    bool json, misalignment;
};

/* ---- Results ---------------------------------------------------------------------------- */

static double share(size_t count, size_t of)
{
    return of ? (double)count / (double)of : 0;
}

static int print_json(const struct nc_misalignment *result, bool asked)
{
    double limits[2];
    nc_interval_wilson(result->stripped_preferred, result->compared, &limits[0], &limits[1]);
    cJSON *root = cJSON_CreateObject(), *list;
    bool complete =
        cJSON_AddNumberToObject(root, "captions", (double)result->captions) &&
        cJSON_AddNumberToObject(root, "negated", (double)result->negated) &&
        cJSON_AddNumberToObject(root, "compared", (double)result->compared) &&
        cJSON_AddNumberToObject(root, "unstripped", (double)result->unstripped) &&
        cJSON_AddNumberToObject(root, "unembedded", (double)result->unembedded) &&
        cJSON_AddNumberToObject(root, "stripped_preferred", (double)result->stripped_preferred) &&
        cJSON_AddNumberToObject(root, "fraction",
                                share(result->stripped_preferred, result->compared)) &&
        cJSON_AddItemToObject(root, "interval", cJSON_CreateDoubleArray(limits, 2)) &&
        cJSON_AddNumberToObject(root, "difference", result->difference);
    if (asked && complete)
        complete = cJSON_AddNumberToObject(root, "asked", (double)result->asked) &&
                   cJSON_AddNumberToObject(root, "shown", (double)result->shown) &&
                   cJSON_AddNumberToObject(root, "absent", (double)result->absent);
    complete = complete && (list = cJSON_AddArrayToObject(root, "examples"));
    for (size_t i = 0; i < result->example_count && complete; i++) {
        const struct nc_misalignment_example *example = &result->examples[i];
        cJSON *item = cJSON_CreateObject();
        complete =
            cJSON_AddItemToArray(list, item) &&
            cJSON_AddStringToObject(item, "image", example->image) &&
            cJSON_AddStringToObject(item, "caption", example->caption) &&
            cJSON_AddStringToObject(item, "stripped", example->stripped) &&
            cJSON_AddNumberToObject(item, "cosine", (double)example->cosine) &&
            cJSON_AddNumberToObject(item, "stripped_cosine", (double)example->stripped_cosine);
    }
    return nc_json_print(stdout, root, complete);
}

static void print_text(const struct nc_misalignment *result, bool asked)
{
    double low, high;
    nc_interval_wilson(result->stripped_preferred, result->compared, &low, &high);
    printf(
        "the picture prefers the caption without its negation for %zu of %zu captions: %.2f%% "
        "(95%% interval %.2f to %.2f%%)\n"
        "  the mean cosine changes by %+.4f\n"
        "  of %zu captions %zu hold a negation; %zu of these have no embedded picture, %zu cannot "
        "be stripped\n",
        result->stripped_preferred, result->compared,
        100 * share(result->stripped_preferred, result->compared), 100 * low, 100 * high,
        result->difference, result->captions, result->negated, result->unembedded,
        result->unstripped);
    if (asked)
        printf("  asked about %zu denied things, the vision model sees %zu and does not see %zu\n",
               result->asked, result->shown, result->absent);
    for (size_t i = 0; i < result->example_count; i++) {
        const struct nc_misalignment_example *example = &result->examples[i];
        printf("%s  %.4f  ", i ? "" : "farthest apart\n", (double)example->cosine);
        nc_terminal_print(stdout, example->caption);
        printf("\n    %.4f  ", (double)example->stripped_cosine);
        nc_terminal_print(stdout, example->stripped);
        printf("\n    (");
        nc_terminal_print(stdout, example->image);
        printf(")\n");
    }
}

/* ---- The command ------------------------------------------------------------------------ */

static int check_vision(const struct request *r, bool *asks)
{
    const char *url = r->chat.servers[NC_CHAT_VISION].url;
    const char *model = r->chat.servers[NC_CHAT_VISION].model;
    *asks = url || model;
    if (!*asks)
        return r->images ? nc_error(NC_USAGE, "--images goes with --vision-url and --vision-model: "
                                              "the pictures are shown to that model")
                         : NC_OK;
    if (!url || !model || !r->images || !r->chat.journal)
        return nc_error(NC_USAGE, "asking a vision model needs --vision-url, --vision-model, "
                                  "--images and --journal");
    if (r->chat.concurrency < 1 || r->chat.concurrency > 1024)
        return nc_error(NC_USAGE, "--concurrency is 1 to 1024");
    return NC_OK;
}

struct opened {
    struct nc_captions captions;
    struct nc_embedding_store *store;
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_encoder *encoder;
    struct nc_image_source *images;
    struct nc_prompts prompts;
    struct nc_chat *chat;
};

static int open_all(const struct request *r, bool asks, struct opened *o)
{
    char hash[17];
    struct nc_encoder_options encoding = {.precision = NC_FLOAT32, .text = true};
    int status = nc_captions_load(r->captions, &o->captions);
    if (status == NC_OK)
        status = nc_model_open(r->model, &o->model);
    if (status == NC_OK)
        status = nc_embedding_store_open(r->store, &o->store);
    if (status == NC_OK)
        status = nc_model_vision_hash(o->model, hash);
    if (status == NC_OK)
        status = nc_embedding_store_expect(o->store, hash, nc_model_shape(o->model)->embedding);
    if (status == NC_OK)
        status = nc_ops_create(r->device, 0, &o->ops);
    if (status == NC_OK)
        status = nc_encoder_create(o->ops, o->model, &encoding, &o->encoder);
    if (status == NC_OK && asks)
        status = nc_image_source_open(r->images, &o->images);
    if (status == NC_OK && asks)
        status = nc_prompts_load(r->prompts, &o->prompts);
    if (status == NC_OK && asks)
        status = nc_chat_create(&r->chat, &o->chat);
    return status;
}

static void close_all(struct opened *o)
{
    nc_chat_destroy(o->chat);
    nc_prompts_free(&o->prompts);
    nc_image_source_close(o->images);
    nc_encoder_destroy(o->encoder);
    nc_ops_destroy(o->ops);
    nc_embedding_store_close(o->store);
    nc_model_close(o->model);
    nc_captions_free(&o->captions);
}

static int measure(struct request *r, bool asks)
{
    struct opened o = {0};
    struct nc_misalignment result = {0};
    int status = open_all(r, asks, &o);
    struct misalignment_judge judge = {.chat = o.chat, .images = o.images, .top_p = 1};
    struct nc_misalignment_judge vision = {nc_misalignment_judge_ask, &judge};
    if (status == NC_OK && asks) {
        judge.prompt = nc_prompts_choose(&o.prompts, "check", NULL, 0, 0);
        judge.seed = r->seed;
        r->options.judge = &vision;
    }
    if (status == NC_OK) {
        nc_signals_catch();
        status = nc_misalignment_measure(&o.captions, o.store, o.encoder,
                                         nc_model_shape(o.model)->embedding, &r->options, &result);
        nc_signals_release();
    }
    if (status == NC_OK && r->json)
        status = print_json(&result, asks);
    else if (status == NC_OK)
        print_text(&result, asks);
    nc_misalignment_free(&result);
    close_all(&o);
    return status;
}

static int run(int argc, char **argv)
{
    struct request r = {.device = "cpu", .seed = 42};
    nc_chat_defaults(&r.chat);
    const struct nc_option options[] = {
        {"--misalignment", NULL, "compare captions with their pictures", NC_OPTION_FLAG,
         &r.misalignment, .required = false},
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &r.model,
         .required = true},
        {"--embeddings", "STORE", "the pictures, embedded by it (nclip embed)", NC_OPTION_STRING,
         &r.store, .required = true},
        {"--captions", "FILE", "COCO JSON, or JSONL with `image` and `caption`", NC_OPTION_STRING,
         &r.captions, .required = true},
        {"--examples", "N", "show N captions whose picture prefers the stripped one most",
         NC_OPTION_SIZE, &r.options.examples, .required = false},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING, &r.device,
         .choices = nc_ops_names()},
        {"--images", "DIR|LIST|TAR", "the pictures, for the vision model", NC_OPTION_STRING,
         &r.images, .required = false},
        {"--vision-url", "URL", "server of a model that sees pictures", NC_OPTION_STRING,
         &r.chat.servers[NC_CHAT_VISION].url, .required = false},
        {"--vision-model", "NAME", "as its server calls it", NC_OPTION_STRING,
         &r.chat.servers[NC_CHAT_VISION].model, .required = false},
        {"--journal", "FILE", "where its answers are kept", NC_OPTION_STRING, &r.chat.journal,
         .required = false},
        {"--prompts", "DIR", "check.txt, instead of the built-in one", NC_OPTION_STRING, &r.prompts,
         .required = false},
        {"--concurrency", "N", "requests at once (default: 16)", NC_OPTION_SIZE,
         &r.chat.concurrency, .required = false},
        {"--max-requests", "N", "stop after so many (default: no limit)", NC_OPTION_SIZE,
         &r.chat.most_requests, .required = false},
        {"--reasoning-tokens", "N",
         "more tokens for an answer, for models that reason before it; 0: none (default: 4096 once "
         "a server's answers show that its model does)",
         NC_OPTION_SIZE, &r.chat.reasoning_tokens, .required = false},
        {"--seed", "N", "its lower 31 bits are sent to the server (default: 42)", NC_OPTION_SIZE,
         &r.seed, .required = false},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json, .required = false},
        {0},
    };
    struct nc_arguments arguments;
    bool asks = false;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    if (r.options.examples > 1000000)
        status = nc_error(NC_USAGE, "--examples: at most 1000000");
    if (r.chat.reasoning_tokens != NC_CHAT_AS_REPORTED && r.chat.reasoning_tokens > 1000000)
        status = nc_error(NC_USAGE, "--reasoning-tokens: at most 1000000");
    if (status == NC_OK)
        status = check_vision(&r, &asks);
    r.chat.seed = r.seed;
    if (status == NC_OK)
        status = measure(&r, asks);
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command scan_misalignment = {
    "scan --misalignment", "whether pictures prefer captions without their negation", run};
