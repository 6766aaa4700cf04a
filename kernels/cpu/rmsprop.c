/* RMSprop (Tieleman, Hinton 2012), operation by operation as torch.optim.RMSprop:
 *
 *     g = factor gradient + decay p
 *     v = alpha v + (1 - alpha) g g
 *     p = p - lr g / (sqrt(v) + epsilon)
 *
 * in one pass, with the bf16 shadow behind it.
 *
 * Bytes an element: 20 (p, g, v read; p, v written), 22 with the shadow. Flops: 10 and a square
 * root: memory decides. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

enum { PIECE = 1 << 14 }; /* elements a thread takes at a time */

/* The numbers of a step, in fp32 only once they are complete. */
struct factors {
    float decay, alpha, alpha_rest, step_size, epsilon, gradient, limit;
};

static struct factors factors_of(const struct nc_rmsprop *r)
{
    return (struct factors){
        .decay = (float)r->weight_decay,
        .alpha = (float)r->alpha,
        .alpha_rest = (float)(1 - r->alpha),
        .step_size = (float)*r->learning_rate,
        .epsilon = (float)r->epsilon,
        .gradient = r->gradient_factor ? *r->gradient_factor : 1.0f,
        .limit = r->limit != 0 ? r->limit : INFINITY,
    };
}

static void update(const struct nc_rmsprop *r, const struct factors *f, size_t first, size_t last)
{
    for (size_t i = first; i < last; i += NC_LANES) {
        size_t left = last - i;
        nc_floats g = nc_load_of(r->gradient, i, NC_FLOAT32, left) * f->gradient;
        nc_floats v = nc_load_of(r->second, i, NC_FLOAT32, left);
        nc_floats p = nc_load_of(r->parameter, i, NC_FLOAT32, left);
        g = g + p * f->decay;
        v = v * f->alpha + g * f->alpha_rest * g;
        p = p - g * f->step_size / (nc_sqrt(v) + f->epsilon);
        p = nc_min(nc_all(f->limit), p); /* in this order, so that NaN passes */
        nc_store_of(r->second, i, NC_FLOAT32, v, left);
        nc_store_of(r->parameter, i, NC_FLOAT32, p, left);
        if (r->shadow)
            nc_store_of(r->shadow, i, NC_BFLOAT16, p, left);
    }
}

int nc_cpu_rmsprop(struct nc_backend *backend, const struct nc_rmsprop *r)
{
    struct factors factors = factors_of(r);
    if (!isfinite(factors.gradient))
        return NC_OK;
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (r->count > PIECE)
    for (size_t first = 0; first < r->count; first += PIECE)
        update(r, &factors, first, r->count - first < PIECE ? r->count : first + PIECE);
    return NC_OK;
}
