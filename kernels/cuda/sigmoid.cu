/* The sigmoid loss (Zhai et al. 2023; nclip/ops.h: formulas) on the GPU, without its B x B matrix.
 *
 * The matrix is walked in InfoNCE's strips and tiles (infonce.cu, with their times). Each score s
 * with x = s + bias is a question of its own, so that one pass over the tiles does all: a tile
 * leaves its sums of losses, of coefficients times scores and of coefficients, and its
 * coefficients, which the library multiplies with the strip's pictures. In bf16 they are stored as
 * InfoNCE's are (infonce_backward.cu): negatives in fp16, a power of two bringing the largest
 * possible one to 2^15; positives in fp32, apart.
 *
 * For B captions, B pictures, D numbers: two products of 2 B^2 D flops, where InfoNCE makes three;
 * an exponential, a quotient and, for the loss, nine multiply-adds a score: some 3,100 instructions
 * a warp and tile (derived, not measured), behind a tile's 25,100 clocks. Scratch: InfoNCE's of the
 * backward pass, and 24 bytes a tile of a strip. */
#include "infonce_gradients.h"

/* Of scores: losses, coefficients times scores, coefficients. */
enum { LOSSES, SCORES, COEFFICIENTS, SUMS };

/* ---- A score -------------------------------------------------------------------------------- */

/* log(1 + x) of 0 <= x <= 1, as kernels/cpu/vector_math.h has it. */
static __device__ __forceinline__ float log_of_one_and(float x)
{
    float q = fmaf(-0x1.b10ccep-9f, x, 0x1.49fb44p-6f);
    q = fmaf(q, x, -0x1.d76ce0p-5f);
    q = fmaf(q, x, 0x1.b50048p-4f);
    q = fmaf(q, x, -0x1.3a5792p-3f);
    q = fmaf(q, x, 0x1.9350cap-3f);
    q = fmaf(q, x, -0x1.ff249ep-3f);
    q = fmaf(q, x, 0x1.554dd4p-2f);
    q = fmaf(q, x, -0x1.ffffd2p-2f);
    return fmaf(q * x, x, x);
}

/* log(1 + exp(x)); *share = 1 / (1 + exp(-x)), its derivative. */
static __device__ __forceinline__ float softplus(float x, float *share)
{
    float small = nc_exp2(-fabsf(x) * NC_LOG2_E), larger = nc_divide(1, 1 + small);
    *share = x > 0 ? larger : small * larger;
    return fmaxf(x, 0) + log_of_one_and(small);
}

/* ---- Tile by tile --------------------------------------------------------------------------- */

/* A block's shared memory: the tile's stages. What its scores need lies in the last one, behind
 * the coefficients on their way out, once the tile's inputs have been read: the next tile's first
 * inputs go into the others. */
template <typename T, int STAGES> struct sigmoid_memory {
    using tile = nc_tile<T>;
    static constexpr size_t LAST = (STAGES - 1) * tile::STAGE_BYTES;
    static constexpr size_t AT = LAST + nc_coefficient_writer<T>::BYTES;
    static constexpr size_t BYTES = STAGES * tile::STAGE_BYTES;
    static constexpr size_t REST = NC_TILE_THREADS / NC_WARP * sizeof(double) +
                                   tile::LINES * (sizeof(float) + sizeof(int32_t)) +
                                   tile::ROWS * sizeof(float);
    static_assert(AT + REST <= BYTES, "it holds all of them");
};

/* Of the tile's captions, times the factor, then of its pictures; 0 behind an edge. */
template <typename T>
static __device__ __forceinline__ void load_weights(float *weight, const nc_infonce &n,
                                                    const nc_strip &strip, const nc_place &p,
                                                    float factor)
{
    enum { ROWS = nc_tile<T>::ROWS };
    for (int i = (int)threadIdx.x; i < nc_tile<T>::LINES; i += NC_TILE_THREADS) {
        bool caption = i < ROWS;
        int k = caption ? i : i - ROWS;
        size_t at =
            caption ? strip.row + (size_t)(p.row + k) : strip.column + (size_t)(p.column + k);
        const float *weights = caption ? n.caption_weight : n.image_weight;
        bool there = k < (caption ? p.rows : p.columns);
        weight[i] = there ? (caption ? factor : 1) * (weights ? weights[at] : 1) : 0;
    }
}

/* Negatives' scores become coefficients. `sums` of this thread +=. */
template <typename T, bool GRADIENTS>
static __device__ __forceinline__ void
ask_negatives(unsigned char *stage, const nc_place &p, const nc_target &target,
              const float *weight, float bias,
              const float (&score)[nc_tile<T>::M][nc_tile<T>::N][4], float (&sums)[SUMS])
{
    using tile = nc_tile<T>;
    enum { HALVES = nc_coefficient_writer<T>::HALVES, M = tile::M / HALVES };
    nc_coefficient_writer<T> to(stage, p, target);
    const float *row_weight = weight + nc_first_row<T>();
    const float *column_weight = weight + tile::ROWS + nc_first_column<T>();
#pragma unroll
    for (int half = 0; half < HALVES; half++) {
#pragma unroll
        for (int j = 0; j < tile::N; j++) {
            float of_column[2] = {column_weight[nc_column(j, 0)], column_weight[nc_column(j, 1)]};
#pragma unroll
            for (int i = half * M; i < (half + 1) * M; i++)
#pragma unroll
                for (int h = 0; h < 4; h += 2) {
                    float of_row = row_weight[nc_row(i, h)], g[2];
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        float s = score[i][j][h + e], u = of_row * of_column[e], share;
                        sums[LOSSES] = fmaf(u, softplus(s + bias, &share), sums[LOSSES]);
                        g[e] = u * share;
                        sums[SCORES] = fmaf(g[e], s, sums[SCORES]);
                        sums[COEFFICIENTS] += g[e];
                    }
                    if (GRADIENTS)
                        to.write(nc_row(i, h), nc_column(j, 0), g[0], g[1]);
                }
        }
        if (GRADIENTS)
            to.finish(stage, p, target, half);
    }
}

/* The tile's positives, a thread for each. */
template <typename T, bool GRADIENTS>
static __device__ __forceinline__ void ask_positives(const nc_place &p, const nc_target &to,
                                                     const float *weight, float bias,
                                                     const float *own, float (&sums)[SUMS])
{
    int row = (int)threadIdx.x, column = row + p.diagonal;
    if (row >= p.rows || column < 0 || column >= p.columns)
        return;
    float s = own[row], u = weight[row] * weight[nc_tile<T>::ROWS + column], share;
    sums[LOSSES] = fmaf(u, softplus(-(s + bias), &share), sums[LOSSES]);
    float g = -u * share;
    sums[SCORES] = fmaf(g, s, sums[SCORES]);
    sums[COEFFICIENTS] += g;
    if (GRADIENTS)
        to.positive[p.row + row] = g;
}

template <typename T, int STAGES, bool GRADIENTS>
static __global__ void __launch_bounds__(NC_TILE_THREADS, nc_tile<T>::BLOCKS)
    ask_tiles(nc_infonce n, const float *logit_bias, nc_strip strip, nc_target to)
{
    using tile = nc_tile<T>;
    using memory = sigmoid_memory<T, STAGES>;
    NC_SHARED(unsigned char, shared);
    double *parts = reinterpret_cast<double *>(shared + memory::AT);
    float *weight = reinterpret_cast<float *>(parts + NC_TILE_THREADS / NC_WARP);
    float *own = weight + tile::LINES;
    int32_t *group = reinterpret_cast<int32_t *>(own + tile::ROWS);
    int tiles = nc_tiles_of<T>(strip);
    float score[tile::M][tile::N][4], scale = expf(*n.logit_scale), bias = *logit_bias;
    nc_place p = nc_place_of<T>(n, strip, (int)blockIdx.x);
    nc_begin_tile<T, STAGES>(shared, strip, p);
    for (int index = (int)blockIdx.x + (int)gridDim.x;; index += (int)gridDim.x) {
        nc_make_tile<STAGES>(shared, strip, p, score);
        nc_place here = p;
        bool more = nc_many_tiles<T> && index < tiles;
        nc_barrier(); /* the tile's inputs have been read by all */
        if (more) {
            p = nc_place_of<T>(n, strip, index);
            nc_begin_tile<T, STAGES>(shared, strip, p);
        }
        load_weights<T>(weight, n, strip, here, *to.factor);
        nc_load_groups<T>(group, n, strip, here);
        nc_barrier();
        nc_scale_scores<T>(score, scale);
        nc_mark<T, false>(n, here, group, NC_NOTHING, own, score);
        float sums[SUMS] = {};
        ask_negatives<T, GRADIENTS>(shared + memory::LAST, here, to, weight, bias, score, sums);
        nc_barrier(); /* `own` is complete */
        ask_positives<T, GRADIENTS>(here, to, weight, bias, own, sums);
        double *at = to.sums + SUMS * (here.row / tile::ROWS * to.sums_step +
                                       here.column / tile::COLUMNS);
        for (int k = 0; k < SUMS; k++) {
            double total = nc_block_sum((double)sums[k], parts);
            if (threadIdx.x == 0)
                at[k] = to.first ? total : at[k] + total;
        }
        if (!more)
            return;
    }
}

/* ---- Contradictions ------------------------------------------------------------------------- */

/* A warp for each: dextra +=, and its sums. One whose picture's number is out of range changes
 * nothing. */
template <typename T>
static __global__ void ask_extras(nc_infonce n, const float *logit_bias,
                                  struct nc_cuda_fault *fault, float *sums)
{
    size_t e = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / NC_WARP;
    float found[SUMS] = {}, scale = expf(*n.logit_scale), share;
    if (e >= n.extras)
        return;
    if (nc_cuda_valid(fault, NC_CUDA_WRONG_PICTURE, n.extra_image[e], n.images)) {
        size_t column = (size_t)n.extra_image[e];
        float s = nc_extra_score<T>(n, e, column, scale);
        float u = (n.image_weight ? n.image_weight[column] : 1) / (float)n.total;
        found[LOSSES] = u * softplus(s + *logit_bias, &share);
        found[COEFFICIENTS] = u * share;
        found[SCORES] = u * share * s;
        const T *image = (const T *)n.image + column * n.width;
        for (size_t k = (size_t)nc_lane(); n.dextra && k < n.width; k += NC_WARP)
            n.dextra[e * n.width + k] += u * share * scale * nc_load1(image + k);
    }
    if (nc_lane() == 0)
        for (int k = 0; k < SUMS; k++)
            sums[SUMS * e + k] = found[k];
}

/* ---- Factor and sums ------------------------------------------------------------------------ */

enum { ONE_BLOCK = 1024 }; /* threads, where one block does it: the order of a sum is fixed */

/* A power of two that brings the largest caption's times the largest picture's weight to at most
 * 2^15; 1 in fp32, which needs none. */
static __global__ void __launch_bounds__(ONE_BLOCK) find_factor(nc_infonce n, float *factor)
{
    NC_SHARED(float, parts);
    int exponents = 0;
    for (int side = 0; side < 2; side++) {
        const float *weights = side ? n.image_weight : n.caption_weight;
        size_t count = side ? n.images : n.captions;
        float most = weights ? 0 : 1;
        for (size_t i = threadIdx.x; weights && i < count; i += ONE_BLOCK)
            most = fmaxf(most, fabsf(weights[i]));
        most = nc_warp_max(most);
        if (nc_lane() == 0)
            parts[threadIdx.x / NC_WARP] = most;
        nc_barrier();
        for (int w = 0; w < ONE_BLOCK / NC_WARP; w++)
            most = fmaxf(most, parts[w]);
        nc_barrier();
        int exponent = 0;
        (void)frexpf(most, &exponent);
        exponents += exponent;
    }
    if (threadIdx.x == 0)
        *factor = n.type == NC_FLOAT32 ? 1 : ldexpf(1, max(-126, min(15 - exponents, 126)));
}

/* `count` tiles, whose sums are times factor N, and the contradictions. */
static __global__ void __launch_bounds__(ONE_BLOCK)
    add_sums(nc_sigmoid n, const double *sums, size_t count, const float *factor,
             const float *extra_sums)
{
    NC_SHARED(double, parts);
    float *outputs[SUMS] = {n.loss, n.dtext ? n.dlogit_scale : nullptr,
                            n.dtext ? n.dlogit_bias : nullptr};
    const double unit = 1 / ((double)n.total * *factor);
#pragma unroll
    for (int k = 0; k < SUMS; k++) {
        double sum = 0;
        for (size_t i = threadIdx.x; i < count; i += ONE_BLOCK)
            sum += sums[SUMS * i + k];
        sum *= unit;
        for (size_t e = threadIdx.x; e < n.extras; e += ONE_BLOCK)
            sum += extra_sums[SUMS * e + k];
        sum = nc_block_sum(sum, parts);
        if (threadIdx.x == 0 && outputs[k])
            *outputs[k] += (float)sum;
    }
}

/* ---- Launching ------------------------------------------------------------------------------ */

struct sigmoid_scratch {
    struct nc_gradients gradients;
    float *extra_sums;
    double *sums;
};

/* What tiles and contradictions have to know. */
static struct nc_infonce as_infonce(const struct nc_sigmoid *n)
{
    struct nc_infonce as = {};
    as.type = n->type;
    as.captions = n->captions;
    as.images = n->images;
    as.width = n->width;
    as.first_caption = n->first_caption;
    as.first_image = n->first_image;
    as.total = n->total;
    as.text = n->text;
    as.image = n->image;
    as.logit_scale = n->logit_scale;
    as.caption_group = n->caption_group;
    as.image_group = n->image_group;
    as.caption_weight = n->caption_weight;
    as.image_weight = n->image_weight;
    as.extras = n->extras;
    as.extra = n->extra;
    as.extra_image = n->extra_image;
    as.dtext = n->dtext;
    as.dextra = n->dtext ? n->dextra : nullptr;
    as.scratch = n->scratch;
    return as;
}

template <typename T>
static size_t lay_out(const struct nc_backend *backend, const struct nc_infonce *n,
                      struct sigmoid_scratch *s)
{
    size_t used = 0;
    char *base = static_cast<char *>(n->scratch);
    s->gradients = nc_lay_out_gradients<T>(backend, n, base, &used);
    s->extra_sums = nc_take<float>(base, &used, SUMS * n->extras);
    s->sums =
        nc_take<double>(base, &used, SUMS * s->gradients.tiles_down * s->gradients.tiles_across);
    return used;
}

template <typename T, bool GRADIENTS>
static int ask_strip(struct nc_backend *backend, const struct nc_infonce *n,
                     const float *logit_bias, const struct nc_strip &strip,
                     const struct nc_target &to)
{
    constexpr int many = nc_tile<T>::STAGES, few = nc_tile<T>::FEW_STAGES;
    constexpr size_t bytes = sigmoid_memory<T, many>::BYTES, least = sigmoid_memory<T, few>::BYTES;
    static_assert(least <= NC_CUDA_SHARED, "every GPU has room for it");
    return bytes <= backend->shared_bytes
               ? NC_LAUNCH((ask_tiles<T, many, GRADIENTS>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, bytes, backend->compute, *n, logit_bias, strip, to)
               : NC_LAUNCH((ask_tiles<T, few, GRADIENTS>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, least, backend->compute, *n, logit_bias, strip, to);
}

template <typename T> static int run(struct nc_backend *backend, const struct nc_sigmoid *sigmoid)
{
    const struct nc_infonce as = as_infonce(sigmoid), *n = &as;
    struct sigmoid_scratch s;
    lay_out<T>(backend, n, &s);
    const struct nc_gradients &g = s.gradients;
    auto ask = [=](const struct nc_strip &strip, const struct nc_target &to) {
        return n->dtext ? ask_strip<T, true>(backend, n, sigmoid->logit_bias, strip, to)
                        : ask_strip<T, false>(backend, n, sigmoid->logit_bias, strip, to);
    };
    int status = nc_infonce_check("sigmoid", n);
    if (status == NC_OK)
        status = NC_LAUNCH(find_factor, 1, ONE_BLOCK, ONE_BLOCK / NC_WARP * sizeof(float),
                           backend->compute, *n, g.factor);
    if (status == NC_OK)
        status = nc_walk_strips<T>(backend, n, g, s.sums, 1 / (float)n->total, ask);
    if (status == NC_OK && n->extras)
        status = NC_LAUNCH(ask_extras<T>, (unsigned)nc_pieces(n->extras * NC_WARP, 256), 256, 0,
                           backend->compute, *n, sigmoid->logit_bias, backend->fault,
                           s.extra_sums);
    size_t tiles = n->captions ? g.tiles_down * g.tiles_across : 0;
    if (status == NC_OK)
        status = NC_LAUNCH(add_sums, 1, ONE_BLOCK, ONE_BLOCK / NC_WARP * sizeof(double),
                           backend->compute, *sigmoid, s.sums, tiles, g.factor, s.extra_sums);
    return status;
}

size_t nc_cuda_sigmoid_scratch(struct nc_backend *backend, const struct nc_sigmoid *sigmoid)
{
    const struct nc_infonce n = as_infonce(sigmoid);
    struct sigmoid_scratch s;
    return sigmoid->type == NC_FLOAT32 ? lay_out<float>(backend, &n, &s)
                                       : lay_out<nc_bfloat16>(backend, &n, &s);
}

int nc_cuda_sigmoid(struct nc_backend *backend, const struct nc_sigmoid *n)
{
    if (!n->images)
        return NC_OK;
    return n->type == NC_FLOAT32 ? run<float>(backend, n) : run<nc_bfloat16>(backend, n);
}
