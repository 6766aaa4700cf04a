/* InfoNCE's coefficients g(r, c) on the GPU, tile by tile (infonce_backward.cu): a block computes a
 * tile of scores (infonce_tile.h), turns them into the weights that pictures have in the captions'
 * gradients, and writes the sum of coefficients times scores.
 *
 * Registers: 128 scores a thread stay; coefficients are made two at a time. The exponentials of one
 * tile run while the first inputs of the next are on their way. */
#ifndef NCLIP_KERNELS_CUDA_INFONCE_COEFFICIENTS_H
#define NCLIP_KERNELS_CUDA_INFONCE_COEFFICIENTS_H

#include "infonce_tile.h"

/* What a score needs of its row, or of its column. */
struct __align__(16) nc_term
{
    float max, log;   /* of the running log-sum-exp */
    float minus_log2; /* -log / ln 2 */
    float weight;     /* scaled */
};

/* A launch's place in the matrix, and where it writes its results. */
struct nc_target {
    void *coefficients;  /* [strip.rows, step] fp16 or fp32 */
    size_t step;         /* the strip's columns; fp16: the next multiple of 8, zeros behind them */
    float *positive;     /* [strip.rows]: a positive's coefficient, where the strip holds it */
    const float *factor; /* that they are multiplied with; 1 / 2N is left out */
    double *sums;        /* one a tile: coefficients times scores */
    int sums_step;       /* between rows of tiles */
    bool first;          /* sums are = here, and += from then on */
};

/* ---- The terms of rows and columns ---------------------------------------------------------- */

/* A thread's share of the inputs to a tile's terms, while they are being loaded. */
template <typename T> struct nc_fetched {
    enum { COUNT = (nc_tile<T>::LINES + NC_TILE_THREADS - 1) / NC_TILE_THREADS };
    float max[COUNT], log[COUNT], weight[COUNT];
};

/* Of the tile's rows, then of its columns. */
template <typename T>
static __device__ __forceinline__ nc_fetched<T>
nc_fetch_terms(const nc_infonce &n, const nc_strip &strip, const nc_place &p)
{
    enum { ROWS = nc_tile<T>::ROWS };
    nc_fetched<T> f;
#pragma unroll
    for (int c = 0; c < nc_fetched<T>::COUNT; c++) {
        int i = (int)threadIdx.x + c * NC_TILE_THREADS;
        bool row = i < ROWS;
        int k = row ? i : i - ROWS;
        f.max[c] = -INFINITY;
        f.log[c] = 0;
        f.weight[c] = 1;
        if (k >= (row ? p.rows : p.columns))
            continue;
        size_t at = row ? strip.row + (size_t)(p.row + k) : strip.column + (size_t)(p.column + k);
        const float *weight = row ? n.caption_weight : n.image_weight;
        f.max[c] = (row ? n.row_max : n.column_max)[at];
        f.log[c] = (row ? n.row_log : n.column_log)[at];
        if (weight)
            f.weight[c] = weight[at];
    }
    return f;
}

/* Nothing where there is none, or where all is masked. */
template <typename T>
static __device__ __forceinline__ void nc_keep_terms(nc_term *terms, const nc_fetched<T> &f,
                                                     float factor)
{
#pragma unroll
    for (int c = 0; c < nc_fetched<T>::COUNT; c++) {
        int i = (int)threadIdx.x + c * NC_TILE_THREADS;
        if (i >= nc_tile<T>::LINES)
            continue;
        nc_term t = {f.max[c], f.log[c], -f.log[c] * NC_LOG2_E, factor * f.weight[c]};
        if (f.max[c] == -INFINITY)
            t = {0, 0, 0, 0};
        terms[i] = t;
    }
}

/* A score so low that its exponential is 0, but finite, so that 0 times it is 0. */
static const float NC_NOTHING = -1e30f;

/* exp(s - max - log); s and max are near each other where it counts. */
static __device__ __forceinline__ float nc_share_of(const nc_term &t, float s)
{
    return nc_exp2(fmaf(s - t.max, NC_LOG2_E, t.minus_log2));
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

/* Where coefficients go, two beside each other at a time, HALVES of a warp's rows one after the
 * other. In fp16: by way of the last stage, a piece of it for each warp, from where `finish` moves
 * lines of 64 numbers; the other stages belong to the next tile already. */
template <typename T> struct nc_coefficient_writer;

template <> struct nc_coefficient_writer<nc_bfloat16> {
    using tile = nc_tile<nc_bfloat16>;
    enum {
        STEP = tile::WARP_COLUMNS + 8,
        CHUNKS = tile::WARP_COLUMNS / 8,
        HALVES = 2,
        ROWS = tile::WARP_ROWS / HALVES
    }; /* no bank is met twice */
    static constexpr size_t BYTES = NC_TILE_THREADS / NC_WARP * ROWS * STEP * sizeof(uint16_t);
    static_assert(BYTES <= tile::STAGE_BYTES, "a stage holds it");

    static __device__ __forceinline__ uint16_t *piece(unsigned char *stage)
    {
        return reinterpret_cast<uint16_t *>(stage) + (int)threadIdx.x / NC_WARP * ROWS * STEP;
    }

    uint16_t *mine;

    __device__ __forceinline__ nc_coefficient_writer(unsigned char *stage, const nc_place &,
                                                     const nc_target &)
        : mine(piece(stage) + nc_lane() / 4 * STEP + nc_lane() % 4 * 2)
    {
    }

    __device__ __forceinline__ void write(int row, int column, float first, float second) const
    {
        *reinterpret_cast<uint32_t *>(mine + row % ROWS * STEP + column) =
            nc_pack_fp16(first, second);
    }

    static __device__ __forceinline__ void finish(unsigned char *stage, const nc_place &p,
                                                  const nc_target &to, int half)
    {
        const uint16_t *from = piece(stage);
        int warp = (int)threadIdx.x / NC_WARP, above = warp / 4 * tile::WARP_ROWS + half * ROWS;
        int rows = p.rows - above;
        int columns = p.columns - warp % 4 * tile::WARP_COLUMNS;
        uint16_t *strip = static_cast<uint16_t *>(to.coefficients) +
                          (size_t)(p.row + above) * to.step +
                          (size_t)(p.column + warp % 4 * tile::WARP_COLUMNS);
        nc_warp_barrier();
#pragma unroll
        for (int i = nc_lane(); i < ROWS * CHUNKS; i += NC_WARP) {
            int row = i / CHUNKS, column = i % CHUNKS * 8;
            if (row < rows && column < columns) /* `step` is a multiple of 8 */
                nc_store16(strip + (size_t)row * to.step + column,
                           nc_load16(from + row * STEP + column));
        }
        nc_warp_barrier(); /* the piece is free again */
    }
};

template <> struct nc_coefficient_writer<float> {
    enum { HALVES = 1 };
    static constexpr size_t BYTES = 0;
    float *mine;
    size_t step;
    int rows, columns;

    __device__ __forceinline__ nc_coefficient_writer(unsigned char *, const nc_place &p,
                                                     const nc_target &to)
        : step(to.step)
    {
        int row = nc_first_row<float>(), column = nc_first_column<float>();
        mine = static_cast<float *>(to.coefficients) + (size_t)(p.row + row) * step +
               (size_t)(p.column + column);
        rows = p.rows - row;
        columns = p.columns - column;
    }

    __device__ __forceinline__ void write(int row, int column, float first, float second) const
    {
        if (row < rows && column < columns)
            mine[(size_t)row * step + column] = first;
        if (row < rows && column + 1 < columns)
            mine[(size_t)row * step + column + 1] = second;
    }

    static __device__ __forceinline__ void finish(unsigned char *, const nc_place &,
                                                  const nc_target &, int)
    {
    }
};

/* ---- A tile -----------------------------------------------------------------------------------
 */

/* Scores become coefficients, by way of the last stage. Returns the sum of their products. */
template <typename T>
static __device__ __forceinline__ float
nc_make_coefficients_of_tile(unsigned char *stage, const nc_place &p, const nc_target &target,
                             const nc_term *terms,
                             const float (&score)[nc_tile<T>::M][nc_tile<T>::N][4])
{
    using tile = nc_tile<T>;
    enum { HALVES = nc_coefficient_writer<T>::HALVES, M = tile::M / HALVES };
    nc_coefficient_writer<T> to(stage, p, target);
    const nc_term *row_term = terms + nc_first_row<T>();
    const nc_term *column_term = terms + tile::ROWS + nc_first_column<T>();
    float sum = 0;
#pragma unroll
    for (int half = 0; half < HALVES; half++) {
#pragma unroll
        for (int j = 0; j < tile::N; j++) {
            nc_term of_column[2] = {column_term[nc_column(j, 0)], column_term[nc_column(j, 1)]};
#pragma unroll
            for (int i = half * M; i < (half + 1) * M; i++)
#pragma unroll
                for (int h = 0; h < 4; h += 2) {
                    nc_term of_row = row_term[nc_row(i, h)];
                    float g[2];
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        float s = score[i][j][h + e];
                        g[e] = fmaf(of_row.weight, nc_share_of(of_row, s),
                                    of_column[e].weight * nc_share_of(of_column[e], s));
                        sum = fmaf(g[e], s, sum);
                    }
                    to.write(nc_row(i, h), nc_column(j, 0), g[0], g[1]);
                }
        }
        to.finish(stage, p, target, half);
    }
    return sum;
}

/* Coefficients of the tile's positives, a thread for each. Returns the product with its score. */
template <typename T>
static __device__ __forceinline__ float
nc_add_positives(const nc_infonce &n, const nc_strip &strip, const nc_place &p, const nc_target &to,
                 const nc_term *terms, const float *own)
{
    int row = (int)threadIdx.x, column = row + p.diagonal;
    if (row >= p.rows || column < 0 || column >= p.columns)
        return 0;
    const nc_term &of_row = terms[row], &of_column = terms[nc_tile<T>::ROWS + column];
    float s = own[row], elsewhere = 0; /* of the picture's target */
    if (n.image_positive)
        elsewhere = 1 - n.image_positive[strip.column + (size_t)(p.column + column)];
    float g = of_row.weight * expm1f((s - of_row.max) - of_row.log) +
              of_column.weight * (expm1f((s - of_column.max) - of_column.log) + elsewhere);
    to.positive[p.row + row] = g;
    return g * s;
}

/* A block's shared memory: the tile's stages, then what its scores need, twice: the next tile's is
 * fetched early. Where there is room for few stages, once, and late: behind the writer's in the
 * last stage, when that has been read. */
template <typename T, int STAGES> struct nc_coefficient_memory {
    using tile = nc_tile<T>;
    static constexpr bool LATE = STAGES < tile::STAGES;
    static constexpr int LINES = (LATE ? 1 : 2) * tile::LINES;
    static constexpr size_t REST = LINES * (sizeof(nc_term) + sizeof(int32_t)) +
                                   NC_TILE_THREADS / NC_WARP * sizeof(double) +
                                   tile::ROWS * sizeof(float);
    static constexpr size_t LAST = (STAGES - 1) * tile::STAGE_BYTES; /* the last stage */
    static constexpr size_t AT =
        LATE ? LAST + nc_coefficient_writer<T>::BYTES : LAST + tile::STAGE_BYTES;
    static constexpr size_t BYTES = LATE ? LAST + tile::STAGE_BYTES : AT + REST;
    static_assert(AT + REST <= BYTES, "it holds all of them");
};

template <typename T, int STAGES>
static __global__ void __launch_bounds__(NC_TILE_THREADS, nc_tile<T>::BLOCKS)
    nc_coefficients_of_tiles(nc_infonce n, nc_strip strip, nc_target to)
{
    using tile = nc_tile<T>;
    using memory = nc_coefficient_memory<T, STAGES>;
    NC_SHARED(unsigned char, shared);
    nc_term *terms = reinterpret_cast<nc_term *>(shared + memory::AT);
    double *parts = reinterpret_cast<double *>(terms + memory::LINES);
    float *own = reinterpret_cast<float *>(parts + NC_TILE_THREADS / NC_WARP);
    int32_t *group = reinterpret_cast<int32_t *>(own + tile::ROWS);
    int tiles = nc_tiles_of<T>(strip), turn = 0;
    float score[tile::M][tile::N][4], scale = expf(*n.logit_scale), factor = *to.factor;
    nc_place p = nc_place_of<T>(n, strip, (int)blockIdx.x);
    nc_begin_tile<T, STAGES>(shared, strip, p);
    if constexpr (!memory::LATE) {
        nc_keep_terms<T>(terms, nc_fetch_terms<T>(n, strip, p), factor); /* the tile has barriers */
        nc_load_groups<T>(group, n, strip, p);
    }
    for (int index = (int)blockIdx.x + (int)gridDim.x;; index += (int)gridDim.x) {
        nc_make_tile<STAGES>(shared, strip, p, score);
        nc_place here = p;
        bool more = nc_many_tiles<T> && index < tiles;
        nc_fetched<T> next;
        nc_barrier(); /* the tile's inputs, and all of the tile before, have been read by all */
        if (more) {
            p = nc_place_of<T>(n, strip, index);
            nc_begin_tile<T, STAGES>(shared, strip, p);
        }
        if constexpr (memory::LATE) {
            nc_keep_terms<T>(terms, nc_fetch_terms<T>(n, strip, here), factor);
            nc_load_groups<T>(group, n, strip, here);
            nc_barrier();
        } else if (more) {
            next = nc_fetch_terms<T>(n, strip, p);
            nc_load_groups<T>(group + (turn ^ tile::LINES), n, strip, p);
        }
        nc_scale_scores<T>(score, scale);
        nc_mark<T, false>(n, here, group + turn, NC_NOTHING, own, score);
        float sum =
            nc_make_coefficients_of_tile<T>(shared + memory::LAST, here, to, terms + turn, score);
        nc_barrier(); /* `own` is complete */
        sum += nc_add_positives<T>(n, strip, here, to, terms + turn, own);
        double total = nc_block_sum((double)sum, parts);
        if (threadIdx.x == 0) {
            double *at =
                to.sums + here.row / tile::ROWS * to.sums_step + here.column / tile::COLUMNS;
            *at = to.first ? total : *at + total;
        }
        if (!more)
            return;
        if constexpr (!memory::LATE) {
            turn ^= tile::LINES;
            nc_keep_terms<T>(terms + turn, next, factor);
        }
    }
}

#endif
