/* Do captions with a negation fit their pictures? Captions of the web often do not: "no smoking" is
 * written under a picture of somebody smoking.
 *
 * Each caption that holds a negation is compared with the same caption stripped of it, by the
 * cosine of either with its picture's embedding. A model that understood negation would prefer the
 * stripped one where the caption is misaligned; one that does not, prefers it for any caption: the
 * share says something of both. Where a model that sees pictures is at hand, it is asked whether
 * the denied thing is there.
 */
#ifndef NCLIP_MISALIGNMENT_H
#define NCLIP_MISALIGNMENT_H

#include "nclip/captions.h"
#include "nclip/embedding_store.h"
#include "nclip/encoder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Stripping ---- */

/* The caption without its negations: malloc'd. NULL, with a reason (static), when there is none, or
 * none that can be taken out. The rule, word by word:
 *
 *     no, not, never          go; "no one": someone; "no longer": goes; "but no(t)": and
 *     n't                     goes: isn't, is; can't, can; won't, will; shan't, shall; ain't, is
 *     without                 with            none                    some
 *     nothing                 something       nobody                  somebody
 *     nowhere                 somewhere       cannot                  can
 *     neither                 goes (before "of": both)                nor    and
 *     absent                  present         absence                 presence
 *     lack                    "lack of": presence of; else have
 *     lacks, lacked, lacking  has, had, having
 *
 * Behind a negation any, anyone, anybody, anything and anywhere become some, ... The first letter
 * stays a capital. Left alone: "not only", "not just", and captions of which nothing would be left.
 * All else stays as it is: no article is added, so that "there is no dog" becomes "there is dog".
 */
char *nc_negation_strip(const char *caption, const char **reason);

/* The thing that the caption says is not there, from no, without, lack(s) and absence: "a street
 * with no parked cars on it": "parked cars". False when it names none so. */
bool nc_negated_thing(const char *caption, char *thing, size_t size);

/* ---- Measuring ---- */

/* A picture and a thing that its caption denies. */
struct nc_misalignment_question {
    const char *image, *thing;
    enum { NC_MISALIGNMENT_UNSURE, NC_MISALIGNMENT_ABSENT, NC_MISALIGNMENT_SHOWN } answer; /* out */
};

/* Answers all questions at once. NC_OK also when some stay unsure. */
struct nc_misalignment_judge {
    int (*judge)(void *context, struct nc_misalignment_question *questions, size_t count);
    void *context;
};

struct nc_misalignment_options {
    size_t examples; /* of those that prefer the stripped caption, the farthest apart */
    const struct nc_misalignment_judge *judge; /* NULL: none */
};

struct nc_misalignment_example {
    const char *image, *caption; /* the captions' */
    char *stripped;              /* owned */
    float cosine, stripped_cosine;
};

struct nc_misalignment {
    size_t captions, negated;
    size_t unstripped;                   /* negated ones that the rule leaves alone */
    size_t unembedded;                   /* whose picture the store does not have */
    size_t compared, stripped_preferred; /* equal cosines do not count as preferred */
    double difference;                   /* mean of cosine(stripped) - cosine(caption) */
    size_t asked, shown, absent;         /* by the judge; the rest is unsure */
    struct nc_misalignment_example *examples;
    size_t example_count;
};

/* `embedding` is the dimension of both. The store must hold embeddings of the encoder's model. */
int nc_misalignment_measure(const struct nc_captions *captions,
                            const struct nc_embedding_store *store, struct nc_encoder *encoder,
                            size_t embedding, const struct nc_misalignment_options *options,
                            struct nc_misalignment *result);
void nc_misalignment_free(struct nc_misalignment *result); /* {0} is allowed */

#endif
