/* Text files of one entry a line, with fields between tabs: classes, templates, prompts. Empty
 * lines and those that start with # are passed over. */
#ifndef NCLIP_FORMATS_FIELDS_H
#define NCLIP_FORMATS_FIELDS_H

#include <stddef.h>

enum { NC_MOST_FIELDS = 3 };

struct nc_fields_line {
    size_t number; /* in the file, from 1 */
    const char *fields[NC_MOST_FIELDS];
};

struct nc_fields {
    const char *name; /* for messages: the path, borrowed */
    char *text;
    struct nc_fields_line *lines;
    size_t count;
};

/* Takes `text` (as nc_text_read() gives it, to be freed with free()), also on failure. Lines have
 * `least` to `most` fields; missing ones are NULL. NC_BAD_INPUT names `name` and the line: too few
 * or too many fields, an empty one, no line at all. */
int nc_fields_split(const char *name, char *text, size_t size, size_t least, size_t most,
                    struct nc_fields *fields);
void nc_fields_free(struct nc_fields *fields); /* {0} is allowed */

#endif
