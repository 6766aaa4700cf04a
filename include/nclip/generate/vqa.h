/* Negation captions from questions about pictures that people have answered.
 *
 * A question answered "no" says what a picture does not show: "is there a red shape?" "no"
 * becomes "a picture without a red shape". One file a step in host/generate/vqa/:
 *
 *     questions.c       reads a data set's questions into one form (v2.c: VQA v2's)
 *     rules.c           what a question with its answer claims; sentences for a claim
 *     grammar.c         any question that yes or no answers, turned into a statement
 *     captions.c        joins what is known of a picture, chooses sentences, writes captions
 *
 * Source of the idea: "Know 'No' Better" (Park et al., ICCV 2025), section 4, which has a
 * language model rewrite the questions. The rules here need none, and leave alone what they do
 * not understand.
 */
#ifndef NCLIP_GENERATE_VQA_H
#define NCLIP_GENERATE_VQA_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Questions -------------------------------------------------------------------- */

struct nc_vqa_question {
    const char *question, *answer; /* owned by the set */
    uint64_t image;
};

struct nc_vqa_questions {
    struct nc_vqa_question *items; /* in the file's order */
    size_t count;
    /* What every picture of the data set shows exactly one of ("shape"), or NULL. It licenses
     * more: where there is no red shape, there is "a shape that is not red". */
    const char *subject;
    bool literal;     /* "is there not a dog?" "no" says that there is one: no person answers so */
    size_t undecided; /* left out: too few of the people who were asked agreed */
    size_t unanswered; /* left out: no annotation has the question's id */
    void *owned;
};

/* Which data set it is, is seen from the content.
 *
 * easy-VQA   [["question", "answer", image], ...]; `annotations` is NULL
 * VQA v2     {"questions": [{"question_id": 1, "image_id": 2, "question": "..."}]}, and in
 *            `annotations` {"annotations": [{"question_id": 1, "image_id": 2,
 *            "multiple_choice_answer": "no", "answers": [{"answer": "no"}, ... ten of them]}]}
 *
 * Of VQA v2 a question counts when at least the share `agreement` (0 .. 1) of its answers is the
 * multiple-choice answer. NC_BAD_INPUT names the file and the question's index. "-" is standard
 * input. */
int nc_vqa_questions_load(const char *path, const char *annotations, double agreement,
                          struct nc_vqa_questions *questions);
void nc_vqa_questions_free(struct nc_vqa_questions *questions); /* {0} is allowed */

/* ---- Any question that yes or no answers, turned into statements ------------------- */

enum nc_vqa_form {
    NC_VQA_THERE,         /* "is there a dog?" */
    NC_VQA_BE,            /* "is the man wearing a hat?", "are people swimming?" */
    NC_VQA_BE_PRONOUN,    /* "is this a zoo?", "is he tall?" */
    NC_VQA_DO,            /* "does the cat have a collar?" */
    NC_VQA_HAVE,          /* "has the pizza been cut?" */
    NC_VQA_CAN,           /* "can you see the sky?" */
    NC_VQA_NEGATIVE,      /* from here on always left alone: "isn't this a dog?" */
    NC_VQA_ALTERNATIVE,   /* "is it a cat or a dog?" */
    NC_VQA_GUESS,         /* "will he fall?", "would you eat this?" */
    NC_VQA_WH,            /* "what color is the dog?" */
    NC_VQA_NO_QUESTION,   /* "the dog", "is the", "is this a cat? why?" */
    NC_VQA_FORMS,
};
const char *nc_vqa_form_name(enum nc_vqa_form form); /* "is the ...": for people */

enum { NC_VQA_SENTENCE = 320 }; /* bytes, with its zero */

struct nc_vqa_statement {
    enum nc_vqa_form form;          /* set even when the question is refused */
    char denied[NC_VQA_SENTENCE];   /* "the man is not wearing a hat": true when answered "no" */
    char affirmed[NC_VQA_SENTENCE]; /* "the man is wearing a hat": true when answered "yes" */
};

/* A small grammar of English questions: finds subject and predicate by lists of words, and puts
 * the auxiliary between them. What is denied of several is denied as people mean it: "are all the
 * people ...?" "no" becomes "not all the people are ...", "is anyone ...?" "no one is ...".
 * False, with a reason (static), where the parts are not clear, or where a "no" says too little. */
bool nc_vqa_restate(const char *question, struct nc_vqa_statement *statement, const char **reason);

/* ---- What a question claims, and sentences for it --------------------------------- */

enum { NC_VQA_TEXT = 128 }; /* bytes of a part of a question, with its zero */

enum nc_vqa_kind {
    NC_VQA_EXISTENCE, /* "is there a red shape?": thing */
    NC_VQA_QUALITY,   /* "is the dog black?": subject, quality */
    NC_VQA_VALUE,     /* "what color is the dog?": attribute, subject, quality = the answer */
    NC_VQA_STATEMENT, /* any other that yes or no answers: statement */
};

struct nc_vqa_claim {
    enum nc_vqa_kind kind;
    bool holds;              /* false: the picture does not show it */
    bool plural;             /* "are there any dogs": thing takes "are" */
    bool bare;               /* thing takes no article: "dogs", "water" */
    bool noun;               /* quality takes an article: "is the shape a circle" */
    char thing[NC_VQA_TEXT]; /* without article: "red shape" */
    char subject[NC_VQA_TEXT];
    char quality[NC_VQA_TEXT];   /* "black"; the answer of a VALUE question */
    char attribute[NC_VQA_TEXT]; /* "color"; "" for "what is the red shape?", thing is "red" */
    struct nc_vqa_statement statement; /* its form is set whatever the kind */
};

/* False when the rules do not cover the question or the answer; *reason (static) says why. */
bool nc_vqa_read(const char *question, const char *answer, struct nc_vqa_claim *claim,
                 const char **reason);

/* A pair of sentences with the same slots: one denies, one affirms.
 *
 *     {thing}    "red shape"           {a thing}    "a red shape"        {is}  "is" or "are"
 *     {subject}  "shape"               {a subject}  "a shape"
 *     {quality}  "red" or "a circle"
 *     {a known}  what the picture shows instead, "a circle"
 *     {denial}, {assertion}            a statement about the picture, denied and affirmed
 *     {caption}  a caption of the picture
 */
struct nc_vqa_phrasing {
    const char *denied; /* also the phrasing's name */
    const char *affirmed;
    bool plain;      /* the affirmed sentence also reads well on its own */
    unsigned weight; /* how often it is chosen, against the others that fit */
};
const struct nc_vqa_phrasing *nc_vqa_phrasings(size_t *count);

struct nc_vqa_slots {
    const char *thing, *subject, *quality, *known, *caption; /* NULL: not there */
    const char *denial, *assertion;
    bool plural, bare, noun;                                 /* as in struct nc_vqa_claim */
};

/* The sentence with its slots filled: malloc'd, or NULL when a slot has nothing to fill it, or
 * without memory, where errno is ENOMEM. A full stop at the caption's end is dropped. */
char *nc_vqa_fill(const char *sentence, const struct nc_vqa_slots *slots);

/* ---- Captions --------------------------------------------------------------------- */

/* What stays out of training, to test on later. From JSON:
 *     {"phrasings": ["a picture with no {thing}"], "pairs": [["red", "circle"]]}
 * Pictures that may show a pair are left out, and so are captions that name both its words. */
struct nc_vqa_held_out {
    const char **phrasings;
    size_t phrasing_count;
    const char *(*pairs)[2];
    size_t pair_count;
    void *owned;
};
int nc_vqa_held_out_load(const char *path, struct nc_vqa_held_out *held_out);
void nc_vqa_held_out_free(struct nc_vqa_held_out *held_out); /* {0} is allowed */

/* A question answered "no", to be made a caption by something other than the rules. */
struct nc_vqa_request {
    const struct nc_vqa_question *question;
    const char *caption; /* the picture's own */
    char *updated;       /* out: malloc'd; NULL when it was refused */
    const char *reason;  /* out: why it was refused; static or owned by the rewriter */
};

/* Makes captions in another way than the rules. `rewrite` gets all requests at once, so that it
 * may ask many at a time; their order depends on the questions and the seed only. Each
 * annotation's source holds `name` and what `describe` (may be NULL) adds; that returns false
 * without memory. `conclude` (may be NULL) is called once the rejects are on the disk; its error
 * keeps the captions from being written. */
struct nc_vqa_rewriter {
    const char *name;
    bool (*describe)(void *context, cJSON *source);
    int (*rewrite)(void *context, struct nc_vqa_request *requests, size_t count);
    int (*conclude)(void *context);
    void *context;
};

struct nc_vqa_options {
    const char *image_name; /* "train/images/{id}.png"; {id:12} pads with zeros to 12 digits */
    const char *captions;   /* COCO captions of the pictures to extend, or NULL */
    const char *held_out;   /* file, or NULL */
    const char *rejects;    /* JSONL of what was not rewritten, with the reason, or NULL */
    double plain;           /* of the questions that affirm something, the fraction that becomes a
                               caption without negation (0 .. 1) */
    uint64_t seed;          /* the same seed gives the same file */
    const struct nc_vqa_rewriter *rewriter; /* NULL: the rules. Needs captions; no plain ones */
};

struct nc_vqa_counts {
    size_t questions;
    size_t negated, plain; /* captions written */
    size_t contradictions; /* captions with one */
    size_t pictures;       /* that have a caption */
    size_t affirmed;       /* questions that deny nothing and became no caption */
    size_t held_out;       /* questions of pictures that are held out */
    size_t unread;         /* questions that no rule covers */
    size_t contradicted;   /* questions at odds with another answer about the same picture */
    size_t unphrased;      /* questions that no sentence fitted */
    size_t undecided, unanswered; /* as in struct nc_vqa_questions */
    struct nc_vqa_coverage {
        size_t asked, written;
    } forms[NC_VQA_FORMS]; /* of the questions whose answer denies: all, and those that became captions */
};

/* Writes COCO caption JSON to `path`. An annotation:
 *
 *     {"id": 7, "image_id": 0, "caption": "a blue circle",
 *      "updated_caption": "a shape that is not red",
 *      "contradiction": "a shape that is not blue",
 *      "source": {"pipeline": "vqa", "rewriter": "rules", "question": "is there a red shape?",
 *                 "answer": "no", "phrasing": "..."}}
 *
 * `contradiction` is false for this picture: it denies what the picture shows where that is known,
 * else it asserts what the picture does not show. It is left out where it would name what is held
 * out. */
int nc_vqa_generate(const struct nc_vqa_questions *questions, const struct nc_vqa_options *options,
                    const char *path, struct nc_vqa_counts *counts);

#endif
