/* The words of a sentence, with plurals, synonyms and kinds brought together. English only. */
#ifndef NCLIP_NEGATION_SENTENCE_H
#define NCLIP_NEGATION_SENTENCE_H

#include "nclip/negation/synonyms.h"

#include <stdbool.h>
#include <stddef.h>

enum { NC_WORD_MOST = 256, NC_WORD_LENGTH = 48 }; /* what lies behind is not looked at */

struct nc_words {
    size_t count;
    struct nc_word {
        size_t start, end;      /* bytes of the text */
        char text[NC_WORD_LENGTH]; /* lower case, without 's */
        char stem[NC_WORD_LENGTH]; /* the same for singular and plural */
    } items[NC_WORD_MOST];
};

/* Runs of letters, digits and apostrophes. */
void nc_words_split(const char *text, struct nc_words *words);

/* Shorter than `stem`: rides, riding and ride are one. */
void nc_words_root(const struct nc_word *word, char root[NC_WORD_LENGTH]);

/* The built-in list configs/words/NAME.txt. */
const char *nc_words_list(const char *name);
/* Whether a line or a word of a built-in list is this word. */
bool nc_words_in(const char *list, const char *word);

/* The last word of the first place at `from` or later where the caption's words name the object:
 * *first to *last. False when there is none. */
bool nc_words_find(const struct nc_synonyms *synonyms, const struct nc_words *caption,
                   const struct nc_words *object, size_t from, size_t *first, size_t *last);

#endif
