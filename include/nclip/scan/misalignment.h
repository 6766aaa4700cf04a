/* Do captions with a negation fit their pictures? Captions of the web often do not: "no smoking" is
 * written under a picture of somebody smoking.
 *
 * Each caption that holds a negation is compared with the same caption stripped of it, by the
 * cosine of each with its picture's embedding. A model that understands negation prefers the
 * stripped one where the caption is misaligned; a model that does not prefers it for any caption.
 * So the share depends on both, captions and model. Where a model that sees pictures is at hand, it
 * is asked whether the denied thing is there.
 */
#ifndef NCLIP_SCAN_MISALIGNMENT_H
#define NCLIP_SCAN_MISALIGNMENT_H

#include "nclip/captions/captions.h"
#include "nclip/encoder/encoder.h"
#include "nclip/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
