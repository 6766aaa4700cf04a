/* Computes what scale_model.h describes. */
#include "scale_model.h"

#include <math.h>

static double most(double a, double b)
{
    return a > b ? a : b;
}

/* What the wire and the other engines do while the core computes for `beside` seconds, and what
 * they take from the core itself. */
static double exposed(double transfer, double beside, double serial)
{
    return serial * transfer + (1 - serial) * most(0, transfer - beside);
}

struct scale_prediction scale_predict(const struct scale_work *w, const struct scale_rank *rank,
                                      const struct scale_link *link)
{
    double ranks = (double)w->ranks, others = ranks - 1;
    struct scale_prediction p = {.compute = rank->towers + rank->loss +
                                            rank->update / (w->sharded ? ranks : 1)};
    if (w->ranks > 1) {
        double deep = ceil(log2(ranks));
        double captions = (double)w->batch / ranks, numbers = captions * (double)w->width;
        /* Text goes round twice; dtext once, in fp32; sums twice, waited for. A block's share of
         * the loss: a third forward, two thirds backward. */
        double text = link->latency + numbers * (double)w->feature_bytes / link->bandwidth;
        double dtext = link->latency + numbers * 4 / link->bandwidth;
        double sums = link->latency + captions * 8 / link->bandwidth;
        p.ring =
            others * (exposed(text, rank->loss / 3 / ranks, rank->serial) +
                      exposed(text + dtext, rank->loss * 2 / 3 / ranks, rank->serial) + 2 * sums) +
            dtext + sums + 2 * deep * link->latency;
        /* Buckets are summed while the backward pass goes on; what is finished last waits for all
         * before it, and nothing is beside it. A reduce-scatter is half of an all-reduce. */
        double halves = w->sharded ? 1 : 2, buckets = ceil(w->gradient_bytes / w->bucket_bytes);
        double byte = halves * others / ranks / link->bandwidth;
        double each = halves * deep * link->latency;
        double early = (w->gradient_bytes - w->last_bytes) * byte + buckets * each;
        p.gradients = exposed(early, rank->backward, rank->serial) + w->last_bytes * byte;
        if (w->sharded) /* each bucket behind its update */
            p.gather = w->gradient_bytes * others / ranks / link->bandwidth +
                       buckets * deep * link->latency;
    }
    p.step = p.compute + p.ring + p.gradients + p.gather;
    return p;
}
