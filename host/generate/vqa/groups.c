/* Noun groups: "the old man on the left", told from what follows them. A group is accepted only
 * where each of its words has a place: this is what keeps a predicate from being swallowed. */
#include "words.h"

#include "nclip/negation/lexicon.h"

#include <string.h>

static bool is_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

bool vqa_word_is(const struct vqa_sentence *s, size_t k, const char *const *list)
{
    return k < s->count && is_of(s->low[k], list);
}

bool vqa_is_content(const char *word)
{
    static const char *const function_words[] = {
        "is",   "are",  "was",   "were", "be",   "does", "do",   "did",     "has",   "have",
        "had",  "will", "and",   "but",  "or",   "than", "that", "who",     "which", "to",
        "it",   "he",   "she",   "they", "them", "him",  "me",   "i",       "you",   "there",
        "here", "if",   "while", "any",  "some", "as",   "when", "where",   "what",  "how",
        "like", "each", "every", "not",  "no",   "we",   "us",   "because", NULL};
    return !nc_word_is(word, NC_PREPOSITION) && !nc_word_is(word, NC_DETERMINER) &&
           !is_of(word, function_words);
}

static bool possessive(const char *word)
{
    size_t length = strlen(word);
    return length > 2 &&
           (strcmp(word + length - 2, "'s") == 0 || strcmp(word + length - 2, "s'") == 0);
}

bool vqa_is_verbal_ing(const struct vqa_sentence *s, size_t k)
{
    return nc_word_is_ing(s->low[k]) &&
           !(k + 1 < s->count && (nc_word_is_compound(s->low[k], s->low[k + 1]) ||
                                  (nc_word_is(s->low[k], NC_COMPOUND_MODIFIER) &&
                                   nc_word_is(s->low[k + 1], NC_COMPOUND_HEAD))));
}

/* Could the word be the noun of a group of several words? */
static bool may_be_noun(const struct vqa_sentence *s, size_t k)
{
    const char *word = s->low[k];
    if (nc_word_is(word, NC_NOUN_ADJECTIVE) || nc_word_is(word, NC_COMPOUND_HEAD))
        return true;
    return !nc_word_is_adjective(word) && !nc_word_is_adverb(word) && !nc_word_is_ing(word) &&
           !nc_word_is_participle(word) && !nc_word_is(word, NC_COUNT_WORD);
}

/* "red", "stuffed", "two", "man's", "running" of "running water": before a noun. */
static bool may_stand_before(const struct vqa_sentence *s, size_t k)
{
    const char *word = s->low[k];
    return nc_word_is_adjective(word) || nc_word_is_participle(word) || nc_word_is_number(word) ||
           nc_word_is_ing(word) || nc_word_is_adverb(word) || possessive(word);
}

bool vqa_is_compound_at(const struct vqa_sentence *s, size_t k)
{
    return k > 0 && k < s->count && nc_word_is(s->low[k - 1], NC_COMPOUND_MODIFIER) &&
           nc_word_is(s->low[k], NC_COMPOUND_HEAD);
}

bool vqa_noun_group(const struct vqa_sentence *s, size_t first, size_t end, bool *doubtful)
{
    bool noun = false;
    *doubtful = false;
    if (first >= end || !may_be_noun(s, end - 1))
        return false;
    for (size_t k = first; k < end; k++) {
        const char *word = s->low[k];
        if (!vqa_is_content(word) || (nc_word_is(word, NC_COUNT_WORD) && !nc_word_is_number(word)))
            return false;
        bool before = k + 1 < end && may_stand_before(s, k);
        if (noun && before && !may_be_noun(s, k) && !possessive(word) && !nc_word_is_number(word) &&
            !nc_word_is(word, NC_COMPOUND_MODIFIER))
            return false; /* an adjective behind a noun */
        if (noun && nc_word_is_number(word))
            return false;
        if (noun && before && nc_word_is_adjective(word) && nc_word_is_plural(s->low[k - 1]))
            return false; /* "people professional players" */
        if (before && !(nc_word_is(word, NC_COMPOUND_MODIFIER) && vqa_is_compound_at(s, k + 1)))
            continue;
        if (noun && !vqa_is_compound_at(s, k)) {
            /* "bananas roses" */
            if (nc_word_is_plural(s->low[k - 1]) &&
                !nc_word_is(s->low[k - 1], NC_COMPOUND_MODIFIER))
                return false;
            *doubtful = true;
        }
        noun = true;
    }
    return true;
}

/* Nouns behind an article, whatever else they can be. */
static const char *const sides[] = {"left", "right", "middle", "back", "front", NULL};

/* The end of the words in a row that a noun group could be made of. */
static size_t run_end(const struct vqa_sentence *s, size_t first, size_t limit)
{
    size_t k = first;
    for (; k < limit && vqa_is_content(s->low[k]); k++) {
        bool side = k > first && is_of(s->low[k - 1], sides);
        if (k == first || (may_stand_before(s, k - 1) && !side))
            continue;
        if (vqa_is_verbal_ing(s, k) || nc_word_is_participle(s->low[k]))
            break;
    }
    return k;
}

size_t vqa_head_noun(const struct vqa_sentence *s, size_t first, size_t end)
{
    while (first + 1 < end &&
           (nc_word_is(s->low[first], NC_COUNT_WORD) || nc_word_is_number(s->low[first])))
        first++;
    size_t stop = run_end(s, first, end);
    bool doubtful;
    /* "slices left", "animals visible" */
    for (size_t k = stop; k > first + 1; k--)
        if (vqa_noun_group(s, first, k, &doubtful))
            return k - 1;
    return first;
}

/* ---- What says which one is meant ---- */

static size_t behind_article(const struct vqa_sentence *s, size_t k, size_t limit)
{
    static const char *const some[] = {"any", "some", "each", "every", "all", NULL};
    if (k < limit && (nc_word_is(s->low[k], NC_DETERMINER) || vqa_word_is(s, k, some)))
        k++;
    while (k + 1 < limit && (nc_word_is(s->low[k], NC_COUNT_WORD) || nc_word_is_number(s->low[k])))
        k++;
    return k;
}

/* The end of a group with or without article, or of a pronoun; 0: none. */
static size_t object_end(const struct vqa_sentence *s, size_t k, size_t limit,
                         struct vqa_group *group)
{
    static const char *const pronouns[] = {
        "it",    "them",  "him",     "her",     "me",         "you",    "itself", "this", "that",
        "these", "those", "himself", "herself", "themselves", "myself", "us",     NULL};
    static const char *const each[] = {"each", "one", NULL};
    bool doubtful;
    if (k < limit && vqa_word_is(s, k, each) && k + 1 < limit &&
        strcmp(s->low[k + 1], "other") == 0)
        return k + 2;
    size_t first = behind_article(s, k, limit), end = run_end(s, first, limit);
    if (end > first && vqa_noun_group(s, first, end, &doubtful)) {
        group->doubtful |= doubtful;
        return end;
    }
    /* "the wild", "the left", "in white": not before a noun */
    if (end != first + 1 || nc_word_is_ing(s->low[first]))
        return k < limit && vqa_word_is(s, k, pronouns) && end == first ? k + 1 : 0;
    bool alone = is_of(s->low[first], sides) || end == s->count || !vqa_is_content(s->low[end]) ||
                 vqa_is_verbal_ing(s, end);
    bool white = k > 0 && strcmp(s->low[k - 1], "in") == 0 && nc_word_is_adjective(s->low[first]);
    if (alone && (first > k || white))
        return end;
    return k < limit && vqa_word_is(s, k, pronouns) && end == first ? k + 1 : 0;
}

static bool is_preposition(const struct vqa_sentence *s, size_t k)
{
    return nc_word_is(s->low[k], NC_PREPOSITION);
}

/* The end of "on top", "next to the old car", "out of it"; 0: none. */
size_t vqa_place_end(const struct vqa_sentence *s, size_t k, size_t limit, struct vqa_group *group)
{
    if (k >= limit || !is_preposition(s, k))
        return 0;
    while (k < limit && is_preposition(s, k))
        k++;
    return object_end(s, k, limit, group);
}

static bool named_only(const char *word)
{
    static const char *const words[] = {"pictured",  "shown",    "depicted", "displayed",
                                        "featured",  "seen",     "visible",  "photographed",
                                        "mentioned", "involved", NULL};
    return is_of(word, words);
}

/* Everything behind the first group, up to `end`. */
static bool read_tail(const struct vqa_sentence *s, size_t k, size_t end, struct vqa_group *group)
{
    static const char *const relatives[] = {"who", "which", "that", NULL};
    static const char *const verbs[] = {"is", "are", "was", "were", "has", "have", NULL};
    if (k == end)
        return true;
    const char *word = s->low[k];
    if (strcmp(word, "to") == 0 && k + 1 < s->count && nc_word_is(s->low[k + 1], NC_VERB))
        return false; /* "trying to catch" */
    if (is_preposition(s, k)) {
        size_t next = vqa_place_end(s, k, end, group);
        group->places += strcmp(word, "of") != 0;
        return next && read_tail(s, next, end, group);
    }
    if (strcmp(word, "and") == 0) {
        size_t next = object_end(s, k + 1, end, group);
        group->joined = true;
        return next && read_tail(s, next, end, group);
    }
    if (vqa_word_is(s, k, relatives)) {
        bool verb = vqa_word_is(s, k + 1, verbs);
        size_t at = k + 1 + verb;
        group->relative = true;
        if (at >= end)
            return false;
        if (verb && (is_preposition(s, at) || vqa_is_verbal_ing(s, at) ||
                     nc_word_is_participle(s->low[at])))
            return read_tail(s, at, end, group);
        if (verb && nc_word_is_adjective(s->low[at]))
            return at + 1 == end;
        if (verb || !vqa_is_content(s->low[at])) /* "took the picture" */
            return false;
        if (at + 1 == end)
            return false;
        size_t next = object_end(s, at + 1, end, group);
        return next ? read_tail(s, next, end, group)
                    : is_preposition(s, at + 1) && read_tail(s, at + 1, end, group);
    }
    if (nc_word_is_participle(word)) {
        if (k + 1 == end)
            return named_only(word) || group->relative;
        return is_preposition(s, k + 1) && read_tail(s, k + 1, end, group);
    }
    if (vqa_is_verbal_ing(s, k)) {
        if (k + 1 == end)
            return group->relative;
        group->doing = true;
        if (is_preposition(s, k + 1))
            return read_tail(s, k + 1, end, group);
        size_t next = object_end(s, k + 1, end, group);
        group->object = true;
        return next && read_tail(s, next, end, group);
    }
    return false;
}

bool vqa_read_group(const struct vqa_sentence *s, size_t first, size_t end, struct vqa_group *group)
{
    *group = (struct vqa_group){0};
    if (first >= end)
        return false;
    size_t stop = run_end(s, first, end);
    bool one = stop == first + 1 && !nc_word_is_adverb(s->low[first]) &&
               !nc_word_is_ing(s->low[first]) && !nc_word_is_participle(s->low[first]) &&
               !nc_word_is(s->low[first], NC_COUNT_WORD);
    if (!one && !vqa_noun_group(s, first, stop, &group->doubtful))
        return false;
    group->head = stop - 1;
    group->bare = stop == end;
    return read_tail(s, stop, end, group);
}
