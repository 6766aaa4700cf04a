/* Parts a caption into what it affirms and what it denies. */
#include "nclip/negation/split.h"

#include "nclip/negation/lexicon.h"
#include "nclip/negation/strip.h"
#include "nclip/negation/words.h"
#include "nclip/support/error.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_TOKENS = 256, TOKEN = 40, NONE = -1 };

/* Words and marks. Behind the last one that is looked at, all is affirmed. */
struct token {
    size_t start, end;
    char low[TOKEN]; /* "": longer, so none of those that matter */
};

struct sentence {
    const char *text;
    struct token tokens[MOST_TOKENS];
    int count;
};

struct output {
    char *text;
    size_t used;
};

static bool in(const char *word, const char *list)
{
    size_t length = strlen(word);
    for (const char *at = list; length && (at = strstr(at, word)); at++)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

static bool is_word(unsigned char byte)
{
    return isalnum(byte) || byte >= 0x80 || byte == '\'' || byte == '-' || byte == '_';
}

static void tokenize(const char *text, struct sentence *s)
{
    s->text = text;
    s->count = 0;
    for (size_t at = 0; text[at] && s->count < MOST_TOKENS;) {
        struct token *token = &s->tokens[s->count];
        if (isspace((unsigned char)text[at])) {
            at++;
            continue;
        }
        *token = (struct token){.start = at, .end = at + 1};
        while (is_word((unsigned char)text[at]) && is_word((unsigned char)text[token->end]))
            token->end++;
        size_t length = token->end - token->start;
        for (size_t i = 0; length < TOKEN && i < length; i++)
            token->low[i] = (char)tolower((unsigned char)text[at + i]);
        at = token->end;
        s->count++;
    }
}

static const char *low(const struct sentence *s, int k)
{
    return k >= 0 && k < s->count ? s->tokens[k].low : "";
}

/* The words [first, end) as they stand; at its begin a blank, or `glue`, where something is
 * before. */
static void put(struct output *out, const struct sentence *s, int first, int end, const char *glue)
{
    if (first >= end)
        return;
    if (out->used) {
        size_t length = strlen(glue);
        memcpy(out->text + out->used, glue, length);
        out->used += length;
    }
    size_t length = s->tokens[end - 1].end - s->tokens[first].start;
    memcpy(out->text + out->used, s->text + s->tokens[first].start, length);
    out->used += length;
    out->text[out->used] = 0;
}

static void put_word(struct output *out, const char *word)
{
    out->used += (size_t)sprintf(out->text + out->used, "%s%s", out->used ? " " : "", word);
}

/* ---- Where clauses begin and end ---- */

static bool is_mark(const struct sentence *s, int k)
{
    const char *word = low(s, k);
    return strlen(word) == 1 && strchr(".,;:!?\"()", *word);
}

/* "and" before what is another clause, or another thing that is there. */
static bool starts_anew(const struct sentence *s, int k, bool without)
{
    const char *next = low(s, k + 1);
    return in(low(s, k), "and") && (in(next, "there the it he she they with is are was were has "
                                             "have had some several many this that "
                                             "no not without") ||
                                    nc_word_is_number(next) || (!without && in(next, "a an")));
}

static int clause_end(const struct sentence *s, int k, bool without)
{
    while (k < s->count && !is_mark(s, k) && !in(low(s, k), "but while although though because") &&
           !starts_anew(s, k, without))
        k++;
    return k;
}

/* The begin of the clause that word k lies in, not before `from`. */
static int clause_start(const struct sentence *s, int k, int from)
{
    while (k > from && !is_mark(s, k - 1) &&
           !in(low(s, k - 1), "that which who but while although though because") &&
           !starts_anew(s, k - 1, false))
        k--;
    return k;
}

static bool is_pronoun(const char *word)
{
    return in(word, "this that it these those there he she they i we you here");
}

static bool is_auxiliary(const char *word)
{
    return in(word,
              "is are was were am be being been do does did has have had can could will would "
              "should may might must shall");
}

/* ---- One denial ---- */

static bool is_picture(const char *word)
{
    return in(word, "image picture photo photograph scene frame shot");
}

/* "visible in the picture", "in sight", "included": says only that something is there. */
static bool says_seen(const struct sentence *s, int k)
{
    const char *word = low(s, k), *next = low(s, k + 1), *noun = low(s, k + 2);
    if (in(word, "visible present included shown seen featured depicted anywhere nearby"))
        return true;
    if (in(word, "in within from") &&
        (in(next, "sight view") ||
         (in(next, "the this that") && (is_picture(noun) || in(noun, "background")))))
        return true;
    return in(word, "to") && in(next, "be") && in(noun, "seen found");
}

/* Behind "the presence of", "any sign of", "a single": what there is none of. */
static int thing_start(const struct sentence *s, int k)
{
    int at = k;
    while (in(low(s, at), "of any the a an single") && at - k < 3)
        at++;
    if (in(low(s, at), "presence sign signs indication trace traces evidence hint") &&
        in(low(s, at + 1), "of"))
        return thing_start(s, at + 2);
    if (in(low(s, k), "of any") || (in(low(s, k + 1), "single") && at > k + 1))
        return in(low(s, k), "of any") ? thing_start(s, k + 1) : at;
    return k;
}

/* Takes the end off that says no more than that nothing is to be seen. */
static int without_tail(const struct sentence *s, int first, int end)
{
    static const char *const tails[] = {"in sight",
                                        "in view",
                                        "at all",
                                        "on it",
                                        "in it",
                                        "on them",
                                        "in them",
                                        "to be seen",
                                        "anywhere",
                                        "nearby",
                                        "around",
                                        "present",
                                        "visible",
                                        "shown",
                                        "here",
                                        "there",
                                        "in the picture",
                                        "in the image",
                                        "in the photo",
                                        "in the scene",
                                        "in this picture",
                                        "in this image",
                                        "in this photo",
                                        "on him",
                                        "on her",
                                        NULL};
    for (int i = 0; tails[i]; i++) {
        int words = 1;
        for (const char *at = tails[i]; *at; at++)
            words += *at == ' ';
        if (end - first <= words)
            continue;
        char tail[96] = "";
        for (int k = end - words; k < end; k++)
            snprintf(tail + strlen(tail), sizeof tail - strlen(tail), "%s%s", *tail ? " " : "",
                     low(s, k));
        if (strcmp(tail, tails[i]) == 0)
            return without_tail(s, first, end - words);
    }
    return end;
}

/* "no cars", "without a hat", "lacks ...", "absence of ...": [*start, *end) denies it. */
static void deny_thing(const struct sentence *s, int k, int from, struct output *denied, int *start,
                       int *end)
{
    int thing = thing_start(s, k + 1), behind = thing + 1;
    bool without = in(low(s, k), "without");
    *end = clause_end(s, thing, without);
    for (int at = thing + 1; at < *end; at++)
        if (in(low(s, at), "as where which while although instead"))
            *end = at;
    /* "no car can be seen", "no cup is here": the thing ends at its verb. */
    behind = behind < *end ? behind : *end;
    while (behind < *end && !is_auxiliary(low(s, behind)) && !says_seen(s, behind))
        behind++;
    *start = k;
    while (*start > from && in(low(s, *start - 1), "a an the"))
        --*start; /* "the absence of" */
    int verb = *start;
    if (verb > from && nc_word_is_ing(low(s, verb - 1)) &&
        !in(low(s, verb - 1), "having containing showing featuring"))
        verb = --*start; /* "wearing no hat" */
    while (*start > from && !is_mark(s, *start - 1) &&
           in(low(s, *start - 1),
              "with but and has have had having contains contain containing shows "
              "show showing featuring there is are was were that which who"))
        --*start;
    put(denied, s, verb, verb < k && verb != k && nc_word_is_ing(low(s, verb)) ? verb + 1 : verb,
        denied->used ? " and " : "");
    bool ing = verb < k && nc_word_is_ing(low(s, verb));
    put(denied, s, thing, without_tail(s, thing, behind), ing ? " " : " and ");
}

/* "a red shape" of "a shape" and "red"; "a picture of a red shape" of "a picture of a shape". */
static void put_quality(struct output *denied, const struct sentence *s, int first, int end,
                        int quality)
{
    if (first + 3 < end &&
        in(low(s, first + 1), "picture photo image photograph drawing painting") &&
        in(low(s, first + 2), "of")) {
        put(denied, s, first, first + 3, " ");
        first += 3;
    }
    bool article = in(low(s, first), "a an the") && first + 1 < end;
    if (article)
        put_word(denied, in(low(s, first), "the")              ? "the"
                         : strchr("aeiou", low(s, quality)[0]) ? "an"
                                                               : "a");
    put(denied, s, quality, quality + 1, " ");
    put(denied, s, first + article, end, " ");
}

/* "is not", "isn't", "not", "never", "cannot" at [k, behind): what is denied of what. */
static void deny_predicate(const struct sentence *s, int k, int behind, int from,
                           struct output *denied, int *start, int *end)
{
    bool joined = !in(low(s, k), "not never"); /* the verb and its n't, cannot */
    int verb = joined ? k : k > from && is_auxiliary(low(s, k - 1)) ? k - 1 : k;
    int subject = clause_start(s, verb, from), head_end = verb;
    bool be = joined ? in(low(s, k), "isn't aren't wasn't weren't ain't") || low(s, k)[0] == 'i'
                     : verb == k || in(low(s, verb), "is are was were am be being");
    *end = clause_end(s, behind, false);
    while (*end > behind + 1 && in(low(s, *end - 1), "and or"))
        --*end;
    *start = verb;
    /* Behind "that": it is said of what stands before. */
    if (subject == verb && subject > from && in(low(s, subject - 1), "that which who")) {
        *start = head_end = subject - 1;
        subject = clause_start(s, head_end, from);
    } else if (subject == verb && subject > from && in(low(s, subject - 1), "but and")) {
        *start = subject - 1;
        head_end = subject;
    }
    /* "the zebra that is standing and not eating" */
    if (subject < head_end && is_auxiliary(low(s, subject)) && subject > from &&
        in(low(s, subject - 1), "that which who"))
        subject = clause_start(s, subject - 1, from);
    while (*start > from && is_mark(s, *start - 1) && verb == k && !joined)
        --*start;
    if (subject < head_end && (is_pronoun(low(s, subject)) && head_end - subject == 1))
        *start = head_end = subject;
    int last = without_tail(s, behind, *end);
    while (in(low(s, behind), "any") && behind + 1 < last)
        behind++;
    const char *first = low(s, behind);
    bool head = subject < head_end;
    if (denied->used)
        put_word(denied, "and");
    if (be && head && (behind >= *end || says_seen(s, behind))) { /* "a chair is not included" */
        put(denied, s, subject, head_end, " ");
        *start = subject;
        return;
    }
    if (!be && in(first, "include contain show feature depict display") &&
        (!head || is_picture(low(s, head_end - 1)))) { /* "the picture does not show a dog" */
        while (in(low(s, behind + 1), "any") && behind + 2 < last)
            behind++;
        put(denied, s, behind + 1, last, " ");
        return;
    }
    if (be && head && last == behind + 1 && nc_word_is_adjective(first)) {
        put_quality(denied, s, subject, head_end, behind);
        return;
    }
    bool noun = be && (nc_word_is(first, NC_DETERMINER) || !head);
    if (head && !noun)
        put(denied, s, subject, head_end, " ");
    if (!be && in(first, "have has") && last > behind + 1) {
        if (head)
            put_word(denied, "with");
        behind++;
    } else if (!be && !noun) {
        size_t bytes = 0;
        char aux[TOKEN];
        struct nc_negation_match match = {.start = s->tokens[k].start, .end = s->tokens[k].end};
        if (joined)
            bytes = nc_negation_verb(s->text, &match);
        snprintf(aux, sizeof aux, "%.*s", (int)bytes, s->text + match.start);
        put_word(denied, !joined                                    ? low(s, verb)
                         : in(low(s, k), "cannot") || in(aux, "ca") ? "can"
                         : in(aux, "wo")                            ? "will"
                         : in(aux, "sha")                           ? "shall"
                                                                    : aux);
    }
    put(denied, s, behind, last, " ");
}

/* All other words: their clause without its negation. */
static int deny_clause(const struct sentence *s, int k, int from, struct output *denied, int *start,
                       int *end)
{
    const char *reason;
    *end = clause_end(s, k + 1, false);
    *start = clause_start(s, k, from);
    if (k > from && in(low(s, k - 1), "with has have on in at by")) /* "with nobody on it" */
        *start = k;
    size_t length = s->tokens[*end - 1].end - s->tokens[*start].start;
    char *clause = strndup(s->text + s->tokens[*start].start, length);
    char *stripped = clause ? nc_negation_strip(clause, &reason) : NULL;
    bool memory = clause != NULL;
    free(clause);
    if (stripped && denied->used)
        put_word(denied, "and");
    char *who = stripped;
    if (stripped &&
        (strncasecmp(stripped, "someone ", 8) == 0 || strncasecmp(stripped, "somebody ", 9) == 0)) {
        put_word(denied, "a person");
        who = strchr(stripped, ' ') + 1;
    }
    if (stripped)
        put_word(denied, who);
    free(stripped);
    return memory ? NC_OK : nc_error(NC_FAILED, "no memory to split a caption");
}

/* ---- All of them ---- */

/* Takes marks and words that join two parts off both ends. */
static char *tidy(char *text, bool affirmed)
{
    static const char joining[] =
        "and but with that which who while although though is are there there's "
        "as where";
    char *start = text + strspn(text, " \t\r\n,;:.!?"), word[TOKEN];
    for (;;) {
        size_t length = strcspn(start, " ,;");
        snprintf(word, sizeof word, "%.*s", (int)length, start);
        if (!in(word, "and but while although though as where which instead however just") ||
            length >= sizeof word)
            break;
        start += length;
        start += strspn(start, " ,;");
    }
    size_t size = strlen(start);
    for (;;) {
        while (size && strchr(" \t\r\n,;:.", start[size - 1]))
            size--;
        size_t at = size;
        while (at && start[at - 1] != ' ')
            at--;
        snprintf(word, sizeof word, "%.*s", (int)(size - at), start + at);
        if (size - at >= sizeof word || !in(word, joining))
            break;
        size = at;
    }
    size_t used = 0; /* a comma behind a comma stood around what went */
    for (size_t i = 0; i < size; i++) {
        size_t before = used;
        while (before && text[before - 1] == ' ')
            before--;
        if (start[i] == ',' && before && text[before - 1] == ',')
            continue;
        text[used++] = start[i];
    }
    text[size = used] = 0;
    /* "the picture", "this image": affirms nothing. */
    const char *noun = strrchr(text, ' ');
    char article[8];
    snprintf(article, sizeof article, "%.*s", noun ? (int)(noun - text) : 0, text);
    for (char *at = article; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    if (affirmed && noun && noun - text < 5 && in(article, "a an the this that") &&
        is_picture(noun + 1))
        return NULL;
    bool letters = false;
    for (size_t i = 0; i < size; i++)
        letters |= isalnum((unsigned char)text[i]) || (unsigned char)text[i] >= 0x80;
    return letters ? text : NULL;
}

static int split_parts(const struct sentence *s, struct output *affirmed, struct output *denied)
{
    struct nc_negation_match match = {0};
    size_t length = strlen(s->text), copied = 0;
    int from = 0, status = NC_OK;
    while (status == NC_OK && nc_denial_find(s->text, length, match.end, &match)) {
        int k = from, behind, start, end;
        while (k < s->count && s->tokens[k].end <= match.start)
            k++;
        for (behind = k; behind < s->count && s->tokens[behind].start < match.end;)
            behind++;
        if (k == s->count || s->tokens[k].start < copied)
            continue; /* inside of what is denied already */
        const char *word = nc_negation_word(match.word);
        bool one = in(word, "no") && in(low(s, behind), "one longer");
        if (in(word, "no without lacks lacking lacked lack absence") && !one)
            deny_thing(s, k, from, denied, &start, &end);
        else if (in(word, "not n't never cannot"))
            deny_predicate(s, k, behind, from, denied, &start, &end);
        else
            status = deny_clause(s, k, from, denied, &start, &end);
        if (status != NC_OK)
            break;
        size_t stop = start > 0 ? s->tokens[start - 1].end : 0;
        if (stop > copied) {
            memcpy(affirmed->text + affirmed->used, s->text + copied, stop - copied);
            affirmed->used += stop - copied;
        }
        copied = end > 0 ? s->tokens[end - 1].end : copied;
        from = end;
        if (match.end < copied)
            match.end = copied;
    }
    strcpy(affirmed->text + affirmed->used, s->text + copied);
    return status;
}

int nc_negation_split(const char *caption, struct nc_negation_split *split)
{
    struct sentence *s = malloc(sizeof *s);
    size_t room = 4 * strlen(caption) + 64;
    struct output affirmed = {.text = calloc(1, room)}, denied = {.text = calloc(1, room)};
    int status = NC_OK;
    *split = (struct nc_negation_split){0};
    if (!s || !affirmed.text || !denied.text)
        status = nc_error(NC_FAILED, "no memory to split a caption");
    if (status == NC_OK) {
        tokenize(caption, s);
        status = split_parts(s, &affirmed, &denied);
    }
    if (status == NC_OK && denied.used) {
        split->affirmed = tidy(affirmed.text, true);
        split->denied = tidy(denied.text, false);
    } else if (status == NC_OK) {
        split->affirmed = strcpy(affirmed.text, caption);
    }
    free(s);
    if (!split->affirmed)
        free(affirmed.text);
    if (!split->denied)
        free(denied.text);
    return status;
}

void nc_negation_split_free(struct nc_negation_split *split)
{
    free(split->affirmed);
    free(split->denied);
    *split = (struct nc_negation_split){0};
}
