/* The parts of a text that are words, for words.c and list.c. */
#ifndef NCLIP_HOST_NEGATION_LIST_H
#define NCLIP_HOST_NEGATION_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the letter, digit or underscore at `at`; 0: something else is there. */
size_t negation_letter(const char *text, size_t length, size_t at);

/* End of the word that starts at `at` (`at` itself: none starts there): letters, and apostrophes
 * between letters. *contraction: whether it holds n't; *plain: whether it holds no apostrophe. */
size_t negation_word_end(const char *text, size_t length, size_t at, bool *contraction,
                         bool *plain);

/* Behind what is no word at `at`: one character. */
size_t negation_skip(const char *text, size_t length, size_t at);

#endif
