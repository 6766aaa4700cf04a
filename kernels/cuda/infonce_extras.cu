/* InfoNCE's contradictions on the GPU: a warp computes the score of one, from two rows.
 *
 * A picture may have several contradictions, whose warps run in any order. Their largest score does
 * not depend on the order, and neither does the sum of exponentials relative to it, which is added
 * up in whole multiples of 2^-40. That sum is then added to the picture's column. */
#include "infonce.h"

static __device__ __forceinline__ uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Numbers that are ordered as floats are; 0 lies below them all. */
static __device__ __forceinline__ uint32_t ordered(float value)
{
    uint32_t bits = float_bits(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ float from_ordered(uint32_t order)
{
    return nc_bits_to_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

static __global__ void start_extras(size_t images, uint32_t *most, unsigned long long *sum)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < images) {
        most[i] = 0;
        sum[i] = 0;
    }
}

/* A warp for each contradiction. One whose picture's number is out of range changes nothing, here
 * and later. */
template <typename T>
static __global__ void score_extras(nc_infonce n, struct nc_cuda_fault *fault, float *score,
                                    uint32_t *most)
{
    size_t e = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / NC_WARP;
    if (e >= n.extras || !nc_cuda_valid(fault, NC_CUDA_WRONG_PICTURE, n.extra_image[e], n.images))
        return;
    size_t column = (size_t)n.extra_image[e];
    float s = nc_extra_score<T>(n, e, column, expf(*n.logit_scale));
    if (nc_lane() == 0) {
        score[e] = s;
        nc_atomic_max(most + column, ordered(s));
    }
}

static __global__ void sum_extras(nc_infonce n, const float *score, const uint32_t *most,
                                  unsigned long long *sum)
{
    size_t e = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= n.extras || (size_t)(uint32_t)n.extra_image[e] >= n.images)
        return;
    size_t column = (size_t)n.extra_image[e];
    float share = expf(score[e] - from_ordered(most[column])) * 0x1p40f;
    nc_atomic_add(sum + column, (unsigned long long)share);
}

static __global__ void join_extras(nc_infonce n, const uint32_t *most,
                                   const unsigned long long *sum)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n.images && most[i])
        nc_log_add(n.column_max + i, n.column_log + i, from_ordered(most[i]),
                   (float)((double)sum[i] * 0x1p-40));
}

/* A warp for each contradiction: dextra +=, and its coefficient times its score. */
template <typename T> static __global__ void add_extras(nc_infonce n, float *product)
{
    size_t e = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / NC_WARP;
    if (e >= n.extras)
        return;
    size_t column = (size_t)(uint32_t)n.extra_image[e];
    float scale = expf(*n.logit_scale), share = 0;
    if (column < n.images) {
        float s = nc_extra_score<T>(n, e, column, scale);
        float g = 0.5f / (float)n.total * (n.image_weight ? n.image_weight[column] : 1) *
                  expf((s - n.column_max[column]) - n.column_log[column]);
        const T *image = (const T *)n.image + column * n.width;
        for (size_t k = (size_t)nc_lane(); k < n.width; k += NC_WARP)
            n.dextra[e * n.width + k] += g * scale * nc_load1(image + k);
        share = g * s;
    }
    if (nc_lane() == 0)
        product[e] = share;
}

/* ---- Launching ------------------------------------------------------------------------------ */

enum { THREADS = 256 };

static unsigned blocks_of(size_t count)
{
    return (unsigned)nc_pieces(count, THREADS);
}

struct nc_extras nc_infonce_lay_out_extras(const struct nc_infonce *n, char *base, size_t *used)
{
    struct nc_extras extras;
    size_t images = n->extras ? n->images : 0;
    extras.score = nc_take<float>(base, used, n->extras);
    extras.product = nc_take<float>(base, used, n->extras);
    extras.max = nc_take<uint32_t>(base, used, images);
    extras.sum = nc_take<unsigned long long>(base, used, images);
    return extras;
}

int nc_infonce_extras_forward(struct nc_backend *backend, const struct nc_infonce *n,
                              const struct nc_extras *x)
{
    auto score = n->type == NC_FLOAT32 ? score_extras<float> : score_extras<nc_bfloat16>;
    if (!n->extras)
        return NC_OK;
    int status = NC_LAUNCH(start_extras, blocks_of(n->images), THREADS, 0, backend->compute,
                           n->images, x->max, x->sum);
    if (status == NC_OK)
        status = NC_LAUNCH(score, blocks_of(n->extras * NC_WARP), THREADS, 0, backend->compute, *n,
                           backend->fault, x->score, x->max);
    if (status == NC_OK)
        status = NC_LAUNCH(sum_extras, blocks_of(n->extras), THREADS, 0, backend->compute, *n,
                           x->score, x->max, x->sum);
    if (status == NC_OK)
        status = NC_LAUNCH(join_extras, blocks_of(n->images), THREADS, 0, backend->compute, *n,
                           x->max, x->sum);
    return status;
}

int nc_infonce_extras_backward(struct nc_backend *backend, const struct nc_infonce *n,
                               const struct nc_extras *x)
{
    auto add = n->type == NC_FLOAT32 ? add_extras<float> : add_extras<nc_bfloat16>;
    return n->extras ? NC_LAUNCH(add, blocks_of(n->extras * NC_WARP), THREADS, 0, backend->compute,
                                 *n, x->product)
                     : NC_OK;
}
