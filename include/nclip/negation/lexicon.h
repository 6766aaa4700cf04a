/* The classes of words that a word of a question can belong to. Words are lower case. */
#ifndef NCLIP_NEGATION_LEXICON_H
#define NCLIP_NEGATION_LEXICON_H

#include <stdbool.h>
#include <stddef.h>

enum nc_word_class {
    NC_PREPOSITION, /* particles too: "on", "off" */
    NC_DETERMINER,
    NC_ADVERB,
    NC_ADJECTIVE,
    NC_PARTICIPLE, /* those that do not end in -ed */
    NC_NOUN_IN_ING,
    NC_COMPOUND_ING, /* in -ing, a noun before one of the next class: "swimming pool" */
    NC_COMPOUND_NOUN,
    NC_VERB,              /* infinitives */
    NC_MASS_NOUN,         /* a singular without an article: "food" */
    NC_PLURAL_NOUN,       /* without -s: "people" */
    NC_SINGULAR_IN_S,     /* "bus" */
    NC_COMPOUND_MODIFIER, /* "tennis court": the first of two nouns that are one */
    NC_COMPOUND_HEAD,     /* and the second */
    NC_NOUN_ADJECTIVE,    /* adjectives that are nouns too: "glass", "human" */
    NC_NO_ADVERB,         /* in -ly: "family" */
    NC_COUNT_WORD,        /* "many", "two": denied by "not", never by "no" */
    NC_AMOUNT_WORD,       /* "a lot": so is this */
    NC_WORD_CLASSES,
};

bool nc_word_is(const char *word, enum nc_word_class class);
bool nc_word_is_ing(const char *word);                        /* a form of a verb: not "building" */
bool nc_word_is_compound(const char *word, const char *next); /* "washing machine" */
bool nc_word_is_participle(const char *word);                 /* "parked", "made" */
bool nc_word_is_adjective(const char *word);
bool nc_word_looks_adjective(const char *word); /* by its ending: "functional" */
bool nc_word_is_adverb(const char *word);       /* "freshly" too */
bool nc_word_is_plural(const char *word);
bool nc_word_is_number(const char *word); /* from two on, as word or in digits */

const char *const *nc_lexicon_words(enum nc_word_class class, size_t *count); /* sorted */

#endif
