/* A question as words, and the part of it that is spoken about. */
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

/* Where the predicate of "is the large dog on the left sleeping" starts, for a noun group whose
 * first word behind its article is `first`. `strong`: only where the words leave no doubt (not at
 * the last word for want of a better one). 0: not found. */
size_t vqa_predicate_of_be(const struct vqa_sentence *sentence, size_t first, bool strong);
/* The same for "does the dog like water" and "can the dog swim": an infinitive; for "has the pizza
 * been cut": a participle. */
size_t vqa_predicate_of_do(const struct vqa_sentence *sentence, size_t first);
size_t vqa_predicate_of_have(const struct vqa_sentence *sentence, size_t first);

/* The noun that decides between is and are, for a noun group [first, end). */
size_t vqa_head_noun(const struct vqa_sentence *sentence, size_t first, size_t end);

#endif
