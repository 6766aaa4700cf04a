/* Text files of a thing a line: classes, templates, prompts. */
#ifndef NCLIP_HOST_EVALUATE_TEXT_LINES_H
#define NCLIP_HOST_EVALUATE_TEXT_LINES_H

#include <stddef.h>

enum { MOST_FIELDS = 3 };

struct text_line {
    size_t number; /* in the file, from 1 */
    const char *fields[MOST_FIELDS];
};

struct text_lines {
    const char *name; /* for messages: the path, or that of the file that is built in */
    char *text;
    struct text_line *lines;
    size_t count;
};

/* Lines of `least` to `most` fields between tabs (missing ones are NULL). Empty lines and those
 * that start with # are passed over. Where no file `path` exists, one of that name that is built in
 * is taken (host/evaluate/built_in.h). */
int text_lines_load(const char *path, size_t least, size_t most, struct text_lines *lines);
void text_lines_free(struct text_lines *lines); /* {0} is allowed */

#endif
