/* Where the predicate starts. Every place is tried: before it a whole noun group must stand, behind
 * it a whole predicate, with nothing left over. The one place where both are is it; where there are
 * more, one is taken only for a reason given here. */
#include "words.h"

#include "nclip/negation/lexicon.h"

#include <ctype.h>
#include <string.h>

static bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool is_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (equal(word, *list))
            return true;
    return false;
}

/* What a predicate is said of. */
enum { MANY = 1, PRONOUN = 2 };

/* Words after which another clause or comparison follows, of whatever make. */
static bool opens_clause(const struct vqa_sentence *s, size_t k)
{
    static const char *const words[] = {"that", "who",  "which", "if",   "because", "while", "when",
                                        "than", "like", "as",    "what", "where",   "how",   NULL};
    if (equal(s->low[k], "to")) /* "ready to eat", but "next to the table" */
        return k + 1 < s->count && nc_word_is(s->low[k + 1], NC_VERB);
    return is_of(s->low[k], words);
}

static bool is_finite(const char *word)
{
    static const char *const words[] = {"is",    "are", "was",  "were", "does",  "do",
                                        "did",   "has", "have", "had",  "will",  "looks",
                                        "seems", "he",  "she",  "they", "there", NULL};
    return is_of(word, words);
}

/* Behind a verb: nothing may be left over that could be the predicate in its place, as "red" in
 * "parked on the street red" and "wearing" in "riding a horse wearing a hat". */
static bool verb_takes(const struct vqa_sentence *s, size_t from)
{
    static const char *const givers[] = {"giving",   "showing", "feeding",  "handing",  "telling",
                                         "reading",  "calling", "making",   "teaching", "throwing",
                                         "offering", "buying",  "bringing", "sending",  "passing",
                                         "serving",  "given",   "shown",    "fed",      NULL};
    bool noun = false;
    for (size_t k = from; k < s->count; k++) {
        const char *word = s->low[k], *before = s->low[k - 1];
        static const char *const sides[] = {"left", "right", "front", "back", "middle", NULL};
        bool last = k + 1 == s->count,
             behind_noun = (k > from && is_of(before, sides)) ||
                           (noun && vqa_is_content(before) && !nc_word_is_adjective(before) &&
                            !nc_word_is_adverb(before));
        if (opens_clause(s, k))
            return true;
        if (is_finite(word))
            return false;
        /* "holding the door a guard", but "giving the dog a bath" */
        if (behind_noun && nc_word_is(word, NC_DETERMINER) && !is_of(s->low[from - 1], givers))
            return false;
        if (behind_noun && vqa_is_verbal_ing(s, k))
            return false;
        if (behind_noun && nc_word_is_participle(word) && (last || !vqa_is_content(s->low[k + 1])))
            return false;
        if (behind_noun && last && nc_word_is_adjective(word) &&
            !nc_word_is(word, NC_NOUN_ADJECTIVE) && !vqa_is_compound_at(s, k))
            return false;
        noun |= k >= from && vqa_is_content(word) && !nc_word_is_adjective(word) &&
                !nc_word_is_adverb(word) && !nc_word_is_participle(word) && !nc_word_is_ing(word);
    }
    return true;
}

static bool measures(const char *word)
{
    static const char *const units[] = {"feet",  "foot",    "years", "year",  "inches",
                                        "hours", "months",  "days",  "weeks", "meters",
                                        "miles", "stories", "story", NULL};
    return is_of(word, units);
}

/* "on the table", "in front of the house in the snow", "off": to the end. */
static bool places(const struct vqa_sentence *s, size_t p, size_t *count)
{
    static const char *const particles[] = {"on", "off", "up", "down", "out", "in", "over", NULL};
    static const char *const somewhere[] = {
        "background", "picture", "photo", "image",    "foreground", "left",   "right",
        "front",      "middle",  "back",  "distance", "corner",     "center", NULL};
    *count = 0;
    if (p + 1 == s->count && vqa_word_is(s, p, particles))
        return (*count = 1) != 0;
    for (size_t k = p; k < s->count;) {
        if (opens_clause(s, k) && *count)
            return true;
        if (equal(s->low[k], "and") && *count && k + 1 < s->count &&
            nc_word_is(s->low[k + 1], NC_PREPOSITION))
            k++;
        struct vqa_group group = {0};
        bool of = equal(s->low[k], "of");
        size_t end = vqa_place_end(s, k, s->count, &group);
        if (!end) { /* "in black and white", "at large": of words that no group holds */
            static const char *const purposes[] = {"for",    "of",    "about", "from",
                                                   "before", "after", NULL};
            size_t unit = k + 2;
            if (nc_word_is(s->low[k], NC_PREPOSITION) && unit < s->count &&
                nc_word_is_number(s->low[k + 1]) && measures(s->low[unit])) /* "over 6 feet tall" */
                return unit + 1 == s->count ||
                       (unit + 2 == s->count && nc_word_is_adjective(s->low[unit + 1]));
            bool known =
                nc_word_is(s->low[k], NC_PREPOSITION) && k + 1 < s->count &&
                (!vqa_is_verbal_ing(s, k + 1) || is_of(s->low[k], purposes)) &&
                !nc_word_is_participle(s->low[k + 1]) &&
                (k + 2 == s->count || (nc_word_is_adjective(s->low[k + 1]) && k + 4 == s->count &&
                                       equal(s->low[k + 2], "and"))) &&
                vqa_is_content(s->low[k + 1]) && vqa_is_content(s->low[s->count - 1]);
            *count += known;
            return known;
        }
        /* "in the bowl soup", "on the bike asian": soup may be the predicate; a compound may be
         * one only where nothing else is known of its last word. */
        if (group.doubtful && end == s->count) {
            if (end > k + 4) /* "around the field chain link" */
                return false;
            const char *last = s->low[end - 1];
            if (nc_word_is_adjective(last) || nc_word_looks_adjective(last) ||
                nc_word_is(last, NC_MASS_NOUN) || nc_word_is_plural(last) ||
                isupper((unsigned char)s->words[end - 1][0]))
                return false;
        }
        if (end + 1 < s->count && equal(s->low[end], "and") && nc_word_is_adjective(s->low[end - 1]) &&
            nc_word_is_adjective(s->low[end + 1])) /* "in black and white" */
            end += 2;
        bool which =
            is_of(s->low[end - 1], somewhere) && end < s->count && !equal(s->low[end], "of");
        bool of_picture = end < s->count && equal(s->low[end], "of") &&
                          (equal(s->low[end - 1], "picture") || equal(s->low[end - 1], "photo") ||
                           equal(s->low[end - 1], "image"));
        if ((which || of_picture) && !*count)
            return false; /* says which one is meant; "in this picture of the same age" */
        *count += !of;
        k = end;
    }
    return true;
}

static bool darkens(const char *word)
{
    static const char *const words[] = {"dark",   "light",  "bright", "pale",  "deep",  "solid",
                                        "pretty", "color",  "left",   "right", "fully", "middle",
                                        "half",   "double", "well",   NULL};
    return is_of(word, words);
}

static bool predicate(const struct vqa_sentence *s, size_t p, unsigned of, size_t *count);

/* A group without an article. */
static bool bare_group(const struct vqa_sentence *s, size_t p, unsigned of)
{
    bool doubtful;
    const char *last = s->low[s->count - 1];
    if (!vqa_noun_group(s, p, s->count, &doubtful))
        return false;
    /* "those pine trees": said of "those", since no pine are */
    bool town = (of & PRONOUN) && isupper((unsigned char)s->words[p][0]) &&
                isupper((unsigned char)s->words[s->count - 1][0]) &&
                islower((unsigned char)s->words[p][1]);
    if (doubtful && !town &&
        !(of == (MANY | PRONOUN) && nc_word_is_plural(last) && !nc_word_is_plural(s->low[s->count - 2])))
        return false;
    bool name = (of & PRONOUN) != 0; /* "New York" */
    for (size_t k = p; k < s->count; k++)
        name &= isupper((unsigned char)s->words[k][0]) && islower((unsigned char)s->words[k][1]);
    return name || nc_word_is(last, NC_MASS_NOUN) || ((of & MANY) && nc_word_is_plural(last));
}

/* "red", "black and white", "taller than ...", "full of water". */
static bool adjectives(const struct vqa_sentence *s, size_t p, unsigned of)
{
    size_t k = p;
    for (;;) {
        bool than = k + 1 < s->count && equal(s->low[k + 1], "than") && vqa_is_content(s->low[k]);
        bool last = k + 1 == s->count;
        if (k >= s->count ||
            !(nc_word_is_adjective(s->low[k]) || than || nc_word_looks_adjective(s->low[k]) ||
              (k > p && last && nc_word_is_participle(s->low[k])) ||
              (k > p && equal(s->low[k], "handed"))))
            return k > p && bare_group(s, p, of);
        k++;
        if (k < s->count && (equal(s->low[k], "handed") || equal(s->low[k], "aged")))
            k++;
        if (k == s->count)
            return true;
        if (equal(s->low[k], "and")) {
            k++;
            while (k < s->count && nc_word_is_adverb(s->low[k]))
                k++;
            continue;
        }
        if (darkens(s->low[k - 1]) && nc_word_is_adjective(s->low[k]))
            continue;
        break;
    }
    size_t count;
    if (opens_clause(s, k) || equal(s->low[k], "enough"))
        return true;
    if (nc_word_is(s->low[k], NC_PREPOSITION))
        return places(s, k, &count);
    static const char *const ends[] = {"today",  "now",      "there", "here", "outside",
                                       "inside", "together", "yet",   NULL};
    if (k + 1 == s->count && is_of(s->low[k], ends))
        return true;
    return bare_group(s, p, of);
}

/* "a girl in a red dress", "the same color", "his dog". */
static bool definite(const struct vqa_sentence *s, size_t p)
{
    if (p + 1 >= s->count || is_finite(s->low[p + 1]) || nc_word_is(s->low[p + 1], NC_PREPOSITION))
        return false;
    size_t stop = p + 1;
    for (; stop < s->count && vqa_is_content(s->low[stop]); stop++)
        if (vqa_is_verbal_ing(s, stop) && stop > p + 1)
            break;
    bool doubtful;
    const char *last = s->low[stop - 1];
    if (stop > p + 2 && nc_word_is_adjective(last) && !nc_word_is(last, NC_NOUN_ADJECTIVE) &&
        !vqa_noun_group(s, p + 1, stop, &doubtful))
        return false; /* "the wall white" */
    for (size_t k = p + 1; k < s->count && !opens_clause(s, k); k++)
        if (is_finite(s->low[k]) ||
            (k > p + 1 && nc_word_is(s->low[k], NC_DETERMINER) && vqa_is_content(s->low[k - 1]) &&
             !nc_word_is_ing(s->low[k - 1])))
            return false;
    return true;
}

static bool numbered(const char *word)
{
    static const char *const words[] = {"number", "letter",  "bus",      "train",  "route",
                                        "flight", "room",    "gate",     "player", "track",
                                        "engine", "car",     "platform", "plane",  "channel",
                                        "word",   "letters", "numbers",  NULL};
    return is_of(word, words);
}

/* Behind "two", "one": "dogs", "feet tall", "people in a boat"; not "giraffes related". */
static bool counted(const struct vqa_sentence *s, size_t first)
{
    size_t end = first;
    bool doubtful;
    while (end < s->count && vqa_is_content(s->low[end]) &&
           (end == first || !vqa_is_verbal_ing(s, end)))
        end++;
    if (measures(s->low[first]))
        return end == s->count || nc_word_is(s->low[end], NC_PREPOSITION);
    return vqa_noun_group(s, first, end, &doubtful) &&
           (end == s->count || nc_word_is(s->low[end], NC_PREPOSITION) ||
            equal(s->low[end], "and"));
}

/* *count: how many places it names, where it names nothing else. */
static bool predicate(const struct vqa_sentence *s, size_t p, unsigned of, size_t *count)
{
    static const char *const alone[] = {"here", "together", "apart",    "today",   "halfway", "now",
                                        "away", "well",     "backward", "forward", "already", NULL};
    *count = 0;
    if (p >= s->count)
        return false;
    const char *word = s->low[p], *next = p + 1 < s->count ? s->low[p + 1] : "";
    if (p + 1 == s->count && is_of(word, alone))
        return true;
    if (nc_word_is(word, NC_DETERMINER) && !equal(word, "that"))
        return definite(s, p);
    if (nc_word_is_number(word) || equal(word, "one")) {
        if (!*next || !vqa_is_content(next) || (p > 0 && numbered(s->low[p - 1])))
            return false;
        return counted(s, p + 1);
    }
    if (strlen(word) == 1) /* "the letter A" */
        return false;
    if (equal(word, "half") && equal(next, "of"))
        return false;
    if (nc_word_is_adjective(word) && adjectives(s, p, of))
        return true;
    if ((equal(word, "more") || equal(word, "less")) && equal(next, "than"))
        return p + 2 < s->count;
    if (nc_word_is_adverb(word) && nc_word_is(next, NC_COUNT_WORD) && p + 2 < s->count &&
        vqa_is_content(s->low[p + 2])) /* "too much food" */
        return definite(s, p + 1);
    if (nc_word_is_adverb(word) && *next)
        return predicate(s, p + 1, of, count) || (equal(next, "as") && p + 2 < s->count);
    if (equal(word, "as"))
        return p + 2 < s->count;
    if (nc_word_is(word, NC_PREPOSITION))
        return places(s, p, count);
    if (vqa_is_verbal_ing(s, p))
        return verb_takes(s, p + 1);
    if (equal(word, "been") || (equal(word, "half") && equal(next, "of")))
        return false;
    if (p > 0 && (equal(word, "handed") || equal(word, "aged")))
        return false;
    if (nc_word_is_participle(word)) {
        static const char *const shown[] = {"pictured", "shown",        "depicted", "displayed",
                                            "seen",     "photographed", NULL};
        static const char *const doing[] = {"done",  "finished", "caught", "seen",
                                            "shown", "stuck",    NULL};
        bool adverb = *next && (nc_word_is_adverb(next) || nc_word_is(next, NC_PREPOSITION));
        if (*next && vqa_is_verbal_ing(s, p + 1))
            return is_of(word, doing) && verb_takes(s, p + 2);
        if (*next && nc_word_is_adjective(next) && !adverb)
            return !is_of(word, shown) && verb_takes(s, p + 1);
        static const char *const made[] = {"considered", "made", "called",  "named",
                                           "given",      "fed",  "labeled", NULL};
        if (*next && vqa_is_content(next) && !adverb && !is_of(word, made) &&
            !nc_word_is_participle(next))
            return false;
        return verb_takes(s, p + 1);
    }
    return adjectives(s, p, of) || bare_group(s, p, of);
}

/* ---- Be ---- */

/* "is the dog asian", "is the bathroom tidied": a word that says no more, alone behind one noun. */
static bool last_word(const struct vqa_sentence *s, size_t p, const struct vqa_group *group)
{
    return p + 1 == s->count && group->bare && group->head == p - 1 && !group->doubtful &&
           vqa_is_content(s->low[p]) && strlen(s->low[p]) > 1 && !nc_word_is_number(s->low[p]) &&
           !nc_word_is(s->low[p], NC_COMPOUND_HEAD) && !vqa_is_compound_at(s, p) &&
           (isupper((unsigned char)s->words[p][0]) == 0 || nc_word_looks_adjective(s->low[p]));
}

static bool picture_only(const struct vqa_sentence *s, size_t p)
{
    static const char *const pictures[] = {"picture", "photo",      "image",      "photograph",
                                           "scene",   "background", "foreground", NULL};
    return p + 3 == s->count && equal(s->low[p], "in") && is_of(s->low[p + 2], pictures);
}

/* "is the wall light blue": a light, or a blue. */
static bool may_darken(const struct vqa_sentence *s, size_t p)
{
    static const char *const lights[] = {"traffic",   "street", "stop",   "brake", "head",
                                         "christmas", "signal", "police", "tail",  NULL};
    return equal(s->low[p], "light") && p + 1 < s->count && nc_word_is_adjective(s->low[p + 1]) &&
           !is_of(s->low[p - 1], lights);
}

/* "is the train going through the mountains fast": of the going, not of the train. */
static bool says_how(const char *word)
{
    static const char *const words[] = {"fast",  "slow",  "hard",  "high", "low",      "straight",
                                        "close", "alone", "early", "late", "together", "loud",
                                        "free",  "right", "wrong", "well", NULL};
    return is_of(word, words);
}

/* "is the pizza gluten free", "is the dog house trained": one adjective of two words, or a noun of
 * two. */
static bool joins_adjective(const struct vqa_sentence *s, size_t first, size_t p)
{
    static const char *const seconds[] = {"free",  "friendly", "ready",   "proof",  "safe",
                                          "blind", "made",     "sized",   "shaped", "colored",
                                          "based", "fed",      "trained", "bound",  "broken",
                                          "wide",  "long",     "deep",    NULL};
    static const char *const homes[] = {"house", "potty", "leash", "crate", NULL};
    const char *noun = p > first + 1 ? s->low[p - 2] : "";
    if (p > first && is_of(s->low[p - 1], homes) &&
        (equal(s->low[p], "trained") || equal(s->low[p], "broken")))
        return true;
    return p + 1 == s->count && *noun && is_of(s->low[p], seconds) &&
           vqa_is_content(s->low[p - 1]) && vqa_is_content(noun) && !vqa_is_compound_at(s, p - 1) &&
           !nc_word_is_adjective(noun) && strchr(noun, '\'') == NULL;
}

/* "are the numbers on the clock roman numerals": whose is the middle one? */
static bool says_a_noun(const struct vqa_sentence *s, size_t p)
{
    const char *word = s->low[p];
    return p + 1 == s->count && !nc_word_is_adjective(word) && !nc_word_is_participle(word) &&
           !nc_word_is_adverb(word) && !nc_word_is(word, NC_PREPOSITION) && !vqa_is_verbal_ing(s, p);
}

/* "is the boy standing with his mouth open": the mouth. */
static bool ends_with_his(const struct vqa_sentence *s, size_t p)
{
    static const char *const owners[] = {"his", "her", "its", "their", NULL};
    for (size_t k = p; k-- > 2;)
        if (vqa_word_is(s, k, owners) && equal(s->low[k - 1], "with"))
            return p - k <= 3;
    return false;
}

size_t vqa_predicate_of_be(const struct vqa_sentence *s, size_t first, bool plural)
{
    unsigned of = plural ? MANY : 0;
    struct candidate {
        size_t at, places;
        bool with, of, picture;
    } found[VQA_MOST_WORDS];
    size_t count = 0;
    for (size_t p = first + 1; p < s->count; p++) {
        struct vqa_group group;
        struct candidate here = {.at = p,
                                 .with = equal(s->low[p], "with"),
                                 .of = equal(s->low[p], "of"),
                                 .picture = picture_only(s, p)};
        if ((vqa_is_compound_at(s, p) && !may_darken(s, p)) || !vqa_read_group(s, first, p, &group))
            continue;
        bool whole = predicate(s, p, of, &here.places) ||
                     (p + 1 == s->count && nc_word_is_number(s->low[p]) && group.head + 1 < p &&
                      numbered(s->low[group.head]));
        if (!whole && !last_word(s, p, &group))
            continue;
        /* "the man holding the door open", "the man on the bench reading": whose is it? */
        if ((group.doing && !group.relative && (group.object || vqa_is_verbal_ing(s, p))) ||
            (group.relative && group.object && !vqa_is_verbal_ing(s, p) &&
             !nc_word_is(s->low[p], NC_DETERMINER)))
            continue;
        if ((group.doing && p + 1 == s->count && says_how(s->low[p])) || ends_with_his(s, p) ||
            joins_adjective(s, first, p) || (group.doubtful && says_a_noun(s, p)) ||
            (here.of && !group.bare) ||
            (p > 1 && measures(s->low[p - 1]) && nc_word_is_number(s->low[p - 2])))
            continue;
        found[count++] = here;
    }
    /* Of a picture itself it is said what it is of; else "of" never starts a predicate. */
    for (size_t i = 0; count > 1 && i < count; i++)
        if (found[i].of || found[i].picture || (found[i].with && found[i].places > 1)) {
            memmove(found + i, found + i + 1, (--count - i) * sizeof *found);
            i = (size_t)-1;
        }
    static const char *const pictures[] = {"picture",  "photo",   "image",  "photograph",
                                           "painting", "drawing", "statue", NULL};
    if (count == 1 && found[0].of && !is_of(s->low[found[0].at - 1], pictures))
        return 0;
    return count == 1 ? found[0].at : 0;
}

bool vqa_predicate_of_pronoun(const struct vqa_sentence *s, size_t p, bool plural)
{
    size_t count, end = p;
    bool doubtful;
    /* "these pictures of a man": what they are of is no place. */
    while (end < s->count && vqa_is_content(s->low[end]))
        end++;
    if (plural && end > p && end < s->count && equal(s->low[end], "of") &&
        vqa_noun_group(s, p, end, &doubtful) && nc_word_is_plural(s->low[end - 1]))
        return places(s, end, &count);
    if (plural && (equal(s->low[p], "a") || equal(s->low[p], "an")) &&
        !(p + 2 < s->count && equal(s->low[p + 2], "of"))) /* "are these a dog" */
        return false;
    return predicate(s, p, PRONOUN | (plural ? MANY : 0), &count);
}

/* ---- Do, have ---- */

/* Verbs that are no nouns: before one of them a word is no verb, as "slide" in "does the water
 * slide have". */
static bool only_verb(const char *word)
{
    static const char *const words[] = {
        "have",  "be",       "appear",   "seem", "need", "contain", "belong",  "match",
        "look",  "fit",      "come",     "go",   "eat",  "wear",    "know",    "seem",
        "make",  "resemble", "indicate", "say",  "get",  "require", "include", "require",
        "allow", "move",     "want",     "face", NULL};
    return is_of(word, words);
}

size_t vqa_predicate_of_do(const struct vqa_sentence *s, size_t first)
{
    static const char *const helpers[] = {"help", "let", "make", "go", "come", NULL};
    size_t compound = 0;
    for (size_t k = first + 1; k < s->count; k++) {
        struct vqa_group group;
        if (!nc_word_is(s->low[k], NC_VERB) || !vqa_read_group(s, first, k, &group) ||
            (k + 1 < s->count && only_verb(s->low[k + 1]) && !is_of(s->low[k], helpers)))
            continue;
        if (!vqa_is_compound_at(s, k))
            return k;
        compound = compound ? compound : k;
    }
    return compound;
}

size_t vqa_predicate_of_have(const struct vqa_sentence *s, size_t first)
{
    size_t found = 0;
    for (size_t k = first + 1; k < s->count; k++) {
        struct vqa_group group;
        bool adverb = nc_word_is_adverb(s->low[k]) && k + 1 < s->count &&
                      nc_word_is_participle(s->low[k + 1]);
        if (!(nc_word_is_participle(s->low[k]) || adverb) || !vqa_read_group(s, first, k, &group))
            continue;
        if (found && !nc_word_is_adverb(s->low[found]))
            return 0;
        found = found ? found : k;
        if (adverb)
            k++;
    }
    return found;
}
