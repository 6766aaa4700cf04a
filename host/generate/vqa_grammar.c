/* Questions to statements. Subject and predicate are found first (vqa_words.c); then the auxiliary
 * goes between them, with "not", or the subject itself is denied ("no one", "not all the dogs"). */
#include "nclip/negation_words.h"
#include "nclip/vqa.h"
#include "vqa_lexicon.h"
#include "vqa_words.h"

#include <ctype.h>
#include <stdarg.h>
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

struct question {
    struct vqa_sentence s;
    struct nc_vqa_statement *statement;
    const char *aux; /* "is"; may become "are" where the noun asks for it */
    const char *reason;
};

static bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool any_of(const char *word, const char *list) /* "he she it" */
{
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && memcmp(at, word, length) == 0)
            return true;
    return false;
}

static const char *low(const struct question *q, size_t index)
{
    return index < q->s.count ? q->s.low[index] : "";
}

static bool refuse(struct question *q, const char *reason)
{
    q->reason = reason;
    return false;
}

/* ---- Writing ------------------------------------------------------------------------- */

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
static void add_words(const struct question *q, struct text *text, size_t first, size_t end)
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
            if (equal(q->s.low[i], some[k][0]))
                word = some[k][1];
        add(text, word);
    }
}

/* "have" -> "has", "match" -> "matches", "carry" -> "carries" */
static const char *third_person(const char *verb, char out[64])
{
    size_t length = strlen(verb);
    char last = length ? verb[length - 1] : 0, before = length > 1 ? verb[length - 2] : 0;
    if (equal(verb, "have"))
        return "has";
    if (equal(verb, "be"))
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

/* What stands for the subject: words of the question behind fixed ones. */
struct subject {
    const char *denied;   /* "no one", "not all"; NULL: the verb is denied instead */
    const char *affirmed; /* "someone", "all" */
    size_t first, end;    /* words behind that, in both */
    size_t predicate;
    bool singular; /* takes has, not have */
};

/* The verb as it stands behind the subject: aux and words, or "does" melted into the verb. */
static void add_predicate(const struct question *q, struct text *text,
                          const struct subject *subject, bool denied)
{
    char inflected[64];
    bool melts = any_of(q->aux, "does do");
    size_t at = subject->predicate;
    if (denied && equal(q->aux, "can")) {
        add(text, "cannot");
    } else if (denied) {
        add(text, q->aux);
        add(text, "not");
    } else if (melts) {
        bool third = subject->singular || (!subject->affirmed && equal(q->aux, "does"));
        add(text, third ? third_person(q->s.low[at], inflected) : q->s.low[at]);
        at++;
    } else {
        add(text, q->aux);
    }
    add_words(q, text, at, q->s.count);
}

static bool write_statement(struct question *q, const struct subject *subject)
{
    struct text denied = {q->statement->denied, 0}, affirmed = {q->statement->affirmed, 0};
    if (subject->predicate < subject->end || subject->predicate >= q->s.count)
        return refuse(q, "where its predicate starts is not clear");
    add(&denied, subject->denied ? subject->denied : "");
    add_words(q, &denied, subject->first, subject->end);
    add_predicate(q, &denied, subject, !subject->denied);
    add(&affirmed, subject->affirmed ? subject->affirmed : "");
    add_words(q, &affirmed, subject->first, subject->end);
    add_predicate(q, &affirmed, subject, false);
    return true;
}

/* ---- "is there ..." ------------------------------------------------------------------ */

static bool write_there(struct question *q, const char *denial, size_t denied_from,
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

/* "is there clouds" is asked as often as it is wrong. */
static void agree(struct question *q, size_t first, size_t end)
{
    size_t head = vqa_head_noun(&q->s, first, end);
    if (!vqa_is_plural(q->s.low[head]) || vqa_is_adjective(q->s.low[head]))
        return;
    q->aux = equal(q->aux, "is")     ? "are"
             : equal(q->aux, "was")  ? "were"
             : equal(q->aux, "does") ? "do"
             : equal(q->aux, "has")  ? "have"
                                     : q->aux;
}

static bool joins_nouns(const struct question *q, size_t first)
{
    for (size_t i = first + 1; i + 1 < q->s.count; i++)
        if (equal(q->s.low[i], "and") &&
            !(vqa_is_adjective(q->s.low[i - 1]) && vqa_is_adjective(q->s.low[i + 1])))
            return true;
    return false;
}

static bool read_there(struct question *q)
{
    size_t at = 2;
    const char *word = low(q, at), *next = low(q, at + 1);
    if (!*word)
        return refuse(q, "asks for nothing");
    if (any_of(word, "anyone anybody someone somebody"))
        return write_there(q, "no one", 3, "someone", 3);
    if (any_of(word, "anything something"))
        return write_there(q, "nothing", 3, "something", 3);
    bool one = any_of(word, "a an"), any = any_of(word, "any some");
    if (one || any) {
        if (!*next || any_of(next, "a an any the this that") ||
            (vqa_is(next, VQA_PREPOSITION) && !any_of(next, "of near")))
            return refuse(q, "a word is missing or too many");
        if (any_of(next, "of"))
            return refuse(q, "asks about particular things");
        if (one && (vqa_is(next, VQA_AMOUNT) || joins_nouns(q, 3)))
            return write_there(q, "not", 2, "", 2);
        if (any && joins_nouns(q, 3))
            return refuse(q, "a \"no\" to two things joined does not say which is missing");
        if (any && !any_of(next, "more other"))
            agree(q, 3, q->s.count);
        return write_there(q, "no", 3, any && any_of(next, "more other") ? "some" : "",
                           any ? 3 : 2);
    }
    if (vqa_is(word, VQA_COUNT) || vqa_is_number(word))
        return write_there(q, "not", 2, "", 2);
    if (vqa_is(word, VQA_DETERMINER) || any_of(word, "it he she they you"))
        return refuse(q, "asks about one particular thing");
    if (joins_nouns(q, 2))
        return refuse(q, "a \"no\" to two things joined does not say which is missing");
    agree(q, 2, q->s.count);
    if (any_of(q->aux, "is was") &&
        !vqa_is(low(q, vqa_head_noun(&q->s, 2, q->s.count)), VQA_MASS_NOUN) &&
        vqa_is(word, VQA_PREPOSITION))
        return refuse(q, "a word is missing or too many");
    return write_there(q, "no", 2, "", 2);
}

/* ---- Subjects ------------------------------------------------------------------------ */

static size_t find_predicate(const struct question *q, size_t first, bool strong)
{
    if (first >= q->s.count)
        return 0;
    if (any_of(q->aux, "is are was were"))
        return vqa_predicate_of_be(&q->s, first, strong);
    if (any_of(q->aux, "has have had"))
        return vqa_predicate_of_have(&q->s, first);
    return vqa_predicate_of_do(&q->s, first);
}

static bool is_definite(const char *word)
{
    return vqa_is(word, VQA_DETERMINER) && !any_of(word, "a an");
}

/* "the old man on the left": from the article on. */
static bool read_group(struct question *q, size_t from, struct subject *subject)
{
    size_t first = from + (vqa_is(low(q, from), VQA_DETERMINER) ? 1 : 0);
    if (vqa_is_number(low(q, first)) && first + 1 < q->s.count)
        first++;
    size_t predicate = subject->predicate ? subject->predicate : find_predicate(q, first, false);
    if (!predicate)
        return refuse(q, "where its predicate starts is not clear");
    subject->end = subject->predicate = predicate;
    const char *head = low(q, vqa_head_noun(&q->s, first, predicate));
    bool joined = false;
    for (size_t i = first; i < predicate; i++)
        joined |= equal(low(q, i), "and");
    if (any_of(q->aux, "are were do have") && !vqa_is_plural(head) && !joined)
        return refuse(q, "its noun and its verb do not agree");
    agree(q, first, predicate);
    if (any_of(low(q, predicate), "going about") && any_of(low(q, predicate + 1), "to"))
        return refuse(q, "asks what happens next");
    return true;
}

/* From `from` on; subject->predicate is 0 or known. */
static bool write_group(struct question *q, struct subject *subject, size_t from)
{
    return read_group(q, from, subject) && write_statement(q, subject);
}

/* "functional", "colorful": surely no noun, though not in the lists. */
static bool ends_as_adjective(const char *word)
{
    static const char *const endings[] = {"ional", "ical", "ive", "ous", "ful", "less", "ible"};
    size_t length = strlen(word);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t tail = strlen(endings[i]);
        if (length > tail + 1 && equal(word + length - tail, endings[i]))
            return true;
    }
    return false;
}

/* "these bananas": a group if something is said of it, else "these" is the subject. */
static bool read_this(struct question *q)
{
    const char *next = low(q, 2);
    struct subject subject = {.first = 1, .end = 2, .predicate = 2};
    if (!*next)
        return refuse(q, "asks for nothing");
    bool be = any_of(q->aux, "is are was were"), plural = any_of(low(q, 1), "these those");
    bool alone = vqa_is(next, VQA_DETERMINER) || vqa_is(next, VQA_PREPOSITION) ||
                 (be && vqa_is_participle(next));
    size_t predicate = alone ? 0 : find_predicate(q, 2, true);
    if (be && plural && !alone && !predicate && q->s.count == 4 && vqa_is_plural(next))
        predicate = 3; /* "are these animals sheep" */
    if (be && !plural && !alone && !predicate && q->s.count > 3) {
        const char *last = low(q, q->s.count - 1);
        if (ends_as_adjective(last) && !vqa_is_adjective(low(q, q->s.count - 2)))
            predicate = q->s.count - 1;
        else if (!vqa_is(last, VQA_MASS_NOUN) && !isupper((unsigned char)q->s.words[2][0]))
            return refuse(q, "a noun has no article"); /* "is this train station" */
    }
    if (!be && vqa_is(next, VQA_VERB))
        predicate = 0;
    else if (!be && !predicate)
        return refuse(q, "where its predicate starts is not clear");
    if (predicate && !(be && equal(low(q, predicate), "of"))) {
        subject = (struct subject){.first = 1, .predicate = predicate};
        return write_group(q, &subject, 1);
    }
    q->statement->form = be ? NC_VQA_BE_PRONOUN : q->statement->form;
    if (plural && any_of(q->aux, "is was does has"))
        return refuse(q, "its noun and its verb do not agree");
    return write_statement(q, &subject);
}

static bool read_pronoun(struct question *q)
{
    const char *pronoun = low(q, 1), *next = low(q, 2);
    struct subject subject = {.first = 1, .end = 2, .predicate = 2};
    bool plural = any_of(pronoun, "they we you i");
    if (any_of(q->aux, "is are was were"))
        q->statement->form = NC_VQA_BE_PRONOUN;
    if (!*next)
        return refuse(q, "asks for nothing");
    if (any_of(pronoun, "i we") ||
        (equal(pronoun, "you") && !(any_of(next, "see") || any_of(q->aux, "can could"))))
        return refuse(q, "asks who looks at the picture, not about the picture");
    if (plural != any_of(q->aux, "are were do have") && !any_of(q->aux, "did had can could"))
        return refuse(q, "its noun and its verb do not agree");
    if (any_of(next, "going about likely possible") && q->s.count > 3)
        return refuse(q, "asks what happens next");
    if (any_of(q->aux, "does do did can could") && !vqa_is(next, VQA_VERB))
        return refuse(q, "finds no verb");
    if (any_of(q->aux, "has have had") && !vqa_is_participle(next))
        return refuse(q, "finds no verb");
    return write_statement(q, &subject);
}

/* "all the dogs", "any of the men", "everyone", ... */
static bool read_quantity(struct question *q, bool *known)
{
    const char *word = low(q, 1), *next = low(q, 2);
    struct subject subject = {.singular = true};
    size_t noun = 2;
    bool of = equal(next, "of");
    *known = true;
    if (any_of(word, "anyone anybody someone somebody anything something")) {
        bool thing = any_of(word, "anything something");
        subject.denied = thing ? "nothing" : "no one";
        subject.affirmed = thing ? "something" : "someone";
    } else if (any_of(word, "everyone everybody everything")) {
        subject.denied = equal(word, "everything") ? "not everything" : "not everyone";
        subject.affirmed = word;
    }
    if (subject.denied) {
        subject.first = subject.end = subject.predicate = 2;
        if (equal(q->aux, "did") || !*next)
            return refuse(q, "where its predicate starts is not clear");
        if (any_of(q->aux, "does do") && !vqa_is(next, VQA_VERB))
            return refuse(q, "finds no verb");
        return write_statement(q, &subject);
    }
    static const struct {
        const char *word, *denied, *denied_of, *affirmed;
        bool singular;
    } quantities[] = {
        {"all", "not all", "not all of", "all", false},
        {"both", "not both", "not both of", "both", false},
        {"every", "not every", NULL, "every", true},
        {"each", "not every", "not each of", "each", true},
        {"many", "not many", "not many of", "many", false},
        {"any", "no", "none of", "some", false},
        {"some", "no", "none of", "some", false},
        {"either", "neither", "neither of", "either", true},
        {"one", NULL, "none of", "one", true},
    };
    for (size_t i = 0; i < sizeof quantities / sizeof *quantities; i++) {
        if (!equal(word, quantities[i].word))
            continue;
        if (of)
            noun = 3;
        subject.denied = of ? quantities[i].denied_of : quantities[i].denied;
        subject.affirmed = quantities[i].affirmed;
        subject.singular = quantities[i].singular || (of && equal(q->aux, "does"));
        if (!subject.denied || equal(q->aux, "did"))
            return refuse(q, "where its predicate starts is not clear");
        size_t from = noun;
        if (of &&
            (equal(low(q, 3), "them") || equal(low(q, 3), "these") || equal(low(q, 3), "those"))) {
            subject.first = 3;
            subject.end = subject.predicate = 4;
            if (q->s.count <= 4)
                return refuse(q, "asks for nothing");
        } else {
            subject.first = noun;
            if (of && !is_definite(low(q, from)))
                return refuse(q, "where its predicate starts is not clear");
            const char *aux = q->aux;
            size_t first = from + (vqa_is(low(q, from), VQA_DETERMINER) ? 1 : 0);
            if (vqa_is_number(low(q, first)))
                first++;
            size_t predicate = find_predicate(q, first, false);
            if (!predicate)
                return refuse(q, "where its predicate starts is not clear");
            subject.end = subject.predicate = predicate;
            q->aux = aux;
        }
        if (!of)
            return write_statement(q, &subject);
        char affirmed[32];
        snprintf(affirmed, sizeof affirmed, "%s of", quantities[i].affirmed);
        subject.affirmed = affirmed;
        return write_statement(q, &subject);
    }
    if (any_of(word, "most more less fewer several few half only"))
        return refuse(q, "a \"no\" leaves open how many");
    *known = false;
    return false;
}

/* Without an article, or with a or an: "is food on the table", "are two men talking". */
static bool read_bare(struct question *q)
{
    const char *word = low(q, 1);
    bool one = any_of(word, "a an"), number = vqa_is_number(word);
    size_t first = one || number ? 2 : 1;
    bool named = !one && !number && isupper((unsigned char)q->s.words[1][0]) &&
                 islower((unsigned char)q->s.words[1][1]);
    size_t predicate = find_predicate(q, first, false);
    if (!predicate)
        return refuse(q, "where its predicate starts is not clear");
    const char *head = low(q, vqa_head_noun(&q->s, first, predicate));
    struct subject subject = {.first = 1, .end = predicate, .predicate = predicate};
    if (number) {
        if (!any_of(q->aux, "are were") ||
            !(vqa_is_ing(low(q, predicate)) || vqa_is(low(q, predicate), VQA_PREPOSITION) ||
              vqa_is_participle(low(q, predicate))))
            return refuse(q, "a \"no\" leaves open how many");
        return write_there(q, "not", 1, "", 1);
    }
    if (named)
        return write_statement(q, &subject);
    if (!one && any_of(q->aux, "is was does has") && !vqa_is(head, VQA_MASS_NOUN) &&
        !vqa_is_plural(head))
        return refuse(q, "a noun has no article");
    if (any_of(q->aux, "are were do have") && !vqa_is_plural(head))
        return refuse(q, "its noun and its verb do not agree");
    agree(q, first, predicate);
    bool happens = vqa_is_ing(low(q, predicate)) || vqa_is_participle(low(q, predicate)) ||
                   vqa_is(low(q, predicate), VQA_PREPOSITION) ||
                   any_of(low(q, predicate), "visible present shown");
    if (happens && any_of(q->aux, "is are was were")) {
        subject.denied = "no";
        subject.affirmed = one ? word : "";
        subject.first = first;
    } else if (one) {
        subject.denied = "no";
        subject.affirmed = word;
        subject.first = first;
        subject.singular = true;
    }
    return write_statement(q, &subject);
}

static bool read_subject(struct question *q)
{
    const char *word = low(q, 1);
    bool known;
    struct subject subject = {.first = 1};
    if (!*word)
        return refuse(q, "asks for nothing");
    if (any_of(word, "it he she they you we i"))
        return read_pronoun(q);
    if (any_of(word, "this that these those"))
        return read_this(q);
    bool done = read_quantity(q, &known);
    if (known)
        return done;
    if (is_definite(word) || (strlen(word) > 2 && equal(word + strlen(word) - 2, "'s")))
        return write_group(q, &subject, 1);
    return read_bare(q);
}

/* ---- All of it ----------------------------------------------------------------------- */

static enum nc_vqa_form form_of(const struct question *q, bool inner, const char *text)
{
    const char *first = q->s.low[0];
    struct nc_negation_match match;
    static const char wh[] = "what what's which who who's whose whom where where's when why how";
    if (any_of(first, wh) ||
        (q->s.count > 1 && vqa_is(first, VQA_PREPOSITION) && any_of(q->s.low[1], wh)))
        return NC_VQA_WH;
    if (inner)
        return NC_VQA_NO_QUESTION;
    if (nc_negation_find(text, strlen(text), 0, &match))
        return NC_VQA_NEGATIVE;
    for (size_t i = 1; i < q->s.count; i++)
        if (equal(q->s.low[i], "or"))
            return NC_VQA_ALTERNATIVE;
    if (any_of(first, "is are was were"))
        return equal(low(q, 1), "there") ? NC_VQA_THERE : NC_VQA_BE;
    if (any_of(first, "does do did"))
        return NC_VQA_DO;
    if (any_of(first, "has have had"))
        return NC_VQA_HAVE;
    if (any_of(first, "can could"))
        return NC_VQA_CAN;
    if (any_of(first, "will would shall should may might must am"))
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
        bool article = any_of(word, "a an the");
        if ((article && any_of(before, "a an the this my his her its their no")) ||
            strcasecmp(before, word) == 0)
            return false;
        memcpy(before, word, sizeof before);
    }
    return true;
}

bool nc_vqa_restate(const char *question, struct nc_vqa_statement *statement, const char **reason)
{
    struct question q = {.statement = statement};
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
    bool done = statement->form == NC_VQA_THERE ? read_there(&q) : read_subject(&q);
    if (done && (!reads_well(statement->denied) || !reads_well(statement->affirmed)))
        done = refuse(&q, "a word is missing or too many");
    if (!done)
        *reason = q.reason;
    return done;
}
