/* Phrases in which a negation word denies nothing. Nearly all are ruled out by two letters: that
 * with which the word behind begins, and that with which the word before ends. */
#include "list.h"

#include "nclip/negation/sentence.h"
#include "nclip/support/error.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One word of the list's line. */
struct token {
    const char *text;
    size_t size;
    bool optional;
    uint32_t firsts, seconds; /* sets of letters that its words begin with */
};

enum { MOST_TOKENS = 6 };

struct phrase {
    bool denial; /* after all */
    size_t behind_count, before_count;
    struct token behind[MOST_TOKENS], before[MOST_TOKENS]; /* both from the negation word away */
    uint32_t begins, ends;                                 /* sets of letters: see letter_of() */
};

/* What stands beside the word is compared with the sets of all phrases first: they lie together. */
struct negation_phrases {
    size_t count;
    struct phrase *items;
    uint32_t (*sets)[2]; /* [count] begins, ends */
};

struct place {
    const char *text;
    size_t length, start, end; /* what stands before `start` and behind `end` is compared */
};

static bool letter(const struct place *p, size_t at)
{
    return negation_letter(p->text, p->length, at) || (at < p->length && p->text[at] & 0x80);
}

static bool blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '-';
}

/* Bit 0 to 25: a letter, in any case; bit 26: all else, and nothing. */
static uint32_t letter_of(char byte)
{
    unsigned char lower = (unsigned char)byte | 32;
    return UINT32_C(1) << (lower >= 'a' && lower <= 'z' ? lower - 'a' : 26);
}

static bool is_one_of(const struct token *token, const char *word, size_t length)
{
    if (!(letter_of(word[0]) & token->firsts) ||
        (length > 1 && !(letter_of(word[1]) & token->seconds)))
        return false;
    for (size_t at = 0; at < token->size;) {
        size_t size = 0;
        while (at + size < token->size && token->text[at + size] != '|')
            size++;
        if (size == length && (token->text[at] | 32) == (*word | 32) &&
            strncasecmp(token->text + at, word, length) == 0)
            return true;
        at += size + 1;
    }
    return false;
}

/* ---- Behind ---- */

static bool take_number(struct place *p)
{
    size_t at = p->end;
    while (at < p->length && (blank(p->text[at]) || strchr(".:#", p->text[at])))
        at++;
    bool digits = false;
    size_t start = at;
    if (at < p->length && islower((unsigned char)p->text[at]) &&
        !(at + 1 < p->length && isdigit((unsigned char)p->text[at + 1])))
        return false; /* nearly all: "no people" */
    for (; at < p->length && (isalnum((unsigned char)p->text[at]) || strchr("-/", p->text[at]));
         at++)
        digits |= isdigit((unsigned char)p->text[at]) != 0;
    if (!digits || at == start || start == p->end)
        return false;
    p->end = at;
    return true;
}

static bool take_behind(struct place *p, const struct token *token)
{
    size_t at = p->end;
    if (token->size == 1 && *token->text == '#')
        return take_number(p);
    if (token->size == 1 && *token->text == '.') {
        at += at < p->length && p->text[at] == ' ';
        if (at >= p->length || !strchr(".:", p->text[at]))
            return false;
        p->end = at + 1;
        return true;
    }
    while (at < p->length && blank(p->text[at]))
        at++;
    if (token->size == 1 && *token->text == '$')
        return at == p->length || !p->text[at] || strchr(".,;:!?\")\r\n", p->text[at]);
    size_t start = at;
    while (at < p->length &&
           (letter(p, at) || (p->text[at] == '\'' && at > start && letter(p, at + 1))))
        at++;
    if (at == start || !is_one_of(token, p->text + start, at - start))
        return false;
    p->end = at;
    return true;
}

/* ---- Before ---- */

static bool take_before(struct place *p, const struct token *token)
{
    size_t at = p->start;
    while (at && blank(p->text[at - 1]))
        at--;
    if (token->size == 1 && *token->text == '^')
        return at == 0;
    size_t end = at - (at && p->text[at - 1] == '.'), start = end; /* "Dr." */
    while (start && (letter(p, start - 1) || (p->text[start - 1] == '\'' && start < end)))
        start--;
    if (start == end || (end < at && end - start > 2))
        return false;
    if (!(token->size == 1 && *token->text == '*') &&
        !is_one_of(token, p->text + start, end - start))
        return false;
    p->start = start;
    return true;
}

/* ---- A phrase ---- */

/* What a word that is the token can begin with (or end with). */
static uint32_t letters_of(const struct token *tokens, size_t count, bool last)
{
    uint32_t letters = 0;
    if (!count || tokens->optional || (tokens->size == 1 && strchr("#*", *tokens->text)))
        return UINT32_MAX;
    for (size_t i = 0; i < tokens->size; i++)
        if (last ? i + 1 == tokens->size || tokens->text[i + 1] == '|'
                 : i == 0 || tokens->text[i - 1] == '|')
            letters |= letter_of(tokens->text[i]);
    /* "Dr." */
    for (size_t i = 0, size = 0; last && i < tokens->size; i++) {
        size = tokens->text[i] == '|' ? 0 : size + 1;
        if (size && size <= 2 && (i + 1 == tokens->size || tokens->text[i + 1] == '|'))
            letters |= letter_of('.');
    }
    return letters;
}

static struct token make_token(const char *text, size_t size, bool optional)
{
    struct token token = {.text = text, .size = size, .optional = optional};
    for (size_t i = 0; i < size; i++) {
        if (i == 0 || text[i - 1] == '|')
            token.firsts |= letter_of(text[i]);
        if (i == 1 || (i > 1 && text[i - 2] == '|'))
            token.seconds |= letter_of(text[i]);
    }
    return token;
}

static size_t read_tokens(const char *from, const char *end, struct token tokens[MOST_TOKENS])
{
    size_t count = 0;
    while (count < MOST_TOKENS && from < end) {
        const char *gap = memchr(from, ' ', (size_t)(end - from));
        size_t size = gap ? (size_t)(gap - from) : (size_t)(end - from);
        bool optional = size > 1 && from[size - 1] == '?';
        if (size)
            tokens[count++] = make_token(from, size - optional, optional);
        from += size + 1;
    }
    return count;
}

/* Whether the line, up to `end`, is a phrase of the word. */
static bool read_phrase(const char *line, const char *end, const char *word, struct phrase *phrase)
{
    size_t size = strlen(word);
    phrase->denial = *line == '!';
    line += phrase->denial ? 2 : 0;
    if ((size_t)(end - line) <= size || strncasecmp(line, word, size) != 0 || line[size] != ' ')
        return false;
    line += size;
    const char *before = memchr(line, '<', (size_t)(end - line));
    phrase->behind_count = read_tokens(line, before ? before : end, phrase->behind);
    phrase->before_count = before ? read_tokens(before + 1, end, phrase->before) : 0;
    for (size_t i = 0, k = phrase->before_count; i + 1 < k; i++) {
        struct token other = phrase->before[--k];
        phrase->before[k] = phrase->before[i];
        phrase->before[i] = other;
    }
    phrase->begins = letters_of(phrase->behind, phrase->behind_count, false);
    phrase->ends = letters_of(phrase->before, phrase->before_count, true);
    return true;
}

static bool fits(const struct phrase *phrase, struct place place)
{
    for (size_t i = 0; i < phrase->behind_count; i++)
        if (!take_behind(&place, &phrase->behind[i]) && !phrase->behind[i].optional)
            return false;
    for (size_t i = 0; i < phrase->before_count; i++)
        if (!take_before(&place, &phrase->before[i]) && !phrase->before[i].optional)
            return false;
    return true;
}

/* The next line that is a phrase of the word, behind *line; false at the end of the list. */
static bool next_phrase(const char **line, const char *word, struct phrase *phrase)
{
    while (**line) {
        const char *start = *line, *end = strchrnul(start, '\n');
        *line = end + (*end == '\n');
        if (*start != '#' && read_phrase(start, end, word, phrase))
            return true;
    }
    return false;
}

int negation_phrases_create(const char *word, struct negation_phrases **out)
{
    struct phrase phrase;
    size_t count = 0;
    for (const char *line = nc_words_list("set_apart"); next_phrase(&line, word, &phrase);)
        count++;
    *out = calloc(1, sizeof **out);
    if (*out) {
        (*out)->items = calloc(count + 1, sizeof *(*out)->items);
        (*out)->sets = calloc(count + 1, sizeof *(*out)->sets);
    }
    if (!*out || !(*out)->items || !(*out)->sets) {
        negation_phrases_free(*out);
        *out = NULL;
        return nc_error(NC_FAILED, "no memory for %zu phrases", count);
    }
    for (const char *line = nc_words_list("set_apart"); (*out)->count < count; (*out)->count++) {
        next_phrase(&line, word, &phrase);
        (*out)->items[(*out)->count] = phrase;
        (*out)->sets[(*out)->count][0] = phrase.begins;
        (*out)->sets[(*out)->count][1] = phrase.ends;
    }
    return NC_OK;
}

void negation_phrases_free(struct negation_phrases *phrases)
{
    if (phrases) {
        free(phrases->items);
        free(phrases->sets);
    }
    free(phrases);
}

/* What stands around the match. A verb with n't is the word before it. */
static struct place place_of(const char *text, size_t length, const struct nc_negation_match *match)
{
    struct place place = {text, length, match->start, match->end};
    if (match->end - match->start > 3 && (text[match->end - 1] | 32) == 't')
        place.start += nc_negation_verb(text, match);
    return place;
}

void negation_judge(const struct negation_phrases *phrases, const char *text, size_t length,
                    struct nc_negation_match *match)
{
    struct place place = place_of(text, length, match);
    size_t before = place.start, behind = place.end;
    while (before && blank(text[before - 1]))
        before--;
    while (behind < length && blank(text[behind]))
        behind++;
    uint32_t end = letter_of(before ? text[before - 1] : 0);
    uint32_t begin = letter_of(behind < length ? text[behind] : 0);
    match->denies = true;
    for (size_t i = 0; i < phrases->count; i++) {
        if ((phrases->sets[i][0] & begin) && (phrases->sets[i][1] & end) &&
            fits(&phrases->items[i], place)) {
            match->denies = phrases->items[i].denial;
            return;
        }
    }
}

void negation_judge_word(const char *word, const char *text, size_t length,
                         struct nc_negation_match *match)
{
    struct place place = place_of(text, length, match);
    struct phrase phrase;
    match->denies = true;
    for (const char *line = nc_words_list("set_apart"); next_phrase(&line, word, &phrase);) {
        if (fits(&phrase, place)) {
            match->denies = phrase.denial;
            return;
        }
    }
}
