#include "nclip/negation_words.h"

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

static bool is_letter(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte >= 0x80;
}

/* Length of the apostrophe at `at`: ' or U+2019; 0: none. */
static size_t apostrophe(const char *text, size_t length, size_t at)
{
    if (at < length && text[at] == '\'')
        return 1;
    return at + 3 <= length && memcmp(text + at, "\xe2\x80\x99", 3) == 0 ? 3 : 0;
}

/* End of the word that starts at `at`: letters, digits and underscores, and an
 * apostrophe with letters on both sides. *mark: where its last apostrophe starts. */
static size_t word_end(const char *text, size_t length, size_t at, size_t *mark)
{
    *mark = length;
    size_t start = at;
    while (at < length) {
        size_t quote = apostrophe(text, length, at);
        unsigned char byte = (unsigned char)text[at];
        if (quote) {
            if (at == start || at + quote >= length ||
                !is_letter((unsigned char)text[at + quote]) || apostrophe(text, length, at + quote))
                break;
            *mark = at;
            at += quote;
        } else if (is_letter(byte) || (byte >= '0' && byte <= '9') || byte == '_') {
            at++;
        } else {
            break;
        }
    }
    return at;
}

bool nc_negation_find(const char *text, size_t length, size_t from, struct nc_negation_match *match)
{
    for (size_t at = from; at < length;) {
        size_t mark, end = word_end(text, length, at, &mark);
        if (end == at) {
            size_t quote = apostrophe(text, length, at);
            at += quote ? quote : 1;
            continue;
        }
        size_t word = WORDS;
        if (mark < end) {
            size_t after = mark + apostrophe(text, length, mark);
            if (end - after == 1 && (text[after] | 32) == 't' && mark > at &&
                (text[mark - 1] | 32) == 'n')
                word = CONTRACTION;
        } else {
            for (size_t i = 0; i < WORDS && word == WORDS; i++)
                if (i != CONTRACTION && strlen(words[i]) == end - at &&
                    strncasecmp(text + at, words[i], end - at) == 0)
                    word = i;
        }
        if (word < WORDS) {
            *match = (struct nc_negation_match){at, end, word};
            return true;
        }
        at = end;
    }
    return false;
}
