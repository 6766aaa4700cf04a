/* Reads what a question and its answer claim, by a table of question forms, and writes sentences
 * that state or deny the claim.
 *
 * The forms are few on purpose: those that can be phrased in many ways. A form covers either the
 * whole question or nothing of it, so that every sentence is true. A question that no form covers
 * becomes a plain statement by the grammar (grammar.c), or is left alone. */
#include "nclip/generate/vqa.h"
#include "nclip/negation/lexicon.h"
#include "nclip/support/text_stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Question forms ---------------------------------------------------------------- */

/* A form is a row of elements:
 *     is|are         one of these words
 *     [here|in_it]   one of these, or nothing; "_" stands for the space between two words
 *     <article>      a, an, any, some or nothing; <article!>: not nothing
 *     <thing>        one word or more, as few as will do
 *     <subject> <quality> <attribute>   one word */
#define PLACE                                                                                      \
    "[in_the_image|in_this_image|in_the_picture|in_this_picture|in_the_photo|"                     \
    "in_this_photo|in_the_scene|here]"
#define PICTURE "the|this image|picture|photo"
#define CONTAIN "contain|show|have|include"

struct form {
    const char *pattern;
    enum nc_vqa_kind kind;
    bool negated;
};

static const struct form forms[] = {
    {"is|are there no <thing> " PLACE, NC_VQA_EXISTENCE, true},
    {"is|are there not <article> <thing> " PLACE, NC_VQA_EXISTENCE, true},
    {"isn't|aren't there <article> <thing> " PLACE, NC_VQA_EXISTENCE, true},
    {"is|are there <article> <thing> " PLACE, NC_VQA_EXISTENCE, false},
    {"does " PICTURE " not " CONTAIN " <article> <thing>", NC_VQA_EXISTENCE, true},
    {"doesn't " PICTURE " " CONTAIN " <article> <thing>", NC_VQA_EXISTENCE, true},
    {"does " PICTURE " " CONTAIN " no <thing>", NC_VQA_EXISTENCE, true},
    {"does " PICTURE " " CONTAIN " <article> <thing>", NC_VQA_EXISTENCE, false},
    {"is|are no <thing> present|visible|shown " PLACE, NC_VQA_EXISTENCE, true},
    {"is|are <article!> <thing> present|visible|shown " PLACE, NC_VQA_EXISTENCE, false},
    {"is the|this <subject> not <article> <quality>", NC_VQA_QUALITY, true},
    {"isn't the|this <subject> <article> <quality>", NC_VQA_QUALITY, true},
    {"is the|this <subject> <article> <quality>", NC_VQA_QUALITY, false},
    {"what <attribute> is the|this <subject>", NC_VQA_VALUE, false},
    {"what is the <attribute> of the|this <subject>", NC_VQA_VALUE, false},
    {"what <subject> is present|shown " PLACE, NC_VQA_VALUE, false},
    {"what <subject> is " PLACE, NC_VQA_VALUE, false},
    {"what <subject> does " PICTURE " " CONTAIN, NC_VQA_VALUE, false},
    {"what is the <thing> <subject>", NC_VQA_VALUE, false},
};

enum { MOST_WORDS = 24 };

struct sentence {
    char text[256]; /* words, each ended by a zero */
    char *words[MOST_WORDS];
    size_t count;
};

/* Lower case; ends of sentences and commas are dropped. */
static bool split(const char *text, struct sentence *sentence)
{
    size_t used = 0;
    sentence->count = 0;
    while (*text) {
        while (*text && (isspace((unsigned char)*text) || strchr("?.,!\"", *text)))
            text++;
        if (!*text)
            break;
        if (sentence->count == MOST_WORDS)
            return false;
        sentence->words[sentence->count++] = sentence->text + used;
        for (; *text && !isspace((unsigned char)*text) && !strchr("?.,!\"", *text); text++) {
            unsigned char letter = (unsigned char)*text;
            if (used + 2 > sizeof sentence->text ||
                !(isalnum(letter) || letter == '-' || letter == '\''))
                return false;
            sentence->text[used++] = (char)tolower(letter);
        }
        sentence->text[used++] = 0;
    }
    return sentence->count > 0;
}

struct match {
    const char *article; /* NULL: the form has none; "": it was left out */
    struct span {
        size_t first, count;
    } thing, subject, quality, attribute;
};

/* How many of `words` the alternative spells, 0 when it does not. */
static size_t spells(const char *alternative, size_t length, char *const *words, size_t count)
{
    size_t used = 0, start = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && alternative[i] != '_')
            continue;
        if (used == count || strlen(words[used]) != i - start ||
            memcmp(words[used], alternative + start, i - start) != 0)
            return 0;
        used++;
        start = i + 1;
    }
    return used;
}

static size_t spells_any(const char *alternatives, size_t length, char *const *words, size_t count)
{
    for (size_t start = 0, i = 0; i <= length; i++) {
        if (i < length && alternatives[i] != '|')
            continue;
        size_t used = spells(alternatives + start, i - start, words, count);
        if (used)
            return used;
        start = i + 1;
    }
    return 0;
}

static bool match_from(const char *pattern, const struct sentence *sentence, size_t at,
                       struct match *match)
{
    pattern += strspn(pattern, " ");
    if (!*pattern)
        return at == sentence->count;
    size_t length = strcspn(pattern, " ");
    const char *rest = pattern + length;
    char *const *words = sentence->words + at;
    size_t left = sentence->count - at;

    if (strncmp(pattern, "<article", 8) == 0) {
        static const char articles[] = "a|an|any|some";
        bool there = left && spells_any(articles, sizeof articles - 1, words, left);
        match->article = there ? words[0] : "";
        if (there)
            return match_from(rest, sentence, at + 1, match);
        return pattern[8] != '!' && match_from(rest, sentence, at, match);
    }
    if (pattern[0] == '<') {
        bool thing = strncmp(pattern, "<thing>", 7) == 0;
        struct span *span = thing                                   ? &match->thing
                            : strncmp(pattern, "<subject>", 9) == 0 ? &match->subject
                            : strncmp(pattern, "<quality>", 9) == 0 ? &match->quality
                                                                    : &match->attribute;
        for (size_t count = 1; count <= (thing ? left : 1) && count <= left; count++) {
            if (match_from(rest, sentence, at + count, match)) {
                *span = (struct span){at, count};
                return true;
            }
        }
        return false;
    }
    if (pattern[0] == '[') {
        size_t used = spells_any(pattern + 1, length - 2, words, left);
        return (used && match_from(rest, sentence, at + used, match)) ||
               match_from(rest, sentence, at, match);
    }
    size_t used = spells_any(pattern, length, words, left);
    return used && match_from(rest, sentence, at + used, match);
}

static const char *article(const char *words)
{
    return strchr("aeiou", words[0]) ? "an " : "a ";
}

/* ---- Claims ------------------------------------------------------------------------ */

static bool put(char *target, const struct sentence *sentence, struct span span)
{
    size_t used = 0;
    target[0] = 0;
    for (size_t i = span.first; i < span.first + span.count; i++) {
        int length = snprintf(target + used, NC_VQA_TEXT - used, "%s%s", used ? " " : "",
                              sentence->words[i]);
        if (length < 0 || (size_t)length >= NC_VQA_TEXT - used)
            return false;
        used += (size_t)length;
    }
    return true;
}

/* Words that make a thing one particular thing, no thing at all, or some number of them. */
static bool starts_vague(const char *text)
{
    static const char *const words[] = {
        "this", "that",   "these",     "those",     "it",        "anyone",  "someone", "anybody",
        "going", "no",    "anything",  "something", "somebody",  "any",     "some",    "one",
        "not",  "other", "somewhere", "anywhere", "still",  "a",         "an",        "the"};
    char first[NC_VQA_TEXT];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, " "), text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i], first) == 0)
            return true;
    }
    return nc_word_is(first, NC_COUNT_WORD) || nc_word_is(first, NC_AMOUNT_WORD) ||
           nc_word_is(first, NC_DETERMINER) || nc_word_is_number(first) || strstr(text, " and ");
}

/* Fills the parts; false when one is too long. */
static bool fill_claim(const struct form *form, const struct match *match,
                       const struct sentence *asked, const struct sentence *said,
                       struct nc_vqa_claim *claim)
{
    bool one =
        match->article && (strcmp(match->article, "a") == 0 || strcmp(match->article, "an") == 0);
    claim->kind = form->kind;
    claim->plural = strncmp(asked->words[0], "are", 3) == 0;
    claim->bare = form->kind == NC_VQA_EXISTENCE && (claim->plural || (match->article && !one));
    claim->noun = form->kind == NC_VQA_QUALITY && one;
    bool value = form->kind == NC_VQA_VALUE;
    return put(claim->thing, asked, match->thing) && put(claim->subject, asked, match->subject) &&
           put(claim->attribute, asked, match->attribute) &&
           put(claim->quality, value ? said : asked,
               value ? (struct span){0, said->count} : match->quality);
}

/* Does the grammar, which knows more words, read the question as the form does? */
static bool confirmed(const struct form *form, struct nc_vqa_claim *claim, bool restated)
{
    char denied[4 * NC_VQA_TEXT];
    if (starts_vague(claim->thing) || starts_vague(claim->subject) || starts_vague(claim->quality))
        return false;
    if (form->negated || form->kind == NC_VQA_VALUE)
        return true;
    if (!restated)
        return false;
    if (form->kind == NC_VQA_EXISTENCE) {
        const char *denial = strstr(claim->statement.denied, "there ");
        if (denial && strstr(denial, " not ") && !strstr(denial, " no "))
            return false; /* "there are not an even number of people": no thing that is missing */
        claim->plural |= strncmp(claim->statement.denied, "there are ", 10) == 0;
        claim->bare |= claim->plural;
        return true;
    }
    snprintf(denied, sizeof denied, "the %s is not %s%s", claim->subject,
             claim->noun ? article(claim->quality) : "", claim->quality);
    return strcasecmp(denied, claim->statement.denied) == 0;
}

bool nc_vqa_read(const char *question, const char *answer, struct nc_vqa_claim *claim,
                 const char **reason)
{
    struct sentence asked, said;
    struct nc_vqa_statement statement;
    *claim = (struct nc_vqa_claim){0};
    bool restated = nc_vqa_restate(question, &statement, reason);
    claim->statement = statement;
    if (!split(question, &asked) || !split(answer, &said)) {
        *reason = "too long, empty, or not plain English letters";
        return false;
    }
    bool yes = said.count == 1 && strcmp(said.words[0], "yes") == 0;
    bool no = said.count == 1 && strcmp(said.words[0], "no") == 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *form = &forms[i];
        struct match match = {0};
        if (!match_from(form->pattern, &asked, 0, &match))
            continue;
        if ((form->kind == NC_VQA_VALUE) == (yes || no)) {
            *reason = yes || no ? "answered yes or no, but asks for a word"
                                : "answered neither yes nor no";
            return false;
        }
        bool fits = fill_claim(form, &match, &asked, &said, claim);
        if (fits && confirmed(form, claim, restated)) {
            claim->holds = form->kind == NC_VQA_VALUE || yes != form->negated;
            return true;
        }
        if (form->negated || form->kind == NC_VQA_VALUE) {
            *reason = fits ? "asks about one particular thing" : "too long";
            return false;
        }
        break;
    }
    if (restated && !yes && !no)
        *reason = "answered neither yes nor no";
    if (!restated || (!yes && !no))
        return false;
    *claim = (struct nc_vqa_claim){.kind = NC_VQA_STATEMENT, .holds = yes, .statement = statement};
    return true;
}

/* ---- Sentences --------------------------------------------------------------------- */

/* A sentence that says what is there and what is not ("a circle that is not red") is chosen more
 * often: neither half alone tells its picture from the others. */
static const struct nc_vqa_phrasing phrasings[] = {
    {"there {is} no {thing}", "there {is} {a thing}", true, 1},
    {"there {is} no {thing} in the picture", "there {is} {a thing} in the picture", true, 1},
    {"there {is} not {a thing} in the picture", "there {is} {a thing} in the picture", true, 1},
    {"the picture does not contain {a thing}", "the picture contains {a thing}", true, 1},
    {"the image does not show {a thing}", "the image shows {a thing}", true, 1},
    {"no {thing} {is} present", "{a thing} {is} present", true, 1},
    {"a picture without {a thing}", "a picture with {a thing}", true, 1},
    {"a picture with no {thing}", "a picture with {a thing}", true, 1},
    {"a picture that is not of {a thing}", "a picture of {a thing}", true, 1},
    {"not {a thing}", "{a thing}", true, 1},
    {"{a subject} that is not {quality}", "{a subject} that is {quality}", true, 1},
    {"the {subject} is not {quality}", "the {subject} is {quality}", true, 1},
    {"{a known} that is not {quality}", "{a known} that is {quality}", true, 3},
    {"{a known}, not {quality}", "{a known} that is {quality}", false, 3},
    {"{a known}, but not {quality}", "{a known} that is {quality}", false, 3},
    {"there is {a known} but no {thing}", "there is {a known} and {a thing}", false, 3},
    {"{caption}, and there {is} no {thing}", "{caption}, and there {is} {a thing}", false, 1},
    {"{caption}, with no {thing}", "{caption}, with {a thing}", false, 1},
    {"{caption} without {a thing}", "{caption} with {a thing}", false, 1},
    {"{denial}", "{assertion}", true, 1},
    {"{caption}, and {denial}", "{caption}, and {assertion}", false, 2},
    {"{caption}, but {denial}", "{caption}, and {assertion}", false, 1},
    {"{caption}; {denial}", "{caption}; {assertion}", false, 1},
};

const struct nc_vqa_phrasing *nc_vqa_phrasings(size_t *count)
{
    *count = sizeof phrasings / sizeof *phrasings;
    return phrasings;
}

/* What fills a slot: its article, its text (NULL: nothing) and how many bytes of that. */
static const char *slot_text(const char *name, size_t length, const struct nc_vqa_slots *slots,
                             const char **before, size_t *bytes)
{
    const char *text = NULL;
    *before = "";
    if (length > 2 && memcmp(name, "a ", 2) == 0) {
        const char *noun = name + 2;
        text = *noun == 't' ? slots->thing : *noun == 's' ? slots->subject : slots->known;
        if (text && !(*noun == 't' && slots->bare))
            *before = article(text);
    } else if (length == 2) { /* is */
        text = slots->plural ? "are" : "is";
    } else {
        text = *name == 't'   ? slots->thing
               : *name == 's' ? slots->subject
               : *name == 'q' ? slots->quality
               : *name == 'd' ? slots->denial
               : *name == 'a' ? slots->assertion
                              : slots->caption;
        if (text && *name == 'q' && slots->noun)
            *before = article(text);
    }
    *bytes = text ? strlen(text) : 0;
    if (*name == 'c') {
        while (*bytes && strchr(". \t\r\n", text[*bytes - 1]))
            --*bytes;
    }
    return *bytes ? text : NULL;
}

char *nc_vqa_fill(const char *sentence, const struct nc_vqa_slots *slots)
{
    struct nc_text_stream stream;
    nc_text_stream_open(&stream);
    FILE *out = stream.file;
    if (!out)
        return NULL;
    bool filled = true;
    while (*sentence && filled) {
        size_t plain = strcspn(sentence, "{");
        fwrite(sentence, 1, plain, out);
        sentence += plain;
        if (!*sentence)
            break;
        size_t length = strcspn(++sentence, "}"), bytes;
        const char *before;
        const char *text = slot_text(sentence, length, slots, &before, &bytes);
        filled = text != NULL;
        if (filled) {
            fputs(before, out);
            fwrite(text, 1, bytes, out);
        }
        sentence += length + 1;
    }
    char *result = nc_text_stream_close(&stream);
    if (result && !filled) {
        free(result);
        result = NULL;
        errno = 0;
    }
    return result;
}
