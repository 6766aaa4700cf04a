/* Captions that say what a picture does not show, made with language models.
 *
 *     a caption  ->  an object that it does not mention (text model, or drawn at random)
 *                ->  is it in the picture? (vision model)
 *                ->  where it is not, the caption that says so (text model)
 *
 * Source: "Know 'No' Better" (Park et al., ICCV 2025), section 4, the first of its two ways. What
 * the models are asked is in files (nclip/chat/prompts.h), what they answer is checked
 * (nclip/chat/quality.h), and every answer is kept (nclip/chat/journal.h).
 */
#ifndef NCLIP_GENERATE_ABSENCE_H
#define NCLIP_GENERATE_ABSENCE_H

#include "nclip/chat/chat.h"
#include "nclip/chat/prompts.h"
#include "nclip/chat/quality.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nc_absence_objects {
    NC_ABSENCE_MODEL,  /* the text model proposes */
    NC_ABSENCE_RANDOM, /* from `object_list`, or nouns of the captions of other pictures */
};

struct nc_absence_options {
    const char *captions;    /* COCO JSON or JSONL */
    const char *images;      /* folder, list or tar of the pictures; NULL without a vision check */
    const char *rejects;     /* JSONL of the captions that became none, with the reason, or NULL */
    const char *object_list; /* one a line, or NULL */
    enum nc_absence_objects objects;
    const char *const *phrasings; /* variants of the prompt "rewrite"; count 0: all */
    size_t phrasing_count;
    bool vision_check;         /* false: every object counts as absent, and each line says so */
    bool skip_unanswered;      /* the output is written although some captions have no answer */
    double temperature, top_p; /* where the prompt's file does not say */
    uint64_t seed;
    const struct nc_prompts *prompts;
    const struct nc_synonyms *synonyms;
    const struct nc_tokenizer *tokenizer; /* for the limit of 77 tokens, or NULL */
    /* Called in the captions' order for each one that became none, or NULL. */
    void (*explain)(void *context, const char *caption, const char *object, const char *answer,
                    const char *reason);
    void *context;
};

struct nc_absence_counts {
    size_t captions, pictures;
    size_t written;
    size_t present;                      /* the vision model saw the object */
    size_t rejected[NC_QUALITY_REASONS]; /* by reason */
    size_t unanswered;
    bool all_rejected;
};

/* Writes COCO caption JSON to `path`, in the captions' order. An annotation:
 *
 *     {"id": 7, "image_id": 42, "caption": "a woman riding a horse",
 *      "updated_caption": "a woman riding a horse with no hat",
 *      "source": {"pipeline": "absence", "object": "hat", "objects": "model",
 *                 "phrasing": "rewrite-no", "text_model": "...", "vision_model": "...",
 *                 "prompts": {"object": "<hash>", "check": "<hash>", "rewrite": "<hash>"},
 *                 "temperature": 0.6, "top_p": 0.9, "seed": 42}}
 *
 * `vision_model` is null without a vision check. What each answer was asked with is in the
 * journal. The file hangs on the captions, the options and the answers alone. Captions without
 * an answer: NC_FAILED, and no file unless skip_unanswered. All rejected: NC_FAILED, no file, and
 * the message tells why; counts and rejects are complete. */
int nc_absence_generate(const struct nc_absence_options *options, struct nc_chat *chat,
                        const char *path, struct nc_absence_counts *counts);

#endif
