/* AdamW (Loshchilov, Hutter 2019), operation by operation as torch.optim.AdamW:
 *
 *     p = p (1 - lr decay)
 *     m = m + (1 - beta1) (g - m)              v = beta2 v + (1 - beta2) g g
 *     p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 *
 * in one pass, with the clipping factor before it and the bf16 shadow behind it.
 *
 * Bytes an element: 28 (p, g, m, v read; p, m, v written), 30 with the shadow. Flops: 13 and
 * a square root: memory decides. The sum of squares: 4 bytes, 2 flops. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

enum { PIECE = 1 << 14 }; /* elements a thread takes at a time */

/* The numbers of a step, in fp32 only once they are complete. */
struct factors {
    float keep, beta1_rest, beta2, beta2_rest, step_size, root, epsilon, gradient, limit;
};

static struct factors factors_of(const struct nc_adamw *a)
{
    return (struct factors){
        .keep = (float)(1 - a->pace->learning_rate * a->weight_decay),
        .beta1_rest = (float)(1 - a->beta1),
        .beta2 = (float)a->beta2,
        .beta2_rest = (float)(1 - a->beta2),
        .step_size = (float)(a->pace->learning_rate / a->pace->correction1),
        .root = (float)sqrt(a->pace->correction2),
        .epsilon = (float)a->epsilon,
        .gradient = a->gradient_factor ? *a->gradient_factor : 1.0f,
        .limit = a->limit != 0 ? a->limit : INFINITY,
    };
}

static void update(const struct nc_adamw *a, const struct factors *f, size_t first, size_t last)
{
    for (size_t i = first; i < last; i += NC_LANES) {
        size_t left = last - i;
        nc_floats g = nc_load_of(a->gradient, i, NC_FLOAT32, left) * f->gradient;
        nc_floats m = nc_load_of(a->first, i, NC_FLOAT32, left);
        nc_floats v = nc_load_of(a->second, i, NC_FLOAT32, left);
        nc_floats p = nc_load_of(a->parameter, i, NC_FLOAT32, left) * f->keep;
        m = m + (g - m) * f->beta1_rest;
        v = v * f->beta2 + g * f->beta2_rest * g;
        p = p - m * f->step_size / (nc_sqrt(v) / f->root + f->epsilon);
        p = nc_min(nc_all(f->limit), p); /* in this order, so that NaN passes */
        nc_store_of(a->first, i, NC_FLOAT32, m, left);
        nc_store_of(a->second, i, NC_FLOAT32, v, left);
        nc_store_of(a->parameter, i, NC_FLOAT32, p, left);
        if (a->shadow)
            nc_store_of(a->shadow, i, NC_BFLOAT16, p, left);
    }
}

int nc_cpu_adamw(struct nc_backend *backend, const struct nc_adamw *a)
{
    struct factors factors = factors_of(a);
    if (!isfinite(factors.gradient))
        return NC_OK;
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (a->count > PIECE)
    for (size_t first = 0; first < a->count; first += PIECE)
        update(a, &factors, first, a->count - first < PIECE ? a->count : first + PIECE);
    return NC_OK;
}

int nc_cpu_clip(struct nc_backend *backend, const struct nc_clipping *c)
{
    (void)backend;
    double norm = sqrt(*c->squared_norm);
    if (!isfinite(norm) || isnan(*c->factor))
        *c->factor = NAN;
    else
        *c->factor = c->limit > 0 && norm > c->limit ? (float)(c->limit / norm) : 1.0f;
    return NC_OK;
}

int nc_cpu_squared_norm(struct nc_backend *backend, const float *data, size_t count, double *sum)
{
    enum { PARTS = 64 }; /* whatever the number of threads */
    double parts[PARTS];
#pragma omp parallel for num_threads(backend->threads) schedule(static) if (count > PIECE)
    for (size_t part = 0; part < PARTS; part++) {
        size_t last = count / PARTS * (part + 1) + count % PARTS * (part + 1) / PARTS;
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (size_t i = count / PARTS * part + count % PARTS * part / PARTS; i < last; i++)
            total += (double)data[i] * data[i];
        parts[part] = total;
    }
    for (size_t part = 0; part < PARTS; part++)
        *sum += parts[part];
    return NC_OK;
}
