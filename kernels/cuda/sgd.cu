/* Stochastic gradient descent, operation by operation as torch.optim.SGD:
 *
 *     g = factor gradient + decay p
 *     m = momentum m + g                     (without momentum: m = g, and is not kept)
 *     p = p - lr m
 *
 * in one pass, with the bf16 shadow behind it.
 *
 * Bytes an element: 12 (p, g read; p written), 20 with momentum, and 2 for the shadow. Flops: 5 or
 * 7: memory decides. For the 124M parameters of ViT-L/14's text tower 1.5 or 2.5 GB, implied 0.4
 * or 0.7 ms at 3.35 TB/s (NVIDIA H100 SXM datasheet). Like AdamW's, its accesses are streams. */
#include "cuda.h"

#include <cmath>

enum { THREADS = 256 };

/* What the host knows of a step; the rate is read from the device. */
struct sgd_rates {
    float decay, momentum, limit;
};

static __device__ __forceinline__ void update(const struct sgd_rates &r, float rate, float factor,
                                              float &p, float g, float &m)
{
    m = m * r.momentum + (g * factor + p * r.decay);
    p -= m * rate;
    p = p > r.limit ? r.limit : p; /* NaN passes */
}

/* lanes: 4 where every array is aligned to 16 bytes, else 1. Without momentum m is 0 before. */
template <int lanes>
static __global__ void __launch_bounds__(THREADS)
    sgd_kernel(size_t count, float *__restrict__ parameter, const float *__restrict__ gradient,
               float *__restrict__ first, nc_bfloat16 *__restrict__ shadow,
               const float *__restrict__ gradient_factor, const double *__restrict__ learning_rate,
               struct sgd_rates r)
{
    size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * lanes;
    float factor = gradient_factor ? *gradient_factor : 1.0f, rate = (float)*learning_rate;
    if (!isfinite(factor))
        return;
    if (lanes == 4 && at + 4 <= count) {
        float p[4], g[4], m[4] = {};
        nc_load4_stream(p, parameter + at);
        nc_load4_stream(g, gradient + at);
        if (first)
            nc_load4_stream(m, first + at);
#pragma unroll
        for (int i = 0; i < 4; i++)
            update(r, rate, factor, p[i], g[i], m[i]);
        nc_store4_stream(parameter + at, p);
        if (first)
            nc_store4_stream(first + at, m);
        if (shadow)
            nc_store4_stream(shadow + at, p);
        return;
    }
    for (size_t i = at; i < count && i < at + lanes; i++) {
        float own = parameter[i], mean = first ? first[i] : 0;
        update(r, rate, factor, own, gradient[i], mean);
        parameter[i] = own;
        if (first)
            first[i] = mean;
        if (shadow)
            nc_store1(shadow + i, own);
    }
}

static bool aligned(const struct nc_sgd *s)
{
    return ((uintptr_t)s->parameter | (uintptr_t)s->gradient | (uintptr_t)s->first) % 16 == 0 &&
           (uintptr_t)s->shadow % 8 == 0;
}

int nc_cuda_sgd(struct nc_backend *backend, const struct nc_sgd *s)
{
    if (!s->count)
        return NC_OK;
    bool wide = aligned(s);
    size_t piece = (size_t)THREADS * (wide ? 4 : 1), blocks = (s->count + piece - 1) / piece;
    if (blocks > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "sgd: %zu parameters are too many for cuda", s->count);
    struct sgd_rates r;
    r.decay = (float)s->weight_decay;
    r.momentum = (float)s->momentum;
    r.limit = s->limit != 0 ? s->limit : INFINITY;
    auto kernel = wide ? sgd_kernel<4> : sgd_kernel<1>;
    return NC_LAUNCH(kernel, (unsigned)blocks, THREADS, 0, backend->compute, s->count,
                     s->parameter, s->gradient, s->first, s->shadow, s->gradient_factor,
                     s->learning_rate, r);
}
