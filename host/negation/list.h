/* What finds negation words in a text, for words.c and list.c:
 *
 *     letters.c         which characters are letters
 *     words.c           where words begin and end; the built-in list
 *     list.c            the fast search, for any list
 *     letters.c         which characters are letters
 *     contraction.c     how n't is typed, escaped and garbled
 *     set_apart.c       phrases that deny nothing (configs/words/set_apart.txt)
 */
#ifndef NCLIP_HOST_NEGATION_LIST_H
#define NCLIP_HOST_NEGATION_LIST_H

#include "nclip/negation/words.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- letters.c ---- */

/* Bytes of the letter, digit or underscore at `at`; 0: something else is there. */
size_t negation_letter(const char *text, size_t length, size_t at);

/* ---- words.c ---- */

enum negation_kind {
    NEGATION_PLAIN,       /* letters alone */
    NEGATION_CONTRACTION, /* holds n't */
    NEGATION_JOINED,      /* another word with an apostrophe */
};

/* End of the word that starts at `at` (`at` itself: none starts there): letters, and apostrophes
 * between letters. */
size_t negation_word_end(const char *text, size_t length, size_t at, enum negation_kind *kind);

/* Behind what is no word at `at`: one character. */
size_t negation_skip(const char *text, size_t length, size_t at);

/* Whether the word [start, end) is the name of an entity: "&not;". */
bool negation_is_entity(const char *text, size_t length, size_t start, size_t end);

/* ---- contraction.c ---- */

/* Where [start, at) is a verb with its n ("isn") and any apostrophe, then t follow: the end of the
 * word. Else 0. */
size_t negation_contraction_end(const char *text, size_t length, size_t start, size_t at);

/* Whether a sign of ASCII may be such an apostrophe, or begin one. */
bool negation_is_odd(unsigned char byte);

/* Whether the plain word [*start, end) is a contraction in pieces or without its apostrophe:
 * "dont", the t of "don 't", "don ' t" and "don t", whose *start moves to the verb, not before
 * `from`. *listed: whether an apostrophe stands in it. */
bool negation_unjoined(const char *text, size_t length, size_t from, size_t *start, size_t end,
                       bool *listed);

/* ---- set_apart.c ---- */

struct negation_phrases; /* those of one word */
int negation_phrases_create(const char *word, struct negation_phrases **phrases);
void negation_phrases_free(struct negation_phrases *phrases); /* NULL is allowed */

/* Sets match->denies; the word found is that of the phrases. */
void negation_judge(const struct negation_phrases *phrases, const char *text, size_t length,
                    struct nc_negation_match *match);
/* The same without memory, and slow. */
void negation_judge_word(const char *word, const char *text, size_t length,
                         struct nc_negation_match *match);

#endif
