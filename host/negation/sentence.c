/* Splits a sentence into words, and finds the words that name an object. */
#include "nclip/negation/sentence.h"

#include "built_in.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static size_t letter(const unsigned char *at)
{
    if (isalnum(*at))
        return 1;
    if (*at < 0xc3) /* ASCII, and the signs of Latin-1 */
        return 0;
    if (at[0] == 0xe2 && at[1] == 0x80) /* typographic punctuation */
        return 0;
    size_t bytes = 1;
    while ((at[bytes] & 0xc0) == 0x80)
        bytes++;
    return bytes;
}

static bool ends(const char *word, size_t length, const char *ending)
{
    size_t tail = strlen(ending);
    return length >= tail && memcmp(word + length - tail, ending, tail) == 0;
}

/* Maps singular and plural to the plural without its s: "puppie", "sandwiche", "potatoe", "dog".
 * What it cannot know (men, knives) is in the list of synonyms. */
static void make_stem(const char *word, char stem[NC_WORD_LENGTH])
{
    static const char *const with_e[] = {"ch", "sh", "ss", "us", "x", "z", "o"};
    size_t length = strlen(word);
    memcpy(stem, word, length + 1);
    if (length < 3)
        return;
    if (length > 3 && ends(word, length, "s") && !ends(word, length, "ss") &&
        !ends(word, length, "us") && !ends(word, length, "is"))
        stem[--length] = 0;
    if (ends(stem, length, "y") && !strchr("aeiou", stem[length - 2])) {
        memcpy(stem + length - 1, "ie", 3); /* there is room: see nc_words_split() */
        return;
    }
    for (size_t i = 0; i < sizeof with_e / sizeof *with_e; i++) {
        if (ends(stem, length, with_e[i])) {
            memcpy(stem + length, "e", 2);
            return;
        }
    }
}

void nc_words_root(const struct nc_word *word, char root[NC_WORD_LENGTH])
{
    static const char *const endings[] = {"ing", "ed", "e"};
    size_t length = strlen(word->stem);
    memcpy(root, word->stem, length + 1);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t tail = strlen(endings[i]);
        if (length >= tail + 3 - (tail == 1) && ends(root, length, endings[i])) {
            root[length -= tail] = 0;
            break;
        }
    }
    if (length > 3 && root[length - 1] == root[length - 2])
        root[length - 1] = 0;
}

void nc_words_split(const char *text, struct nc_words *words)
{
    words->count = 0;
    for (size_t at = 0; text[at] && words->count < NC_WORD_MOST;) {
        const unsigned char *bytes = (const unsigned char *)text;
        size_t step = letter(bytes + at), length = 0;
        if (!step) {
            at++;
            continue;
        }
        struct nc_word *word = &words->items[words->count++];
        word->start = at;
        for (;;) {
            size_t quote = 0;
            if (!(step = letter(bytes + at))) { /* an apostrophe between letters */
                quote = bytes[at] == '\'' ? 1 : strncmp(text + at, "\xe2\x80\x99", 3) == 0 ? 3 : 0;
                if (!quote || !(step = letter(bytes + at + quote)))
                    break;
                if (length < NC_WORD_LENGTH - 4)
                    word->text[length++] = '\'';
            }
            at += quote;
            for (size_t i = 0; i < step && length < NC_WORD_LENGTH - 3; i++)
                word->text[length++] =
                    (char)(bytes[at] < 0x80 ? tolower(bytes[at + i]) : bytes[at + i]);
            at += step;
        }
        word->end = at;
        word->text[length] = 0;
        if (ends(word->text, length, "'s"))
            word->text[length - 2] = 0;
        make_stem(word->text, word->stem);
    }
}

const char *nc_words_list(const char *name)
{
    for (size_t i = 0; nc_word_list_names[i]; i++) {
        if (strcmp(nc_word_list_names[i], name) == 0)
            return nc_word_list_texts[i];
    }
    return "";
}

bool nc_words_in(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *line = list; *line;) {
        size_t size = strcspn(line, "\n");
        for (size_t at = 0; line[0] != '#' && at < size;) {
            size_t piece = strcspn(line + at, " \n");
            if (at + piece > size)
                piece = size - at;
            if (piece == length && memcmp(line + at, word, length) == 0)
                return true;
            at += piece + 1;
        }
        line += size + (line[size] == '\n');
    }
    return false;
}
