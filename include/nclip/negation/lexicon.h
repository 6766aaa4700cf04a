/* What a word of a question can be. Words are lower case. */
#ifndef NCLIP_NEGATION_LEXICON_H
#define NCLIP_NEGATION_LEXICON_H

#include <stdbool.h>
#include <stddef.h>

enum vqa_class {
    VQA_PREPOSITION, /* particles too: "on", "off" */
    VQA_DETERMINER,
    VQA_ADVERB,
    VQA_ADJECTIVE,
    VQA_PARTICIPLE, /* those that do not end in -ed */
    VQA_NOUN_IN_ING,
    VQA_COMPOUND_ING, /* in -ing, a noun before one of the next class: "swimming pool" */
    VQA_COMPOUND_NOUN,
    VQA_VERB,          /* infinitives */
    VQA_MASS_NOUN,     /* a singular without an article: "food" */
    VQA_PLURAL_NOUN,   /* without -s: "people" */
    VQA_SINGULAR_IN_S, /* "bus" */
    VQA_COMPOUND_MODIFIER, /* "tennis court": the first of two nouns that are one */
    VQA_COMPOUND_HEAD,     /* and the second */
    VQA_NOUN_ADJECTIVE,    /* adjectives that are nouns too: "glass", "human" */
    VQA_NO_ADVERB,         /* in -ly: "family" */
    VQA_COUNT,         /* "many", "two": denied by "not", never by "no" */
    VQA_AMOUNT,        /* "a lot": so is this */
    VQA_CLASSES,
};

bool vqa_is(const char *word, enum vqa_class class);
bool vqa_is_ing(const char *word);                        /* a form of a verb: not "building" */
bool vqa_is_compound(const char *word, const char *next); /* "washing machine" */
bool vqa_is_participle(const char *word);                 /* "parked", "made" */
bool vqa_is_adjective(const char *word);
bool vqa_looks_adjective(const char *word); /* by its ending: "functional" */
bool vqa_is_adverb(const char *word);       /* "freshly" too */
bool vqa_is_plural(const char *word);
bool vqa_is_number(const char *word); /* from two on, as word or in digits */

const char *const *vqa_lexicon_words(enum vqa_class class, size_t *count); /* sorted */

#endif
