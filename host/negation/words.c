#include "nclip/negation/words.h"

#include "list.h"

#include <string.h>
#include <strings.h>

/* Negative determiners, pronouns, adverbs and conjunctions (Huddleston and Pullum,
 * "The Cambridge Grammar of the English Language", 2002, chapter 9), contractions
 * with not, "without", and the words for absence that captions use. Not here:
 * prefixes (un-, non-), and words that deny only in some senses (few, hardly,
 * empty, free). */
static const char *const words[] = {
    "no",      "not", "without", "n't",    "never",   "none", "nothing", "nobody", "nowhere",
    "neither", "nor", "cannot",  "absent", "absence", "lack", "lacks",   "lacked", "lacking",
};
enum { WORDS = sizeof words / sizeof *words, CONTRACTION = 3 };

size_t nc_negation_word_count(void)
{
    return WORDS;
}

const char *nc_negation_word(size_t index)
{
    return words[index];
}

/* Length of the apostrophe at `at`: ' or U+2019; 0: none. */
static size_t apostrophe(const char *text, size_t length, size_t at)
{
    if (at < length && text[at] == '\'')
        return 1;
    return at + 3 <= length && memcmp(text + at, "\xe2\x80\x99", 3) == 0 ? 3 : 0;
}

/* Bytes of the letter, digit or underscore at `at`; 0: something else is there.
 * Beyond ASCII all counts as letters but the blocks of spaces, punctuation and
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

static bool is(char byte, char lower)
{
    return (byte | 32) == lower;
}

size_t negation_word_end(const char *text, size_t length, size_t at, bool *contraction, bool *plain)
{
    size_t start = at, step;
    *contraction = false;
    *plain = true;
    for (;;) {
        while ((step = negation_letter(text, length, at)))
            at += step;
        size_t quote = at > start ? apostrophe(text, length, at) : 0;
        if (!quote || !negation_letter(text, length, at + quote))
            return at;
        size_t after = at + quote;
        if (is(text[at - 1], 'n') && is(text[after], 't') &&
            !negation_letter(text, length, after + 1))
            *contraction = true;
        *plain = false;
        at = after;
    }
}

/* No letter starts inside a longer character. */
size_t negation_skip(const char *text, size_t length, size_t at)
{
    at++;
    while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

bool nc_negation_find(const char *text, size_t length, size_t from, struct nc_negation_match *match)
{
    for (size_t at = from; at < length;) {
        bool contraction, plain;
        size_t end = negation_word_end(text, length, at, &contraction, &plain);
        size_t word = contraction ? CONTRACTION : WORDS;
        for (size_t i = 0; plain && i < WORDS && word == WORDS; i++)
            if (i != CONTRACTION && strlen(words[i]) == end - at &&
                strncasecmp(text + at, words[i], end - at) == 0)
                word = i;
        if (word < WORDS) {
            *match = (struct nc_negation_match){at, end, word};
            return true;
        }
        at = end > at ? end : negation_skip(text, length, at);
    }
    return false;
}
