/* The words that make an English caption a negation.
 *
 * One list for everything that asks whether a text holds a negation: the
 * tokenizer's count of negations cut away, the grammar of questions, and the scan of
 * caption files, which can be given another list.
 */
#ifndef NCLIP_NEGATION_WORDS_H
#define NCLIP_NEGATION_WORDS_H

#include <stdbool.h>
#include <stddef.h>

size_t nc_negation_word_count(void);

/* Lower-case ASCII; "n't" stands for every contraction with it. Valid for
 * index < nc_negation_word_count(); the string is static. */
const char *nc_negation_word(size_t index);

struct nc_negation_match {
    size_t start, end; /* bytes of the text: [start, end) is the word, all of "isn't" */
    size_t word;       /* its index in the list */
};

/* Finds the first negation word that starts at byte `from` or later; false when
 * there is none. Case does not matter. A word is a run of letters, digits and
 * underscores, with apostrophes (plain or typographic) between them; every
 * character beyond ASCII counts as a letter except spaces and punctuation (U+0080
 * to U+00BF, U+2000 to U+206F, U+3000 to U+303F). `from` is 0 or the end of the
 * match before. */
bool nc_negation_find(const char *text, size_t length, size_t from,
                      struct nc_negation_match *match);

/* ---- Lists of one's own ---- */

struct nc_negation_list;

/* The built-in list for `path` NULL. Else one word a line, in any case; empty lines and those that
 * start with # are left out. "n't" stands for every contraction with it. NC_BAD_INPUT names the
 * file and the line: more than one word, a word twice, no word at all. */
int nc_negation_list_load(const char *path, struct nc_negation_list **list);
void nc_negation_list_free(struct nc_negation_list *list); /* NULL is allowed */

size_t nc_negation_list_count(const struct nc_negation_list *list);
const char *nc_negation_list_word(const struct nc_negation_list *list, size_t index);

/* nc_negation_find() for this list, and fast: about a nanosecond a byte. */
bool nc_negation_list_find(const struct nc_negation_list *list, const char *text, size_t length,
                           size_t from, struct nc_negation_match *match);

#endif
