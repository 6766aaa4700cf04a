/* What is a letter in captions of any origin, UTF-8 or not. */
#include "list.h"

/* Beyond ASCII all counts as letters but the blocks of spaces, punctuation and
 * signs: U+0080 to U+00BF, U+2000 to U+206F, U+3000 to U+303F. */
size_t negation_letter(const char *text, size_t length, size_t at)
{
    if (at >= length)
        return 0;
    unsigned char byte = (unsigned char)text[at];
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
        (byte >= '0' && byte <= '9') || byte == '_')
        return 1;
    if (byte < 0x80 || byte == 0xc2)
        return 0;
    unsigned char next = at + 1 < length ? (unsigned char)text[at + 1] : 0;
    if ((byte == 0xe2 && (next == 0x80 || next == 0x81)) || (byte == 0xe3 && next == 0x80))
        return 0;
    size_t bytes = 1;
    while (at + bytes < length && ((unsigned char)text[at + bytes] & 0xc0) == 0x80)
        bytes++;
    return bytes;
}

/* No letter starts inside a longer character. */
size_t negation_skip(const char *text, size_t length, size_t at)
{
    at++;
    while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    return at;
}
