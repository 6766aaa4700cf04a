/* Terms over a picture's own texts (nclip/ops.h: formulas, gradient, sources): the choice between a
 * caption and its contradictions, margins between their similarities, and the distance of a caption
 * to what another model made of it.
 *
 * A warp takes a picture. With m contradictions it reads (3 + 2 m) rows twice, with gradients, and
 * writes (1 + m): 4 width (8 + 6 m) bytes, most of them again from the cache, about 14 m width
 * flops. At 512 pictures of 768 with a contradiction each: 22 MB, implied 7 us at 3.35 TB/s
 * (NVIDIA H100 SXM datasheet). The pictures' shares are then added up by one block, in order. */
#include "cuda.h"
#include "device.h"

enum { WARPS = 8, THREADS = WARPS * NC_WARP, SUM_THREADS = 256 };

static __device__ __forceinline__ float dot(const float *a, const float *b, size_t width)
{
    float sum = 0;
    for (size_t k = (size_t)nc_lane(); k < width; k += NC_WARP)
        sum = fmaf(a[k], b[k], sum);
    return nc_warp_sum(sum);
}

/* to += factor * from; each lane has its own numbers of a row, so that rows may be added to again
 * without a barrier. */
static __device__ __forceinline__ void add(float *to, float factor, const float *from, size_t width)
{
    if (factor == 0)
        return;
    for (size_t k = (size_t)nc_lane(); k < width; k += NC_WARP)
        to[k] += factor * from[k];
}

/* The first contradiction of picture i or of a later one. */
static __device__ __forceinline__ size_t first_extra(const nc_own_terms &n, size_t i)
{
    size_t low = 0, high = n.extras;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((int64_t)n.extra_image[middle] < (int64_t)i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* log sum of exponentials over 0 and the z of the contradictions: max + log1p(rest), so that what
 * the gradient is made of is not rounded away where the choice is sure. */
static __device__ __forceinline__ float log_choices(const nc_own_terms &n, size_t first, size_t end,
                                                    const float *image, float own, float scale)
{
    float max = 0, rest = 0;
    for (size_t e = first; e < end; e++) {
        float z = scale * (dot(n.extra + e * n.width, image, n.width) - own);
        rest = z > max ? (rest + 1) * expf(max - z) : rest + expf(z - max);
        max = z > max ? z : max;
    }
    return max + log1pf(rest);
}

/* Of a difference of similarities: what is outside [low, high], and its derivative. */
static __device__ __forceinline__ float outside(float difference, float low, float high,
                                                float *slope)
{
    float below = low - difference, above = difference - high;
    *slope = (above > 0 ? 1.0f : 0.0f) - (below > 0 ? 1.0f : 0.0f);
    return (below > 0 ? below : 0) + (above > 0 ? above : 0);
}

/* Two numbers of a text, normalised, and the norm that they were divided by. */
struct projection {
    float x, y, norm;
};

static __device__ __forceinline__ projection project(const nc_own_terms &n, const float *text)
{
    float x = dot(text, n.basis, n.width), y = dot(text, n.basis + n.width, n.width);
    float norm = fmaxf(sqrtf(x * x + y * y), 1e-6f);
    return {x / norm, y / norm, norm};
}

/* to += factor d cos / d (the text of `own`) */
static __device__ __forceinline__ void add_projection(const nc_own_terms &n, float *to, float factor,
                                                      projection own, projection other)
{
    float cosine = own.x * other.x + own.y * other.y;
    add(to, factor * (other.x - cosine * own.x) / own.norm, n.basis, n.width);
    add(to, factor * (other.y - cosine * own.y) / own.norm, n.basis + n.width, n.width);
}

/* Of one contradiction, or paraphrase; returns what it costs. */
static __device__ __forceinline__ float projected(const nc_own_terms &n, size_t i, size_t e,
                                                  float part)
{
    const nc_own_weights &w = n.weights;
    projection text = project(n, n.text + i * n.width);
    projection extra = project(n, n.extra + e * n.width);
    float cosine = text.x * extra.x + text.y * extra.y;
    float slope = part * ((cosine > 0 ? w.unlike : 0) - w.alike);
    if (n.dtext) {
        add_projection(n, n.dtext + i * n.width, slope, text, extra);
        add_projection(n, n.dextra + e * n.width, slope, extra, text);
    }
    return part * (w.alike * (1 - cosine) + (cosine > 0 ? w.unlike * cosine : 0));
}

static __global__ void __launch_bounds__(THREADS)
    own_terms_kernel(struct nc_own_terms n, struct nc_cuda_fault *fault, double *losses,
                     double *dscales)
{
    size_t i = nc_warp_of_grid<WARPS>(), width = n.width;
    if (i >= n.pairs)
        return;
    for (size_t e = i; nc_lane() == 0 && e < n.extras; e += n.pairs)
        (void)nc_cuda_valid(fault, NC_CUDA_WRONG_PICTURE, n.extra_image[e], n.pairs);
    const nc_own_weights &w = n.weights;
    size_t first = first_extra(n, i), end = first_extra(n, i + 1);
    const float *text = n.text + i * width, *image = n.image + i * width;
    float own = dot(text, image, width), scale = expf(*n.logit_scale), down = 0, slope;
    float part = 1.0f / (first < end ? *n.count : 1), log = 0;
    double loss = 0, dscale = 0;
    if (w.choice != 0 && first < end) {
        log = log_choices(n, first, end, image, own, scale);
        loss += (double)(w.choice * part) * log;
    }
    for (size_t e = first; e < end; e++) {
        const float *extra = n.extra + e * width;
        float at_image = dot(extra, image, width), at_text = dot(extra, text, width);
        float dimage = 0, dtext = 0;
        if (w.choice != 0) {
            float z = scale * (at_image - own), share = w.choice * part * expf(z - log);
            dimage += share * scale;
            down -= share * scale;
            dscale += (double)share * z;
        }
        if (w.picture != 0) {
            loss += (double)(w.picture * part) *
                    outside(own - at_image, w.picture_low, w.picture_high, &slope);
            dimage -= w.picture * part * slope;
            down += w.picture * part * slope;
        }
        if (w.text != 0) {
            loss += (double)(w.text * part) *
                    outside(own - at_text, w.text_low, w.text_high, &slope);
            dtext -= w.text * part * slope;
            down += w.text * part * slope;
        }
        if (w.apart != 0 && at_text + w.apart_margin > 0) {
            loss += (double)(w.apart * part) * (at_text + w.apart_margin);
            dtext += w.apart * part;
        }
        if (w.alike != 0 || w.unlike != 0)
            loss += (double)projected(n, i, e, part);
        if (n.dtext) {
            add(n.dextra + e * width, dimage, image, width);
            add(n.dextra + e * width, dtext, text, width);
            add(n.dtext + i * width, dtext, extra, width);
        }
    }
    if (n.dtext)
        add(n.dtext + i * width, down, image, width);
    if (w.keep != 0) {
        const float *base = n.base + i * width;
        float keep = w.keep / (float)n.total;
        loss += (double)keep * (1 - dot(text, base, width));
        if (n.dtext)
            add(n.dtext + i * width, -keep, base, width);
    }
    if (nc_lane() == 0) {
        losses[i] = loss;
        dscales[i] = dscale;
    }
}

static __global__ void __launch_bounds__(SUM_THREADS)
    sum_own_terms(struct nc_own_terms n, const double *losses, const double *dscales)
{
    NC_SHARED(double, parts);
    double loss = 0, dscale = 0;
    for (size_t i = threadIdx.x; i < n.pairs; i += SUM_THREADS) {
        loss += losses[i];
        dscale += dscales[i];
    }
    loss = nc_block_sum(loss, parts);
    dscale = nc_block_sum(dscale, parts);
    if (threadIdx.x == 0 && n.loss)
        *n.loss += (float)loss;
    if (threadIdx.x == 0 && n.dtext)
        *n.dlogit_scale += (float)dscale;
}

size_t nc_cuda_own_terms_scratch(struct nc_backend *backend, size_t pairs)
{
    (void)backend;
    return 2 * pairs * sizeof(double);
}

int nc_cuda_own_terms(struct nc_backend *backend, const struct nc_own_terms *n)
{
    size_t blocks = (n->pairs + WARPS - 1) / WARPS;
    double *losses = static_cast<double *>(n->scratch), *dscales = losses + n->pairs;
    if (blocks > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "own_terms: %zu pictures are too many for cuda", n->pairs);
    if (!blocks)
        return NC_OK;
    int status = NC_LAUNCH(own_terms_kernel, (unsigned)blocks, THREADS, 0, backend->compute, *n,
                           backend->fault, losses, dscales);
    return status == NC_OK ? NC_LAUNCH(sum_own_terms, 1, SUM_THREADS,
                                       SUM_THREADS / NC_WARP * sizeof(double), backend->compute, *n,
                                       losses, dscales)
                           : status;
}
