/* The rules by which a model's answer is cleaned, and accepted or rejected. */
#include "nclip/chat/quality.h"

#include "nclip/negation/sentence.h"
#include "nclip/negation/words.h"
#include "nclip/support/error.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    LONGEST_ANSWER = 4096, /* bytes: longer ones are not looked at */
    OBJECT_WORDS = 3,
    MORE_WORDS = 20, /* that a rewritten caption may have */
    KEPT_OF = 6,     /* one word of so many may change its form or go */
    BEFORE = 6,      /* words from a negation to the object that it denies */
    BEHIND = 4,      /* words from an object to the negation behind it */
};

static const struct {
    const char *name, *text;
} reasons[NC_QUALITY_REASONS] = {
    [NC_QUALITY_GOOD] = {"good", "passed"},
    [NC_QUALITY_EMPTY] = {"empty", "the answer is empty"},
    [NC_QUALITY_REFUSED] = {"refused", "the model refuses, or talks instead of answering"},
    [NC_QUALITY_RUN_ON] = {"run_on", "the answer runs on"},
    [NC_QUALITY_NOT_TEXT] = {"not_text", "the answer is no plain English text"},
    [NC_QUALITY_NO_OBJECT] = {"no_object", "the answer names no object"},
    [NC_QUALITY_MENTIONED] = {"mentioned", "the caption mentions the object"},
    [NC_QUALITY_NO_PICTURE] = {"no_picture", "the picture is missing or no JPEG or PNG"},
    [NC_QUALITY_UNSURE] = {"unsure", "the vision model says neither yes nor no"},
    [NC_QUALITY_NO_NEGATION] = {"no_negation", "the rewritten caption denies nothing"},
    [NC_QUALITY_NOT_DENIED] = {"not_denied", "it denies something else than the object"},
    [NC_QUALITY_CONTENT_LOST] = {"content_lost", "words of the caption are gone"},
    [NC_QUALITY_ADDED] = {"added", "it says more than the caption and the object do"},
    [NC_QUALITY_TOO_LONG] = {"too_long", "it is longer than CLIP reads"},
};

const char *nc_quality_name(enum nc_quality reason)
{
    return reasons[reason].name;
}

const char *nc_quality_text(enum nc_quality reason)
{
    return reasons[reason].text;
}

const char *nc_quality_advice(enum nc_quality reason)
{
    switch (reason) {
    case NC_QUALITY_EMPTY:
    case NC_QUALITY_RUN_ON:
    case NC_QUALITY_NOT_TEXT:
        return "--rejects FILE lists all; a model that reasons before it answers needs "
               "--reasoning-tokens, one that talks other prompts (--prompts)";
    case NC_QUALITY_NO_PICTURE:
        return "--rejects FILE lists all; look at --images";
    default:
        return "--rejects FILE lists all; --prompts takes prompts of your own";
    }
}

/* ---- Any answer ---------------------------------------------------------------------- */

/* Length of the quote, emphasis or space at `text`, 0 when something else is there. */
static size_t wrapping(const char *text)
{
    if (strchr(" \t\r\n\"'`*_", *text) && *text)
        return 1;
    return strncmp(text, "\xe2\x80\x9c", 3) == 0 || strncmp(text, "\xe2\x80\x9d", 3) == 0 ||
                   strncmp(text, "\xe2\x80\x98", 3) == 0 || strncmp(text, "\xe2\x80\x99", 3) == 0
               ? 3
               : 0;
}

static void strip(const char **start, const char **end)
{
    size_t step;
    while (*start < *end && (step = wrapping(*start)))
        *start += step;
    while (*start < *end && (wrapping(*end - 1) ||
                             (*end - *start >= 3 && wrapping(*end - 3) == 3) || (*end)[-1] == '.'))
        *end -= wrapping(*end - 1) || (*end)[-1] == '.' ? 1 : 3;
}

/* "Caption: a dog" begins at "a dog". */
static const char *behind_label(const char *start, const char *end)
{
    static const char *const labels[] = {"caption",     "updated caption", "new caption", "answer",
                                         "the caption", "object",          "output",      "result"};
    const char *colon = memchr(start, ':', (size_t)(end - start));
    for (size_t i = 0; colon && i < sizeof labels / sizeof *labels; i++) {
        if (strlen(labels[i]) == (size_t)(colon - start) &&
            strncasecmp(start, labels[i], (size_t)(colon - start)) == 0)
            return colon + 1;
    }
    return start;
}

static bool refuses(const char *text)
{
    const char *list = nc_words_list("refusals");
    while (*list) {
        size_t length = strcspn(list, "\n");
        if (length && list[0] == '^' && strncasecmp(text, list + 1, length - 1) == 0)
            return true;
        if (length && list[0] != '^' && list[0] != '#' && length < NC_WORD_LENGTH) {
            char piece[NC_WORD_LENGTH];
            memcpy(piece, list, length);
            piece[length] = 0;
            if (strcasestr(text, piece))
                return true;
        }
        list += length + (list[length] == '\n');
    }
    return false;
}

/* Letters of Western Europe, digits, the punctuation of sentences; of the rest only what the
 * caption has too. Small models slip into other scripts and into markup. */
static bool is_plain(const char *text, const char *caption)
{
    while (*text) {
        utf8proc_int32_t code;
        char character[5] = "";
        utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &code);
        if (length < 0 || code < ' ' || code == 0x7f)
            return false;
        memcpy(character, text, (size_t)length);
        bool usual = code < 0x80
                         ? !strchr("$<>{}[]|\\^#=_~@", code)
                         : (code >= 0xc0 && code <= 0xff) || (code >= 0x2010 && code <= 0x2027);
        if (!usual && !strstr(caption, character))
            return false;
        text += length;
    }
    return true;
}

/* What all answers must be, and the cleaned answer. */
static enum nc_quality clean_answer(const char *answer, const char *caption, bool cut, char **clean)
{
    *clean = NULL;
    size_t size = strnlen(answer, LONGEST_ANSWER + 1);
    if (size > LONGEST_ANSWER)
        return NC_QUALITY_RUN_ON;
    const char *start = answer, *end = answer + size;
    strip(&start, &end);
    start = behind_label(start, end);
    strip(&start, &end);
    if (start == end)
        return cut ? NC_QUALITY_RUN_ON : NC_QUALITY_EMPTY;
    *clean = strndup(start, (size_t)(end - start));
    if (!*clean)
        return NC_QUALITY_NO_MEMORY;
    if (refuses(*clean))
        return NC_QUALITY_REFUSED;
    if (cut || strpbrk(*clean, "\r\n"))
        return NC_QUALITY_RUN_ON;
    return is_plain(*clean, caption) ? NC_QUALITY_GOOD : NC_QUALITY_NOT_TEXT;
}

/* ---- Objects ------------------------------------------------------------------------- */

static void drop_article(char *object)
{
    static const char *const articles[] = {"a ", "an ", "the ", "some "};
    for (size_t i = 0; i < sizeof articles / sizeof *articles; i++) {
        size_t length = strlen(articles[i]);
        if (strncmp(object, articles[i], length) == 0) {
            memmove(object, object + length, strlen(object + length) + 1);
            return;
        }
    }
}

enum nc_quality nc_quality_object(const struct nc_synonyms *synonyms, const char *caption,
                                  const char *answer, bool cut, char **clean)
{
    struct nc_words words;
    enum nc_quality quality = clean_answer(answer, caption, cut, clean);
    if (quality != NC_QUALITY_GOOD)
        return quality;
    for (char *at = *clean; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    drop_article(*clean);
    nc_words_split(*clean, &words);
    if (words.count > OBJECT_WORDS || strpbrk(*clean, ",;:!?()/"))
        return NC_QUALITY_RUN_ON;
    bool thing = words.count > 0 && strpbrk(*clean, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < words.count && thing; i++)
        thing = !nc_words_in(nc_words_list("not_objects"), words.items[i].text);
    if (!thing)
        return NC_QUALITY_NO_OBJECT;
    return nc_synonyms_mention(synonyms, caption, *clean) ? NC_QUALITY_MENTIONED : NC_QUALITY_GOOD;
}

/* ---- Yes or no ----------------------------------------------------------------------- */

enum nc_quality nc_quality_verdict(const char *answer, bool *absent)
{
    static const char hedges[] = "idea sure certain uncertain clear unclear way know maybe perhaps "
                                 "possibly cannot can't unable tell but however\n";
    static const char *const denials[] = {"there is no ",  "there are no ", "there isn't ",
                                          "there aren't ", "there is not ", "there are not "};
    struct nc_words words;
    bool yes = false, also_no = false, hedged = false;
    char *clean;
    *absent = false;
    enum nc_quality quality = clean_answer(answer, "", false, &clean);
    /* How it goes on does not matter where it begins with a plain word. */
    if (quality != NC_QUALITY_GOOD && quality != NC_QUALITY_RUN_ON) {
        free(clean);
        return quality;
    }
    nc_words_split(clean ? clean : "", &words);
    for (size_t i = 0; i < words.count; i++) {
        yes |= strcmp(words.items[i].text, "yes") == 0;
        also_no |= i > 0 && strcmp(words.items[i].text, "no") == 0;
        hedged |= nc_words_in(hedges, words.items[i].text);
    }
    bool no = words.count && strcmp(words.items[0].text, "no") == 0;
    for (size_t i = 0; clean && i < sizeof denials / sizeof *denials; i++)
        no |= strncasecmp(clean, denials[i], strlen(denials[i])) == 0;
    free(clean);
    if (hedged || yes == no || (yes && (also_no || strcmp(words.items[0].text, "yes") != 0)))
        return quality == NC_QUALITY_RUN_ON && !words.count ? quality : NC_QUALITY_UNSURE;
    *absent = no;
    return NC_QUALITY_GOOD;
}

/* ---- Rewritten captions -------------------------------------------------------------- */

static size_t count_negations(const char *text)
{
    struct nc_negation_match match = {0};
    size_t count = 0, length = strlen(text);
    while (nc_denial_find(text, length, match.end, &match))
        count++;
    return count;
}

static bool between_all(const struct nc_words *words, size_t first, size_t last, const char *list,
                        bool wanted)
{
    for (size_t i = first; i < last; i++) {
        if (nc_words_in(list, words->items[i].text) != wanted)
            return false;
    }
    return true;
}

/* Whether the negation word number `negation` denies the words first .. last. */
static bool denies(const struct nc_words *words, size_t negation, size_t first, size_t last)
{
    static const char breaks[] = "and but only just with while because or\n";
    static const char copulas[] = "is are was were be being that which there currently clearly\n";
    static const char behind[] = "not isn't aren't wasn't weren't absent nowhere lacking\n";
    if (negation < first)
        return first - negation <= BEFORE && between_all(words, negation + 1, first, breaks, false);
    return negation > last && negation - last <= BEHIND &&
           nc_words_in(behind, words->items[negation].text) &&
           between_all(words, last + 1, negation, copulas, true);
}

static bool denies_object(const struct nc_synonyms *synonyms, const char *text,
                          const struct nc_words *words, const struct nc_words *object)
{
    size_t length = strlen(text);
    for (size_t from = 0, first, last; nc_words_find(synonyms, words, object, from, &first, &last);
         from = first + 1) {
        struct nc_negation_match match = {0};
        size_t negation = 0;
        while (nc_denial_find(text, length, match.end, &match)) {
            while (negation < words->count && words->items[negation].end < match.end)
                negation++;
            if (negation < words->count && denies(words, negation, first, last))
                return true;
        }
    }
    return false;
}

/* Words with content in `from` whose root is in none of the others. */
static void count_missing(const struct nc_words *from, const struct nc_words *const others[],
                          size_t count, size_t *content, size_t *missing)
{
    const char *function_words = nc_words_list("function_words");
    *content = *missing = 0;
    for (size_t i = 0; i < from->count; i++) {
        char root[NC_WORD_LENGTH], other[NC_WORD_LENGTH];
        bool found = false;
        if (nc_words_in(function_words, from->items[i].text))
            continue;
        nc_words_root(&from->items[i], root);
        for (size_t k = 0; k < count && !found; k++) {
            for (size_t j = 0; j < others[k]->count && !found; j++) {
                nc_words_root(&others[k]->items[j], other);
                found = strcmp(root, other) == 0;
            }
        }
        ++*content;
        *missing += !found;
    }
}

static enum nc_quality check_length(const struct nc_tokenizer *tokenizer, const char *text)
{
    struct nc_tokens tokens = {0};
    int status = tokenizer ? nc_tokenizer_encode(tokenizer, text, strlen(text), NC_CLIP_CONTEXT,
                                                 NC_TRUNCATE, &tokens)
                           : NC_OK;
    bool longer = tokens.truncated;
    nc_tokens_free(&tokens);
    if (status == NC_FAILED)
        return NC_QUALITY_NO_MEMORY;
    return longer || status != NC_OK ? NC_QUALITY_TOO_LONG : NC_QUALITY_GOOD;
}

enum nc_quality nc_quality_statement(const struct nc_synonyms *synonyms, const char *caption,
                                     const char *object, const char *also, const char *answer,
                                     bool cut, const struct nc_tokenizer *tokenizer, char **clean)
{
    struct nc_words words, source, thing, more;
    const struct nc_words *allowed[] = {&source, &thing, &more}, *kept[] = {&words};
    size_t content, missing;
    enum nc_quality quality = clean_answer(answer, caption ? caption : "", cut, clean);
    if (quality != NC_QUALITY_GOOD)
        return quality;
    nc_words_split(*clean, &words);
    nc_words_split(caption ? caption : "", &source);
    nc_words_split(object ? object : "", &thing);
    nc_words_split(also ? also : "", &more);
    if (words.count > source.count + more.count + MORE_WORDS)
        return NC_QUALITY_RUN_ON;
    if (count_negations(*clean) <= count_negations(caption ? caption : ""))
        return NC_QUALITY_NO_NEGATION;
    if (object && !denies_object(synonyms, *clean, &words, &thing))
        return NC_QUALITY_NOT_DENIED;
    count_missing(&source, kept, 1, &content, &missing);
    if (missing * KEPT_OF > content)
        return NC_QUALITY_CONTENT_LOST;
    count_missing(&words, allowed, 3, &content, &missing);
    if (missing)
        return NC_QUALITY_ADDED;
    return check_length(tokenizer, *clean);
}
