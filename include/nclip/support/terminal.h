/* Text from strangers on its way to a terminal, which it must not steer.
 *
 * Blanks (tab, line feed, carriage return and their like) become spaces, other control characters
 * "?": those below 32, 127, and U+0080 to U+009F, which terminals obey as they obey escapes.
 */
#ifndef NCLIP_SUPPORT_TERMINAL_H
#define NCLIP_SUPPORT_TERMINAL_H

#include <stdio.h>

/* In place; the characters of `kept` (all below 128) stay as they are. */
void nc_terminal_tame(char *text, const char *kept);

/* The text, tamed, without a line's end. */
void nc_terminal_print(FILE *out, const char *text);

#endif
