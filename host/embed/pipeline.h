/* Pictures on their way: found, read, decoded, computed, stored, each stage while the others work.
 *
 *     feed      says which pictures come next, batch by batch (opening the next tar, if need be)
 *     read      a few threads fetch the files' bytes, in the order of the pictures
 *     decode    a thread for each core makes pixels of them
 *     device    the calling thread runs the vision tower on a whole batch
 *     store     a thread takes the batches in their order
 *
 * Between the stages lies a ring of EMBED_RING batches, so that memory is bounded and a slow stage
 * holds up those before it. A picture's place and its batch do not depend on the threads: the same
 * pictures give the same bits. */
#ifndef NCLIP_HOST_EMBED_PIPELINE_H
#define NCLIP_HOST_EMBED_PIPELINE_H

#include "nclip/embed/embed.h"
#include "nclip/encoder/encoder.h"
#include "nclip/pictures/source.h"

enum { EMBED_RING = 4, EMBED_READERS = 4 };

/* A picture of a batch. */
struct embed_slot {
    size_t index;  /* in the source */
    int status;    /* NC_BAD_INPUT: it is skipped; NC_FAILED, the machine's fault, ends the run */
    char *reason;  /* why; owned */
    char *caption; /* of its sidecar, where captions are wanted; or NULL; owned */
    char damage[NC_IMAGE_DAMAGE];
    bool ready;     /* the pipeline's: read */
    uint8_t *bytes; /* the pipeline's */
    size_t size;
};

struct embed_batch {
    const struct nc_image_source *source; /* stays open until `store` has had the batch */
    void *owner;                          /* the feeder's word to `store` */
    bool last;                            /* likewise */
    size_t count;
    struct embed_slot *slots; /* [count] */
    size_t good;           /* slots with status NC_OK, whose rows follow each other in features */
    const float *features; /* [good, embedding] */
    /* the pipeline's */
    float *pixels, *rows;
    size_t undecoded;
};

struct embed_work {
    void *context;
    /* Fills source, owner, last and the index of up to `most` slots; count 0 is the end. A slot
     * with a status and a reason is only passed on. In a thread of its own, as `store` is. */
    int (*feed)(void *context, struct embed_batch *batch, size_t most);
    /* In the order of feeding. */
    int (*store)(void *context, struct embed_batch *batch);
    /* Of each batch that was fed and has an owner, once: when it was stored, or will not be. */
    void (*drop)(void *context, struct embed_batch *batch);
    /* In the calling thread, after each batch. */
    void (*tell)(void *context, const struct nc_embed_stages *stages);
    /* Whether to stop: batches that are computed are stored, others are dropped. */
    bool (*stop)(void *context);
};

struct embed_pipeline_options {
    struct nc_encoder *encoder; /* NULL: pictures are only decoded, and features are zeros */
    const struct nc_preprocess *preprocess;
    size_t batch;
    size_t values, embedding; /* floats of a picture that is prepared, and of its row */
    size_t threads;           /* that decode */
    bool captions;
    bool shared; /* the device has the cores that decode, too: for nc_embed_limit() */
};

int embed_pipeline_run(const struct embed_pipeline_options *options, const struct embed_work *work,
                       struct nc_embed_stages *stages);

#endif
