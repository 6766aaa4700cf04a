/* InfoNCE backward on the GPU: with weights w of captions and v of pictures,
 *
 *     g(r, c) = (w[r] exp(s - row lse[r]) + v[c] exp(s - column lse[c]) - (w[r] + v[c]) [r = c]) /
 * 2N dtext[r] = exp(logit_scale) * sum_c g(r, c) image[c],   dlogit_scale = sum g s
 *
 * A strip's tiles of scores are made as in forward (infonce.cu, with the times) and become
 * coefficients, which are written out; then the library multiplies them with the strip's
 * pictures, 2 B^2 D flops in all. Four strips down, eight across are 32 products of 16384 x D x
 * 8448 for B = 65,536: the coefficients are read once, 768 flops for each of their bytes where an
 * H100 needs 200, so that it does not matter whether they still are in L2.
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
#include "infonce_tile.h"

/* What a score needs of its row, or of its column. */
struct __align__(16) term
{
    float max, log;   /* of the running log-sum-exp */
    float minus_log2; /* -log / ln 2 */
    float weight;     /* scaled */
};

/* One launch's place, and where it leaves what. */
struct target {
    void *coefficients;  /* [strip.rows, step] fp16 or fp32 */
    size_t step;         /* the strip's columns; fp16: the next multiple of 8, zeros behind them */
    float *positive;     /* [strip.rows]: a positive's coefficient, where the strip holds it */
    const float *factor; /* that they are multiplied with; 1 / 2N is left out */
    double *sums;        /* one a tile: coefficients times scores */
    int sums_step;       /* between rows of tiles */
    bool first;          /* sums are = here, and += from then on */
};

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

/* ---- Coefficients, tile by tile ------------------------------------------------------------- */

/* A thread's share of what the terms of a tile are made of, on its way. */
template <typename T> struct fetched {
    enum { COUNT = (nc_tile<T>::LINES + NC_TILE_THREADS - 1) / NC_TILE_THREADS };
    float max[COUNT], log[COUNT], weight[COUNT];
};

/* Of the tile's rows, then of its columns. */
template <typename T>
static __device__ __forceinline__ fetched<T> fetch_terms(const nc_infonce &n, const nc_strip &strip,
                                                         const nc_place &p)
{
    enum { ROWS = nc_tile<T>::ROWS };
    fetched<T> f;
#pragma unroll
    for (int c = 0; c < fetched<T>::COUNT; c++) {
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
static __device__ __forceinline__ void keep_terms(term *terms, const fetched<T> &f, float factor)
{
#pragma unroll
    for (int c = 0; c < fetched<T>::COUNT; c++) {
        int i = (int)threadIdx.x + c * NC_TILE_THREADS;
        if (i >= nc_tile<T>::LINES)
            continue;
        term t = {f.max[c], f.log[c], -f.log[c] * NC_LOG2_E, factor * f.weight[c]};
        if (f.max[c] == -INFINITY)
            t = {0, 0, 0, 0};
        terms[i] = t;
    }
}

/* A score that no exponential survives, and whose product with 0 is 0. */
static const float NOTHING = -1e30f;

/* exp(s - max - log); s and max are near each other where it counts. */
static __device__ __forceinline__ float share_of(const term &t, float s)
{
    return nc_exp2(fmaf(s - t.max, NC_LOG2_E, t.minus_log2));
}

/* Where coefficients go, two beside each other at a time, HALVES of a warp's rows one after the
 * other. In fp16: by way of the last stage, a piece of it for each warp, from where `finish` moves
 * lines of 64 numbers; the other stages belong to the next tile already. */
template <typename T> struct writer;

template <> struct writer<nc_bfloat16> {
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

    __device__ __forceinline__ writer(unsigned char *stage, const nc_place &, const target &)
        : mine(piece(stage) + nc_lane() / 4 * STEP + nc_lane() % 4 * 2)
    {
    }

    __device__ __forceinline__ void write(int row, int column, float first, float second) const
    {
        *reinterpret_cast<uint32_t *>(mine + row % ROWS * STEP + column) =
            nc_pack_fp16(first, second);
    }

    static __device__ __forceinline__ void finish(unsigned char *stage, const nc_place &p,
                                                  const target &to, int half)
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

template <> struct writer<float> {
    enum { HALVES = 1 };
    static constexpr size_t BYTES = 0;
    float *mine;
    size_t step;
    int rows, columns;

    __device__ __forceinline__ writer(unsigned char *, const nc_place &p, const target &to)
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

    static __device__ __forceinline__ void finish(unsigned char *, const nc_place &, const target &,
                                                  int)
    {
    }
};

/* Scores become coefficients, by way of the last stage. Returns the sum of their products. */
template <typename T>
static __device__ __forceinline__ float
make_coefficients(unsigned char *stage, const nc_place &p, const target &target, const term *terms,
                  const float (&score)[nc_tile<T>::M][nc_tile<T>::N][4])
{
    using tile = nc_tile<T>;
    enum { HALVES = writer<T>::HALVES, M = tile::M / HALVES };
    writer<T> to(stage, p, target);
    const term *row_term = terms + nc_first_row<T>();
    const term *column_term = terms + tile::ROWS + nc_first_column<T>();
    float sum = 0;
#pragma unroll
    for (int half = 0; half < HALVES; half++) {
#pragma unroll
        for (int j = 0; j < tile::N; j++) {
            term of_column[2] = {column_term[nc_column(j, 0)], column_term[nc_column(j, 1)]};
#pragma unroll
            for (int i = half * M; i < (half + 1) * M; i++)
#pragma unroll
                for (int h = 0; h < 4; h += 2) {
                    term of_row = row_term[nc_row(i, h)];
                    float g[2];
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        float s = score[i][j][h + e];
                        g[e] = fmaf(of_row.weight, share_of(of_row, s),
                                    of_column[e].weight * share_of(of_column[e], s));
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
static __device__ __forceinline__ float add_positives(const nc_place &p, const target &to,
                                                      const term *terms, const float *own)
{
    int row = (int)threadIdx.x, column = row + p.diagonal;
    if (row >= p.rows || column < 0 || column >= p.columns)
        return 0;
    const term &of_row = terms[row], &of_column = terms[nc_tile<T>::ROWS + column];
    float s = own[row];
    float g = of_row.weight * expm1f((s - of_row.max) - of_row.log) +
              of_column.weight * expm1f((s - of_column.max) - of_column.log);
    to.positive[p.row + row] = g;
    return g * s;
}

/* A block's shared memory: the tile's stages, then what its scores need, twice: the next tile's is
 * fetched early. Where there is room for few stages, once, and late: behind the writer's in the
 * last stage, when that has been read. */
template <typename T, int STAGES> struct block_memory {
    using tile = nc_tile<T>;
    static constexpr bool LATE = STAGES < tile::STAGES;
    static constexpr int LINES = (LATE ? 1 : 2) * tile::LINES;
    static constexpr size_t REST = LINES * (sizeof(term) + sizeof(int32_t)) +
                                   NC_TILE_THREADS / NC_WARP * sizeof(double) +
                                   tile::ROWS * sizeof(float);
    static constexpr size_t LAST = (STAGES - 1) * tile::STAGE_BYTES; /* the last stage */
    static constexpr size_t AT = LATE ? LAST + writer<T>::BYTES : LAST + tile::STAGE_BYTES;
    static constexpr size_t BYTES = LATE ? LAST + tile::STAGE_BYTES : AT + REST;
    static_assert(AT + REST <= BYTES, "it holds all of them");
};

template <typename T, int STAGES>
static __global__ void __launch_bounds__(NC_TILE_THREADS, nc_tile<T>::BLOCKS)
    coefficients_of_tiles(nc_infonce n, nc_strip strip, target to)
{
    using tile = nc_tile<T>;
    using memory = block_memory<T, STAGES>;
    NC_SHARED(unsigned char, shared);
    term *terms = reinterpret_cast<term *>(shared + memory::AT);
    double *parts = reinterpret_cast<double *>(terms + memory::LINES);
    float *own = reinterpret_cast<float *>(parts + NC_TILE_THREADS / NC_WARP);
    int32_t *group = reinterpret_cast<int32_t *>(own + tile::ROWS);
    int tiles = nc_tiles_of<T>(strip), turn = 0;
    float score[tile::M][tile::N][4], scale = expf(*n.logit_scale), factor = *to.factor;
    nc_place p = nc_place_of<T>(n, strip, (int)blockIdx.x);
    nc_begin_tile<T, STAGES>(shared, strip, p);
    if constexpr (!memory::LATE) {
        keep_terms<T>(terms, fetch_terms<T>(n, strip, p), factor); /* the tile has barriers */
        nc_load_groups<T>(group, n, strip, p);
    }
    for (int index = (int)blockIdx.x + (int)gridDim.x;; index += (int)gridDim.x) {
        nc_make_tile<STAGES>(shared, strip, p, score);
        nc_place here = p;
        bool more = nc_many_tiles<T> && index < tiles;
        fetched<T> next;
        nc_barrier(); /* the tile's inputs, and all of the tile before, have been read by all */
        if (more) {
            p = nc_place_of<T>(n, strip, index);
            nc_begin_tile<T, STAGES>(shared, strip, p);
        }
        if constexpr (memory::LATE) {
            keep_terms<T>(terms, fetch_terms<T>(n, strip, here), factor);
            nc_load_groups<T>(group, n, strip, here);
            nc_barrier();
        } else if (more) {
            next = fetch_terms<T>(n, strip, p);
            nc_load_groups<T>(group + (turn ^ tile::LINES), n, strip, p);
        }
#pragma unroll
        for (int i = 0; i < tile::M; i++)
#pragma unroll
            for (int j = 0; j < tile::N; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    score[i][j][e] *= scale;
        nc_mark<T, false>(n, here, group + turn, NOTHING, own, score);
        float sum = make_coefficients<T>(shared + memory::LAST, here, to, terms + turn, score);
        nc_barrier(); /* `own` is complete */
        sum += add_positives<T>(here, to, terms + turn, own);
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
            keep_terms<T>(terms + turn, next, factor);
        }
    }
}

/* ---- Adding up ------------------------------------------------------------------------------ */

/* dtext += scaled sums of a row's negatives, and its positive. A block for each row. */
template <typename T>
static __global__ void add_rows(nc_infonce n, size_t first, const float *negatives, size_t step,
                                const float *positive, const float *factor)
{
    size_t row = blockIdx.x, number = n.first_caption + first + row;
    float unit = expf(*n.logit_scale) * (0.5f / (float)n.total) / *factor;
    bool paired = number >= n.first_image && number - n.first_image < n.images;
    const T *image = (const T *)n.image + (paired ? (number - n.first_image) * n.width : 0);
    float own = paired ? positive[row] : 0;
    float *dtext = n.dtext + (first + row) * n.width;
    for (size_t k = threadIdx.x; k < n.width; k += blockDim.x) {
        float sum = negatives[row * step + k];
        if (paired)
            sum = fmaf(own, nc_load1(image + k), sum);
        dtext[k] = fmaf(unit, sum, dtext[k]);
    }
}

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
    void *coefficients;
    float *negatives; /* [strip's rows, strips.step] */
    uint16_t *images; /* [strip's columns, strips.step] fp16, for bf16 */
    float *positive, *factor;
    struct nc_extras extras;
    double *sums;
    size_t tiles_down, tiles_across;
};

/* Products of fp16 want rows of whole 16 bytes. */
template <typename T> static size_t stored_columns(size_t columns)
{
    return sizeof(T) == 2 ? nc_pieces(columns, 8) * 8 : columns;
}

template <typename T>
static size_t lay_out(const struct nc_backend *backend, const struct nc_infonce *n,
                      struct nc_strips *strips, struct backward_scratch *s)
{
    size_t used = 0;
    char *base = static_cast<char *>(n->scratch);
    *strips = nc_infonce_strips(backend, n, true, base, &used);
    size_t columns = stored_columns<T>(strips->columns);
    s->tiles_down = nc_pieces(strips->rows, nc_tile<T>::ROWS);
    s->tiles_across = nc_pieces(strips->columns, nc_tile<T>::COLUMNS);
    s->coefficients = nc_take<T>(base, &used, strips->rows * columns);
    s->negatives = nc_take<float>(base, &used, strips->rows * strips->step);
    s->images = nc_take<uint16_t>(base, &used, sizeof(T) == 2 ? columns * strips->step : 0);
    s->positive = nc_take<float>(base, &used, strips->rows);
    s->factor = nc_take<float>(base, &used, 1);
    s->extras = nc_infonce_lay_out_extras(n, base, &used);
    s->sums = nc_take<double>(base, &used, s->tiles_down * s->tiles_across);
    return used;
}

size_t nc_infonce_backward_scratch(const struct nc_backend *backend, const struct nc_infonce *n)
{
    struct nc_strips strips;
    struct backward_scratch s;
    return n->type == NC_FLOAT32 ? lay_out<float>(backend, n, &strips, &s)
                                 : lay_out<nc_bfloat16>(backend, n, &strips, &s);
}

template <typename T>
static int write_coefficients(struct nc_backend *backend, const struct nc_infonce *n,
                              const struct nc_strip &strip, const struct target &to)
{
    constexpr int many = nc_tile<T>::STAGES, few = nc_tile<T>::FEW_STAGES;
    constexpr size_t bytes = block_memory<T, many>::BYTES, least = block_memory<T, few>::BYTES;
    static_assert(least <= NC_CUDA_SHARED, "every GPU has room for it");
    return bytes <= backend->shared_bytes
               ? NC_LAUNCH((coefficients_of_tiles<T, many>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, bytes, backend->compute, *n, strip, to)
               : NC_LAUNCH((coefficients_of_tiles<T, few>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, least, backend->compute, *n, strip, to);
}

/* negatives (+)= the strip's coefficients times its pictures. */
template <typename T>
static int backward_strip(struct nc_backend *backend, const struct nc_infonce *n,
                          const struct nc_strip &strip, const struct backward_scratch *s)
{
    size_t rows = (size_t)strip.rows, columns = (size_t)strip.columns;
    size_t stored = stored_columns<T>(columns);
    struct target to = {s->coefficients,
                        stored,
                        s->positive,
                        s->factor,
                        s->sums,
                        (int)s->tiles_across,
                        strip.row == 0 && strip.column == 0};
    int status = write_coefficients<T>(backend, n, strip, to);
    const void *image = (const T *)n->image + strip.column * n->width;
    if (sizeof(T) == 2 && status == NC_OK) {
        status = nc_infonce_copy_rows(backend, (const nc_bfloat16 *)image, columns, n->width,
                                      stored, strip.step, true, s->images);
        image = s->images;
    }
    return status == NC_OK ? nc_cuda_multiply(backend, sizeof(T) == 2 ? NC_FLOAT16 : NC_FLOAT32,
                                              rows, strip.step, stored, s->coefficients, image,
                                              strip.column > 0, s->negatives)
                           : status;
}

template <typename T>
static int backward_rows(struct nc_backend *backend, const struct nc_infonce *n,
                         const struct nc_strips *strips, size_t row,
                         const struct backward_scratch *s)
{
    int status = NC_OK;
    for (size_t column = 0; column < n->images && status == NC_OK; column += strips->columns) {
        struct nc_strip strip;
        status = nc_infonce_strip_at(backend, n, strips, row, column, &strip);
        if (status == NC_OK)
            status = backward_strip<T>(backend, n, strip, s);
    }
    size_t rows = n->captions - row < strips->rows ? n->captions - row : strips->rows;
    return status == NC_OK ? NC_LAUNCH(add_rows<T>, (unsigned)rows, 256, 0, backend->compute, *n,
                                       row, s->negatives, strips->step, s->positive, s->factor)
                           : status;
}

template <typename T> static int backward(struct nc_backend *backend, const struct nc_infonce *n)
{
    struct nc_strips strips;
    struct backward_scratch s;
    lay_out<T>(backend, n, &strips, &s);
    int status = NC_LAUNCH(find_factor, 1, FACTOR_THREADS, 2 * NC_WARP * sizeof(float),
                           backend->compute, *n, s.factor);
    for (size_t row = 0; row < n->captions && status == NC_OK; row += strips.rows)
        status = backward_rows<T>(backend, n, &strips, row, &s);
    if (status == NC_OK)
        status = nc_infonce_extras_backward(backend, n, &s.extras);
    if (status == NC_OK)
        status = NC_LAUNCH(add_scale, 1, SUM_THREADS, SUM_THREADS / NC_WARP * sizeof(double),
                           backend->compute, *n, s.sums, s.tiles_down * s.tiles_across, s.factor,
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
