/* Takes the negations out of a caption, word by word. */
#include "nclip/negation/strip.h"

#include "nclip/negation/lexicon.h"
#include "nclip/negation/words.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What each word of the list becomes; "": it goes. Where `before` is given, only if that word comes
 * next, and it goes too unless it is "of". The first row that fits counts. */
static const struct rule {
    const char *word, *before, *instead;
} rules[] = {
    {"no", "one", "someone"},
    {"no", "longer", ""},
    {"no", NULL, ""},
    {"not", NULL, ""},
    {"never", NULL, ""},
    {"without", NULL, "with"},
    {"none", NULL, "some"},
    {"nothing", NULL, "something"},
    {"nobody", NULL, "somebody"},
    {"nowhere", NULL, "somewhere"},
    {"neither", "of", "both"},
    {"neither", NULL, ""},
    {"nor", NULL, "and"},
    {"cannot", NULL, "can"},
    {"absent", NULL, "present"},
    {"absence", NULL, "presence"},
    {"lack", "of", "presence"},
    {"lack", NULL, "have"},
    {"lacks", NULL, "has"},
    {"lacked", NULL, "had"},
    {"lacking", NULL, "having"},
    {"any", NULL, "some"},
    {"anyone", NULL, "someone"},
    {"anybody", NULL, "somebody"},
    {"anything", NULL, "something"},
    {"anywhere", NULL, "somewhere"},
};

static size_t word_length(const char *text)
{
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) || (unsigned char)text[length] >= 0x80 ||
           text[length] == '_')
        length++;
    return length;
}

static bool equals(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && strncasecmp(text, word, length) == 0;
}

/* The word behind `text` and one space or more; *length 0: none. */
static const char *next_word(const char *text, size_t *length)
{
    size_t spaces = strspn(text, " \t");
    *length = spaces ? word_length(text + spaces) : 0;
    return text + spaces;
}

struct output {
    char *text;
    size_t used;
    bool capital; /* the word to come begins the caption */
};

static void put(struct output *out, const char *text, size_t length)
{
    memcpy(out->text + out->used, text, length);
    if (out->capital && length && islower((unsigned char)text[0]))
        out->text[out->used] = (char)toupper((unsigned char)text[0]);
    out->capital = out->capital && !length;
    out->used += length;
}

/* Takes the blanks behind a word that went; before it "but" becomes "and". */
static void drop_gap(struct output *out, const char **at)
{
    *at += strspn(*at, " \t");
    if (out->used >= 4 && strncasecmp(out->text + out->used - 4, "but ", 4) == 0 &&
        (out->used == 4 || out->text[out->used - 5] == ' ')) {
        out->used -= 4;
        put(out, "and ", 4);
    }
    /* Nothing but a mark follows: no blank before it. */
    if (strchr(".,;:!?", **at))
        while (out->used && out->text[out->used - 1] == ' ')
            out->used--;
}

static const struct rule *rule_for(const char *word, size_t length, const char *behind)
{
    size_t next_length;
    const char *next = next_word(behind, &next_length);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (equals(word, length, rules[i].word) &&
            (!rules[i].before || equals(next, next_length, rules[i].before)))
            return &rules[i];
    }
    return NULL;
}

/* A verb as it is without n't. */
static void put_verb(struct output *out, const char *verb, size_t length)
{
    static const char *const stems[][2] = {
        {"ca", "can"}, {"wo", "will"}, {"sha", "shall"}, {"ai", "is"}};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        if (equals(verb, length, stems[i][0])) {
            put(out, stems[i][1], strlen(stems[i][1]));
            return;
        }
    }
    put(out, verb, length);
}

/* The word without its n't, with ' or U+2019; of any other apostrophe the verb alone. */
static void put_contraction(struct output *out, const char *word, size_t length, size_t verb)
{
    for (size_t n = 0; n + 2 < length; n++) {
        size_t quote = word[n + 1] == '\'' ? 1 : 3;
        if ((word[n] | 32) != 'n' ||
            (quote == 3 && (n + 4 >= length || memcmp(word + n + 1, "\xe2\x80\x99", 3) != 0)))
            continue;
        put_verb(out, word, n);
        put(out, word + n + quote + 2, length - (n + quote + 2));
        return;
    }
    put_verb(out, word, verb);
}

/* The negation of the match: what stands for it. Returns behind it, or NULL with a reason. */
static const char *put_negation(struct output *out, const char *caption,
                                const struct nc_negation_match *match, const char **reason)
{
    size_t next_length, length = match->end - match->start;
    const char *at = caption + match->start, *behind = at + length,
               *next = next_word(behind, &next_length);
    if (strcmp(nc_negation_word(match->word), "n't") == 0) {
        put_contraction(out, at, length, nc_negation_verb(caption, match));
        return behind;
    }
    const struct rule *rule = rule_for(at, length, behind);
    if (!rule) {
        *reason = "a negation that no rule takes out";
        return NULL;
    }
    /* "an absence": "a presence" */
    if (rule->instead[0] == 'p' && out->used >= 3 &&
        strncasecmp(out->text + out->used - 3, "an ", 3) == 0 &&
        (out->used == 3 || out->text[out->used - 4] == ' '))
        out->text[--out->used - 1] = ' ';
    put(out, rule->instead, strlen(rule->instead));
    if (rule->before && strcmp(rule->before, "of") != 0)
        behind = next + next_length;
    if (!*rule->instead)
        drop_gap(out, &behind);
    return behind;
}

static bool holds_something(const char *text, size_t size)
{
    size_t letters = 0;
    for (size_t i = 0; i < size; i++)
        letters += isalnum((unsigned char)text[i]) || (unsigned char)text[i] >= 0x80;
    return letters > 1;
}

char *nc_negation_strip(const char *caption, const char **reason)
{
    size_t size = strlen(caption);
    struct nc_negation_match match = {0};
    struct output out = {.text = malloc(4 * size + 64)};
    bool behind_negation = false;
    *reason = "no memory";
    if (!out.text)
        return NULL;
    *reason = NULL;
    out.capital = isupper((unsigned char)caption[strspn(caption, " \t\"")]);
    bool found = nc_denial_find(caption, size, 0, &match);
    if (!found)
        *reason = nc_negation_find(caption, size, 0, &match)
                      ? "its negation word denies nothing (\"No. 5\", \"not only\")"
                      : "no negation";
    for (const char *at = caption; !*reason && at && *at;) {
        size_t length = word_length(at);
        if (found && at == caption + match.start) {
            at = put_negation(&out, caption, &match, reason);
            found = nc_denial_find(caption, size, match.end, &match);
            behind_negation = true;
            continue;
        }
        /* Quotes and dashes beyond ASCII are no letters where negations are looked for. */
        if (found && length > (size_t)(caption + match.start - at))
            length = (size_t)(caption + match.start - at);
        const struct rule *some = behind_negation && length && strncasecmp(at, "any", 3) == 0
                                      ? rule_for(at, length, at + length)
                                      : NULL;
        if (some)
            put(&out, some->instead, strlen(some->instead));
        else if (length)
            put(&out, at, length);
        else
            out.text[out.used++] = *at;
        at += length ? length : 1;
    }
    while (out.used && strchr(" \t", out.text[out.used - 1]))
        out.used--;
    out.text[out.used] = 0;
    if (!*reason && !holds_something(out.text, out.used))
        *reason = "nothing would be left";
    if (*reason) {
        free(out.text);
        return NULL;
    }
    return out.text;
}

/* ---- What is denied ---------------------------------------------------------------------- */

static bool ends_thing(const char *word)
{
    static const char *const words[] = {"and", "or",   "but",  "nor",   "is",    "are",
                                        "was", "were", "that", "who",   "which", "to",
                                        "can", "has",  "have", "while", "as",    NULL};
    for (size_t i = 0; words[i]; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return nc_word_is(word, NC_PREPOSITION) || nc_word_is_ing(word);
}

bool nc_negated_thing(const char *caption, char *thing, size_t size)
{
    enum { MOST_WORDS = 4 };
    struct nc_negation_match match = {0};
    while (nc_denial_find(caption, strlen(caption), match.end, &match)) {
        const char *word = nc_negation_word(match.word), *at = caption + match.end;
        bool of = strcmp(word, "absence") == 0 || strcmp(word, "lack") == 0;
        size_t length, used = 0, words = 0;
        if (!of && strcmp(word, "no") != 0 && strcmp(word, "without") != 0 &&
            strcmp(word, "lacks") != 0 && strcmp(word, "lacking") != 0 &&
            strcmp(word, "lacked") != 0)
            continue;
        for (const char *next; (next = next_word(at, &length)), length; at = next + length) {
            char lower[64];
            snprintf(lower, sizeof lower, "%.*s", (int)length, next);
            for (char *letter = lower; *letter; letter++)
                *letter = (char)tolower((unsigned char)*letter);
            if (!words && (nc_word_is(lower, NC_DETERMINER) || strcmp(lower, "any") == 0 ||
                           (of && strcmp(lower, "of") == 0)))
                continue;
            if (ends_thing(lower) || words == MOST_WORDS || strcmp(lower, "one") == 0 ||
                strcmp(lower, "longer") == 0 || used + length + 2 > size)
                break;
            used += (size_t)snprintf(thing + used, size - used, "%s%.*s", words ? " " : "",
                                     (int)length, next);
            words++;
        }
        if (words)
            return true;
    }
    return false;
}
