/* Lists of strings as Python writes them: "['a', \"it's\"]". */
#include "nclip/formats/csv.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Decodes the escape behind the backslash at *at. What it stands for is never longer. */
static bool escape(char **at, char **to)
{
    static const char letters[] = "nrtabfv\\'\"", values[] = "\n\r\t\a\b\f\v\\'\"";
    char letter = *(*at)++;
    const char *known = letter ? strchr(letters, letter) : NULL;
    if (known) {
        *(*to)++ = values[known - letters];
        return true;
    }
    size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (!digits || strspn(*at, "0123456789abcdefABCDEF") < digits)
        return false;
    char text[9] = "";
    memcpy(text, *at, digits);
    *at += digits;
    unsigned long code = strtoul(text, NULL, 16);
    if (!code || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return false;
    *to += utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)*to);
    return true;
}

static bool read_string(char **at, const char **string)
{
    char quote = **at, *to = *at + 1;
    *string = to;
    for ((*at)++; **at != quote;) {
        if (!**at)
            return false;
        if (**at == '\\') {
            (*at)++;
            if (!escape(at, &to))
                return false;
        } else {
            *to++ = *(*at)++;
        }
    }
    (*at)++;
    *to = 0;
    return true;
}

static char *skip_blank(char *at)
{
    return at + strspn(at, " \t\r\n");
}

int nc_python_strings(const char *where, char *cell, const char ***strings, size_t *count)
{
    size_t capacity = 0;
    char *at = skip_blank(cell);
    char close = *at == '[' ? ']' : *at == '(' ? ')' : 0;
    *strings = NULL;
    *count = 0;
    if (close)
        at = skip_blank(at + 1);
    while (close && *at != close) {
        const char *string;
        if ((*at != '\'' && *at != '"') || !read_string(&at, &string)) {
            close = 0;
            break;
        }
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 8;
            const char **larger = realloc(*strings, capacity * sizeof *larger);
            if (!larger) {
                free(*strings);
                *strings = NULL;
                return nc_error(NC_FAILED, "%s: no memory", where);
            }
            *strings = larger;
        }
        (*strings)[(*count)++] = string;
        at = skip_blank(at);
        if (*at == ',')
            at = skip_blank(at + 1);
        else if (*at != close)
            close = 0;
    }
    if (close && !*skip_blank(at + 1))
        return NC_OK;
    free(*strings);
    *strings = NULL;
    return nc_error(NC_BAD_INPUT,
                    "%s: expected a list of strings as Python writes it, ['...', '...']", where);
}
