/* A tile of scores on the GPU, as both passes of InfoNCE compute it: text times image^T, in
 * registers, in both precisions in the layout of the tensor cores' accumulators.
 *
 *   bf16   128 x 256 scores, mma m16n8k16 with fp32 accumulation. 64 numbers of each row at a
 *          time come by cp.async, three stages deep, or two on GPUs whose blocks have 99 KiB of
 *          shared memory (compute capability 8.6, 8.9, 12.0); a row's 16-byte chunks are swizzled,
 *          so that neither the copies nor ldmatrix meet a bank twice. 256 threads, 128 scores each.
 *   fp32   64 x 128 scores, fused multiply-adds; 32 scores a thread. The reference.
 *
 * The scores of both passes have the same bits: a row that is its own largest score stays so. */
#ifndef NCLIP_KERNELS_CUDA_INFONCE_TILE_H
#define NCLIP_KERNELS_CUDA_INFONCE_TILE_H

#include "infonce.h"

/* A block is 2 x 4 warps; a warp has M x N accumulators of 16 x 8 scores; K numbers of the
 * rows are in shared memory at a time, a stage; BLOCKS share a multiprocessor. STAGES where there
 * is room for them, FEW_STAGES where not. */
template <typename T> struct nc_tile;

template <> struct nc_tile<nc_bfloat16> {
    enum { M = 4, N = 8, K = 64, STAGES = 3, FEW_STAGES = 2, BLOCKS = 1 };
    enum {
        WARP_ROWS = 16 * M,
        WARP_COLUMNS = 8 * N,
        ROWS = 2 * WARP_ROWS,
        COLUMNS = 4 * WARP_COLUMNS,
        LINES = ROWS + COLUMNS
    };
    enum { STAGE = (ROWS + COLUMNS) * K, STAGE_BYTES = STAGE * (int)sizeof(nc_bfloat16) };
};

template <> struct nc_tile<float> {
    enum { M = 2, N = 4, K = 16, STAGES = 1, FEW_STAGES = 1, BLOCKS = 2 };
    enum {
        WARP_ROWS = 16 * M,
        WARP_COLUMNS = 8 * N,
        ROWS = 2 * WARP_ROWS,
        COLUMNS = 4 * WARP_COLUMNS,
        LINES = ROWS + COLUMNS
    };
    enum { TEXT_STEP = ROWS + 2, IMAGE_STEP = COLUMNS + 2 }; /* transposed; no bank is met twice */
    enum { STAGE_BYTES = K * (TEXT_STEP + IMAGE_STEP) * (int)sizeof(float) };
};

/* Rows of tiles that are walked together, column by column: what runs at a time is nearly square,
 * and its inputs few. */
#ifdef NCLIP_CUDA_EMULATED
enum { NC_TILE_GROUP = 2 };
#else
enum { NC_TILE_GROUP = 16 };
#endif

enum { NC_TILE_THREADS = 256 };

/* bf16: a block makes tile after tile, and asks for the first inputs of the next one ahead of what
 * it does with the scores of this one. fp32, which waits for arithmetic alone: a tile each. */
template <typename T> static constexpr bool nc_many_tiles = sizeof(T) == 2;

/* A tile: its place in the strip, how much of it is there, and where its positives stand. */
struct nc_place {
    int row, column;
    int rows, columns;
    int diagonal; /* the positive of the tile's row i is its column i + diagonal, if it has that */
};

template <typename T>
static __device__ __forceinline__ nc_place nc_place_of(const nc_infonce &n, const nc_strip &strip,
                                                       int index)
{
    enum { ROWS = nc_tile<T>::ROWS, COLUMNS = nc_tile<T>::COLUMNS };
    int down = (strip.rows + ROWS - 1) / ROWS, across = (strip.columns + COLUMNS - 1) / COLUMNS;
    int first = index / (NC_TILE_GROUP * across) * NC_TILE_GROUP;
    int height = min((int)NC_TILE_GROUP, down - first), within = index - first * across;
    nc_place p;
    p.row = (first + within % height) * ROWS;
    p.column = within / height * COLUMNS;
    p.rows = min((int)ROWS, strip.rows - p.row);
    p.columns = min((int)COLUMNS, strip.columns - p.column);
    long long diagonal = (long long)(n.first_caption + strip.row) + p.row -
                         (long long)(n.first_image + strip.column) - p.column;
    p.diagonal = (int)max(-(long long)ROWS, min((long long)COLUMNS, diagonal));
    return p;
}

template <typename T> static __device__ __forceinline__ int nc_tiles_of(const nc_strip &strip)
{
    enum { ROWS = nc_tile<T>::ROWS, COLUMNS = nc_tile<T>::COLUMNS };
    return (strip.rows + ROWS - 1) / ROWS * ((strip.columns + COLUMNS - 1) / COLUMNS);
}

/* This thread's score [i][j][e] stands in the tile's row first + nc_row(i, e) and column
 * first + nc_column(j, e). */
template <typename T> static __device__ __forceinline__ int nc_first_row(void)
{
    return (int)threadIdx.x / NC_WARP / 4 * nc_tile<T>::WARP_ROWS + nc_lane() / 4;
}

template <typename T> static __device__ __forceinline__ int nc_first_column(void)
{
    return (int)threadIdx.x / NC_WARP % 4 * nc_tile<T>::WARP_COLUMNS + nc_lane() % 4 * 2;
}

static __device__ __forceinline__ constexpr int nc_row(int i, int e)
{
    return i * 16 + e / 2 * 8;
}

static __device__ __forceinline__ constexpr int nc_column(int j, int e)
{
    return j * 8 + e % 2;
}

/* ---- What is no negative -------------------------------------------------------------------- */

/* Groups of the tile's captions, then of its pictures; without groups none is shared. */
template <typename T>
static __device__ __forceinline__ void nc_load_groups(int32_t *group, const nc_infonce &n,
                                                      const nc_strip &strip, const nc_place &p)
{
    enum { ROWS = nc_tile<T>::ROWS, COLUMNS = nc_tile<T>::COLUMNS };
    for (int i = (int)threadIdx.x; i < ROWS + COLUMNS; i += NC_TILE_THREADS) {
        bool caption = i < ROWS;
        int k = caption ? i : i - ROWS;
        group[i] = caption;
        if (n.caption_group && k < (caption ? p.rows : p.columns))
            group[i] = caption ? n.caption_group[strip.row + (size_t)(p.row + k)]
                               : n.image_group[strip.column + (size_t)(p.column + k)];
    }
}

template <typename T, bool SPECIAL, bool FORWARD>
static __device__ __forceinline__ void
nc_mark_scores(const nc_place &p, const int32_t *group, float nothing, float *own,
               float (&score)[nc_tile<T>::M][nc_tile<T>::N][4])
{
    using tile = nc_tile<T>;
    int row = nc_first_row<T>(), column = nc_first_column<T>();
    int rows = p.rows - row, columns = p.columns - column, diagonal = row + p.diagonal - column;
    const int32_t *row_group = group + row, *column_group = group + tile::ROWS + column;
#pragma unroll
    for (int i = 0; i < tile::M; i++)
#pragma unroll
        for (int h = 0; h < 4; h += 2) {
            int32_t of_row = row_group[nc_row(i, h)];
            bool found = false;
            float kept = 0;
#pragma unroll
            for (int j = 0; j < tile::N; j++)
#pragma unroll
                for (int e = h; e < h + 2; e++) {
                    bool masked = of_row == column_group[nc_column(j, e)];
                    if (SPECIAL) {
                        bool there = nc_row(i, h) < rows && nc_column(j, e) < columns;
                        bool positive = there && nc_column(j, e) - nc_row(i, h) == diagonal;
                        found = found || positive;
                        kept = positive ? score[i][j][e] : kept;
                        masked = positive ? !FORWARD : masked || !there;
                    }
                    score[i][j][e] = masked ? nothing : score[i][j][e];
                }
            if (found)
                own[row + nc_row(i, h)] = kept;
        }
}

/* Keeps scores of positives in own[row of the tile]. `nothing` takes the place of masked pairs, of
 * what lies behind an edge, and backward of positives. */
template <typename T, bool FORWARD>
static __device__ __forceinline__ void nc_mark(const nc_infonce &n, const nc_place &p,
                                               const int32_t *group, float nothing, float *own,
                                               float (&score)[nc_tile<T>::M][nc_tile<T>::N][4])
{
    enum { ROWS = nc_tile<T>::ROWS, COLUMNS = nc_tile<T>::COLUMNS };
    if (p.rows < ROWS || p.columns < COLUMNS || (p.diagonal > -ROWS && p.diagonal < COLUMNS))
        nc_mark_scores<T, true, FORWARD>(p, group, nothing, own, score);
    else if (n.caption_group)
        nc_mark_scores<T, false, FORWARD>(p, group, nothing, own, score);
}

template <typename T>
static __device__ __forceinline__ void
nc_clear_scores(float (&score)[nc_tile<T>::M][nc_tile<T>::N][4])
{
    using tile = nc_tile<T>;
#pragma unroll
    for (int i = 0; i < tile::M; i++)
#pragma unroll
        for (int j = 0; j < tile::N; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                score[i][j][e] = 0;
}

/* Cosines become scores. */
template <typename T>
static __device__ __forceinline__ void
nc_scale_scores(float (&score)[nc_tile<T>::M][nc_tile<T>::N][4], float scale)
{
    using tile = nc_tile<T>;
#pragma unroll
    for (int i = 0; i < tile::M; i++)
#pragma unroll
        for (int j = 0; j < tile::N; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                score[i][j][e] *= scale;
}

/* ---- bf16, on tensor cores ------------------------------------------------------------------ */

/* What a thread copies into the stages: 16 bytes of every 32nd row. Made once a tile, so that the
 * copies cost the main loop no arithmetic but an addition each. */
struct nc_feed {
    const nc_bfloat16 *text, *image; /* its first row's next numbers */
    size_t step;                     /* from one of its rows to the next */
    int left;                        /* numbers from there to the row's end; not above 0: none */
    uint32_t rows;                   /* which of its rows there are */
    int to;                          /* in a stage */
};

enum {
    NC_FEED_STEP = NC_TILE_THREADS / 8, /* rows between those of a thread */
    NC_FEED_TEXT = nc_tile<nc_bfloat16>::ROWS / NC_FEED_STEP,
    NC_FEED_ROWS = NC_FEED_TEXT + nc_tile<nc_bfloat16>::COLUMNS / NC_FEED_STEP
};

/* `stage`: the first that it copies. */
static __device__ __forceinline__ nc_feed nc_feed_of(const nc_strip &strip, const nc_place &p,
                                                     int stage)
{
    using tile = nc_tile<nc_bfloat16>;
    int chunk = (int)threadIdx.x % 8, first = (int)threadIdx.x / 8;
    nc_feed feed;
    size_t at = (size_t)first * strip.step + (size_t)(chunk * 8 + stage * tile::K);
    feed.text = (const nc_bfloat16 *)strip.text + (size_t)p.row * strip.step + at;
    feed.image = (const nc_bfloat16 *)strip.image + (size_t)p.column * strip.step + at;
    feed.step = NC_FEED_STEP * strip.step;
    feed.left = (int)strip.step - chunk * 8 - stage * tile::K;
    feed.rows = 0;
#pragma unroll
    for (int r = 0; r < NC_FEED_ROWS; r++) {
        bool of_text = r < NC_FEED_TEXT;
        int row = first + (of_text ? r : r - NC_FEED_TEXT) * NC_FEED_STEP;
        feed.rows |= (uint32_t)(row < (of_text ? p.rows : p.columns)) << r;
    }
    feed.to = first * tile::K + (chunk ^ first % 8) * 8;
    return feed;
}

/* `part` of PARTS of the next 64 numbers of the tile's captions, then of its pictures: row by row,
 * chunk c of row r at place c ^ r % 8. Zeros where there is nothing. The last part moves on. */
template <int part, int PARTS>
static __device__ __forceinline__ void nc_load_part(nc_bfloat16 *stage, nc_feed &feed)
{
    using tile = nc_tile<nc_bfloat16>;
    enum { BEGIN = NC_FEED_ROWS * part / PARTS, END = NC_FEED_ROWS * (part + 1) / PARTS };
    uint32_t rows = feed.left > 0 ? feed.rows : 0;
#pragma unroll
    for (int r = BEGIN; r < END; r++) {
        const nc_bfloat16 *from = r < NC_FEED_TEXT
                                      ? feed.text + (size_t)r * feed.step
                                      : feed.image + (size_t)(r - NC_FEED_TEXT) * feed.step;
        nc_cp_async16(stage + feed.to + r * NC_FEED_STEP * tile::K, from, rows >> r & 1);
    }
    if (part == PARTS - 1) {
        feed.text += tile::K;
        feed.image += tile::K;
        feed.left -= tile::K;
    }
}

/* Where in a stage a lane reads its row of the warp's fragments: of 16 numbers, and of those
 * that come k times 16 further, by exclusive or. */
struct nc_reader {
    int text, image;
};

static __device__ __forceinline__ nc_reader nc_reader_of(void)
{
    using tile = nc_tile<nc_bfloat16>;
    int lane = nc_lane(), warp = (int)threadIdx.x / NC_WARP;
    int text = warp / 4 * tile::WARP_ROWS + lane % 16;
    int image = tile::ROWS + warp % 4 * tile::WARP_COLUMNS + lane / 16 * 8 + lane % 8;
    return {nc_kept(text * tile::K + (lane / 16 ^ lane % 8) * 8),
            nc_kept(image * tile::K + (lane / 8 % 2 ^ lane % 8) * 8)};
}

static __device__ __forceinline__ void nc_load_fragments(const nc_bfloat16 *stage,
                                                         const nc_reader &from, int k,
                                                         uint32_t a[][4], uint32_t b[][4])
{
    using tile = nc_tile<nc_bfloat16>;
    const nc_bfloat16 *text = stage + (from.text ^ k * 16), *image = stage + (from.image ^ k * 16);
#pragma unroll
    for (int i = 0; i < tile::M; i++)
        nc_ldmatrix_x4(a[i], text + i * 16 * tile::K);
#pragma unroll
    for (int j = 0; j < tile::N / 2; j++)
        nc_ldmatrix_x4(b[j], image + j * 16 * tile::K);
}

/* Asks for the tile's first inputs, for the stages but the last of `memory`. fp32 has none. */
template <typename T, int STAGES>
static __device__ __forceinline__ void nc_begin_tile(unsigned char *memory, const nc_strip &strip,
                                                     const nc_place &p)
{
    using tile = nc_tile<nc_bfloat16>;
    if (!nc_many_tiles<T>)
        return;
    nc_bfloat16 *stages = reinterpret_cast<nc_bfloat16 *>(memory);
    nc_feed feed = nc_feed_of(strip, p, 0);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        nc_load_part<0, 1>(stages + s * tile::STAGE, feed);
        nc_cp_async_commit();
    }
}

/* Cosines of the tile that was begun. `memory`: its stages, which behind a barrier are free. */
template <int STAGES>
static __device__ __forceinline__ void nc_make_tile(unsigned char *memory, const nc_strip &strip,
                                                    const nc_place &p, float (&score)[4][8][4])
{
    using tile = nc_tile<nc_bfloat16>;
    enum { PARTS = tile::K / 16 - 1 }; /* of a stage's copies, between the products */
    nc_bfloat16 *stages = reinterpret_cast<nc_bfloat16 *>(memory);
    nc_feed feed = nc_feed_of(strip, p, STAGES - 1); /* made anew: registers are scarce */
    nc_reader reader = nc_reader_of();
    int steps = (int)((strip.step + tile::K - 1) / tile::K);
    nc_clear_scores<nc_bfloat16>(score);
    int now = 0, next = STAGES - 1;
    uint32_t a[2][tile::M][4], b[2][tile::N / 2][4];
    nc_cp_async_wait<STAGES - 2>();
    nc_barrier(); /* the first stage is there for all */
    nc_load_fragments(stages, reader, 0, a[0], b[0]);
    for (int step = 0; step < steps; step++) {
#pragma unroll
        for (int k = 0; k < tile::K / 16; k++) {
            if (k < PARTS) {
                nc_load_fragments(stages + now * tile::STAGE, reader, k + 1, a[(k + 1) % 2],
                                  b[(k + 1) % 2]);
                if (k == 0) /* `left` makes zeros of what lies behind the last step */
                    nc_load_part<0, PARTS>(stages + next * tile::STAGE, feed);
                else if (k == 1)
                    nc_load_part<1, PARTS>(stages + next * tile::STAGE, feed);
                else
                    nc_load_part<2, PARTS>(stages + next * tile::STAGE, feed);
            } else if (step + 1 < steps) {
                nc_cp_async_commit();
                nc_cp_async_wait<STAGES - 2>();
                nc_barrier(); /* the next stage is there for all; this one has been read by all */
                now = now + 1 == STAGES ? 0 : now + 1;
                next = next + 1 == STAGES ? 0 : next + 1;
                nc_load_fragments(stages + now * tile::STAGE, reader, 0, a[0], b[0]);
            }
#pragma unroll
            for (int i = 0; i < tile::M; i++)
#pragma unroll
                for (int j = 0; j < tile::N; j++)
                    nc_mma_bf16(score[i][j], a[k % 2][i], b[k % 2][j / 2] + j % 2 * 2);
        }
    }
    nc_cp_async_commit(); /* the zeros behind the last step, or they would not be waited for */
    nc_cp_async_wait<0>();
}

/* ---- fp32 ----------------------------------------------------------------------------------- */

template <int STAGES>
static __device__ __forceinline__ void nc_make_tile(unsigned char *memory, const nc_strip &strip,
                                                    const nc_place &p, float (&score)[2][4][4])
{
    using tile = nc_tile<float>;
    enum { STEP = NC_TILE_THREADS / tile::K, LOADS = (tile::ROWS + tile::COLUMNS) / STEP };
    float *text = reinterpret_cast<float *>(memory), *image = text + tile::K * tile::TEXT_STEP;
    int column = (int)threadIdx.x % tile::K, first = (int)threadIdx.x / tile::K;
    const float *row = text + nc_first_row<float>(), *picture = image + nc_first_column<float>();
    nc_clear_scores<float>(score);
    for (size_t k = 0; k < strip.step; k += tile::K) {
        float loaded[LOADS];
#pragma unroll
        for (int r = 0; r < LOADS; r++) {
            bool of_text = r < tile::ROWS / STEP;
            int at_row = first + (of_text ? r : r - tile::ROWS / STEP) * STEP;
            bool there = at_row < (of_text ? p.rows : p.columns) && k + (size_t)column < strip.step;
            const float *from = (const float *)(of_text ? strip.text : strip.image);
            size_t at =
                (size_t)((of_text ? p.row : p.column) + at_row) * strip.step + k + (size_t)column;
            loaded[r] = there ? from[at] : 0;
        }
        nc_barrier(); /* the numbers before have been read by all */
#pragma unroll
        for (int r = 0; r < LOADS; r++) {
            bool of_text = r < tile::ROWS / STEP;
            int to = first + (of_text ? r : r - tile::ROWS / STEP) * STEP;
            (of_text ? text + column * tile::TEXT_STEP : image + column * tile::IMAGE_STEP)[to] =
                loaded[r];
        }
        nc_barrier();
        float sum[tile::M][tile::N][4] = {}; /* sums of sums lose less than one long sum */
#pragma unroll 4
        for (int c = 0; c < tile::K; c++) {
            float a[tile::M][2], b[tile::N][2];
#pragma unroll
            for (int i = 0; i < tile::M; i++)
#pragma unroll
                for (int h = 0; h < 2; h++)
                    a[i][h] = row[c * tile::TEXT_STEP + nc_row(i, 2 * h)];
#pragma unroll
            for (int j = 0; j < tile::N; j++) {
                nc_bytes8 pair = nc_load8(picture + c * tile::IMAGE_STEP + nc_column(j, 0));
                b[j][0] = nc_bits_to_float(pair.word[0]);
                b[j][1] = nc_bits_to_float(pair.word[1]);
            }
#pragma unroll
            for (int i = 0; i < tile::M; i++)
#pragma unroll
                for (int j = 0; j < tile::N; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        sum[i][j][e] = fmaf(a[i][e / 2], b[j][e % 2], sum[i][j][e]);
        }
#pragma unroll
        for (int i = 0; i < tile::M; i++)
#pragma unroll
            for (int j = 0; j < tile::N; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    score[i][j][e] += sum[i][j][e];
    }
}

/* ---- On the host ---------------------------------------------------------------------------- */

template <typename T> unsigned nc_grid(const struct nc_backend *backend, const nc_strip &strip)
{
    unsigned tiles = (unsigned)(nc_pieces((size_t)strip.rows, nc_tile<T>::ROWS) *
                                nc_pieces((size_t)strip.columns, nc_tile<T>::COLUMNS));
    unsigned most = (unsigned)backend->multiprocessors * nc_tile<T>::BLOCKS;
    return nc_many_tiles<T> && tiles > most ? most : tiles;
}

#endif
