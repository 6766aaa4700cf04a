/* Finds the words of a list in large amounts of text. A word of ASCII letters, as nearly all are,
 * costs one table lookup a byte, and a comparison with the words that start with its first letter.
 */
#include "list.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LETTER = 1,
    ODD = 2,    /* may be an apostrophe, or begin one, behind an n */
    BEYOND = 4, /* the byte alone does not say */
};
enum { NO_WORD = -1, MOST_WORDS = 10000, LARGEST_FILE = 1 << 24 };

struct nc_negation_list {
    char **words; /* lower case */
    size_t *lengths;
    struct negation_phrases **phrases;
    size_t count;
    int contraction;    /* the index of n't, or NO_WORD */
    uint8_t class[256]; /* what a byte is in a text */
    int32_t first[256]; /* the first word that starts with the byte (either case), or NO_WORD */
    int32_t *next;      /* [count] the next word that starts so, or NO_WORD */
    uint64_t lengths_at[256]; /* bit n: a word of n bytes starts so; bit 63: a longer one */
};

size_t nc_negation_list_count(const struct nc_negation_list *list)
{
    return list->count;
}

const char *nc_negation_list_word(const struct nc_negation_list *list, size_t index)
{
    return list->words[index];
}

void nc_negation_list_free(struct nc_negation_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        free(list->words[i]);
    for (size_t i = 0; list->phrases && i < list->count; i++)
        negation_phrases_free(list->phrases[i]);
    free(list->phrases);
    free(list->words);
    free(list->lengths);
    free(list->next);
    free(list);
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 32 : byte;
}

/* ---- Filling ---- */

static bool is_contraction(const char *word)
{
    return strcmp(word, "n't") == 0;
}

static int add(struct nc_negation_list *list, const char *word, size_t length)
{
    size_t room = list->count ? list->count : 1;
    if ((list->count & (list->count - 1)) == 0) { /* 0 or a power of two: full */
        char **words = realloc(list->words, 2 * room * sizeof *words);
        if (words)
            list->words = words;
        size_t *lengths = realloc(list->lengths, 2 * room * sizeof *lengths);
        if (lengths)
            list->lengths = lengths;
        if (!words || !lengths)
            return nc_error(NC_FAILED, "no memory for %zu words", room);
    }
    char *copy = strndup(word, length);
    if (!copy)
        return nc_error(NC_FAILED, "no memory for a list of words");
    for (char *at = copy; *at; at++)
        *at = (char)lower((uint8_t)*at);
    list->lengths[list->count] = length;
    list->words[list->count++] = copy;
    return NC_OK;
}

static int load(struct nc_negation_list *list, const char *path)
{
    char *text;
    size_t size, length;
    int status = nc_text_read(path, LARGEST_FILE, &text, &size);
    struct nc_lines lines = nc_lines_of(text, size);
    for (const char *word; status == NC_OK && nc_lines_next(&lines, &word, &length);) {
        while (length && nc_is_blank(word + length - 1, 1))
            length--;
        while (length && (*word == ' ' || *word == '\t'))
            word++, length--;
        if (!length || *word == '#')
            continue;
        enum negation_kind kind;
        bool whole = negation_word_end(word, length, 0, &kind) == length && kind == NEGATION_PLAIN;
        if (!whole && !(length == 3 && strncasecmp(word, "n't", 3) == 0))
            status =
                nc_error(NC_BAD_INPUT, "%s line %zu: not one word of letters and digits (or n't)",
                         path, lines.number);
        for (size_t i = 0; i < list->count && status == NC_OK; i++)
            if (list->lengths[i] == length && strncasecmp(list->words[i], word, length) == 0)
                status = nc_error(NC_BAD_INPUT, "%s line %zu: \"%s\" stands there already", path,
                                  lines.number, list->words[i]);
        if (status == NC_OK && list->count == MOST_WORDS)
            status = nc_error(NC_BAD_INPUT, "%s: more than %d words", path, MOST_WORDS);
        if (status == NC_OK)
            status = add(list, word, length);
    }
    free(text);
    if (status == NC_OK && !list->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no word", path);
    return status;
}

static int load_built_in(struct nc_negation_list *list)
{
    int status = NC_OK;
    for (size_t i = 0; i < nc_negation_word_count() && status == NC_OK; i++)
        status = add(list, nc_negation_word(i), strlen(nc_negation_word(i)));
    return status;
}

static int make_tables(struct nc_negation_list *list)
{
    list->next = malloc(list->count * sizeof *list->next);
    list->phrases = calloc(list->count, sizeof *list->phrases);
    if (!list->next || !list->phrases)
        return nc_error(NC_FAILED, "no memory for a list of words");
    int status = NC_OK;
    for (size_t i = 0; i < list->count && status == NC_OK; i++)
        status = negation_phrases_create(list->words[i], &list->phrases[i]);
    if (status != NC_OK)
        return status;
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        list->class[byte] = byte >= 0x80                     ? BEYOND
                            : negation_letter(&text, 1, 0)   ? LETTER
                            : negation_is_odd((uint8_t)byte) ? ODD
                                                             : 0;
        list->first[byte] = NO_WORD;
    }
    list->contraction = NO_WORD;
    for (size_t i = list->count; i-- > 0;) {
        uint8_t byte = (uint8_t)list->words[i][0];
        if (is_contraction(list->words[i])) {
            list->contraction = (int)i;
            continue;
        }
        list->next[i] = list->first[byte];
        list->first[byte] = (int32_t)i;
        list->lengths_at[byte] |= UINT64_C(1) << (list->lengths[i] < 63 ? list->lengths[i] : 63);
    }
    for (int byte = 'a'; byte <= 'z'; byte++) {
        list->first[byte - 32] = list->first[byte];
        list->lengths_at[byte - 32] = list->lengths_at[byte];
    }
    return NC_OK;
}

int nc_negation_list_load(const char *path, struct nc_negation_list **out)
{
    struct nc_negation_list *list = calloc(1, sizeof *list);
    *out = NULL;
    if (!list)
        return nc_error(NC_FAILED, "no memory for a list of words");
    int status = path ? load(list, path) : load_built_in(list);
    if (status == NC_OK)
        status = make_tables(list);
    if (status == NC_OK)
        *out = list;
    else
        nc_negation_list_free(list);
    return status;
}

/* ---- Finding ---- */

static int look_up(const struct nc_negation_list *list, const char *word, size_t length)
{
    uint8_t byte = (uint8_t)*word;
    if (!(list->lengths_at[byte] >> (length < 63 ? length : 63) & 1))
        return NO_WORD;
    for (int32_t i = list->first[byte]; i != NO_WORD; i = list->next[i])
        if (list->lengths[i] == length && strncasecmp(list->words[i], word, length) == 0)
            return i;
    return NO_WORD;
}

/* May the plain word that ends here be "dont", or the t of "don 't"? */
static inline bool may_be_unjoined(const char *word, size_t length)
{
    return (word[length - 1] | 32) == 't' && (length == 1 || (word[length - 2] | 32) == 'n');
}

/* Fills the match; false when there is none after all. */
static bool judge(const struct nc_negation_list *list, const char *text, size_t length, size_t from,
                  int found, struct nc_negation_match *match)
{
    match->listed = true;
    if (found == NO_WORD) {
        if (list->contraction == NO_WORD ||
            !negation_unjoined(text, length, from, &match->start, match->end, &match->listed))
            return false;
        found = list->contraction;
    }
    if (negation_is_entity(text, length, match->start, match->end))
        return false;
    match->word = (size_t)found;
    negation_judge(list->phrases[found], text, length, match);
    return true;
}

bool nc_negation_list_find(const struct nc_negation_list *list, const char *text, size_t length,
                           size_t from, struct nc_negation_match *match)
{
    for (size_t at = from; at < length;) {
        size_t start = at;
        while (at < length && list->class[(uint8_t)text[at]] == LETTER)
            at++;
        uint8_t stopped = at < length ? list->class[(uint8_t)text[at]] : 0;
        bool plain = true;
        int found = NO_WORD;
        if (stopped && (stopped == BEYOND ||
                        (at > start && (text[at] == '\'' || (text[at - 1] | 32) == 'n')))) {
            enum negation_kind kind;
            size_t end = negation_word_end(text, length, start, &kind);
            plain = kind == NEGATION_PLAIN;
            if (kind == NEGATION_CONTRACTION)
                found = list->contraction;
            else if (end > start && plain)
                found = look_up(list, text + start, end - start);
            at = end > start ? end : negation_skip(text, length, start);
        } else if (at > start) {
            found = look_up(list, text + start, at - start);
        } else {
            if (++at < length && ((uint8_t)text[at] & 0xc0) == 0x80) /* no character: rare */
                at = negation_skip(text, length, at - 1);
            continue;
        }
        if (found == NO_WORD && !(plain && may_be_unjoined(text + start, at - start)))
            continue;
        struct nc_negation_match candidate = {.start = start, .end = at};
        if (judge(list, text, length, from, found, &candidate)) {
            *match = candidate;
            return true;
        }
    }
    return false;
}
