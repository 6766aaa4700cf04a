/* "Did you mean ...?": the known name nearest to a mistyped one. */
#ifndef NCLIP_SUPPORT_NEAREST_H
#define NCLIP_SUPPORT_NEAREST_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours; Damerau 1964, each letter edited at most
 * once) that turn `a` into `b`, letter case aside. Words longer than 63 bytes are compared by
 * their first 63. */
size_t nc_edit_distance(const char *a, const char *b);

/* The name of `names` (`count` of them) nearest to `word`, or the only one that starts with it;
 * NULL when none is near enough to be what was meant: more than a third of the word would have
 * to change. */
const char *nc_nearest(const char *word, const char *const *names, size_t count);

#endif
