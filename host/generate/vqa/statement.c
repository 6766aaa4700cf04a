/* Writes statements: subject and predicate with the auxiliary between them. */
#include "grammar.h"

#include "nclip/negation/lexicon.h"

#include <stdio.h>
#include <string.h>

bool vqa_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool vqa_any_of(const char *word, const char *list)
{
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && memcmp(at, word, length) == 0)
            return true;
    return false;
}

const char *vqa_low(const struct vqa_asked *q, size_t index)
{
    return index < q->s.count ? q->s.low[index] : "";
}

bool vqa_refuse(struct vqa_asked *q, const char *reason)
{
    q->reason = reason;
    return false;
}

struct text {
    char *bytes;
    size_t used;
};

static void add(struct text *text, const char *word)
{
    size_t length = strlen(word);
    if (!length || text->used + length + 2 > NC_VQA_SENTENCE)
        return;
    if (text->used)
        text->bytes[text->used++] = ' ';
    memcpy(text->bytes + text->used, word, length + 1);
    text->used += length;
}

/* The words [first, end); affirmed sentences have "some" where denied ones have "any". */
static void add_words(const struct vqa_asked *q, struct text *text, size_t first, size_t end)
{
    static const char *const some[][2] = {{"any", "some"},
                                          {"anyone", "someone"},
                                          {"anybody", "somebody"},
                                          {"anything", "something"},
                                          {"anywhere", "somewhere"}};
    bool affirmed = text->bytes == q->statement->affirmed;
    for (size_t i = first; i < end; i++) {
        const char *word = q->s.words[i];
        for (size_t k = 0; affirmed && k < sizeof some / sizeof *some; k++)
            if (vqa_equal(q->s.low[i], some[k][0]))
                word = some[k][1];
        add(text, word);
    }
}

/* "have" -> "has", "match" -> "matches", "carry" -> "carries" */
static const char *third_person(const char *verb, char out[64])
{
    size_t length = strlen(verb);
    char last = length ? verb[length - 1] : 0, before = length > 1 ? verb[length - 2] : 0;
    if (vqa_equal(verb, "have"))
        return "has";
    if (vqa_equal(verb, "be"))
        return "is";
    if (length + 3 > 64)
        return verb;
    if (last == 'y' && !strchr("aeiou", before))
        snprintf(out, 64, "%.*sies", (int)length - 1, verb);
    else
        snprintf(out, 64, "%s%s", verb,
                 strchr("sxzo", last) || (last == 'h' && strchr("cs", before)) ? "es" : "s");
    return out;
}

/* The verb as it stands behind the subject: aux and words, or "does" melted into the verb. */
static void add_predicate(const struct vqa_asked *q, struct text *text,
                          const struct vqa_subject *subject, bool denied)
{
    char inflected[64];
    bool melts = vqa_any_of(q->aux, "does do");
    size_t at = subject->predicate;
    if (denied && vqa_equal(q->aux, "can")) {
        add(text, "cannot");
    } else if (denied) {
        add(text, q->aux);
        add(text, "not");
    } else if (melts) {
        bool third = subject->singular || (!subject->affirmed && vqa_equal(q->aux, "does"));
        add(text, third ? third_person(q->s.low[at], inflected) : q->s.low[at]);
        at++;
    } else {
        add(text, q->aux);
    }
    add_words(q, text, at, q->s.count);
}

bool vqa_write_statement(struct vqa_asked *q, const struct vqa_subject *subject)
{
    struct text denied = {q->statement->denied, 0}, affirmed = {q->statement->affirmed, 0};
    if (subject->predicate < subject->end || subject->predicate >= q->s.count)
        return vqa_refuse(q, "where its predicate starts is not clear");
    add(&denied, subject->denied ? subject->denied : "");
    add_words(q, &denied, subject->first, subject->end);
    add_predicate(q, &denied, subject, !subject->denied);
    add(&affirmed, subject->affirmed ? subject->affirmed : "");
    add_words(q, &affirmed, subject->first, subject->end);
    add_predicate(q, &affirmed, subject, false);
    return true;
}

bool vqa_write_there(struct vqa_asked *q, const char *denial, size_t denied_from,
                     const char *assertion, size_t affirmed_from)
{
    struct text denied = {q->statement->denied, 0}, affirmed = {q->statement->affirmed, 0};
    add(&denied, "there");
    add(&denied, q->aux);
    add(&denied, denial);
    add_words(q, &denied, denied_from, q->s.count);
    add(&affirmed, "there");
    add(&affirmed, q->aux);
    add(&affirmed, assertion);
    add_words(q, &affirmed, affirmed_from, q->s.count);
    return true;
}

void vqa_agree(struct vqa_asked *q, size_t first, size_t end)
{
    size_t head = vqa_head_noun(&q->s, first, end);
    if (nc_word_is_plural(q->s.low[head]) && !nc_word_is_adjective(q->s.low[head]))
        vqa_agree_with_many(q);
}

void vqa_agree_with_many(struct vqa_asked *q)
{
    q->aux = vqa_equal(q->aux, "is")     ? "are"
             : vqa_equal(q->aux, "was")  ? "were"
             : vqa_equal(q->aux, "does") ? "do"
             : vqa_equal(q->aux, "has")  ? "have"
                                         : q->aux;
}
