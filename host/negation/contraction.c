/* n't as people type it and as programs garble it. Beside ' and U+2019, which join the letters of
 * any word, all of this counts between a verb's n and its t only: the verbs are few, so that
 * nothing else can be meant. */
#include "list.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const verbs[] = {
    "ai", "are",   "ca",   "could", "dare",  "did", "do",     "does", "had",  "has", "have",
    "is", "might", "must", "need",  "ought", "sha", "should", "was",  "were", "wo",  "would",
};
enum { VERBS = sizeof verbs / sizeof *verbs, LONGEST_VERB = 6, LONGEST_MARK = 16 };

/* Apostrophes, the longer before those that they begin with. */
static const char *const marks[] = {
    "'", "`", "\"", "?", ",", ";", /* the keys beside it, and what a lossy conversion leaves */
    "\xe2\x80\x98", "\xe2\x80\x99", "\xe2\x80\x9a", "\xe2\x80\x9b", /* U+2018 to U+201B */
    "\xe2\x80\x9d", "\xe2\x80\xb2", "\xe2\x80\xb5",                 /* U+201D, primes */
    "\xca\xb9", "\xca\xbb", "\xca\xbc", "\xca\xbd", "\xcb\x88", "\xcb\x8a",
    "\xcb\x8b",                                     /* modifiers */
    "\xc2\xb4", "\xc2\x91", "\xc2\x92",             /* acute; Windows-1252 read as Latin-1 */
    "\xcc\x80", "\xcc\x81", "\xcc\x93", "\xcc\x95", /* combining */
    "\xef\xbc\x87", "\xef\xbd\x80", "\xef\xbc\x82", /* full width */
    "\xd5\x9a", "\xd5\x9b", "\xd7\xb3", "\xea\x9e\x8c", "\xe2\x9d\x9b", "\xe2\x9d\x9c",
    "\xe1\xbe\xbd", "\xe1\xbe\xbf", "\xe1\xbf\xaf", "\xe1\xbf\xbd", "\xe1\xbf\xbe",
    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd", /* U+FFFD */
    /* UTF-8 read as Windows-1252, as Latin-1, and with what could not be shown as "?" or nothing */
    "\xc3\xa2\xe2\x82\xac\xe2\x84\xa2", "\xc3\xa2\xe2\x82\xac\xcb\x9c", "\xc3\xa2\xc2\x80\xc2\x99",
    "\xc3\xa2\xc2\x80\xc2\x98", "\xc3\xa2\xe2\x82\xac", "\xc3\xa2??", "\xc3\xa2",
    "\xc3\x82\xc2\xb4", "\xc3\x82\xc2\x92", "\xc3\x8a\xc2\xbc",
    "\xc3\x83\xc2\xa2\xc3\xa2\xe2\x80\x9a\xc2\xac\xc3\xa2\xe2\x80\x9e\xc2\xa2", /* twice */
    "\xc3\x95", "\xd5",                                                         /* Mac Roman */
    "\x91", "\x92", "\xb4", /* the bytes of Windows-1252 themselves */
};
enum { MARKS = sizeof marks / sizeof *marks };

static bool is(char byte, char lower)
{
    return (byte | 32) == lower;
}

static size_t mark_at(const char *text, size_t length, size_t at)
{
    for (size_t i = 0; i < MARKS; i++) {
        size_t size = strlen(marks[i]);
        if (size <= length - at && memcmp(text + at, marks[i], size) == 0)
            return size;
    }
    return 0;
}

static bool is_mark(unsigned long code)
{
    char bytes[4];
    size_t size = 0;
    if (code == 0x91 || code == 0x92) /* as HTML reads them */
        code = 0x2019;
    if (code < 0x80) {
        bytes[size++] = (char)code;
        return strchr("'`\"", bytes[0]) && code;
    }
    if (code >= 0x800)
        bytes[size++] = (char)(0xe0 | (code >> 12 & 15));
    bytes[size++] = (char)(code >= 0x800 ? 0x80 | (code >> 6 & 63) : 0xc0 | code >> 6);
    bytes[size++] = (char)(0x80 | (code & 63));
    return code <= 0xffff && mark_at(bytes, size, 0) == size;
}

static int digit(char byte, int base)
{
    if (!isxdigit((unsigned char)byte))
        return -1;
    int value = byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10;
    return value < base ? value : -1;
}

/* At most `most` digits from *at on; *at moves behind them. */
static unsigned long number(const char *text, size_t length, size_t *at, int base, size_t most)
{
    unsigned long value = 0;
    for (; most && *at < length && digit(text[*at], base) >= 0; most--)
        value = value * (unsigned)base + (unsigned)digit(text[(*at)++], base);
    return value;
}

/* "&#39;", "&#x27;", "&rsquo;", also escaped more than once: "&amp;#39;". */
static size_t entity(const char *text, size_t length, size_t at)
{
    static const char *const names[] = {"apos;",
                                        "rsquo;",
                                        "lsquo;",
                                        "sbquo;",
                                        "rsquor;",
                                        "prime;",
                                        "bprime;",
                                        "acute;",
                                        "grave;",
                                        "quot;",
                                        "OpenCurlyQuote;",
                                        "CloseCurlyQuote;",
                                        "DiacriticalAcute;",
                                        "DiacriticalGrave;"};
    size_t start = at++;
    while (length - at >= 4 && strncasecmp(text + at, "amp;", 4) == 0)
        at += 4;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i]);
        if (size <= length - at && strncasecmp(text + at, names[i], size) == 0)
            return at + size - start;
    }
    if (at >= length || text[at++] != '#')
        return 0;
    bool hexadecimal = at < length && is(text[at], 'x');
    at += hexadecimal;
    unsigned long code = number(text, length, &at, hexadecimal ? 16 : 10, 7);
    if (!is_mark(code))
        return 0;
    return at + (at < length && text[at] == ';') - start;
}

/* "%27", "%E2%80%99"; "\u2019" and "\x27", with one backslash or more. */
static size_t escape(const char *text, size_t length, size_t at)
{
    char bytes[8];
    size_t size = 0, start = at;
    if (text[at] == '%') {
        while (at + 2 < length && text[at] == '%' && size < 3) {
            size_t next = at + 1;
            bytes[size] = (char)number(text, length, &next, 16, 2);
            if (next != at + 3)
                break;
            size++;
            at = next;
            if (mark_at(bytes, size, 0) == size)
                return at - start;
        }
        return 0;
    }
    while (at < length && text[at] == '\\')
        at++;
    if (at >= length || (text[at] != 'u' && text[at] != 'x'))
        return 0;
    size_t digits = text[at] == 'u' ? 4 : 2, first = ++at;
    unsigned long code = number(text, length, &at, 16, digits);
    return at == first + digits && is_mark(code) ? at - start : 0;
}

/* Bytes of one apostrophe in any dress; 0: none. */
static size_t dressed(const char *text, size_t length, size_t at)
{
    size_t start = at, size;
    if (at >= length)
        return 0;
    if (text[at] == '&')
        return entity(text, length, at);
    if ((text[at] == '%' || text[at] == '\\') && (size = escape(text, length, at)))
        return size;
    while (at < length && text[at] == '\\')
        at++;
    size = at < length ? mark_at(text, length, at) : 0;
    return size ? at + size - start : 0;
}

bool negation_is_odd(unsigned char byte)
{
    return byte && byte < 0x80 && strchr("`\"?,;&%\\'", byte);
}

static bool is_verb(const char *text, size_t length)
{
    for (size_t i = 0; i < VERBS; i++)
        if (is(text[0], verbs[i][0]) && is(text[1], verbs[i][1]) && strlen(verbs[i]) == length &&
            strncasecmp(verbs[i], text, length) == 0)
            return true;
    return false;
}

size_t negation_contraction_end(const char *text, size_t length, size_t start, size_t at)
{
    if (at < start + 3 || at - start > LONGEST_VERB + 1 || !is(text[at - 1], 'n') ||
        !is_verb(text + start, at - 1 - start))
        return 0;
    size_t size = dressed(text, length, at);
    if (!size)
        return 0;
    at += size;
    at += dressed(text, length, at); /* SQL's doubled one */
    return at < length && is(text[at], 't') && !negation_letter(text, length, at + 1) ? at + 1 : 0;
}

static size_t verb_of(const char *text, size_t start, size_t end)
{
    for (size_t n = 2; n <= LONGEST_VERB && start + n < end; n++)
        if (is(text[start + n], 'n') && is_verb(text + start, n) &&
            (start + n + 1 == end || !negation_letter(text, end, start + n + 1) ||
             is(text[start + n + 1], 't') || (text[start + n + 1] & 0x80)))
            return n;
    return 0;
}

size_t nc_negation_verb(const char *text, const struct nc_negation_match *match)
{
    return verb_of(text, match->start, match->end);
}

/* Where an apostrophe ends at `at`: its start, of the longest one that does. */
static size_t before_mark(const char *text, size_t from, size_t at)
{
    size_t longest = at;
    for (size_t start = at; start > from && at - start < LONGEST_MARK;) {
        size_t before = --start;
        if (before > from && text[before - 1] == ' ')
            before--;
        if (before > from && is(text[before - 1], 'n') && dressed(text, at, start) == at - start)
            longest = start;
    }
    return longest;
}

bool negation_unjoined(const char *text, size_t length, size_t from, size_t *start, size_t end,
                       bool *listed)
{
    size_t size = end - *start;
    *listed = false;
    if (size > 3)
        return size <= LONGEST_VERB + 2 && is(text[end - 1], 't') && is(text[end - 2], 'n') &&
               is_verb(text + *start, size - 2);
    if (size != 1 || !is(text[*start], 't') || *start == from)
        return false;
    /* Back from the t: a blank, an apostrophe, a blank, and the verb with its n. */
    size_t at = *start;
    at -= text[at - 1] == ' ';
    size_t mark = before_mark(text, from, at);
    *listed = mark < at;
    at = mark;
    if (!*listed && at == *start && text[at - 1] == '-')
        at--;
    else if (*listed && at > from && text[at - 1] == ' ')
        at--;
    size_t first = at;
    while (first > from && at - first <= LONGEST_VERB + 1 &&
           isalpha((unsigned char)text[first - 1]))
        first--;
    if (at < first + 3 || at == *start || !is(text[at - 1], 'n') ||
        !is_verb(text + first, at - 1 - first) ||
        (first > from &&
         (negation_letter(text, length, first - 1) || ((unsigned char)text[first - 1] & 0x80))))
        return false;
    /* "can t", "won t" and "don t-shirts" are words of their own. */
    if (!*listed &&
        (strncasecmp(text + first, "can", at - first) == 0 ||
         strncasecmp(text + first, "won", at - first) == 0 || (end < length && text[end] == '-')))
        return false;
    *start = first;
    return true;
}
