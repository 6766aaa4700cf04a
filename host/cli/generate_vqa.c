/* nclip generate vqa: captions from questions that were answered "no". */
#include "generate_kinds.h"

#include "generate_models.h"
#include "nclip/cli/command.h"
#include "nclip/generate/vqa.h"
#include "nclip/generate/vqa_llm.h"
#include "nclip/support/error.h"
#include "nclip/support/signals.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "nclip generate vqa --questions FILE --image-name PATTERN --out FILE [options]";

static void print_coverage(const struct nc_vqa_counts *counts, bool json)
{
    bool first = true;
    for (int form = 0; form < NC_VQA_FORMS; form++) {
        const struct nc_vqa_coverage *coverage = &counts->forms[form];
        const char *name = nc_vqa_form_name((enum nc_vqa_form)form);
        if (!coverage->asked)
            continue;
        if (json)
            printf("%s\"%s\": {\"asked\": %zu, \"written\": %zu}", first ? "" : ", ", name,
                   coverage->asked, coverage->written);
        else
            printf("%s  %8zu of %8zu  %s\n",
                   first ? "questions whose answer denies that became one\n" : "",
                   coverage->written, coverage->asked, name);
        first = false;
    }
}

/* What the command line asks for. */
struct request {
    struct generate_models models;
    struct nc_vqa_options vqa;
    const char *questions, *annotations, *out, *rewriter, *tokenizer;
    double agreement;
    size_t seed;
    bool skip_unanswered, json;
};

/* Opened for --rewriter llm. */
struct llm {
    struct nc_vqa_llm settings;
    struct nc_vqa_rewriter rewriter;
    struct nc_prompts prompts;
    struct nc_tokenizer *tokenizer;
    struct nc_chat *chat;
};

static int open_llm(struct request *r, struct llm *llm)
{
    int status = nc_prompts_load(r->models.prompts, &llm->prompts);
    if (status == NC_OK && r->tokenizer)
        status = nc_tokenizer_load(r->tokenizer, NC_TOKENIZER_TRANSFORMERS, &llm->tokenizer);
    if (status == NC_OK)
        status = generate_models_open(&r->models, &llm->chat);
    llm->settings = (struct nc_vqa_llm){
        .chat = llm->chat,
        .prompts = &llm->prompts,
        .tokenizer = llm->tokenizer,
        .temperature = r->models.temperature,
        .top_p = r->models.top_p,
        .seed = r->seed,
        .skip_unanswered = r->skip_unanswered,
    };
    llm->rewriter = nc_vqa_llm_rewriter(&llm->settings);
    r->vqa.rewriter = &llm->rewriter;
    return status;
}

static void close_llm(struct llm *llm)
{
    nc_chat_destroy(llm->chat);
    nc_tokenizer_destroy(llm->tokenizer);
    nc_prompts_free(&llm->prompts);
}

static void print_llm(const struct llm *llm, bool json)
{
    if (!llm->chat)
        return;
    if (json)
        printf(", \"rejected\": {");
    else
        printf("captions of the language model that were rejected\n");
    for (int i = NC_QUALITY_GOOD + 1; i < NC_QUALITY_REASONS; i++) {
        size_t count = llm->settings.rejected[i];
        if (json)
            printf("%s\"%s\": %zu", i > NC_QUALITY_GOOD + 1 ? ", " : "", nc_quality_name(i), count);
        else if (count)
            printf("  %8zu %s\n", count, nc_quality_text(i));
    }
    if (json)
        printf("}");
    generate_models_print(llm->chat, json);
}

static void print_counts(const struct nc_vqa_counts *counts, const struct llm *llm, bool json)
{
    if (json) {
        printf("{\"questions\": %zu, \"pictures\": %zu, \"negated\": %zu, \"plain\": %zu, "
               "\"contradictions\": %zu, \"affirmed\": %zu, \"held_out\": %zu, \"unread\": %zu, "
               "\"contradicted\": %zu, \"unphrased\": %zu, \"undecided\": %zu, "
               "\"unanswered\": %zu, \"forms\": {",
               counts->questions, counts->pictures, counts->negated, counts->plain,
               counts->contradictions, counts->affirmed, counts->held_out, counts->unread,
               counts->contradicted, counts->unphrased, counts->undecided, counts->unanswered);
        print_coverage(counts, true);
        printf("}");
        print_llm(llm, true);
        printf("}\n");
        return;
    }
    printf("%zu captions of %zu pictures from %zu questions\n"
           "  %8zu deny something\n"
           "  %8zu deny nothing\n"
           "  %8zu have a contradiction\n",
           counts->negated + counts->plain, counts->pictures, counts->questions, counts->negated,
           counts->plain, counts->contradictions);
    print_coverage(counts, false);
    printf("questions that became none\n"
           "  %8zu deny nothing\n"
           "  %8zu are about pictures that are held out\n"
           "  %8zu not covered by the rules\n"
           "  %8zu contradict another answer\n"
           "  %8zu found no sentence that fits, or no caption to extend\n",
           counts->affirmed, counts->held_out, counts->unread, counts->contradicted,
           counts->unphrased);
    if (counts->undecided + counts->unanswered)
        printf("questions left out\n"
               "  %8zu too few people agreed on the answer\n"
               "  %8zu have no answer\n",
               counts->undecided, counts->unanswered);
    print_llm(llm, false);
}

static int check(struct request *r)
{
    if (!(r->vqa.plain >= 0 && r->vqa.plain <= 1))
        return nc_error(NC_USAGE, "--plain is a fraction from 0 to 1");
    if (!(r->agreement > 0 && r->agreement <= 1))
        return nc_error(NC_USAGE, "--agreement is a fraction above 0, at most 1");
    r->vqa.seed = r->seed;
    if (strcmp(r->rewriter, "llm") != 0)
        return NC_OK;
    if (!r->vqa.captions)
        return nc_error(NC_USAGE, "--rewriter llm extends captions: name them with --captions");
    return generate_models_check(&r->models, r->out, false, r->seed);
}

static int generate(struct request *r)
{
    struct nc_vqa_questions questions = {0};
    struct nc_vqa_counts counts;
    struct llm llm = {0};
    int status = strcmp(r->rewriter, "llm") == 0 ? open_llm(r, &llm) : NC_OK;
    if (status == NC_OK)
        status = nc_vqa_questions_load(r->questions, r->annotations, r->agreement, &questions);
    if (llm.chat) /* which asks for signals; the rules are done before one is noticed */
        nc_signals_catch();
    if (status == NC_OK)
        status = nc_vqa_generate(&questions, &r->vqa, r->out, &counts);
    if (llm.chat)
        nc_signals_release();
    if (status == NC_OK || llm.settings.all_rejected)
        print_counts(&counts, &llm, r->json);
    nc_vqa_questions_free(&questions);
    close_llm(&llm);
    return status;
}

static int run(int argc, char **argv)
{
    static const char *const rewriters[] = {"rules", "llm", NULL};
    struct request r = {.rewriter = "rules", .agreement = 0.8, .seed = 42};
    generate_models_defaults(&r.models);
    const struct nc_help help = {
        .usage = usage,
        .purpose =
            "Turns questions about pictures that were answered \"no\" into captions that say "
            "what the picture does not show, each with a contradiction where the answers "
            "give one. Writes COCO caption JSON: `updated_caption` is what training reads.\n\n"
            "The rules are a small English grammar: they leave alone what they do not understand "
            "(questions with \"or\", with a negation, about what will happen, ...). --rejects "
            "lists it. --rewriter llm has a language model extend a caption of the picture "
            "instead, and rejects what refuses, rambles, denies nothing or forgets the "
            "caption." GENERATE_SERVER_HELP,
        .examples =
            "nclip generate vqa --questions easy_vqa/data/train/questions.json \\\n"
            "    --image-name 'train/images/{id}.png' --plain 0.5 --out captions.json\n"
            "nclip generate vqa --questions v2_OpenEnded_mscoco_train2014_questions.json \\\n"
            "    --annotations v2_mscoco_train2014_annotations.json \\\n"
            "    --captions annotations/captions_train2014.json \\\n"
            "    --image-name 'COCO_train2014_{id:012}.jpg' --rejects left.jsonl --out "
            "negated.json",
    };
    const struct nc_option options[] = {
        {"--questions", "FILE", "easy-VQA's questions.json or VQA v2's questions (\"-\": "
         "standard input)",
         NC_OPTION_STRING, &r.questions, .required = true},
        {"--annotations", "FILE", "the answers to VQA v2's questions", NC_OPTION_STRING,
         &r.annotations, .required = false},
        {"--agreement", "FRACTION",
         "share of the ten people asked that must give the answer (default: 0.8)", NC_OPTION_NUMBER,
         &r.agreement, .required = false},
        {"--image-name", "PATTERN",
         "a picture's file name: {id} stands for its number, {id:012} for 12 digits of it",
         NC_OPTION_STRING, &r.vqa.image_name, .required = true},
        {"--out", "FILE", "the captions", NC_OPTION_STRING, &r.out, .required = true},
        {"--rewriter", "NAME", "what makes a statement of a question (default: rules)",
         NC_OPTION_STRING, &r.rewriter, .choices = rewriters},
        {"--captions", "FILE", "captions of the same pictures, to be extended", NC_OPTION_STRING,
         &r.vqa.captions, .required = false},
        {"--plain", "FRACTION",
         "of the questions that affirm something, the fraction that becomes a caption too "
         "(default: 0)",
         NC_OPTION_NUMBER, &r.vqa.plain, .required = false},
        {"--held-out", "FILE", "phrasings and pairs of words to keep out", NC_OPTION_STRING,
         &r.vqa.held_out, .required = false},
        {"--rejects", "FILE", "JSONL of the questions that were not understood, with the reason",
         NC_OPTION_STRING, &r.vqa.rejects, .required = false},
        {"--seed", "N",
         "chooses among phrasings and captions and seeds the model; below 2^64, exact in `source` "
         "(default: 42)",
         NC_OPTION_SIZE, &r.seed, .required = false},
        GENERATE_TEXT_OPTIONS(r.models),
        GENERATE_REQUEST_OPTIONS(r.models),
        {"--model", "DIR", "a CLIP: what is longer than its tokenizer allows (77 tokens) is "
                           "rejected, with --rewriter llm",
         NC_OPTION_STRING, &r.tokenizer},
        {"--skip-unanswered", NULL, "write the captions although some questions have no answer",
         NC_OPTION_FLAG, &r.skip_unanswered},
        {"--json", NULL, "print the counts as one JSON object", NC_OPTION_FLAG, &r.json,
         .required = false},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    status = check(&r);
    if (status == NC_OK)
        status = generate(&r);
    generate_models_free(&r.models);
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command generate_vqa = {
    "generate vqa", "captions from questions about pictures that were answered \"no\"", run};
