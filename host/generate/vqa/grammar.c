/* Turns a question into two statements, one that denies and one that affirms. It finds subject and
 * predicate first; then it puts the auxiliary between them, with "not", or denies the subject
 * itself ("no one", "not all the dogs"). This file tells the forms of questions apart and reads
 * "is there ..."; subjects.c reads all others. */
#include "grammar.h"

#include "nclip/negation/lexicon.h"
#include "nclip/negation/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *nc_vqa_form_name(enum nc_vqa_form form)
{
    static const char *const names[] = {
        [NC_VQA_THERE] = "is there ...",
        [NC_VQA_BE] = "is the ...",
        [NC_VQA_BE_PRONOUN] = "is this ..., is he ...",
        [NC_VQA_DO] = "does ...",
        [NC_VQA_HAVE] = "has ...",
        [NC_VQA_CAN] = "can ...",
        [NC_VQA_NEGATIVE] = "isn't ..., is there no ...",
        [NC_VQA_ALTERNATIVE] = "... or ...",
        [NC_VQA_GUESS] = "will ..., would ...",
        [NC_VQA_WH] = "what ..., how ...",
        [NC_VQA_NO_QUESTION] = "not one question",
    };
    return names[form];
}

/* ---- "is there ..." ------------------------------------------------------------------ */

static bool joins_nouns(const struct vqa_asked *q, size_t first)
{
    for (size_t i = first + 1; i + 1 < q->s.count; i++)
        if (vqa_equal(q->s.low[i], "and") &&
            !(nc_word_is_adjective(q->s.low[i - 1]) && nc_word_is_adjective(q->s.low[i + 1])))
            return true;
    return false;
}

/* "still", "also": what "no" denies of it is not clear. */
static bool leaves_open(const struct vqa_asked *q)
{
    static const char *const words[] = {"still",   "already", "ever",   "even",    "also",
                                        "anymore", "either",  "always", "usually", "supposed",
                                        "such",    "yet",     NULL};
    for (size_t i = 2; i < q->s.count; i++)
        if (vqa_word_is(&q->s, i, words) &&
            !(vqa_equal(q->s.low[i], "even") && vqa_equal(vqa_low(q, i + 1), "number")))
            return true;
    return vqa_equal(q->s.low[q->s.count - 1], "too");
}

/* "a lot of", "a large number of" */
static bool names_amount(const struct vqa_asked *q, size_t first)
{
    for (size_t i = first; i < q->s.count && vqa_is_content(q->s.low[i]); i++)
        if (nc_word_is(q->s.low[i], NC_AMOUNT_WORD) &&
            (vqa_equal(vqa_low(q, i + 1), "of") || vqa_any_of(q->s.low[i], "few lot dozen")))
            return true;
    return false;
}

/* "a number of people" are, "a large amount of snow" is. */
static bool names_many_of(const struct vqa_asked *q, size_t first)
{
    for (size_t i = first; i < q->s.count && vqa_is_content(q->s.low[i]); i++)
        if (vqa_any_of(q->s.low[i], "number lot couple few dozen majority"))
            return true;
    return false;
}

static bool names_many(const struct vqa_asked *q, size_t first)
{
    return nc_word_is_plural(vqa_low(q, vqa_head_noun(&q->s, first, q->s.count)));
}

static bool vqa_read_there(struct vqa_asked *q)
{
    size_t at = 2;
    const char *word = vqa_low(q, at), *next = vqa_low(q, at + 1);
    if (!*word)
        return vqa_refuse(q, "asks for nothing");
    if (vqa_any_of(word, "anyone anybody someone somebody"))
        return vqa_write_there(q, "no one", 3, "someone", 3);
    if (vqa_any_of(word, "anything something"))
        return vqa_write_there(q, "nothing", 3, "something", 3);
    if (vqa_any_of(word, "somewhere anywhere"))
        return vqa_write_there(q, "nowhere", 3, "somewhere", 3);
    bool much = nc_word_is_adverb(word) && nc_word_is(next, NC_COUNT_WORD) && q->s.count > at + 2;
    if (leaves_open(q) || vqa_equal(word, "little") ||
        (nc_word_is_adverb(word) && !nc_word_is(word, NC_COUNT_WORD) && !much))
        return vqa_refuse(q, "a \"no\" leaves open what is so");
    bool one = vqa_any_of(word, "a an"), any = vqa_any_of(word, "any some");
    if (one || any) {
        if (!*next || vqa_any_of(next, "a an any the this that") ||
            (nc_word_is(next, NC_PREPOSITION) && !vqa_any_of(next, "of near")))
            return vqa_refuse(q, "a word is missing or too many");
        if (vqa_any_of(next, "of"))
            return vqa_refuse(q, "asks about particular things");
        if (one && names_amount(q, 3)) {
            if (names_many_of(q, 3) && nc_word_is_plural(vqa_low(q, q->s.count - 1)))
                vqa_agree_with_many(q);
            return vqa_write_there(q, "not", 2, "", 2);
        }
        if (one && vqa_any_of(q->aux, "are were"))
            return vqa_refuse(q, "its noun and its verb do not agree");
        if (one && joins_nouns(q, 3))
            return vqa_write_there(q, "not", 2, "", 2);
        if (any && joins_nouns(q, 3))
            return vqa_refuse(q, "a \"no\" to two things joined does not say which is missing");
        if (any)
            vqa_agree(q, 3, q->s.count);
        if (any && vqa_any_of(q->aux, "are were") && !names_many(q, 3))
            return vqa_refuse(q, "its noun and its verb do not agree");
        return vqa_write_there(q, "no", 3, any && vqa_any_of(next, "more other") ? "some" : "",
                               any ? 3 : 2);
    }
    if (nc_word_is(word, NC_COUNT_WORD) || nc_word_is_number(word) || much) {
        if (nc_word_is_number(word) || vqa_any_of(word, "many several"))
            vqa_agree_with_many(q);
        return vqa_write_there(q, "not", 2, "", 2);
    }
    if (nc_word_is(word, NC_DETERMINER) || vqa_any_of(word, "it he she they you"))
        return vqa_refuse(q, "asks about one particular thing");
    if (joins_nouns(q, 2))
        return vqa_refuse(q, "a \"no\" to two things joined does not say which is missing");
    vqa_agree(q, 2, q->s.count);
    if (nc_word_is(word, NC_PREPOSITION) || (vqa_any_of(q->aux, "are were") && !names_many(q, 2)))
        return vqa_refuse(q, "a word is missing, or its noun and its verb do not agree");
    return vqa_write_there(q, "no", 2, "", 2);
}

/* ---- All of it ----------------------------------------------------------------------- */

static enum nc_vqa_form form_of(const struct vqa_asked *q, bool inner, const char *text)
{
    const char *first = q->s.low[0];
    struct nc_negation_match match;
    static const char wh[] = "what what's which who who's whose whom where where's when why how";
    if (vqa_any_of(first, wh) ||
        (q->s.count > 1 && nc_word_is(first, NC_PREPOSITION) && vqa_any_of(q->s.low[1], wh)))
        return NC_VQA_WH;
    if (inner)
        return NC_VQA_NO_QUESTION;
    if (nc_negation_find(text, strlen(text), 0, &match) ||
        nc_denial_find(text, strlen(text), 0, &match)) /* "isnt" */
        return NC_VQA_NEGATIVE;
    for (size_t i = 1; i < q->s.count; i++)
        if (vqa_equal(q->s.low[i], "or"))
            return NC_VQA_ALTERNATIVE;
    if (vqa_any_of(first, "is are was were"))
        return vqa_equal(vqa_low(q, 1), "there") ? NC_VQA_THERE : NC_VQA_BE;
    if (vqa_any_of(first, "does do did"))
        return NC_VQA_DO;
    if (vqa_any_of(first, "has have had"))
        return NC_VQA_HAVE;
    if (vqa_any_of(first, "can could"))
        return NC_VQA_CAN;
    if (vqa_any_of(first, "will would shall should may might must am"))
        return NC_VQA_GUESS;
    return NC_VQA_NO_QUESTION;
}

static const char *const why_left_alone[NC_VQA_FORMS] = {
    [NC_VQA_NEGATIVE] = "a \"no\" to a question with a negation can mean either",
    [NC_VQA_ALTERNATIVE] = "asks which of two",
    [NC_VQA_GUESS] = "asks for a guess or an opinion",
    [NC_VQA_WH] = "asks for more than yes or no",
    [NC_VQA_NO_QUESTION] = "not one question that starts with is, are, does, has or can",
};

/* "the a", "a a": a word is missing or too many. */
static bool reads_well(const char *text)
{
    char before[64] = "", word[64];
    for (const char *at = text; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        at += length;
        bool article = vqa_any_of(word, "a an the");
        if ((article && vqa_any_of(before, "a an the this my his her its their no")) ||
            strcasecmp(before, word) == 0)
            return false;
        memcpy(before, word, sizeof before);
    }
    return true;
}

bool nc_vqa_restate(const char *question, struct nc_vqa_statement *statement, const char **reason)
{
    struct vqa_asked q = {.statement = statement};
    bool inner;
    statement->form = NC_VQA_NO_QUESTION;
    statement->denied[0] = statement->affirmed[0] = 0;
    if (!vqa_sentence_split(question, &q.s, &inner)) {
        *reason = "too long, empty, or not plain English letters";
        return false;
    }
    statement->form = form_of(&q, inner, question);
    if (statement->form >= NC_VQA_NEGATIVE) {
        *reason = why_left_alone[statement->form];
        return false;
    }
    q.aux = q.s.low[0];
    bool done = statement->form == NC_VQA_THERE ? vqa_read_there(&q) : vqa_read_subject(&q);
    if (done && (!reads_well(statement->denied) || !reads_well(statement->affirmed)))
        done = vqa_refuse(&q, "a word is missing or too many");
    if (!done)
        *reason = q.reason;
    return done;
}
