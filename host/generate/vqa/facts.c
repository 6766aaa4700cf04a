/* Collects what the answers say of one picture, and finds answers that contradict each other. */
#include "facts.h"

#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static int find(const struct vqa_words *words, const char *text, size_t length, bool adjective)
{
    for (size_t i = 0; i < words->count; i++) {
        const struct vqa_word *word = &words->items[i];
        if ((word->attribute[0] != 0) == adjective && strlen(word->text) == length &&
            memcmp(word->text, text, length) == 0)
            return (int)i;
    }
    return VQA_NO_WORD;
}

static int find_noun(const struct vqa_words *words, const char *text)
{
    return find(words, text, strlen(text), false);
}

static int find_adjective(const struct vqa_words *words, const char *text)
{
    return find(words, text, strlen(text), true);
}

/* "is the circle red?" is about the subject too, when circles are what the subject can be. */
static bool about_subject(const struct vqa_words *words, const char *noun)
{
    return words->subject && (equal(noun, words->subject) || find_noun(words, noun) != VQA_NO_WORD);
}

static int add_word(struct vqa_words *words, const char *text, const char *attribute)
{
    if (find(words, text, strlen(text), attribute[0] != 0) != VQA_NO_WORD)
        return NC_OK;
    if ((words->count & (words->count - 1)) == 0) { /* 0 or a power of two: full */
        size_t capacity = words->count ? 2 * words->count : 1;
        struct vqa_word *larger = realloc(words->items, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "no memory for %zu words", capacity);
        words->items = larger;
    }
    struct vqa_word *word = &words->items[words->count++];
    snprintf(word->text, sizeof word->text, "%s", text);
    snprintf(word->attribute, sizeof word->attribute, "%s", attribute);
    return NC_OK;
}

int vqa_words_learn(const struct nc_vqa_questions *questions, struct vqa_words *words)
{
    *words = (struct vqa_words){.subject = questions->subject};
    /* First what the subject can be, then its qualities: "what color is the circle?" is about
     * the subject only once circles are known. */
    for (int adjectives = 0; questions->subject && adjectives < 2; adjectives++) {
        for (size_t i = 0; i < questions->count; i++) {
            const struct nc_vqa_question *question = &questions->items[i];
            struct nc_vqa_claim claim;
            const char *reason;
            if (!nc_vqa_read(question->question, question->answer, &claim, &reason) ||
                claim.kind != NC_VQA_VALUE || (claim.attribute[0] != 0) != adjectives ||
                !about_subject(words, claim.subject) || strchr(claim.quality, ' '))
                continue;
            int status = add_word(words, claim.quality, claim.attribute);
            if (status != NC_OK) {
                vqa_words_free(words);
                return status;
            }
        }
    }
    return NC_OK;
}

void vqa_words_free(struct vqa_words *words)
{
    free(words->items);
    *words = (struct vqa_words){0};
}

int vqa_claim_word(const struct vqa_words *words, const struct nc_vqa_claim *claim)
{
    if (!words->subject)
        return VQA_NO_WORD;
    if (claim->kind != NC_VQA_EXISTENCE) {
        if (!about_subject(words, claim->subject))
            return VQA_NO_WORD;
        bool noun = claim->kind == NC_VQA_VALUE ? !claim->attribute[0] : claim->noun;
        return noun ? find_noun(words, claim->quality) : find_adjective(words, claim->quality);
    }
    size_t length = strlen(claim->thing), tail = strlen(words->subject);
    if (length > tail + 1 && claim->thing[length - tail - 1] == ' ' &&
        equal(claim->thing + length - tail, words->subject))
        return find(words, claim->thing, length - tail - 1, true);
    return find_noun(words, claim->thing);
}

static bool add_fact(const struct vqa_words *words, unsigned char *facts, int index, bool shown)
{
    if (index == VQA_NO_WORD)
        return true;
    if (facts[index] != VQA_UNKNOWN)
        return (facts[index] == VQA_SHOWN) == shown;
    int other = vqa_fact_shown(words, facts, words->items[index].attribute);
    facts[index] = shown ? VQA_SHOWN : VQA_DENIED;
    return !shown || other == VQA_NO_WORD;
}

bool vqa_facts_add(const struct vqa_words *words, const struct nc_vqa_claim *claim,
                   unsigned char *facts)
{
    bool fits = add_fact(words, facts, vqa_claim_word(words, claim), claim->holds);
    if (claim->kind != NC_VQA_EXISTENCE && about_subject(words, claim->subject)) {
        fits &= add_fact(words, facts, find_noun(words, claim->subject), true);
        if (claim->kind == NC_VQA_VALUE && claim->thing[0])
            fits &= add_fact(words, facts, find_adjective(words, claim->thing), true);
    }
    return fits;
}

int vqa_fact_shown(const struct vqa_words *words, const unsigned char *facts, const char *attribute)
{
    for (size_t i = 0; i < words->count; i++) {
        const char *own = words->items[i].attribute;
        if (facts[i] == VQA_SHOWN && (attribute ? equal(own, attribute) : own[0] != 0))
            return (int)i;
    }
    return VQA_NO_WORD;
}

void vqa_facts_describe(const struct vqa_words *words, const unsigned char *facts, char *text,
                        size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < words->count; i++) {
        if (facts[i] != VQA_SHOWN || !words->items[i].attribute[0])
            continue;
        int length = snprintf(text + used, size - used, "%s ", words->items[i].text);
        used = length > 0 && (size_t)length < size - used ? used + (size_t)length : size - 1;
    }
    int noun = vqa_fact_shown(words, facts, "");
    snprintf(text + used, size - used, "%s",
             noun == VQA_NO_WORD ? words->subject : words->items[noun].text);
}

/* True when the answers rule the word out, or no answer about any picture is that word. */
static bool ruled_out(const struct vqa_words *words, const unsigned char *facts, const char *text)
{
    for (size_t i = 0; i < words->count; i++) {
        if (!equal(words->items[i].text, text))
            continue;
        int shown = vqa_fact_shown(words, facts, words->items[i].attribute);
        return facts[i] == VQA_DENIED || (shown != VQA_NO_WORD && shown != (int)i);
    }
    return true;
}

bool vqa_facts_allow(const struct vqa_words *words, const unsigned char *facts,
                     const char *const pair[2])
{
    return !ruled_out(words, facts, pair[0]) && !ruled_out(words, facts, pair[1]);
}
