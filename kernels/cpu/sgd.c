/* Stochastic gradient descent, operation by operation as torch.optim.SGD:
 *
 *     g = factor gradient + decay p
 *     m = momentum m + g                     (without momentum: m = g, and is not kept)
 *     p = p - lr m
 *
 * in one pass, with the bf16 shadow behind it.
 *
 * Bytes an element: 12 (p, g read; p written), 20 with momentum, and 2 for the shadow. Flops: 5 or
 * 7: memory decides. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

enum { PIECE = 1 << 14 }; /* elements a thread takes at a time */

/* The numbers of a step, in fp32 only once they are complete. */
struct factors {
    float decay, momentum, step_size, gradient, limit;
};

static struct factors factors_of(const struct nc_sgd *s)
{
    return (struct factors){
        .decay = (float)s->weight_decay,
        .momentum = (float)s->momentum,
        .step_size = (float)*s->learning_rate,
        .gradient = s->gradient_factor ? *s->gradient_factor : 1.0f,
        .limit = s->limit != 0 ? s->limit : INFINITY,
    };
}

static void update(const struct nc_sgd *s, const struct factors *f, size_t first, size_t last)
{
    for (size_t i = first; i < last; i += NC_LANES) {
        size_t left = last - i;
        nc_floats m = nc_load_of(s->gradient, i, NC_FLOAT32, left) * f->gradient;
        nc_floats p = nc_load_of(s->parameter, i, NC_FLOAT32, left);
        m = m + p * f->decay;
        if (s->first) {
            m = nc_load_of(s->first, i, NC_FLOAT32, left) * f->momentum + m;
            nc_store_of(s->first, i, NC_FLOAT32, m, left);
        }
        p = p - m * f->step_size;
        p = nc_min(nc_all(f->limit), p); /* in this order, so that NaN passes */
        nc_store_of(s->parameter, i, NC_FLOAT32, p, left);
        if (s->shadow)
            nc_store_of(s->shadow, i, NC_BFLOAT16, p, left);
    }
}

int nc_cpu_sgd(struct nc_backend *backend, const struct nc_sgd *s)
{
    struct factors factors = factors_of(s);
    if (!isfinite(factors.gradient))
        return NC_OK;
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (s->count > PIECE)
    for (size_t first = 0; first < s->count; first += PIECE)
        update(s, &factors, first, s->count - first < PIECE ? s->count : first + PIECE);
    return NC_OK;
}
