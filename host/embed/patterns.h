/* What --images names: one path, or many by braces and wildcards, as a shell expands them. */
#ifndef NCLIP_HOST_EMBED_PATTERNS_H
#define NCLIP_HOST_EMBED_PATTERNS_H

#include <stddef.h>

enum { EMBED_MOST_SOURCES = 10000000 };

struct embed_paths {
    char **items; /* [count], owned */
    size_t count, capacity;
};

/* Appends what `pattern` stands for, in order:
 *
 * - a path that is there, and "-", themselves, whatever characters are in them;
 * - {00000..41454}: each number from the first to the second, up or down; where one of them begins
 *   with a zero, all have as many digits as the longer one. {a,b}: each text. Several braces: the
 *   last changes fastest. A brace in a brace is refused;
 * - *, ? and [...] then match the files that are there, sorted by the bytes of their names.
 *
 * What braces name need not be there: that is the caller's to find. NC_BAD_INPUT where a wildcard
 * matches nothing; NC_USAGE where a brace says nothing, or all of it is more than
 * EMBED_MOST_SOURCES. */
int embed_expand(const char *pattern, struct embed_paths *paths);
/* Appends one; `pattern` is for messages. */
int embed_paths_add(struct embed_paths *paths, const char *pattern, const char *path);
void embed_paths_free(struct embed_paths *paths); /* sets it to {0} */

#endif
