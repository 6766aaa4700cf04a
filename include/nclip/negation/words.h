/* The words that make an English caption a negation, and what with them denies something.
 *
 * All parts of the program use this one list: the scan of caption files (which can be given another
 * list), the checks of models' answers, stripping and splitting captions, and the tokenizer's count
 * of negations that were cut away. There are two ways to count:
 *
 *     the plain count     which words stand there, as papers count them (0.704% of LAION-400M)
 *     denials             which of them deny: "No. 5", "not only" and "without doubt" do not
 *                         (configs/words/set_apart.txt), and "dont" does
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
    bool listed;       /* the plain count counts it; false: n't that lost its apostrophe, "dont" */
    bool denies;
};

/* Finds the first listed negation word that starts at byte `from` or later; false when there is
 * none. Case does not matter. A word is a run of letters, digits and underscores, with apostrophes
 * (' or U+2019) between them; every character beyond ASCII counts as a letter except spaces and
 * punctuation (U+0080 to U+00BF, U+2000 to U+206F, U+3000 to U+303F). In n't the apostrophe may be
 * any that people type, an entity ("isn&#39;t"), escaped or garbled. `from` is 0 or the end of the
 * match before. */
bool nc_negation_find(const char *text, size_t length, size_t from,
                      struct nc_negation_match *match);

/* The same for the first that denies. */
bool nc_denial_find(const char *text, size_t length, size_t from, struct nc_negation_match *match);

/* Of a match with n't: the bytes of the verb that it starts with, "do" of "don't". 0: none known. */
size_t nc_negation_verb(const char *text, const struct nc_negation_match *match);

/* ---- Lists of one's own ---- */

struct nc_negation_list;

/* The built-in list for `path` NULL. Else one word a line, in any case; empty lines and those that
 * start with # are left out. "n't" stands for every contraction with it. NC_BAD_INPUT names the
 * file and the line: more than one word, a word twice, no word at all. */
int nc_negation_list_load(const char *path, struct nc_negation_list **list);
void nc_negation_list_free(struct nc_negation_list *list); /* NULL is allowed */

size_t nc_negation_list_count(const struct nc_negation_list *list);
const char *nc_negation_list_word(const struct nc_negation_list *list, size_t index);

/* The first match that is listed, or denies, or both, in one pass over the text; words are those of
 * this list. Fast: about a nanosecond a byte. */
bool nc_negation_list_find(const struct nc_negation_list *list, const char *text, size_t length,
                           size_t from, struct nc_negation_match *match);

#endif
