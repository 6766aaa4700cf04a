/* nclip generate absence: captions that say what a picture does not show, by language models. */
#include "generate_kinds.h"

#include "generate_models.h"
#include "nclip/generate/absence.h"
#include "nclip/support/error.h"
#include "nclip/support/signals.h"
#include "nclip/support/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip generate absence --captions FILE --images DIR --text-url URL --text-model NAME "
             "--vision-url URL --vision-model NAME --out FILE [options]",
    .purpose =
        "For each caption a text model names an object that the caption does not mention, a model "
        "that sees the picture is asked whether it is there, and where it is not, the text model "
        "adds its absence to the caption. Answers that refuse, ramble, name what the caption "
        "mentions, deny nothing or forget the caption are rejected and counted. Writes COCO "
        "caption JSON: `updated_caption` is what training reads, `source` says where it comes "
        "from." GENERATE_SERVER_HELP,
    .examples =
        "nclip generate absence --captions captions_train2014.json --images train2014 \\\n"
        "    --text-url http://127.0.0.1:8000 --text-model meta-llama/Meta-Llama-3-8B-Instruct \\\n"
        "    --vision-url http://127.0.0.1:8001 \\\n"
        "    --vision-model llava-hf/llava-v1.6-mistral-7b-hf --out negated.json\n"
        "nclip generate absence --write-prompts my-prompts    # to edit, for --prompts",
};

struct request {
    struct generate_models models;
    struct nc_absence_options absence;
    struct nc_string_list phrasings;
    const char *out, *objects, *synonyms, *tokenizer;
    size_t seed;
    bool no_check, explain, json;
};

static void explain(void *context, const char *caption, const char *object, const char *answer,
                    const char *reason)
{
    (void)context;
    const char *const texts[][2] = {{"  caption  ", caption}, {"  object   ", object},
                                    {"  answer   ", answer && *answer ? answer : NULL}};
    printf("%s\n", reason);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i][1])
            continue;
        printf("%s", texts[i][0]);
        nc_terminal_print(stdout, texts[i][1]); /* models may write anything */
        printf("\n");
    }
}

static void print_counts(const struct nc_absence_counts *counts, struct nc_chat *chat, bool json)
{
    if (json) {
        printf("{\"captions\": %zu, \"pictures\": %zu, \"written\": %zu, \"present\": %zu, "
               "\"unanswered\": %zu, \"rejected\": {",
               counts->captions, counts->pictures, counts->written, counts->present,
               counts->unanswered);
        for (int i = NC_QUALITY_GOOD + 1; i < NC_QUALITY_REASONS; i++)
            printf("%s\"%s\": %zu", i > NC_QUALITY_GOOD + 1 ? ", " : "", nc_quality_name(i),
                   counts->rejected[i]);
        printf("}");
        generate_models_print(chat, true);
        printf("}\n");
        return;
    }
    printf("%zu of %zu captions say what their picture does not show\n"
           "captions that became none\n"
           "  %8zu the picture shows the object\n",
           counts->written, counts->captions, counts->present);
    for (int i = NC_QUALITY_GOOD + 1; i < NC_QUALITY_REASONS; i++) {
        if (counts->rejected[i])
            printf("  %8zu %s\n", counts->rejected[i], nc_quality_text(i));
    }
    if (counts->unanswered)
        printf("  %8zu no server has answered\n", counts->unanswered);
    generate_models_print(chat, false);
}

static int generate(struct request *r)
{
    struct nc_prompts prompts = {0};
    struct nc_synonyms *synonyms = NULL;
    struct nc_tokenizer *tokenizer = NULL;
    struct nc_chat *chat = NULL;
    struct nc_absence_counts counts = {0};
    int status = nc_prompts_load(r->models.prompts, &prompts);
    if (status == NC_OK)
        status = nc_synonyms_load(r->synonyms, &synonyms);
    if (status == NC_OK && r->tokenizer)
        status = nc_tokenizer_load(r->tokenizer, NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status == NC_OK)
        status = generate_models_open(&r->models, &chat);
    if (status == NC_OK) {
        r->absence.prompts = &prompts;
        r->absence.synonyms = synonyms;
        r->absence.tokenizer = tokenizer;
        nc_signals_catch();
        status = nc_absence_generate(&r->absence, chat, r->out, &counts);
        nc_signals_release();
    }
    if (status == NC_OK || counts.all_rejected)
        print_counts(&counts, chat, r->json);
    nc_chat_destroy(chat);
    nc_tokenizer_destroy(tokenizer);
    nc_synonyms_destroy(synonyms);
    nc_prompts_free(&prompts);
    return status;
}

static int check(struct request *r)
{
    struct nc_absence_options *absence = &r->absence;
    absence->vision_check = !r->no_check;
    if (!absence->captions || !r->out)
        return nc_error(NC_USAGE, "absence needs --captions FILE and --out FILE: see `nclip "
                                  "generate absence --help`");
    if (absence->vision_check && !absence->images)
        return nc_error(NC_USAGE, "--images is needed: the vision model is shown each picture "
                                  "(--no-vision-check believes that every object is absent)");
    if (!absence->vision_check && (absence->images || r->models.chat.servers[NC_CHAT_VISION].url ||
                                   r->models.chat.servers[NC_CHAT_VISION].model))
        return nc_error(NC_USAGE, "--no-vision-check goes without --images, --vision-url and "
                                  "--vision-model");
    if (r->explain && r->json)
        return nc_error(NC_USAGE, "--explain is for people: with --json take --rejects FILE");
    absence->objects = strcmp(r->objects, "random") == 0 || absence->object_list ? NC_ABSENCE_RANDOM
                                                                                 : NC_ABSENCE_MODEL;
    absence->explain = r->explain ? explain : NULL;
    absence->phrasings = r->phrasings.items;
    absence->phrasing_count = r->phrasings.count;
    absence->temperature = r->models.temperature;
    absence->top_p = r->models.top_p;
    absence->seed = r->seed;
    return generate_models_check(&r->models, r->out, absence->vision_check, r->seed);
}

static int run(int argc, char **argv)
{
    static const char *const objects[] = {"model", "random", NULL};
    struct request r = {.objects = "model", .seed = 42};
    generate_models_defaults(&r.models);
    const struct nc_option table[] = {
        {"--captions", "FILE", "captions of the pictures: COCO JSON or JSONL", NC_OPTION_STRING,
         &r.absence.captions},
        {"--images", "DIR|LIST|TAR", "the pictures", NC_OPTION_STRING, &r.absence.images},
        {"--out", "FILE", "the captions that are made", NC_OPTION_STRING, &r.out},
        GENERATE_TEXT_OPTIONS(r.models),
        GENERATE_VISION_OPTIONS(r.models),
        {"--no-vision-check", NULL, "believe that every object is absent; each line says so",
         NC_OPTION_FLAG, &r.no_check},
        {"--objects", "HOW",
         "the text model proposes them, or nouns of all captions are drawn "
         "(default: model)",
         NC_OPTION_STRING, &r.objects, .choices = objects},
        {"--object-list", "FILE", "objects to draw from, one a line (implies --objects random)",
         NC_OPTION_STRING, &r.absence.object_list},
        {"--phrasing", "NAME",
         "only this rewrite-NAME.txt of the prompts (default: all; paper: "
         "the paper's alone)",
         NC_OPTION_LIST, &r.phrasings},
        GENERATE_REQUEST_OPTIONS(r.models),
        {"--seed", "N",
         "chooses phrasings and objects and seeds the models; below 2^64, exact in `source` "
         "(default: 42)",
         NC_OPTION_SIZE, &r.seed},
        {"--synonyms", "FILE",
         "words by which captions mention an object (default: those of "
         "configs/words/synonyms.txt)",
         NC_OPTION_STRING, &r.synonyms},
        {"--model", "DIR",
         "a CLIP: captions longer than its tokenizer allows (77 tokens) are "
         "rejected",
         NC_OPTION_STRING, &r.tokenizer},
        {"--rejects", "FILE", "JSONL of the captions that became none, with the reason",
         NC_OPTION_STRING, &r.absence.rejects},
        {"--explain", NULL, "print those captions", NC_OPTION_FLAG, &r.explain},
        {"--skip-unanswered", NULL, "write the captions although some have no answer",
         NC_OPTION_FLAG, &r.absence.skip_unanswered},
        {"--write-prompts", "DIR", "write the built-in prompts into a folder, to be edited",
         NC_OPTION_STRING, &r.models.write_prompts},
        {"--json", NULL, "print the counts as one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    if (r.models.write_prompts) {
        status = nc_prompts_write(r.models.write_prompts);
    } else {
        status = check(&r);
        if (status == NC_OK)
            status = generate(&r);
    }
    generate_models_free(&r.models);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command generate_absence = {
    "generate absence", "captions that say what models find absent from a picture", run};
