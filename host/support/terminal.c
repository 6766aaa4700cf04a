/* Replaces control characters in text for a terminal. */
#include "nclip/support/terminal.h"

#include <string.h>

/* What is shown of the character at `at`; 0: itself. *size: its bytes, as far as it is tamed. */
static char shown_for(const unsigned char *at, size_t *size)
{
    *size = 1;
    if (*at >= '\t' && *at <= '\r')
        return ' ';
    if (*at < ' ' || *at == 0x7f)
        return '?';
    *size = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f ? 2 : 1;
    return *size == 2 ? '?' : 0;
}

void nc_terminal_tame(char *text, const char *kept)
{
    size_t size;
    char *to = text;
    for (; *text; text += size) {
        char shown = shown_for((const unsigned char *)text, &size);
        *to++ = shown && !strchr(kept, *text) ? shown : *text;
    }
    *to = 0;
}

void nc_terminal_print(FILE *out, const char *text)
{
    size_t size;
    for (; *text; text += size) {
        char shown = shown_for((const unsigned char *)text, &size);
        putc(shown ? shown : *text, out);
    }
}
