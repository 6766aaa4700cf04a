#include "words.h"

#include "nclip/negation/lexicon.h"

#include <ctype.h>
#include <string.h>

bool vqa_sentence_split(const char *text, struct vqa_sentence *sentence, bool *inner)
{
    size_t used = 0;
    bool ended = false;
    sentence->count = 0;
    *inner = false;
    while (*text) {
        for (; *text && (isspace((unsigned char)*text) || strchr("?.!,;\"", *text)); text++)
            ended |= strchr("?.!;", *text) != NULL && sentence->count;
        if (!*text)
            break;
        *inner |= ended;
        if (sentence->count == VQA_MOST_WORDS)
            return false;
        sentence->words[sentence->count] = sentence->text + used;
        sentence->low[sentence->count++] = sentence->lower + used;
        for (; *text && !isspace((unsigned char)*text) && !strchr("?.!,;\"", *text); text++) {
            unsigned char letter = (unsigned char)*text;
            if (used + 2 > sizeof sentence->text ||
                !(isalnum(letter) || letter == '-' || letter == '\'' || letter == '&'))
                return false;
            sentence->lower[used] = (char)tolower(letter);
            sentence->text[used++] = (char)letter;
        }
        sentence->lower[used] = 0;
        sentence->text[used++] = 0;
    }
    return sentence->count > 0;
}

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

/* A word that can stand in a noun group behind its article. */
static bool is_content(const char *word)
{
    static const char *const function_words[] = {
        "is",   "are",   "was", "were",  "be",   "does", "do",   "did", "has",
        "have", "had",   "and", "but",   "or",   "than", "that", "who", "which",
        "to",   "it",    "he",  "she",   "they", "them", "him",  "me",  "i",
        "you",  "there", "if",  "while", "any",  "some", "ther", NULL};
    return !vqa_is(word, VQA_PREPOSITION) && !vqa_is(word, VQA_DETERMINER) &&
           !is_of(word, function_words);
}

/* Words that only a verb or another clause brings: no noun group holds them. */
static bool breaks_noun_group(const char *word)
{
    static const char *const words[] = {"is",     "are",  "was", "were", "does",  "do",    "did",
                                        "has",    "have", "had", "look", "looks", "seem",  "seems",
                                        "appear", "it",   "he",  "she",  "they",  "there", NULL};
    return is_of(word, words);
}

/* Does the predicate start for sure at word k, inside a sentence whose noun group began before? */
static bool starts_predicate(const struct vqa_sentence *s, size_t k)
{
    const char *word = s->low[k], *before = s->low[k - 1];
    const char *after = k + 1 < s->count ? s->low[k + 1] : NULL;
    if (!is_content(before))
        return false;
    if (vqa_is_ing(word))
        return !after || !vqa_is_compound(word, after);
    /* "visible in the sky" */
    if (vqa_is_adjective(word) && after && vqa_is(after, VQA_PREPOSITION) && k > 1)
        return !vqa_is_adjective(before);
    if (vqa_is_participle(word)) /* "is the stuffed dog", but "is the dog covered in mud" */
        return !after || !is_content(after) || vqa_is_adjective(after) ||
               vqa_is(after, VQA_ADVERB) ||
               (strlen(after) > 3 && equal(after + strlen(after) - 2, "ly"));
    if (vqa_is(word, VQA_DETERMINER) || vqa_is_number(word) || equal(word, "one"))
        return true;
    return vqa_is(word, VQA_ADVERB);
}

/* The adjectives at the end, "black and white": the first one's place, or 0. */
static size_t adjectives_at_end(const struct vqa_sentence *s, size_t first)
{
    size_t at = s->count, k = s->count;
    while (k > first + 1) {
        const char *word = s->low[k - 1];
        bool handed = k < s->count && equal(s->low[k], "handed") &&
                      (equal(word, "right") || equal(word, "left"));
        if (vqa_is_adjective(word) || handed || (vqa_is_participle(word) && k == s->count))
            at = --k;
        else if (equal(word, "and") && at == k && k < s->count)
            k--;
        else
            break;
    }
    return at < s->count && at > first && is_content(s->low[at - 1]) &&
                   !vqa_is_adjective(s->low[at - 1])
               ? at
               : 0;
}

/* "is the giraffe taller than the tree", "more colorful than": the place of "taller". */
static size_t comparison(const struct vqa_sentence *s, size_t first)
{
    for (size_t k = first + 1; k < s->count; k++) {
        if (!equal(s->low[k], "than"))
            continue;
        size_t at = k - 1;
        if (at > first + 1 && is_of(s->low[at - 1], (const char *const[]){"more", "less", NULL}))
            at--;
        return at > first && is_content(s->low[at - 1]) ? at : 0;
    }
    return 0;
}

/* "in the background" and the like say which one is meant, if words follow: the place of these, or
 * of the preposition itself. */
static size_t behind_place(const struct vqa_sentence *s, size_t at)
{
    static const char *const places[] = {"background", "picture", "photo",  "image",  "foreground",
                                         "left",       "right",   "front",  "middle", "back",
                                         "distance",   "corner",  "center", NULL};
    return at + 3 < s->count && vqa_is(s->low[at + 1], VQA_DETERMINER) &&
                   is_of(s->low[at + 2], places) && !equal(s->low[at + 3], "of")
               ? at + 3
               : at;
}

/* "is the food in the bowl soup": soup may be the predicate or not. */
static bool ends_doubtful(const struct vqa_sentence *s, size_t preposition)
{
    size_t last = s->count - 1;
    return last >= preposition + 3 && vqa_is(s->low[last], VQA_MASS_NOUN) &&
           is_content(s->low[last - 1]) && !vqa_is_adjective(s->low[last - 1]);
}

/* Behind "who is": the clause has its own predicate, so the second one counts. */
static size_t behind_relative(const struct vqa_sentence *s, size_t first)
{
    size_t found = 0, count = 0;
    for (size_t k = first; k < s->count; k++) {
        if (vqa_is_ing(s->low[k]) || vqa_is_participle(s->low[k])) {
            found = k;
            count++;
        }
    }
    return count == 2 ? found : 0;
}

size_t vqa_predicate_of_be(const struct vqa_sentence *s, size_t first, bool strong)
{
    if (first + 1 >= s->count || !is_content(s->low[first]))
        return 0;
    size_t weak = 0, found = 0, ings = 0;
    for (size_t k = first + 1; k < s->count; k++) {
        const char *word = s->low[k];
        if (is_of(word, (const char *const[]){"who", "which", "that", NULL}) && !found && !weak)
            return k + 1 < s->count ? behind_relative(s, k + 1) : 0;
        if (breaks_noun_group(word) && !found && !weak)
            return 0;
        if (vqa_is(word, VQA_PREPOSITION) && !weak && !found)
            weak = k;
        if (!starts_predicate(s, k))
            continue;
        if (!found)
            found = k;
        /* "is the man riding a horse wearing a hat": who wears it? */
        if (vqa_is_ing(word) && found && k > found && ++ings && vqa_is_ing(s->low[found]))
            return 0;
    }
    size_t compared = comparison(s, first), adjectives = adjectives_at_end(s, first);
    if (compared && (!found || compared < found))
        return compared;
    /* "is the plate on the table full"; but "is the dog wearing red" */
    if (adjectives && (!found || adjectives < found))
        return adjectives;
    bool of = weak && equal(s->low[weak], "of");
    if (found)
        return found;
    /* "are the lights on the train on" */
    static const char *const particles[] = {"on", "off", "up", "down", "out", NULL};
    if (weak && weak + 2 < s->count && is_of(s->low[s->count - 1], particles))
        return s->count - 1;
    if (weak && !of)
        return ends_doubtful(s, weak) ? 0 : behind_place(s, weak);
    return strong || (of && s->count - weak < 4) || s->count - first < 2 ||
                   !is_content(s->low[s->count - 2])
               ? 0
               : s->count - 1;
}

size_t vqa_predicate_of_do(const struct vqa_sentence *s, size_t first)
{
    if (!is_content(s->low[first]))
        return 0;
    for (size_t k = first + 1; k < s->count; k++)
        if (vqa_is(s->low[k], VQA_VERB) &&
            (is_content(s->low[k]) || equal(s->low[k], "have") || equal(s->low[k], "be")) &&
            (is_content(s->low[k - 1]) || s->low[k - 1][0] == 0))
            return k;
    return 0;
}

size_t vqa_predicate_of_have(const struct vqa_sentence *s, size_t first)
{
    if (!is_content(s->low[first]))
        return 0;
    for (size_t k = first + 1; k < s->count; k++)
        if (vqa_is_participle(s->low[k]))
            return k;
    return 0;
}

size_t vqa_head_noun(const struct vqa_sentence *s, size_t first, size_t end)
{
    size_t head = first;
    for (size_t k = first; k < end && is_content(s->low[k]); k++) {
        if (k > first && (vqa_is_ing(s->low[k]) || vqa_is_participle(s->low[k])) && k + 1 < end)
            break;
        head = k;
    }
    return head;
}
