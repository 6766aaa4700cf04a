/* InfoNCE backward on the GPU: with weights w of captions and v of pictures,
 *
 *     g(r, c) = (w[r] exp(s - row lse[r]) + v[c] exp(s - column lse[c])
 *                - (w[r] + p[c] v[c]) [r = c]) / 2N,  p: image_positive
 *     dtext[r] = exp(logit_scale) * sum over c of g(r, c) image[c]
 *     dlogit_scale = sum of g s
 *
 * A strip's tiles of scores are made as in forward (infonce.cu, with the times) and become
 * coefficients, which are written out (infonce_coefficients.h); then the library multiplies them
 * with the strip's pictures, 2 B^2 D flops in all. Four strips down, eight across are 32 products
 * of 16384 x D x 8448 for B = 65,536: the coefficients are read once, 768 flops for each of their
 * bytes where an H100 needs 200, so that it does not matter whether they still are in L2.
 *
 * In bf16 the coefficients of negatives are stored in fp16 and multiplied with pictures that are
 * converted to fp16. That costs the tensor cores nothing, and 11 bits make an eighth of the error
 * that bf16's 8 would make. A picture's numbers lie within -1 and 1: what bf16 holds of them
 * above 2^-14 is exact in fp16, and below they are right to 2^-25. Coefficients lie within 0 and
 * w + v; a power of two brings the largest possible one to 2^15, so they are exact to 11 bits down
 * to 2^-29 of it and right to 2^-40 below: of a sum of a million of them less than 2^-20 is lost.
 *
 * A positive's coefficient, a difference that comes close to 0 as a model learns, never enters
 * the strip: it is kept in fp32 and multiplied in fp32 when the strip's sums are added to dtext. */
#include "infonce_gradients.h"

/* ---- The coefficients' factor --------------------------------------------------------------- */

enum { FACTOR_THREADS = 1024 };

static __device__ float largest_weight(const float *weights, size_t count)
{
    float most = weights ? 0 : 1;
    for (size_t i = threadIdx.x; weights && i < count; i += FACTOR_THREADS)
        most = fmaxf(most, fabsf(weights[i]));
    return most;
}

/* A power of two that brings the largest caption's and the largest picture's weight together to
 * at most 2^15; 1 in fp32, which needs none. */
static __global__ void __launch_bounds__(FACTOR_THREADS) find_factor(nc_infonce n, float *factor)
{
    NC_SHARED(float, parts);
    float most[2] = {largest_weight(n.caption_weight, n.captions),
                     largest_weight(n.image_weight, n.images)};
    for (int side = 0; side < 2; side++) {
        most[side] = nc_warp_max(most[side]);
        if (nc_lane() == 0)
            parts[side * NC_WARP + (int)threadIdx.x / NC_WARP] = most[side];
    }
    nc_barrier();
    if (threadIdx.x == 0) {
        for (int w = 0; w < FACTOR_THREADS / NC_WARP; w++)
            for (int side = 0; side < 2; side++)
                most[side] = fmaxf(most[side], parts[side * NC_WARP + w]);
        int exponent = 0;
        frexpf(most[0] + most[1], &exponent);
        *factor = n.type == NC_FLOAT32 ? 1 : ldexpf(1, min(15 - exponent, 126));
    }
}

/* ---- Adding up ------------------------------------------------------------------------------ */

enum { SUM_THREADS = 1024 };

/* One block, so that the order of the sum is fixed. */
static __global__ void __launch_bounds__(SUM_THREADS)
    add_scale(nc_infonce n, const double *sums, size_t count, const float *factor,
              const float *extra_products)
{
    NC_SHARED(double, parts);
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += SUM_THREADS)
        sum += sums[i];
    sum *= 0.5 / (double)n.total / *factor;
    for (size_t e = threadIdx.x; e < n.extras; e += SUM_THREADS)
        sum += extra_products[e];
    sum = nc_block_sum(sum, parts);
    if (threadIdx.x == 0)
        *n.dlogit_scale += (float)sum;
}

/* ---- Launching ------------------------------------------------------------------------------ */

struct backward_scratch {
    struct nc_gradients gradients;
    struct nc_extras extras;
    double *sums;
};

template <typename T>
static size_t lay_out(const struct nc_backend *backend, const struct nc_infonce *n,
                      struct backward_scratch *s)
{
    size_t used = 0;
    char *base = static_cast<char *>(n->scratch);
    s->gradients = nc_lay_out_gradients<T>(backend, n, base, &used);
    s->extras = nc_infonce_lay_out_extras(n, base, &used);
    s->sums = nc_take<double>(base, &used, s->gradients.tiles_down * s->gradients.tiles_across);
    return used;
}

size_t nc_infonce_backward_scratch(const struct nc_backend *backend, const struct nc_infonce *n)
{
    struct backward_scratch s;
    return n->type == NC_FLOAT32 ? lay_out<float>(backend, n, &s)
                                 : lay_out<nc_bfloat16>(backend, n, &s);
}

template <typename T>
static int write_coefficients(struct nc_backend *backend, const struct nc_infonce *n,
                              const struct nc_strip &strip, const struct nc_target &to)
{
    constexpr int many = nc_tile<T>::STAGES, few = nc_tile<T>::FEW_STAGES;
    constexpr size_t bytes = nc_coefficient_memory<T, many>::BYTES,
                     least = nc_coefficient_memory<T, few>::BYTES;
    static_assert(least <= NC_CUDA_SHARED, "every GPU has room for it");
    return bytes <= backend->shared_bytes
               ? NC_LAUNCH((nc_coefficients_of_tiles<T, many>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, bytes, backend->compute, *n, strip, to)
               : NC_LAUNCH((nc_coefficients_of_tiles<T, few>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, least, backend->compute, *n, strip, to);
}

template <typename T> static int backward(struct nc_backend *backend, const struct nc_infonce *n)
{
    struct backward_scratch s;
    lay_out<T>(backend, n, &s);
    const struct nc_gradients &g = s.gradients;
    auto write = [=](const struct nc_strip &strip, const struct nc_target &to) {
        return write_coefficients<T>(backend, n, strip, to);
    };
    int status = NC_LAUNCH(find_factor, 1, FACTOR_THREADS, 2 * NC_WARP * sizeof(float),
                           backend->compute, *n, g.factor);
    if (status == NC_OK)
        status = nc_walk_strips<T>(backend, n, g, s.sums, 0.5f / (float)n->total, write);
    if (status == NC_OK)
        status = nc_infonce_extras_backward(backend, n, &s.extras);
    if (status == NC_OK)
        status = NC_LAUNCH(add_scale, 1, SUM_THREADS, SUM_THREADS / NC_WARP * sizeof(double),
                           backend->compute, *n, s.sums, g.tiles_down * g.tiles_across, g.factor,
                           s.extras.product);
    return status;
}

int nc_cuda_infonce_backward(struct nc_backend *backend, const struct nc_infonce *n)
{
    int status = nc_infonce_check("infonce_backward", n);
    if (!n->images || status != NC_OK)
        return status;
    return n->type == NC_FLOAT32 ? backward<float>(backend, n) : backward<nc_bfloat16>(backend, n);
}
