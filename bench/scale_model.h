/* How long a training step takes on many ranks, from what one rank computes and what a link
 * carries. The same formulas predict CPU ranks here, where they can be checked, and GPUs. */
#ifndef NCLIP_BENCH_SCALE_MODEL_H
#define NCLIP_BENCH_SCALE_MODEL_H

#include <stdbool.h>
#include <stddef.h>

/* A link, as one rank sees it: an all-reduce of n bytes over P ranks takes (a tree's latency,
 * which NCCL chooses on many) 2 log2(P) latency + 2 (P - 1) / P n / bandwidth; an exchange
 * latency + n / bandwidth. */
struct scale_link {
    double latency, bandwidth; /* seconds, bytes a second each way */
};

struct scale_rank {
    double towers;   /* seconds of the text tower's passes, each way, over the rank's captions */
    double backward; /* the part of it in which gradients can be summed */
    double loss;     /* seconds of the loss over all blocks */
    double update;   /* seconds of the whole optimizer */
    double serial;   /* share of the communication that takes the computing core's time: 1 where
                        there is no other engine for it, 0 on a GPU's copy engines */
};

struct scale_work {
    size_t ranks, batch, width; /* captions of the whole batch, numbers of a feature */
    size_t feature_bytes;       /* of one number on its way */
    double gradient_bytes;      /* of all parameters */
    double last_bytes;          /* of those that are finished last, at once: the embeddings */
    double bucket_bytes;
    bool sharded;
};

struct scale_prediction {
    double compute;   /* towers, loss, update */
    double ring;      /* exposed: not hidden behind the blocks of the loss */
    double gradients; /* exposed: not hidden behind the backward pass */
    double gather;    /* parameters, with a sharded optimizer */
    double step;      /* all of it */
};

struct scale_prediction scale_predict(const struct scale_work *work, const struct scale_rank *rank,
                                      const struct scale_link *link);

#endif
