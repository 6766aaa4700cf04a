/* A question as words, its noun groups, and where its predicate starts:
 *
 *     words.c           splits a question into words
 *     groups.c          noun groups: "the old man on the left"
 *     predicates.c      what can be said of a noun group, and where that starts
 */
#ifndef NCLIP_HOST_GENERATE_VQA_WORDS_H
#define NCLIP_HOST_GENERATE_VQA_WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum { VQA_MOST_WORDS = 24 };

struct vqa_sentence {
    char text[256], lower[256];                              /* the words, each ended by a zero */
    const char *words[VQA_MOST_WORDS], *low[VQA_MOST_WORDS]; /* as written; in lower case */
    size_t count;
};

/* False when it is empty, too long, or holds other signs than words have. Signs at the end are
 * dropped; *inner tells whether one that ends a sentence stood before the end. */
bool vqa_sentence_split(const char *text, struct vqa_sentence *sentence, bool *inner);

bool vqa_word_is(const struct vqa_sentence *s, size_t k,
                 const char *const *list); /* NULL at its end */

/* ---- Noun groups. A group starts behind its article. ---- */

struct vqa_group {
    size_t head;   /* its noun */
    size_t places; /* "on the left", "with the hat"; "of the house" does not count */
    bool bare;     /* nothing follows its noun */
    bool joined;   /* "the man and the dog" */
    bool relative; /* "who is sitting" */
    bool doing;    /* "holding an umbrella" */
    bool object;   /* the umbrella */
    bool doubtful; /* two nouns in a row that may be one or not */
};

/* A word that can stand in a noun group behind its article. */
bool vqa_is_content(const char *word);
/* In -ing, a form of a verb, also beside its neighbour: not in "washing machine". */
bool vqa_is_verbal_ing(const struct vqa_sentence *s, size_t k);
/* Whether words k - 1 and k are one: "tennis court". */
bool vqa_is_compound_at(const struct vqa_sentence *s, size_t k);
/* Whether [first, end) are adjectives and nouns; *doubtful as above. */
bool vqa_noun_group(const struct vqa_sentence *s, size_t first, size_t end, bool *doubtful);
/* The end of a preposition with its group at k; 0: none. Only group->doubtful is set. */
size_t vqa_place_end(const struct vqa_sentence *s, size_t k, size_t limit, struct vqa_group *group);
/* Whether [first, end) is a noun group with what says which one is meant, and nothing else. */
bool vqa_read_group(const struct vqa_sentence *s, size_t first, size_t end,
                    struct vqa_group *group);
/* The noun that decides between is and are, for words that start with a noun group. */
size_t vqa_head_noun(const struct vqa_sentence *s, size_t first, size_t end);

/* ---- Predicates. Each returns where it starts, or 0 where that is not certain: where no word, or
 * more than one, may be its first. ---- */

/* Of "is the large dog on the left sleeping", for a noun group whose first word behind its article
 * is `first`. */
size_t vqa_predicate_of_be(const struct vqa_sentence *s, size_t first, bool plural);
/* The same for "does the dog like water" and "can the dog swim": an infinitive; for "has the pizza
 * been cut": a participle. */
size_t vqa_predicate_of_do(const struct vqa_sentence *s, size_t first);
size_t vqa_predicate_of_have(const struct vqa_sentence *s, size_t first);

/* Whether the words from p to the end can be said of "this", "these", "it", ... */
bool vqa_predicate_of_pronoun(const struct vqa_sentence *s, size_t p, bool plural);

#endif
