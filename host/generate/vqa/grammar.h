/* A question while the grammar reads it, and the functions with which the grammar's files call each
 * other:
 *
 *     grammar.c         which form a question has; "is there ..."
 *     subjects.c        every other subject
 *     statement.c       writing the statement
 *     words.c           where the predicate starts, by lists of words (host/negation/lexicon.c)
 */
#ifndef NCLIP_HOST_GENERATE_VQA_GRAMMAR_H
#define NCLIP_HOST_GENERATE_VQA_GRAMMAR_H

#include "nclip/generate/vqa.h"
#include "words.h"

struct vqa_asked {
    struct vqa_sentence s;
    struct nc_vqa_statement *statement;
    const char *aux; /* "is"; may become "are" where the noun asks for it */
    const char *reason;
};

bool vqa_equal(const char *a, const char *b);
bool vqa_any_of(const char *word, const char *list);          /* "he she it" */
const char *vqa_low(const struct vqa_asked *q, size_t index); /* "" behind the end */
bool vqa_refuse(struct vqa_asked *q, const char *reason);     /* false */

/* The subject of a statement: fixed words, then words of the question. */
struct vqa_subject {
    const char *denied;   /* "no one", "not all"; NULL: the verb is denied instead */
    const char *affirmed; /* "someone", "all" */
    size_t first, end;    /* words behind that, in both */
    size_t predicate;
    bool singular; /* takes has, not have */
};

/* All three return false with q->reason where they cannot. */
bool vqa_write_statement(struct vqa_asked *q, const struct vqa_subject *subject);
/* "there is", then `denial` and the words from `denied_from` on; the other sentence likewise. */
bool vqa_write_there(struct vqa_asked *q, const char *denial, size_t denied_from,
                     const char *assertion, size_t affirmed_from);
bool vqa_read_subject(struct vqa_asked *q);

/* Makes "is" of q->aux "are" where the noun of [first, end) wants it: "is there clouds" is asked as
 * often as it is wrong. */
void vqa_agree(struct vqa_asked *q, size_t first, size_t end);
void vqa_agree_with_many(struct vqa_asked *q);

#endif
