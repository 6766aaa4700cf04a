/* What the answers to all questions about one picture say together. Used only for data sets whose
 * pictures show exactly one subject: there one colour rules out the others. */
#ifndef NCLIP_HOST_GENERATE_VQA_FACTS_H
#define NCLIP_HOST_GENERATE_VQA_FACTS_H

#include "nclip/generate/vqa.h"

/* A word that is an answer, and to which attribute: "red" to "color"; "circle" to "" (what the
 * subject is). */
struct vqa_word {
    char text[NC_VQA_TEXT];
    char attribute[NC_VQA_TEXT];
};

struct vqa_words {
    const char *subject; /* NULL: the set stays empty */
    struct vqa_word *items;
    size_t count;
};

enum { VQA_NO_WORD = -1 };

/* Learns the words from all "what ..." questions. */
int vqa_words_learn(const struct nc_vqa_questions *questions, struct vqa_words *words);
void vqa_words_free(struct vqa_words *words);

/* The word that the claim is about, or VQA_NO_WORD. */
int vqa_claim_word(const struct vqa_words *words, const struct nc_vqa_claim *claim);

enum vqa_fact { VQA_UNKNOWN, VQA_SHOWN, VQA_DENIED };

/* Adds what the claim says to facts[words->count]; false when it contradicts them. */
bool vqa_facts_add(const struct vqa_words *words, const struct nc_vqa_claim *claim,
                   unsigned char *facts);

/* The word shown for the attribute, or VQA_NO_WORD. NULL: any attribute but "". */
int vqa_fact_shown(const struct vqa_words *words, const unsigned char *facts,
                   const char *attribute);
/* "blue circle", "blue shape", "circle", "shape": all that is known, into text[NC_VQA_TEXT * 2]. */
void vqa_facts_describe(const struct vqa_words *words, const unsigned char *facts, char *text,
                        size_t size);

/* Whether the picture may show both words of the pair. */
bool vqa_facts_allow(const struct vqa_words *words, const unsigned char *facts,
                     const char *const pair[2]);

#endif
