/* Finds the subject of a question, and whether its answer "no" denies the subject or the verb. */
#include "grammar.h"

#include "nclip/negation/lexicon.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static size_t find_predicate(const struct vqa_asked *q, size_t first)
{
    if (first >= q->s.count)
        return 0;
    if (vqa_any_of(q->aux, "is are was were"))
        return vqa_predicate_of_be(&q->s, first, vqa_any_of(q->aux, "are were"));
    if (vqa_any_of(q->aux, "has have had"))
        return vqa_predicate_of_have(&q->s, first);
    return vqa_predicate_of_do(&q->s, first);
}

static bool is_definite(const char *word)
{
    return nc_word_is(word, NC_DETERMINER) && !vqa_any_of(word, "a an");
}

/* What "no" leaves open, or what no sentence without a question can hold. */
static bool says_too_little(const struct vqa_asked *q, size_t predicate)
{
    static const char *const anywhere[] = {"already", "ever",     "even",    "also",
                                           "anymore", "supposed", "usually", "always",
                                           "yet",     "often",    NULL};
    for (size_t i = 1; i < q->s.count; i++)
        if (vqa_word_is(&q->s, i, anywhere) &&
            !(vqa_equal(q->s.low[i], "even") && i + 1 == q->s.count))
            return true;
    for (size_t i = 2; i + 2 < q->s.count; i++)
        if (vqa_any_of(q->s.low[i], "going about likely supposed") &&
            vqa_equal(q->s.low[i + 1], "to") && nc_word_is(q->s.low[i + 2], NC_VERB))
            return true; /* asks what happens next */
    return vqa_any_of(q->s.low[q->s.count - 1], "too either") ||
           (vqa_equal(vqa_low(q, predicate), "still") && predicate + 1 < q->s.count);
}

/* "the old man on the left": from the article on. */
static bool read_group(struct vqa_asked *q, size_t from, struct vqa_subject *subject)
{
    size_t first = from + (nc_word_is(vqa_low(q, from), NC_DETERMINER) ? 1 : 0);
    if (nc_word_is_number(vqa_low(q, first)) && first + 1 < q->s.count)
        first++;
    size_t predicate = subject->predicate ? subject->predicate : find_predicate(q, first);
    if (!predicate)
        return vqa_refuse(q, "where its predicate starts is not clear");
    subject->end = subject->predicate = predicate;
    if (says_too_little(q, predicate))
        return vqa_refuse(q, "a \"no\" leaves open what is so");
    const char *head = vqa_low(q, vqa_head_noun(&q->s, first, predicate));
    bool joined = false; /* "the man and the dog", not "the black and white dog" */
    for (size_t i = first + 1; i < predicate; i++) {
        const char *before = vqa_low(q, i - 1);
        bool owner = strlen(before) > 2 && vqa_equal(before + strlen(before) - 2, "'s");
        if (nc_word_is(vqa_low(q, i), NC_PREPOSITION))
            break;
        joined |= vqa_equal(vqa_low(q, i), "and") && !nc_word_is_adjective(before) && !owner;
    }
    if (vqa_any_of(q->aux, "are were do have") && !nc_word_is_plural(head) && !joined)
        return vqa_refuse(q, "its noun and its verb do not agree");
    if (joined)
        vqa_agree_with_many(q);
    else if (!vqa_any_of(vqa_low(q, from), "this that")) /* "this sheep is" */
        vqa_agree(q, first, predicate);
    if (vqa_any_of(vqa_low(q, predicate), "going about") &&
        vqa_any_of(vqa_low(q, predicate + 1), "to"))
        return vqa_refuse(q, "asks what happens next");
    return true;
}

/* From `from` on; subject->predicate is 0 or known. */
static bool write_group(struct vqa_asked *q, struct vqa_subject *subject, size_t from)
{
    return read_group(q, from, subject) && vqa_write_statement(q, subject);
}

/* "these bananas": a group if something is said of it, else "these" is the subject. Where both can
 * be, neither is taken. */
static bool read_this(struct vqa_asked *q)
{
    const char *word = vqa_low(q, 1), *next = vqa_low(q, 2);
    struct vqa_subject subject = {.first = 1, .end = 2, .predicate = 2};
    struct vqa_group group;
    if (!*next)
        return vqa_refuse(q, "asks for nothing");
    bool be = vqa_any_of(q->aux, "is are was were"), plural = vqa_any_of(word, "these those");
    bool someone = strncmp(next, "some", 4) == 0 || strncmp(next, "any", 3) == 0 ||
                   strncmp(next, "every", 5) == 0;
    if (!someone && strlen(next) > 2 &&
        vqa_equal(next + strlen(next) - 2, "'s")) { /* "this man's shoes" */
        subject = (struct vqa_subject){.first = 1};
        return write_group(q, &subject, 1);
    }
    if (plural ? vqa_any_of(q->aux, "is was does has") : vqa_any_of(q->aux, "are were do have"))
        return vqa_refuse(q, "its noun and its verb do not agree");
    size_t first = 2 + (nc_word_is_number(next) && q->s.count > 3);
    size_t predicate = nc_word_is(next, NC_DETERMINER) ? 0 : find_predicate(q, first);
    if (predicate && vqa_read_group(&q->s, first, predicate, &group) &&
        (nc_word_is_plural(q->s.low[group.head]) != plural ||
         (group.head == first && nc_word_is_adjective(q->s.low[first]) &&
          !nc_word_is(q->s.low[first], NC_NOUN_ADJECTIVE))))
        predicate = 0;
    if (someone)
        predicate = 0; /* "this someone riding a horse" is no one */
    static const char *const both[] = {"sheep", "deer",    "fish", "moose",
                                       "bison", "buffalo", "elk",  NULL};
    if (!predicate && !plural && vqa_word_is(&q->s, 2, both))
        predicate = find_predicate(q, first);
    bool says_noun = predicate == 3 && q->s.count == 4 && !nc_word_is_adjective(vqa_low(q, 3)) &&
                     nc_word_is(vqa_low(q, 3), NC_MASS_NOUN);
    if (says_noun && !plural && !nc_word_is_adjective(next))
        return vqa_refuse(q, "two readings"); /* "this breakfast food" */
    if (says_noun && nc_word_is_adjective(next))
        predicate = 0; /* "this Mexican food" */
    if (!be && vqa_any_of(next, "look seem appear taste smell feel have need mean come go require "
                                "belong contain include represent resemble make"))
        predicate = 0;
    bool alone = be ? vqa_predicate_of_pronoun(&q->s, 2, plural)
                    : nc_word_is(next, NC_VERB) ||
                          (vqa_any_of(q->aux, "has have had") && nc_word_is_participle(next));
    static const char *const things[] = {"water", "ice",  "snow", "sky", "wind", "kite",
                                         "horse", "rock", "hang", "fly", NULL};
    if (predicate == 3 && q->s.count == 4 && vqa_word_is(&q->s, 2, things) &&
        nc_word_is_ing(vqa_low(q, 3)))
        alone = true; /* "is this water skiing" */
    if (alone == (predicate != 0))
        return vqa_refuse(
            q, alone           ? "two readings"
               : be && !plural ? "a noun has no article, or where its predicate starts is not clear"
                               : "where its predicate starts is not clear");
    if (predicate) {
        subject = (struct vqa_subject){.first = 1, .predicate = predicate};
        return write_group(q, &subject, 1);
    }
    q->statement->form = be ? NC_VQA_BE_PRONOUN : q->statement->form;
    return vqa_write_statement(q, &subject);
}

static bool read_pronoun(struct vqa_asked *q)
{
    const char *pronoun = vqa_low(q, 1), *next = vqa_low(q, 2);
    struct vqa_subject subject = {.first = 1, .end = 2, .predicate = 2};
    bool plural = vqa_any_of(pronoun, "they we you i");
    if (vqa_any_of(q->aux, "is are was were"))
        q->statement->form = NC_VQA_BE_PRONOUN;
    if (!*next)
        return vqa_refuse(q, "asks for nothing");
    if (vqa_any_of(pronoun, "i we") ||
        (vqa_equal(pronoun, "you") &&
         !(vqa_any_of(next, "see") || vqa_any_of(q->aux, "can could"))))
        return vqa_refuse(q, "asks who looks at the picture, not about the picture");
    if (plural != vqa_any_of(q->aux, "are were do have") &&
        !vqa_any_of(q->aux, "did had can could"))
        return vqa_refuse(q, "its noun and its verb do not agree");
    if ((vqa_any_of(next, "about likely possible") ||
         (vqa_equal(next, "going") && vqa_any_of(vqa_low(q, 3), "to") &&
          nc_word_is(vqa_low(q, 4), NC_VERB))) &&
        q->s.count > 3)
        return vqa_refuse(q, "asks what happens next");
    if (vqa_any_of(q->aux, "does do did can could") && !nc_word_is(next, NC_VERB))
        return vqa_refuse(q, "finds no verb");
    if (vqa_any_of(q->aux, "has have had") && !nc_word_is_participle(next))
        return vqa_refuse(q, "finds no verb");
    return vqa_write_statement(q, &subject);
}

/* "all the dogs", "any of the men", "everyone", ... */
static bool read_quantity(struct vqa_asked *q, bool *known)
{
    const char *word = vqa_low(q, 1), *next = vqa_low(q, 2);
    struct vqa_subject subject = {.singular = true};
    size_t noun = 2;
    bool of = vqa_equal(next, "of");
    *known = true;
    if (vqa_any_of(word, "anyone anybody someone somebody anything something")) {
        bool thing = vqa_any_of(word, "anything something");
        subject.denied = thing ? "nothing" : "no one";
        subject.affirmed = thing ? "something" : "someone";
    } else if (vqa_any_of(word, "everyone everybody everything")) {
        subject.denied = vqa_equal(word, "everything") ? "not everything" : "not everyone";
        subject.affirmed = word;
    }
    if (subject.denied) {
        subject.first = 2;
        subject.end = subject.predicate = find_predicate(q, 1);
        if (vqa_equal(q->aux, "did") || subject.predicate < 2)
            return vqa_refuse(q, "where its predicate starts is not clear");
        return vqa_write_statement(q, &subject);
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
        if (!vqa_equal(word, quantities[i].word))
            continue;
        if (of)
            noun = 3;
        subject.denied = of ? quantities[i].denied_of : quantities[i].denied;
        subject.affirmed = quantities[i].affirmed;
        subject.singular = quantities[i].singular || vqa_equal(q->aux, "does");
        if (!subject.denied || vqa_equal(q->aux, "did"))
            return vqa_refuse(q, "where its predicate starts is not clear");
        size_t from = noun;
        if (of && (vqa_equal(vqa_low(q, 3), "them") || vqa_equal(vqa_low(q, 3), "these") ||
                   vqa_equal(vqa_low(q, 3), "those"))) {
            subject.first = 3;
            subject.end = subject.predicate = 4;
            if (q->s.count <= 4)
                return vqa_refuse(q, "asks for nothing");
        } else {
            subject.first = noun;
            if (of && !is_definite(vqa_low(q, from)))
                return vqa_refuse(q, "where its predicate starts is not clear");
            const char *aux = q->aux;
            size_t first = from + (nc_word_is(vqa_low(q, from), NC_DETERMINER) ? 1 : 0);
            if (nc_word_is_number(vqa_low(q, first)))
                first++;
            size_t predicate = find_predicate(q, first);
            if (!predicate)
                return vqa_refuse(q, "where its predicate starts is not clear");
            subject.end = subject.predicate = predicate;
            q->aux = aux;
            if (!of && nc_word_is_plural(vqa_low(q, vqa_head_noun(&q->s, first, predicate))) ==
                           vqa_any_of(q->aux, "is was does has"))
                return vqa_refuse(q, "its noun and its verb do not agree");
        }
        if (!of)
            return vqa_write_statement(q, &subject);
        char affirmed[32];
        snprintf(affirmed, sizeof affirmed, "%s of", quantities[i].affirmed);
        subject.affirmed = affirmed;
        return vqa_write_statement(q, &subject);
    }
    if (vqa_any_of(word, "most more less fewer several few half only"))
        return vqa_refuse(q, "a \"no\" leaves open how many");
    *known = false;
    return false;
}

/* Without an article, or with a or an: "is food on the table", "are two men talking". */
static bool read_bare(struct vqa_asked *q)
{
    const char *word = vqa_low(q, 1);
    bool one = vqa_any_of(word, "a an"), number = nc_word_is_number(word);
    size_t first = one || number ? 2 : 1;
    bool named = !one && !number && isupper((unsigned char)q->s.words[1][0]) &&
                 islower((unsigned char)q->s.words[1][1]);
    size_t predicate = find_predicate(q, first);
    if (!predicate)
        return vqa_refuse(q, "where its predicate starts is not clear");
    const char *head = vqa_low(q, vqa_head_noun(&q->s, first, predicate));
    struct vqa_subject subject = {.first = 1, .end = predicate, .predicate = predicate};
    if (number) {
        if (!vqa_any_of(q->aux, "are were") ||
            !(nc_word_is_ing(vqa_low(q, predicate)) ||
              nc_word_is(vqa_low(q, predicate), NC_PREPOSITION) ||
              nc_word_is_participle(vqa_low(q, predicate))))
            return vqa_refuse(q, "a \"no\" leaves open how many");
        return vqa_write_there(q, "not", 1, "", 1);
    }
    if (named)
        return vqa_write_statement(q, &subject);
    if (!one && vqa_any_of(q->aux, "is was does has") && !nc_word_is(head, NC_MASS_NOUN) &&
        !nc_word_is_plural(head))
        return vqa_refuse(q, "a noun has no article");
    if (vqa_any_of(q->aux, "are were do have") && !nc_word_is_plural(head))
        return vqa_refuse(q, "its noun and its verb do not agree");
    vqa_agree(q, first, predicate);
    bool happens = nc_word_is_ing(vqa_low(q, predicate)) ||
                   nc_word_is_participle(vqa_low(q, predicate)) ||
                   nc_word_is(vqa_low(q, predicate), NC_PREPOSITION) ||
                   vqa_any_of(vqa_low(q, predicate), "visible present shown");
    if (happens && vqa_any_of(q->aux, "is are was were")) {
        subject.denied = "no";
        subject.affirmed = one ? word : "";
        subject.first = first;
    } else if (one) {
        subject.denied = "no";
        subject.affirmed = word;
        subject.first = first;
        subject.singular = true;
    }
    return vqa_write_statement(q, &subject);
}

bool vqa_read_subject(struct vqa_asked *q)
{
    const char *word = vqa_low(q, 1);
    bool known;
    struct vqa_subject subject = {.first = 1};
    if (!*word)
        return vqa_refuse(q, "asks for nothing");
    if (says_too_little(q, 2))
        return vqa_refuse(q, "a \"no\" leaves open what is so");
    if (vqa_any_of(word, "it he she they you we i"))
        return read_pronoun(q);
    if (vqa_any_of(word, "this that these those"))
        return read_this(q);
    bool done = read_quantity(q, &known);
    if (known)
        return done;
    if (is_definite(word) || (strlen(word) > 2 && vqa_equal(word + strlen(word) - 2, "'s")))
        return write_group(q, &subject, 1);
    return read_bare(q);
}
