/* Symmetric InfoNCE (Radford et al. 2021, figure 3) on the GPU, without its B x B matrix.
 *
 * The matrix is walked in strips of 16384 captions x 8448 pictures (infonce_strip.cu), a strip in
 * tiles (infonce_tile.h). Forward: each warp of a tile leaves, for each of its rows and columns,
 * the largest score and the sum of exponentials relative to it; a second kernel joins them, in the
 * order of the matrix, with the running log-sum-exps. Backward: infonce_backward.cu.
 * Contradictions: infonce_extras.cu.
 *
 * Both stay exact where a trained model's loss is small: a largest score is subtracted exactly,
 * its own exponential is exactly 1, and max and log are never added up. That is why each score
 * costs two exponentials, relative to its warp's row and to its column. One for both, relative to
 * a common reference, would be short by 2^-24 of the distance to it, and would vanish where
 * that is over 87: scores span 200 at logit_scale = ln 100.
 *
 * For B captions, B pictures, D numbers; in brackets B = 65,536 and D = 768 in bf16 on an H100
 * (132 SMs at 1.755 GHz, 3.3 TB/s, its L2 taken for 5.5 TB/s). Derived and counted in the machine
 * code (bench/static.py), not measured:
 *   products       3 of 2 B^2 D flops: this pass one, backward two      [6.6e12 each]
 *     at the library's rate, 700 to 800 TFLOP/s                         [28 to 25 ms for the three]
 *   a tile of 128 x 256, in clocks of its SM
 *     mma.sync, at 62% of the wgmma rate on Hopper (Luo et al. 2024)    [19,800]
 *     operands from shared memory, 4 KiB a warp for 32 mma, and to it   [16,900, beside it]
 *     instructions, 300 a warp and 64 numbers, of which 128 mma,
 *       32 ldmatrix, 12 cp.async; four a clock                          [7,200, beside it]
 *     inputs from L2, 384 rows of D numbers, a sixth of them in the
 *       time of the tile before                                         [20,800, beside it]
 *     2 exponentials a score, 16 a clock, and 2,100 instructions a warp [4,300, behind it]
 *   so a pass takes B^2 / 32768 / 132 times 25,100 clocks               [14 ms]
 *   two passes and a product of the library; the coefficients, 2 B^2
 *     bytes written and read in fp16; 1 ms of it not hidden             [39 ms: 500 TFLOP/s]
 *   largest scores and sums, by row and by column of 64                 [2.1 GB, 0.7 ms]
 *   scratch: forward 35 MB, backward 340 MB, whatever B is; for contradictions 12 bytes a
 *     picture and 8 a contradiction more
 * A tile takes up to 255 registers of each of 256 threads and 147 KB of shared memory, 160 KB
 * backward (two stages: 101 KB, 98 KB): one block a multiprocessor, whose 128 accumulators a thread
 * need no second one; it makes tile after tile and asks for the next one's first inputs ahead of
 * the exponentials. fp32's tile takes up to 128 registers, two blocks. Tiles are walked in groups
 * of 16 rows, so that what runs at a time needs 2048 captions and 2112 pictures: 6 MB, which stay
 * in L2.
 *
 * A design for sm_90a, which is not built, because nothing but a GPU could prove it: a block of
 * three groups of four warps. A thread of the first has TMA copy 128 captions and 256 pictures of
 * 64 numbers at a time (48 KB, swizzled by 128 bytes) into four stages, each with a barrier for
 * "full" and one for "free"; that group keeps 24 registers a thread, and the two others, which have
 * 240, each make 64 x 256 scores with wgmma m64n256k16 from shared memory, 128 accumulators a
 * thread. Two blocks that stand side by side in captions are a cluster: each asks for half of their
 * pictures, multicast to both, so that L2 gives 256 rows of D numbers a tile instead of 384: 13,900
 * clocks. wgmma takes 12,300 for a tile; the exponentials of one group run beside the products of
 * the other, which starts half a tile later. At 75% of the library's rate the three products take
 * [33 ms]. */
#include "infonce_tile.h"

/* The largest of some scores, and the sum of exp(score - largest). */
struct __align__(8) part
{
    float max, sum;
};

/* ---- Forward, tile by tile ------------------------------------------------------------------ */

/* Where all scores are masked, -infinity must not be subtracted from itself. */
static __device__ __forceinline__ float without_infinity(float max)
{
    return max == -INFINITY ? 0 : max;
}

/* Each warp's sums, by row to row_part[columns of warps][strip's rows], by column to
 * column_part[rows of warps][strip's columns]. */
template <typename T>
static __device__ __forceinline__ void
leave_sums(const nc_strip &strip, const nc_place &p,
           const float (&score)[nc_tile<T>::M][nc_tile<T>::N][4], part *row_part, part *column_part)
{
    using tile = nc_tile<T>;
    int lane = nc_lane(), warp = (int)threadIdx.x / NC_WARP;
    int row = nc_first_row<T>(), column = nc_first_column<T>();
    row_part += (size_t)(p.column / tile::WARP_COLUMNS + warp % 4) * (size_t)strip.rows +
                (size_t)(p.row + row);
#pragma unroll
    for (int i = 0; i < tile::M; i++)
#pragma unroll
        for (int h = 0; h < 4; h += 2) { /* four lanes hold a row */
            float most = -INFINITY, sum = 0;
#pragma unroll
            for (int j = 0; j < tile::N; j++)
                most = fmaxf(most, fmaxf(score[i][j][h], score[i][j][h + 1]));
            most = fmaxf(most, nc_shuffle_xor(most, 1));
            most = fmaxf(most, nc_shuffle_xor(most, 2));
            float reference = without_infinity(most);
#pragma unroll
            for (int j = 0; j < tile::N; j++)
                sum += nc_exp2((score[i][j][h] - reference) * NC_LOG2_E) +
                       nc_exp2((score[i][j][h + 1] - reference) * NC_LOG2_E);
            sum += nc_shuffle_xor(sum, 1);
            sum += nc_shuffle_xor(sum, 2);
            if (lane % 4 == 0 && row + nc_row(i, h) < p.rows)
                row_part[nc_row(i, h)] = {most, sum};
        }
    column_part += (size_t)(p.row / tile::WARP_ROWS + warp / 4) * (size_t)strip.columns +
                   (size_t)(p.column + column);
#pragma unroll
    for (int j = 0; j < tile::N; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) { /* eight lanes hold a column */
            if (e == 0)               /* two at a time: for more, registers lack */
                nc_warp_barrier();
            float most = -INFINITY, sum = 0;
#pragma unroll
            for (int i = 0; i < tile::M; i++)
                most = fmaxf(most, fmaxf(score[i][j][e], score[i][j][e + 2]));
#pragma unroll
            for (int mask = 4; mask < NC_WARP; mask *= 2)
                most = fmaxf(most, nc_shuffle_xor(most, mask));
            float reference = without_infinity(most);
#pragma unroll
            for (int i = 0; i < tile::M; i++)
                sum += nc_exp2((score[i][j][e] - reference) * NC_LOG2_E) +
                       nc_exp2((score[i][j][e + 2] - reference) * NC_LOG2_E);
#pragma unroll
            for (int mask = 4; mask < NC_WARP; mask *= 2)
                sum += nc_shuffle_xor(sum, mask);
            if (lane < 4 && column + nc_column(j, e) < p.columns)
                column_part[nc_column(j, e)] = {most, sum};
        }
}

template <typename T, int STAGES>
static __global__ void __launch_bounds__(NC_TILE_THREADS, nc_tile<T>::BLOCKS)
    sum_tiles(nc_infonce n, nc_strip strip, part *row_part, part *column_part)
{
    using tile = nc_tile<T>;
    NC_SHARED(unsigned char, shared);
    int32_t *group =
        reinterpret_cast<int32_t *>(shared + STAGES * tile::STAGE_BYTES); /* [2][LINES] */
    int tiles = nc_tiles_of<T>(strip), turn = 0;
    float score[tile::M][tile::N][4], scale = expf(*n.logit_scale);
    nc_place p = nc_place_of<T>(n, strip, (int)blockIdx.x);
    nc_begin_tile<T, STAGES>(shared, strip, p);
    nc_load_groups<T>(group, n, strip, p); /* making the tile has barriers */
    for (int index = (int)blockIdx.x + (int)gridDim.x;; index += (int)gridDim.x) {
        nc_make_tile<STAGES>(shared, strip, p, score);
        nc_place here = p;
        bool more = nc_many_tiles<T> && index < tiles;
        if (more) {
            nc_barrier(); /* the tile's inputs, and the groups of the one before, have been read */
            p = nc_place_of<T>(n, strip, index);
            nc_begin_tile<T, STAGES>(shared, strip, p);
            nc_load_groups<T>(group + (turn ^ tile::LINES), n, strip, p);
        }
        nc_scale_scores<T>(score, scale);
        nc_mark<T, true>(n, here, group + turn, -INFINITY,
                         n.positive + strip.row + (size_t)here.row, score);
        leave_sums<T>(strip, here, score, row_part, column_part);
        if (!more)
            return;
        turn ^= tile::LINES;
    }
}

/* ---- Running sums --------------------------------------------------------------------------- */

/* Parts begin to end - 1 of a number, `step` apart, as one. */
static __device__ __forceinline__ part join(const part *parts, int begin, int end, size_t step)
{
    part all = {-INFINITY, 0};
    for (int c = begin; c < end; c++)
        all.max = fmaxf(all.max, parts[(size_t)c * step].max);
    float reference = without_infinity(all.max);
    for (int c = begin; c < end; c++) {
        part p = parts[(size_t)c * step];
        all.sum += p.sum * nc_exp2((p.max - reference) * NC_LOG2_E);
    }
    return all;
}

enum { JOIN_SLICES = 8 };

/* A block joins the parts of 32 rows of the strip, or of 32 columns behind the rows: each warp a
 * slice of them, the first warp the slices. */
static __global__ void __launch_bounds__(JOIN_SLICES *NC_WARP)
    join_strip(nc_infonce n, nc_strip strip, const part *row_part, int row_parts,
               const part *column_part, int column_parts)
{
    NC_SHARED(part, slices);
    int lane = nc_lane(), slice = (int)threadIdx.x / NC_WARP, blocks = (strip.rows + 31) / NC_WARP;
    bool of_rows = (int)blockIdx.x < blocks;
    int i = ((int)blockIdx.x - (of_rows ? 0 : blocks)) * NC_WARP + lane;
    int lines = of_rows ? strip.rows : strip.columns, count = of_rows ? row_parts : column_parts;
    const part *parts = (of_rows ? row_part : column_part) + i;
    part mine = {-INFINITY, 0};
    if (i < lines)
        mine = join(parts, slice * count / JOIN_SLICES, (slice + 1) * count / JOIN_SLICES,
                    (size_t)lines);
    slices[threadIdx.x] = mine;
    nc_barrier();
    if (slice > 0 || i >= lines)
        return;
    mine = join(slices + lane, 0, JOIN_SLICES, NC_WARP);
    size_t at = (of_rows ? strip.row : strip.column) + (size_t)i;
    nc_log_add((of_rows ? n.row_max : n.column_max) + at, (of_rows ? n.row_log : n.column_log) + at,
               mine.max, mine.sum);
}

/* ---- The loss ------------------------------------------------------------------------------- */

enum { LOSS_THREADS = 1024 };

/* One block, so that the order of the sum is fixed; 32 bytes a pair, a thousandth of a pass. */
static __global__ void __launch_bounds__(LOSS_THREADS) add_loss(nc_infonce_loss n)
{
    NC_SHARED(double, parts);
    double sum = 0;
    for (size_t i = threadIdx.x; i < n.pairs; i += LOSS_THREADS) {
        float caption = n.caption_weight ? n.caption_weight[i] : 1;
        float image = n.image_weight ? n.image_weight[i] : 1;
        float target = n.image_positive ? n.image_positive[i] : 1;
        sum += caption * ((double)n.row_max[i] - n.positive[i] + n.row_log[i]) +
               image * target * ((double)n.column_max[i] - n.positive[i] + n.column_log[i]);
    }
    sum = nc_block_sum(sum, parts);
    if (threadIdx.x == 0)
        *n.loss += (float)(sum / (2.0 * (double)n.total));
}

/* ---- Launching ------------------------------------------------------------------------------ */

struct forward_scratch {
    part *row_part, *column_part;
    struct nc_extras extras;
};

template <typename T>
static size_t lay_out(const struct nc_backend *backend, const struct nc_infonce *n,
                      struct nc_strips *strips, struct forward_scratch *s)
{
    size_t used = 0;
    char *base = static_cast<char *>(n->scratch);
    *strips = nc_infonce_strips(backend, n, false, base, &used);
    size_t row_parts = 4 * nc_pieces(strips->columns, nc_tile<T>::COLUMNS);
    size_t column_parts = 2 * nc_pieces(strips->rows, nc_tile<T>::ROWS);
    s->row_part = nc_take<part>(base, &used, strips->rows * row_parts);
    s->column_part = nc_take<part>(base, &used, strips->columns * column_parts);
    s->extras = nc_infonce_lay_out_extras(n, base, &used);
    return used;
}

template <typename T>
static int sum_strip(struct nc_backend *backend, const struct nc_infonce *n,
                     const struct nc_strip &strip, const struct forward_scratch *s)
{
    using tile = nc_tile<T>;
    constexpr size_t groups = 2 * tile::LINES * sizeof(int32_t);
    constexpr size_t bytes = tile::STAGES * tile::STAGE_BYTES + groups;
    constexpr size_t least = tile::FEW_STAGES * tile::STAGE_BYTES + groups;
    static_assert(least <= NC_CUDA_SHARED, "every GPU has room for it");
    return bytes <= backend->shared_bytes
               ? NC_LAUNCH((sum_tiles<T, tile::STAGES>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, bytes, backend->compute, *n, strip, s->row_part,
                           s->column_part)
               : NC_LAUNCH((sum_tiles<T, tile::FEW_STAGES>), nc_grid<T>(backend, strip),
                           NC_TILE_THREADS, least, backend->compute, *n, strip, s->row_part,
                           s->column_part);
}

template <typename T>
static int add_strip(struct nc_backend *backend, const struct nc_infonce *n,
                     const struct nc_strip &strip, const struct forward_scratch *s)
{
    size_t rows = (size_t)strip.rows, columns = (size_t)strip.columns;
    int status = sum_strip<T>(backend, n, strip, s);
    if (status == NC_OK)
        status = NC_LAUNCH(
            join_strip, (unsigned)(nc_pieces(rows, NC_WARP) + nc_pieces(columns, NC_WARP)),
            JOIN_SLICES * NC_WARP, JOIN_SLICES * NC_WARP * sizeof(part), backend->compute, *n,
            strip, s->row_part, 4 * (int)nc_pieces(columns, nc_tile<T>::COLUMNS), s->column_part,
            2 * (int)nc_pieces(rows, nc_tile<T>::ROWS));
    return status;
}

template <typename T> static int forward(struct nc_backend *backend, const struct nc_infonce *n)
{
    struct nc_strips strips;
    struct forward_scratch s;
    lay_out<T>(backend, n, &strips, &s);
    int status = nc_infonce_check("infonce_forward", n);
    for (size_t row = 0; row < n->captions && status == NC_OK; row += strips.rows)
        for (size_t column = 0; column < n->images && status == NC_OK; column += strips.columns) {
            struct nc_strip strip;
            status = nc_infonce_strip_at(backend, n, &strips, row, column, &strip);
            if (status == NC_OK)
                status = add_strip<T>(backend, n, strip, &s);
        }
    return status == NC_OK ? nc_infonce_extras_forward(backend, n, &s.extras) : status;
}

size_t nc_cuda_infonce_scratch(struct nc_backend *backend, const struct nc_infonce *n)
{
    struct nc_strips strips;
    struct forward_scratch s;
    size_t forward = n->type == NC_FLOAT32 ? lay_out<float>(backend, n, &strips, &s)
                                           : lay_out<nc_bfloat16>(backend, n, &strips, &s);
    size_t backward = nc_infonce_backward_scratch(backend, n);
    return forward > backward ? forward : backward;
}

int nc_cuda_infonce_forward(struct nc_backend *backend, const struct nc_infonce *n)
{
    return n->type == NC_FLOAT32 ? forward<float>(backend, n) : forward<nc_bfloat16>(backend, n);
}

int nc_cuda_infonce_loss(struct nc_backend *backend, const struct nc_infonce_loss *n)
{
    return NC_LAUNCH(add_loss, 1, LOSS_THREADS, LOSS_THREADS / NC_WARP * sizeof(double),
                     backend->compute, *n);
}
