/* AdamW (Loshchilov, Hutter 2019), operation by operation as torch.optim.AdamW:
 *
 *     p = p (1 - lr decay)
 *     m = m + (1 - beta1) (g - m)              v = beta2 v + (1 - beta2) g g
 *     p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 *
 * in one pass, with the clipping factor before it and the bf16 shadow behind it; and the sum
 * of squares that the clipping factor is made of.
 *
 * Bytes an element: 28 (p, g, m, v read; p, m, v written), 30 with the shadow. Flops: 13, two
 * quotients and a square root: memory decides. For the 124M parameters of ViT-L/14's text
 * tower 3.7 GB, implied 1.11 ms at 3.35 TB/s (NVIDIA H100 SXM datasheet). The sum of squares: 4
 * bytes, 2 flops; 0.5 GB, implied 0.15 ms. All of it is far larger than the caches, so that
 * accesses are marked as streams. A warp's 3,840 bytes of AdamW take about 300 instructions; the
 * memory's rate, 14 bytes a clock of each of 132 multiprocessors, leaves time for 1,100. */
#include "cuda.h"

#include <cmath>

enum { THREADS = 256 };

/* What the host knows of a step; the rest is read from the device (nc_adamw_pace). */
struct rates {
    double decay;
    float beta1_rest, beta2, beta2_rest, epsilon, limit;
};

static struct rates rates_of(const struct nc_adamw *a)
{
    struct rates r;
    r.decay = a->weight_decay;
    r.beta1_rest = (float)(1 - a->beta1);
    r.beta2 = (float)a->beta2;
    r.beta2_rest = (float)(1 - a->beta2);
    r.epsilon = (float)a->epsilon;
    r.limit = a->limit != 0 ? a->limit : INFINITY;
    return r;
}

/* The numbers of a step, in fp32 only once they are complete. */
struct factors {
    float keep, step_size, root, gradient;
};

static __device__ __forceinline__ struct factors factors_of(const struct rates &r,
                                                            const struct nc_adamw_pace *pace,
                                                            const float *gradient_factor)
{
    struct factors f;
    f.keep = (float)(1 - pace->learning_rate * r.decay);
    f.step_size = (float)(pace->learning_rate / pace->correction1);
    f.root = (float)sqrt(pace->correction2);
    f.gradient = gradient_factor ? *gradient_factor : 1.0f;
    return f;
}

static __device__ __forceinline__ void update(const struct rates &r, const struct factors &f,
                                              float &p, float g, float &m, float &v)
{
    g *= f.gradient;
    p *= f.keep;
    m += (g - m) * r.beta1_rest;
    v = v * r.beta2 + g * r.beta2_rest * g;
    p -= m * f.step_size / (sqrtf(v) / f.root + r.epsilon);
    p = p > r.limit ? r.limit : p; /* NaN passes */
}

/* lanes: 4 where every array is aligned to 16 bytes, else 1. The factors take quotients and a root
 * in double, so one thread makes them for its block, while the loads are under way: 64 bytes a
 * thread, 80 KB a multiprocessor. */
template <int lanes>
static __global__ void __launch_bounds__(THREADS)
    adamw_kernel(size_t count, float *__restrict__ parameter, const float *__restrict__ gradient,
                 float *__restrict__ first, float *__restrict__ second,
                 nc_bfloat16 *__restrict__ shadow, const float *__restrict__ gradient_factor,
                 const struct nc_adamw_pace *__restrict__ pace, struct rates r)
{
    nc_take_turn();
    NC_SHARED(struct factors, made);
    size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * lanes;
    bool four = lanes == 4 && at + 4 <= count;
    float p[4], g[4], m[4], v[4];
    if (four) {
        nc_load4_stream(p, parameter + at);
        nc_load4_stream(g, gradient + at);
        nc_load4_stream(m, first + at);
        nc_load4_stream(v, second + at);
    }
    if (threadIdx.x == 0)
        *made = factors_of(r, pace, gradient_factor);
    nc_barrier();
    const struct factors f = *made;
    if (!isfinite(f.gradient))
        return;
    if (four) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            update(r, f, p[i], g[i], m[i], v[i]);
        nc_store4_stream(parameter + at, p);
        nc_store4_stream(first + at, m);
        nc_store4_stream(second + at, v);
        if (shadow)
            nc_store4_stream(shadow + at, p);
        return;
    }
    for (size_t i = at; i < count && i < at + lanes; i++) {
        float own = parameter[i], mean = first[i], square = second[i];
        update(r, f, own, gradient[i], mean, square);
        parameter[i] = own;
        first[i] = mean;
        second[i] = square;
        if (shadow)
            nc_store1(shadow + i, own);
    }
}

static bool aligned(const struct nc_adamw *a)
{
    return ((uintptr_t)a->parameter | (uintptr_t)a->gradient | (uintptr_t)a->first |
            (uintptr_t)a->second) %
                   16 ==
               0 &&
           (uintptr_t)a->shadow % 8 == 0;
}

int nc_cuda_adamw(struct nc_backend *backend, const struct nc_adamw *a)
{
    if (!a->count)
        return NC_OK;
    bool wide = aligned(a);
    size_t piece = (size_t)THREADS * (wide ? 4 : 1), blocks = (a->count + piece - 1) / piece;
    if (blocks > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "adamw: %zu parameters are too many for cuda", a->count);
    if (wide)
        return NC_LAUNCH_EARLY(backend, adamw_kernel<4>, (unsigned)blocks, THREADS,
                               sizeof(struct factors), a->count, a->parameter, a->gradient,
                               a->first, a->second, a->shadow, a->gradient_factor, a->pace,
                               rates_of(a));
    return NC_LAUNCH_EARLY(backend, adamw_kernel<1>, (unsigned)blocks, THREADS,
                           sizeof(struct factors), a->count, a->parameter, a->gradient, a->first,
                           a->second, a->shadow, a->gradient_factor, a->pace, rates_of(a));
}

/* ---- Clipping ------------------------------------------------------------------------------ */

static __global__ void clip_kernel(const double *squared_norm, double limit, float *factor)
{
    nc_take_turn();
    double norm = sqrt(*squared_norm);
    if (!isfinite(norm) || isnan(*factor))
        *factor = NAN;
    else
        *factor = limit > 0 && norm > limit ? (float)(limit / norm) : 1.0f;
}

int nc_cuda_clip(struct nc_backend *backend, const struct nc_clipping *c)
{
    return NC_LAUNCH_EARLY(backend, clip_kernel, 1, 1, 0, c->squared_norm, c->limit, c->factor);
}

/* ---- The sum of squares -------------------------------------------------------------------- */

enum { AHEAD = 4 }; /* loads of a thread under way: 64 KB a multiprocessor, with 4 blocks */

static __device__ __forceinline__ double squares_of(const float v[4])
{
    return ((double)v[0] * v[0] + (double)v[1] * v[1]) +
           ((double)v[2] * v[2] + (double)v[3] * v[3]);
}

/* One double a block; the last block adds them, in the order of the grid. */
static __global__ void __launch_bounds__(THREADS)
    squares_kernel(const float *__restrict__ data, size_t count, double *partial,
                   uint32_t *arrived, double *total)
{
    nc_take_turn();
    NC_SHARED(double, parts);
    size_t first = (size_t)blockIdx.x * THREADS + threadIdx.x, step = (size_t)gridDim.x * THREADS;
    size_t head = (16 - (uintptr_t)data % 16) % 16 / sizeof *data; /* up to the first multiple */
    head = head < count ? head : count;
    size_t whole = (count - head) / 4, tail = head + whole * 4;
    double sum = 0;
    size_t i = first;
    for (; i + (AHEAD - 1) * step < whole; i += AHEAD * step) {
        float v[AHEAD][4];
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            nc_load4_stream(v[j], data + head + (i + j * step) * 4);
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            sum += squares_of(v[j]);
    }
    for (; i < whole; i += step) {
        float v[4];
        nc_load4_stream(v, data + head + i * 4);
        sum += squares_of(v);
    }
    if (first < head)
        sum += (double)data[first] * data[first];
    if (first < count - tail)
        sum += (double)data[tail + first] * data[tail + first];
    sum = nc_block_sum(sum, parts);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
    if (!nc_last_block(arrived, gridDim.x, reinterpret_cast<uint32_t *>(parts)))
        return;
    double mine = 0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += THREADS)
        mine += partial[block];
    mine = nc_block_sum(mine, parts);
    if (threadIdx.x == 0)
        *total += mine;
}

int nc_cuda_squared_norm(struct nc_backend *backend, const float *data, size_t count, double *sum)
{
    if (!count)
        return NC_OK;
    size_t wanted = (count + 4 * THREADS - 1) / (4 * THREADS);
    size_t most = (size_t)backend->multiprocessors * 4;
    most = most < NC_CUDA_PARTIALS ? most : (size_t)NC_CUDA_PARTIALS;
    unsigned blocks = (unsigned)(wanted < most ? wanted : most);
    size_t shared = THREADS / NC_WARP * sizeof(double);
    return NC_LAUNCH_EARLY(backend, squares_kernel, blocks, THREADS, shared, data, count,
                           backend->partial, backend->arrived, sum);
}
