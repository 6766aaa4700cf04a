/* Words that name the same thing, and kinds of things. English only. */
#ifndef NCLIP_NEGATION_SYNONYMS_H
#define NCLIP_NEGATION_SYNONYMS_H

#include <stdbool.h>

/* Words that say the same, or one kind of the other (configs/words/synonyms.txt explains the
 * file). */
struct nc_synonyms;
int nc_synonyms_load(const char *path, struct nc_synonyms **synonyms); /* NULL: the built-in ones */
void nc_synonyms_destroy(struct nc_synonyms *synonyms);

/* Whether the caption mentions the object: its words in a row or its last word ("tennis racket":
 * "racket"), singular or plural, a synonym, or a kind of it or it a kind of that. */
bool nc_synonyms_mention(const struct nc_synonyms *synonyms, const char *caption,
                         const char *object);

#endif
