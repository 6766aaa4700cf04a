/* Layer normalisation (Ba, Kiros, Hinton 2016), forward with the residual added on the way,
 * and backward with the gradient that flows past the norm added on the way.
 *
 *   y  = xhat weight + bias            xhat = (x - mean) rstd
 *   dx = rstd (g - mean(g) - xhat mean(g xhat))         g = dy weight
 *   dweight = sum over rows of dy xhat,  dbias = sum over rows of dy
 *
 * Bytes a row and column, T the output's size: forward 4 + T (12 + T with a residual); backward 8 +
 * T, 12 + T when dx accumulates, 2 more for the bf16 copy. Flops: 8 forward, 14 backward: memory
 * decides. At 6,800 rows of 768 (ViT-L/14's text tower), bf16: forward with its residual 73 MB,
 * backward with both extras 84 MB; implied 22 us and 25 us at 3.35 TB/s (NVIDIA H100 SXM
 * datasheet). Of 768 columns a multiprocessor has 24 rows under way forward, 74 KB of x, and 16
 * backward, 74 KB of x and dy: it needs 20 KB for that rate at 800 ns. Backward asks for dx, which
 * it reads behind both reductions, and for the next row's x and dy when it begins a row: they are
 * in the L2 cache then, and no register waits for them. Launching, the first loads and the last
 * blocks take some 3 us, and the columns' sums 2 more.
 *
 * A warp keeps its row in registers: one trip through memory, mean and variance in two passes.
 * dweight and dbias: each warp adds up its rows in registers, the block its warps in order, the
 * last block of a group the group's in order, and the last of those the groups. The grid depends on
 * the shape and the GPU alone, so the bits do too. */
#include "cuda.h"

enum {
    WARPS = 8,
    THREADS = WARPS * NC_WARP,
    COLUMNS = NC_WARP * 4, /* that a warp reads at a time, 16 bytes a lane */
    BLOCKS_EACH = 2,       /* of the backward pass, per multiprocessor */
    GROUP = 16,            /* blocks whose sums one of them adds, all loads under way at once */
    SLICES = 32,           /* of the blocks' sums of any width */
    WIDEST = 1 << 16,      /* columns */
};

/* ---- Forward ----------------------------------------------------------------------------- */

/* The test of the tests: without this check a warp reads and writes behind the last row. */
static __device__ __forceinline__ bool inside(size_t row, size_t rows)
{
#ifdef NC_BREAK_BOUNDS
    (void)rows;
    return row + 1 > 0;
#else
    return row < rows;
#endif
}

/* width = pieces * COLUMNS. A row's inputs are all read before its outputs are written, so
 * that they may share memory. */
template <int pieces, typename Y>
static __global__ void __launch_bounds__(THREADS, pieces > 6 ? 2 : 3)
    layernorm_kernel(struct nc_layernorm n)
{
    nc_take_turn();
    constexpr int width = pieces * COLUMNS;
    size_t row = nc_warp_of_grid<WARPS>();
    if (!inside(row, n.rows))
        return;
    int first = nc_lane() * 4;
    const float *x = n.x + row * width + first;
    float v[pieces][4];
#pragma unroll
    for (int p = 0; p < pieces; p++)
        nc_load4(v[p], x + p * COLUMNS);
    if (n.residual) {
        const float *residual = n.residual + row * width + first;
        float r[pieces][4];
#pragma unroll
        for (int p = 0; p < pieces; p++)
            nc_load4(r[p], residual + p * COLUMNS);
#pragma unroll
        for (int p = 0; p < pieces; p++) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                v[p][i] += r[p][i];
            nc_store4(n.sum + row * width + first + p * COLUMNS, v[p]);
        }
    }
    float sum = 0;
#pragma unroll
    for (int p = 0; p < pieces; p++)
        sum += (v[p][0] + v[p][1]) + (v[p][2] + v[p][3]);
    float mean = nc_warp_sum(sum) / width, squares = 0;
#pragma unroll
    for (int p = 0; p < pieces; p++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[p][i] -= mean;
            squares += v[p][i] * v[p][i];
        }
    float rstd = 1.0f / sqrtf(nc_warp_sum(squares) / width + n.epsilon);
#pragma unroll
    for (int p = 0; p < pieces; p++) {
        float weight[4], bias[4];
        nc_unpack(weight, nc_load16_constant(n.weight + first + p * COLUMNS));
        nc_unpack(bias, nc_load16_constant(n.bias + first + p * COLUMNS));
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[p][i] = v[p][i] * rstd * weight[i] + bias[i];
    }
    Y *y = (Y *)n.y + row * width + first;
#pragma unroll
    for (int p = 0; p < pieces; p++)
        nc_store4(y + p * COLUMNS, v[p]);
    if (n.mean && first == 0) {
        n.mean[row] = mean;
        n.rstd[row] = rstd;
    }
}

/* Any width: three passes over the row, of which the caches serve two. Each lane meets the
 * same columns in every pass. */
template <typename Y>
static __global__ void __launch_bounds__(THREADS) forward_any_kernel(struct nc_layernorm n)
{
    size_t row = nc_warp_of_grid<WARPS>();
    if (!inside(row, n.rows))
        return;
    size_t lane = (size_t)nc_lane();
    const float *x = n.x + row * n.width;
    float sum = 0;
    if (n.residual) {
        const float *residual = n.residual + row * n.width;
        float *to = n.sum + row * n.width;
        for (size_t k = lane; k < n.width; k += NC_WARP) {
            float v = x[k] + residual[k];
            to[k] = v;
            sum += v;
        }
        x = to;
    } else {
        for (size_t k = lane; k < n.width; k += NC_WARP)
            sum += x[k];
    }
    float width = (float)n.width, mean = nc_warp_sum(sum) / width, squares = 0;
    for (size_t k = lane; k < n.width; k += NC_WARP)
        squares += (x[k] - mean) * (x[k] - mean);
    float rstd = 1.0f / sqrtf(nc_warp_sum(squares) / width + n.epsilon);
    Y *y = (Y *)n.y + row * n.width;
    for (size_t k = lane; k < n.width; k += NC_WARP)
        nc_store1(y + k, (x[k] - mean) * rstd * n.weight[k] + n.bias[k]);
    if (n.mean && lane == 0) {
        n.mean[row] = mean;
        n.rstd[row] = rstd;
    }
}

/* ---- Backward ----------------------------------------------------------------------------- */

/* Blocks a multiprocessor shall hold: as many as their registers allow without spilling. */
template <int pieces, typename Dy, bool frozen> struct resident {
    static constexpr int blocks =
        (frozen ? pieces <= 8 || sizeof(Dy) == 2 : pieces <= 6 && sizeof(Dy) == 2) ? 2 : 1;
};

/* to[width] = the warps' sums, in the order of the warps. */
template <int pieces>
static __device__ __forceinline__ void add_warps(float *slabs, const float (&own)[pieces][4],
                                                 float *to)
{
    constexpr int width = pieces * COLUMNS;
    float *mine = slabs + (int)threadIdx.x / NC_WARP * width + nc_lane() * 4;
#pragma unroll
    for (int p = 0; p < pieces; p++)
        nc_store4(mine + p * COLUMNS, own[p]);
    nc_barrier();
#pragma unroll 1
    for (int k = (int)threadIdx.x * 4; k < width; k += THREADS * 4) {
        float sum[4], v[4];
        nc_load4(sum, slabs + k);
#pragma unroll
        for (int warp = 1; warp < WARPS; warp++) {
            nc_load4(v, slabs + warp * width + k);
#pragma unroll
            for (int i = 0; i < 4; i++)
                sum[i] += v[i];
        }
        nc_store4(to + k, sum);
    }
    nc_barrier(); /* the slabs are free again */
}

/* Asks for a row of `bytes` bytes, a line a lane. */
static __device__ __forceinline__ void prefetch_row(const void *row, int bytes)
{
    enum { LINE = 128 };
    for (int at = nc_lane() * LINE; at < bytes; at += NC_WARP * LINE)
        nc_prefetch(static_cast<const char *>(row) + at);
}

/* Block b takes rows b WARPS + warp, then every gridDim.x WARPS further one. Its sums of
 * columns go to partial[b]: dweight, then dbias. */
/* dweight and dbias = or += the blocks' sums. */
static __device__ __forceinline__ void add_blocks(const struct nc_layernorm_backward &n,
                                                  float *partial, uint32_t *arrived, uint32_t *flag)
{
    unsigned group = blockIdx.x / GROUP, groups = (gridDim.x + GROUP - 1) / GROUP;
    unsigned first = group * GROUP;
    unsigned members = gridDim.x - first < GROUP ? gridDim.x - first : (unsigned)GROUP;
    size_t columns = 2 * n.width;
    if (!nc_last_block(arrived + group, members, flag))
        return;
    float *of_groups = partial + gridDim.x * columns;
    for (size_t k = threadIdx.x * 4; k < columns; k += THREADS * 4) {
        float sum[4] = {0, 0, 0, 0}, v[4];
#pragma unroll 8
        for (unsigned block = first; block < first + members; block++) {
            nc_load4(v, partial + block * columns + k);
            for (int i = 0; i < 4; i++)
                sum[i] += v[i];
        }
        nc_store4(of_groups + group * columns + k, sum);
    }
    if (!nc_last_block(arrived + groups, groups, flag))
        return;
    for (size_t k = threadIdx.x * 4; k < columns; k += THREADS * 4) {
        float *to = k < n.width ? n.dweight + k : n.dbias + (k - n.width);
        float sum[4] = {0, 0, 0, 0}, v[4];
        for (int i = 0; i < 4 && !n.overwrite; i++)
            sum[i] = to[i];
#pragma unroll 8
        for (unsigned other = 0; other < groups; other++) {
            nc_load4(v, of_groups + other * columns + k);
            for (int i = 0; i < 4; i++)
                sum[i] += v[i];
        }
        for (int i = 0; i < 4; i++) /* they need not be aligned */
            to[i] = sum[i];
    }
}

template <int pieces, typename Dy, bool frozen>
static __global__ void __launch_bounds__(THREADS, (resident<pieces, Dy, frozen>::blocks))
    layernorm_backward_kernel(struct nc_layernorm_backward n, float *partial, uint32_t *arrived)
{
    nc_take_turn();
    constexpr int width = pieces * COLUMNS;
    NC_SHARED(float, slabs); /* [WARPS][width], unless frozen */
    int first = nc_lane() * 4;
    float dweight[frozen ? 1 : pieces][4], dbias[frozen ? 1 : pieces][4];
    if constexpr (!frozen) {
#pragma unroll
        for (int p = 0; p < pieces; p++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                dweight[p][i] = dbias[p][i] = 0;
    }
    for (size_t row = nc_warp_of_grid<WARPS>(); row < n.rows; row += (size_t)gridDim.x * WARPS) {
        const float *x = n.x + row * width + first;
        const Dy *dy = (const Dy *)n.dy + row * width + first;
        float *dx = n.dx + row * width + first;
        float v[pieces][4], g[pieces][4];
        float mean = n.mean[row], rstd = n.rstd[row];
        size_t next = row + (size_t)gridDim.x * WARPS;
        if (n.accumulate)
            prefetch_row(n.dx + row * width, width * (int)sizeof(float));
        if (next < n.rows) {
            prefetch_row(n.x + next * width, width * (int)sizeof(float));
            prefetch_row((const Dy *)n.dy + next * width, width * (int)sizeof(Dy));
        }
#pragma unroll
        for (int p = 0; p < pieces; p++) {
            nc_load4(v[p], x + p * COLUMNS);
            nc_load4(g[p], dy + p * COLUMNS);
        }
        float sum_g = 0, sum_gx = 0;
#pragma unroll
        for (int p = 0; p < pieces; p++) {
            float weight[4];
            nc_unpack(weight, nc_load16_constant(n.weight + first + p * COLUMNS));
#pragma unroll
            for (int i = 0; i < 4; i++) {
                v[p][i] = (v[p][i] - mean) * rstd;
                if constexpr (!frozen) {
                    dweight[p][i] += g[p][i] * v[p][i];
                    dbias[p][i] += g[p][i];
                }
                g[p][i] *= weight[i];
                sum_g += g[p][i];
                sum_gx += g[p][i] * v[p][i];
            }
        }
        float mean_g = nc_warp_sum(sum_g) / width, mean_gx = nc_warp_sum(sum_gx) / width;
#pragma unroll
        for (int p = 0; p < pieces; p++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                g[p][i] = (g[p][i] - mean_g - v[p][i] * mean_gx) * rstd;
        if (n.accumulate) {
#pragma unroll
            for (int p = 0; p < pieces; p++)
                nc_load4(v[p], dx + p * COLUMNS);
#pragma unroll
            for (int p = 0; p < pieces; p++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    g[p][i] += v[p][i];
        }
#pragma unroll
        for (int p = 0; p < pieces; p++)
            nc_store4(dx + p * COLUMNS, g[p]);
        if (n.dx_copy) {
            nc_bfloat16 *copy = (nc_bfloat16 *)n.dx_copy + row * width + first;
#pragma unroll
            for (int p = 0; p < pieces; p++)
                nc_store4(copy + p * COLUMNS, g[p]);
        }
    }
    if constexpr (!frozen) {
        float *to = partial + (size_t)blockIdx.x * 2 * width;
        add_warps<pieces>(slabs, dweight, to);
        add_warps<pieces>(slabs, dbias, to + width);
        add_blocks(n, partial, arrived, reinterpret_cast<uint32_t *>(slabs));
    }
}

template <typename Dy>
static __global__ void __launch_bounds__(THREADS)
    backward_any_kernel(struct nc_layernorm_backward n)
{
    size_t row = nc_warp_of_grid<WARPS>();
    if (!inside(row, n.rows))
        return;
    size_t lane = (size_t)nc_lane(), start = row * n.width;
    const float *x = n.x + start;
    const Dy *dy = (const Dy *)n.dy + start;
    float mean = n.mean[row], rstd = n.rstd[row], sum_g = 0, sum_gx = 0;
    for (size_t k = lane; k < n.width; k += NC_WARP) {
        float g = nc_load1(dy + k) * n.weight[k];
        sum_g += g;
        sum_gx += g * ((x[k] - mean) * rstd);
    }
    float width = (float)n.width;
    float mean_g = nc_warp_sum(sum_g) / width, mean_gx = nc_warp_sum(sum_gx) / width;
    for (size_t k = lane; k < n.width; k += NC_WARP) {
        float g = nc_load1(dy + k) * n.weight[k], xhat = (x[k] - mean) * rstd;
        float v = (g - mean_g - xhat * mean_gx) * rstd;
        if (n.accumulate)
            v += n.dx[start + k];
        n.dx[start + k] = v;
        if (n.dx_copy)
            nc_store1((nc_bfloat16 *)n.dx_copy + start + k, v);
    }
}

/* The same sums per block as layernorm_backward_kernel's, a thread for each column. */
template <typename Dy>
static __global__ void __launch_bounds__(THREADS)
    partial_any_kernel(struct nc_layernorm_backward n, float *__restrict__ partial)
{
    size_t column = (size_t)blockIdx.y * THREADS + threadIdx.x;
    if (column >= n.width)
        return;
    float dweight = 0, dbias = 0;
    for (size_t row = blockIdx.x; row < n.rows; row += gridDim.x) {
        float dy = nc_load1((const Dy *)n.dy + row * n.width + column);
        dweight += dy * ((n.x[row * n.width + column] - n.mean[row]) * n.rstd[row]);
        dbias += dy;
    }
    partial[(size_t)blockIdx.x * 2 * n.width + column] = dweight;
    partial[((size_t)blockIdx.x * 2 + 1) * n.width + column] = dbias;
}

/* A column a lane, the blocks' sums in SLICES slices, and the slices in order. */
static __global__ void __launch_bounds__(SLICES *NC_WARP)
    add_partials_kernel(const float *__restrict__ partial, size_t blocks, size_t width,
                        bool overwrite, float *__restrict__ dweight, float *__restrict__ dbias)
{
    NC_SHARED(float, slices); /* [SLICES][NC_WARP] */
    size_t column = (size_t)blockIdx.x * NC_WARP + (size_t)nc_lane(), columns = 2 * width;
    size_t warp = threadIdx.x / NC_WARP;
    float sum = 0;
    if (column < columns) {
        size_t last = blocks * (warp + 1) / SLICES;
#pragma unroll 8
        for (size_t block = blocks * warp / SLICES; block < last; block++)
            sum += partial[block * columns + column];
    }
    slices[threadIdx.x] = sum;
    nc_barrier();
    if (warp || column >= columns)
        return;
#pragma unroll 8
    for (int slice = 1; slice < SLICES; slice++)
        sum += slices[slice * NC_WARP + nc_lane()];
    float *to = column < width ? dweight + column : dbias + (column - width);
    *to = overwrite ? sum : *to + sum;
}

/* ---- Launchers -------------------------------------------------------------------------- */

static int check(const char *operation, size_t rows, size_t width)
{
    if (width < 1 || width > WIDEST)
        return nc_error(NC_FAILED, "%s: %zu columns; cuda does 1 to %d", operation, width,
                        (int)WIDEST);
    if (rows > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "%s: %zu rows; cuda does %d at most", operation, rows,
                        INT32_MAX);
    return NC_OK;
}

static unsigned warps_for(size_t rows)
{
    return (unsigned)((rows + WARPS - 1) / WARPS);
}

template <typename Y> static int forward(struct nc_backend *backend, const struct nc_layernorm *n)
{
    unsigned grid = warps_for(n->rows);
    switch (n->width) {
    case 128: /* small towers, and tests */
        return NC_LAUNCH_EARLY(backend, (layernorm_kernel<1, Y>), grid, THREADS, 0, *n);
    case 512:
        return NC_LAUNCH_EARLY(backend, (layernorm_kernel<4, Y>), grid, THREADS, 0, *n);
    case 640:
        return NC_LAUNCH_EARLY(backend, (layernorm_kernel<5, Y>), grid, THREADS, 0, *n);
    case 768:
        return NC_LAUNCH_EARLY(backend, (layernorm_kernel<6, Y>), grid, THREADS, 0, *n);
    case 1024:
        return NC_LAUNCH_EARLY(backend, (layernorm_kernel<8, Y>), grid, THREADS, 0, *n);
    case 1280:
        return NC_LAUNCH_EARLY(backend, (layernorm_kernel<10, Y>), grid, THREADS, 0, *n);
    default:
        return NC_LAUNCH(forward_any_kernel<Y>, grid, THREADS, 0, backend->compute, *n);
    }
}

int nc_cuda_layernorm_forward(struct nc_backend *backend, const struct nc_layernorm *n)
{
    int status = check("layernorm", n->rows, n->width);
    if (status != NC_OK || !n->rows)
        return status;
    return n->y_type == NC_FLOAT32 ? forward<float>(backend, n) : forward<nc_bfloat16>(backend, n);
}

static unsigned backward_blocks(const struct nc_backend *backend, size_t rows)
{
    unsigned most = (unsigned)backend->multiprocessors * BLOCKS_EACH, wanted = warps_for(rows);
    return wanted < most ? wanted : most;
}

/* Each block's dweight, then its dbias; then each group's. */
size_t nc_cuda_layernorm_scratch(struct nc_backend *backend, size_t rows, size_t width)
{
    size_t blocks = backward_blocks(backend, rows), groups = (blocks + GROUP - 1) / GROUP;
    return (blocks + groups) * 2 * width * sizeof(float);
}

template <int pieces, typename Dy>
static int backward_of(struct nc_backend *backend, const struct nc_layernorm_backward *n)
{
    unsigned grid = backward_blocks(backend, n->rows);
    float *partial = (float *)n->scratch;
    if (!n->dweight)
        return NC_LAUNCH_EARLY(backend, (layernorm_backward_kernel<pieces, Dy, true>), grid,
                               THREADS, 0, *n, partial, backend->arrived);
    size_t shared = (size_t)WARPS * pieces * COLUMNS * sizeof(float);
    return NC_LAUNCH_EARLY(backend, (layernorm_backward_kernel<pieces, Dy, false>), grid, THREADS,
                           shared, *n, partial, backend->arrived);
}

template <typename Dy>
static int backward_any(struct nc_backend *backend, const struct nc_layernorm_backward *n)
{
    int status =
        NC_LAUNCH(backward_any_kernel<Dy>, warps_for(n->rows), THREADS, 0, backend->compute, *n);
    if (status != NC_OK || !n->dweight)
        return status;
    dim3 grid(backward_blocks(backend, n->rows), (unsigned)((n->width + THREADS - 1) / THREADS));
    status = NC_LAUNCH(partial_any_kernel<Dy>, grid, THREADS, 0, backend->compute, *n,
                       (float *)n->scratch);
    if (status != NC_OK)
        return status;
    unsigned strips = (unsigned)((2 * n->width + NC_WARP - 1) / NC_WARP);
    return NC_LAUNCH(add_partials_kernel, strips, SLICES * NC_WARP,
                     SLICES * NC_WARP * sizeof(float), backend->compute,
                     (const float *)n->scratch, (size_t)grid.x, n->width, n->overwrite, n->dweight,
                     n->dbias);
}

template <typename Dy>
static int backward(struct nc_backend *backend, const struct nc_layernorm_backward *n)
{
    switch (n->width) {
    case 128:
        return backward_of<1, Dy>(backend, n);
    case 512:
        return backward_of<4, Dy>(backend, n);
    case 640:
        return backward_of<5, Dy>(backend, n);
    case 768:
        return backward_of<6, Dy>(backend, n);
    case 1024:
        return backward_of<8, Dy>(backend, n);
    case 1280:
        return backward_of<10, Dy>(backend, n);
    default:
        return backward_any<Dy>(backend, n);
    }
}

int nc_cuda_layernorm_backward(struct nc_backend *backend, const struct nc_layernorm_backward *n)
{
    int status = check("layernorm_backward", n->rows, n->width);
    if (status != NC_OK)
        return status;
    if (n->rows)
        return n->dy_type == NC_FLOAT32 ? backward<float>(backend, n)
                                        : backward<nc_bfloat16>(backend, n);
    if (!n->dweight || !n->overwrite)
        return NC_OK;
    status = nc_cuda_zero(backend, n->dweight, n->width * sizeof(float));
    return status == NC_OK ? nc_cuda_zero(backend, n->dbias, n->width * sizeof(float)) : status;
}
