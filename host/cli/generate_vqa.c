/* nclip generate vqa: captions from questions that were answered "no". */
#include "generate_kinds.h"

#include "nclip/command.h"
#include "nclip/error.h"
#include "nclip/vqa.h"

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
            printf("%s  %8zu of %8zu  %s\n", first ? "questions whose answer denies that became one\n" : "",
                   coverage->written, coverage->asked, name);
        first = false;
    }
}

static void print_counts(const struct nc_vqa_counts *counts, bool json)
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
        printf("}}\n");
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
}

int generate_vqa(int argc, char **argv)
{
    static const char *const rewriters[] = {"rules", "llm", NULL};
    struct nc_vqa_options vqa = {0};
    const char *questions_path = NULL, *annotations = NULL, *out = NULL, *rewriter = "rules";
    double agreement = 0.8;
    size_t seed = 42;
    bool json = false;
    const struct nc_help help = {
        .usage = usage,
        .purpose =
            "Turns questions about pictures that were answered \"no\" into captions that say "
            "what the picture does not show, each with a contradiction where the answers "
            "give one. Writes COCO caption JSON: `updated_caption` is what training reads.\n\n"
            "The rules are a small English grammar: they leave alone what they do not understand "
            "(questions with \"or\", with a negation, about what will happen, ...). --rejects "
            "lists it.",
        .examples =
            "nclip generate vqa --questions easy_vqa/data/train/questions.json \\\n"
            "    --image-name 'train/images/{id}.png' --plain 0.5 --out captions.json\n"
            "nclip generate vqa --questions v2_OpenEnded_mscoco_train2014_questions.json \\\n"
            "    --annotations v2_mscoco_train2014_annotations.json \\\n"
            "    --captions annotations/captions_train2014.json \\\n"
            "    --image-name 'COCO_train2014_{id:012}.jpg' --rejects left.jsonl --out negated.json",
    };
    const struct nc_option options[] = {
        {"--questions", "FILE", "easy-VQA's questions.json or VQA v2's questions (\"-\": "
         "standard input)",
         NC_OPTION_STRING, &questions_path, .required = true},
        {"--annotations", "FILE", "the answers to VQA v2's questions", NC_OPTION_STRING,
         &annotations, .required = false},
        {"--agreement", "FRACTION",
         "share of the ten people asked that must give the answer (default 0.8)", NC_OPTION_NUMBER,
         &agreement, .required = false},
        {"--image-name", "PATTERN",
         "a picture's file name: {id} stands for its number, {id:012} for 12 digits of it",
         NC_OPTION_STRING, &vqa.image_name, .required = true},
        {"--out", "FILE", "the captions", NC_OPTION_STRING, &out, .required = true},
        {"--rewriter", "NAME", "what makes a statement of a question (default rules)",
         NC_OPTION_STRING, &rewriter, .choices = rewriters},
        {"--captions", "FILE", "captions of the same pictures, to be extended", NC_OPTION_STRING,
         &vqa.captions, .required = false},
        {"--plain", "FRACTION",
         "of the questions that affirm something, the fraction that becomes a caption too "
         "(default 0)",
         NC_OPTION_NUMBER, &vqa.plain, .required = false},
        {"--held-out", "FILE", "phrasings and pairs of words to keep out", NC_OPTION_STRING,
         &vqa.held_out, .required = false},
        {"--rejects", "FILE", "JSONL of the questions that were not understood, with the reason",
         NC_OPTION_STRING, &vqa.rejects, .required = false},
        {"--seed", "N", "chooses among phrasings (default 42)", NC_OPTION_SIZE, &seed,
         .required = false},
        {"--json", NULL, "print the counts as one JSON object", NC_OPTION_FLAG, &json,
         .required = false},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    bool shown = arguments.help_shown;
    nc_arguments_free(&arguments, options);
    if (status != NC_OK || shown)
        return status;
    if (!(vqa.plain >= 0 && vqa.plain <= 1))
        return nc_error(NC_USAGE, "--plain is a fraction from 0 to 1");
    if (!(agreement > 0 && agreement <= 1))
        return nc_error(NC_USAGE, "--agreement is a fraction above 0, at most 1");
    if (strcmp(rewriter, "llm") == 0) /* sets vqa.rewriter */
        return nc_error(NC_USAGE, "--rewriter llm is not built yet: --rewriter rules is");
    vqa.seed = seed;

    struct nc_vqa_questions questions;
    struct nc_vqa_counts counts;
    status = nc_vqa_questions_load(questions_path, annotations, agreement, &questions);
    if (status != NC_OK)
        return status;
    status = nc_vqa_generate(&questions, &vqa, out, &counts);
    if (status == NC_OK)
        print_counts(&counts, json);
    nc_vqa_questions_free(&questions);
    return status;
}
