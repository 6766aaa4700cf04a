/* RMSprop (Tieleman, Hinton 2012), operation by operation as torch.optim.RMSprop:
 *
 *     g = factor gradient + decay p
 *     v = alpha v + (1 - alpha) g g
 *     p = p - lr g / (sqrt(v) + epsilon)
 *
 * in one pass, with the bf16 shadow behind it.
 *
 * Bytes an element: 20 (p, g, v read; p, v written), 22 with the shadow. Flops: 10, a quotient and
 * a square root: memory decides. For the 124M parameters of ViT-L/14's text tower 2.7 GB, implied
 * 0.8 ms at 3.35 TB/s (NVIDIA H100 SXM datasheet). Like AdamW's, its accesses are streams. */
#include "cuda.h"

#include <cmath>

enum { THREADS = 256 };

/* What the host knows of a step; the rate is read from the device. */
struct rmsprop_rates {
    float decay, alpha, alpha_rest, epsilon, limit;
};

static struct rmsprop_rates rates_of(const struct nc_rmsprop *a)
{
    struct rmsprop_rates r;
    r.decay = (float)a->weight_decay;
    r.alpha = (float)a->alpha;
    r.alpha_rest = (float)(1 - a->alpha);
    r.epsilon = (float)a->epsilon;
    r.limit = a->limit != 0 ? a->limit : INFINITY;
    return r;
}

static __device__ __forceinline__ void update(const struct rmsprop_rates &r, float rate,
                                              float factor, float &p, float g, float &v)
{
    g = g * factor + p * r.decay;
    v = v * r.alpha + g * r.alpha_rest * g;
    p -= g * rate / (sqrtf(v) + r.epsilon);
    p = p > r.limit ? r.limit : p; /* NaN passes */
}

/* lanes: 4 where every array is aligned to 16 bytes, else 1. */
template <int lanes>
static __global__ void __launch_bounds__(THREADS)
    rmsprop_kernel(size_t count, float *__restrict__ parameter, const float *__restrict__ gradient,
                   float *__restrict__ second, nc_bfloat16 *__restrict__ shadow,
                   const float *__restrict__ gradient_factor,
                   const double *__restrict__ learning_rate, struct rmsprop_rates r)
{
    size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * lanes;
    float factor = gradient_factor ? *gradient_factor : 1.0f, rate = (float)*learning_rate;
    if (!isfinite(factor))
        return;
    if (lanes == 4 && at + 4 <= count) {
        float p[4], g[4], v[4];
        nc_load4_stream(p, parameter + at);
        nc_load4_stream(g, gradient + at);
        nc_load4_stream(v, second + at);
#pragma unroll
        for (int i = 0; i < 4; i++)
            update(r, rate, factor, p[i], g[i], v[i]);
        nc_store4_stream(parameter + at, p);
        nc_store4_stream(second + at, v);
        if (shadow)
            nc_store4_stream(shadow + at, p);
        return;
    }
    for (size_t i = at; i < count && i < at + lanes; i++) {
        float own = parameter[i], square = second[i];
        update(r, rate, factor, own, gradient[i], square);
        parameter[i] = own;
        second[i] = square;
        if (shadow)
            nc_store1(shadow + i, own);
    }
}

static bool aligned(const struct nc_rmsprop *a)
{
    return ((uintptr_t)a->parameter | (uintptr_t)a->gradient | (uintptr_t)a->second) % 16 == 0 &&
           (uintptr_t)a->shadow % 8 == 0;
}

int nc_cuda_rmsprop(struct nc_backend *backend, const struct nc_rmsprop *a)
{
    if (!a->count)
        return NC_OK;
    bool wide = aligned(a);
    size_t piece = (size_t)THREADS * (wide ? 4 : 1), blocks = (a->count + piece - 1) / piece;
    if (blocks > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "rmsprop: %zu parameters are too many for cuda", a->count);
    auto kernel = wide ? rmsprop_kernel<4> : rmsprop_kernel<1>;
    return NC_LAUNCH(kernel, (unsigned)blocks, THREADS, 0, backend->compute, a->count,
                     a->parameter, a->gradient, a->second, a->shadow, a->gradient_factor,
                     a->learning_rate, rates_of(a));
}
