/* The built-in list of negation words, and finding them in a text. */
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

static bool is(char byte, char lower)
{
    return (byte | 32) == lower;
}

size_t negation_word_end(const char *text, size_t length, size_t at, enum negation_kind *kind)
{
    size_t start = at, step, end;
    *kind = NEGATION_PLAIN;
    for (;;) {
        while ((step = negation_letter(text, length, at))) {
            /* Some of what stands for an apostrophe would pass for a letter. */
            if (((unsigned char)text[at] & 0x80) && *kind == NEGATION_PLAIN &&
                (end = negation_contraction_end(text, length, start, at))) {
                *kind = NEGATION_CONTRACTION;
                return end;
            }
            at += step;
        }
        size_t quote = at > start ? apostrophe(text, length, at) : 0;
        if (!quote || !negation_letter(text, length, at + quote)) {
            end = at > start && *kind == NEGATION_PLAIN
                      ? negation_contraction_end(text, length, start, at)
                      : 0;
            if (end)
                *kind = NEGATION_CONTRACTION;
            return end ? end : at;
        }
        size_t after = at + quote;
        if (is(text[at - 1], 'n') && is(text[after], 't') &&
            !negation_letter(text, length, after + 1))
            *kind = NEGATION_CONTRACTION;
        else if (*kind == NEGATION_PLAIN)
            *kind = NEGATION_JOINED;
        at = after;
    }
}

bool negation_is_entity(const char *text, size_t length, size_t start, size_t end)
{
    while (start >= 4 && strncasecmp(text + start - 4, "amp;", 4) == 0) /* escaped twice */
        start -= 4;
    return start && text[start - 1] == '&' && end < length && text[end] == ';';
}

static size_t look_up(const char *word, size_t length)
{
    for (size_t i = 0; i < WORDS; i++)
        if (i != CONTRACTION && strlen(words[i]) == length &&
            strncasecmp(word, words[i], length) == 0)
            return i;
    return WORDS;
}

static bool find_any(const char *text, size_t length, size_t from, struct nc_negation_match *match)
{
    for (size_t at = from; at < length;) {
        enum negation_kind kind;
        bool listed = true;
        size_t start = at, end = negation_word_end(text, length, at, &kind), word = WORDS;
        if (kind == NEGATION_CONTRACTION)
            word = CONTRACTION;
        else if (kind == NEGATION_PLAIN && end > at)
            word = look_up(text + at, end - at);
        if (word == WORDS && kind == NEGATION_PLAIN && end > at &&
            negation_unjoined(text, length, from, &start, end, &listed))
            word = CONTRACTION;
        if (word < WORDS && !negation_is_entity(text, length, start, end)) {
            *match = (struct nc_negation_match){
                .start = start, .end = end, .word = word, .listed = listed};
            negation_judge_word(words[word], text, length, match);
            return true;
        }
        at = end > at ? end : negation_skip(text, length, at);
    }
    return false;
}

bool nc_negation_find(const char *text, size_t length, size_t from, struct nc_negation_match *match)
{
    for (; find_any(text, length, from, match); from = match->end)
        if (match->listed)
            return true;
    return false;
}

bool nc_denial_find(const char *text, size_t length, size_t from, struct nc_negation_match *match)
{
    for (; find_any(text, length, from, match); from = match->end)
        if (match->denies)
            return true;
    return false;
}
