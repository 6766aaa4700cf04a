/* Rows picked out, put back, and brought to length one.
 *
 *   gather, scatter     y[i] = x[row[i]], dx[row[i]] += dy[i]
 *   normalise           y = x / |x|          dx = (dy - y (y . dy)) / |x|
 *
 * Bytes: gather 8 count width, scatter 12; normalise 8 rows width, its backward 12 (10 into
 * bf16). Flops: 3 rows width forward, 5 backward: memory decides. At 512 captions of 768
 * (ViT-L/14): 3 to 5 MB, implied 1 to 2 us at 3.35 TB/s (NVIDIA H100 SXM datasheet); the
 * launch costs as much. A warp takes a row. */
#include "cuda.h"

enum { WARPS = 8, THREADS = WARPS * NC_WARP };

/* ---- Gather and scatter -------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS)
    gather_kernel(struct nc_gather g, struct nc_cuda_fault *fault)
{
    size_t i = nc_warp_of_grid<WARPS>(), lane = (size_t)nc_lane();
    if (i >= g.count || !nc_cuda_valid(fault, NC_CUDA_WRONG_ROW, g.row[i], g.rows))
        return;
    const float *from = g.x + (size_t)g.row[i] * g.width;
    float *to = g.y + i * g.width;
    if (g.width % 4 == 0) {
        for (size_t k = lane * 4; k < g.width; k += 4 * NC_WARP)
            nc_store16(to + k, nc_load16(from + k));
    } else {
        for (size_t k = lane; k < g.width; k += NC_WARP)
            to[k] = from[k];
    }
}

/* The warp of i adds all that goes to row[i], in order, unless an earlier warp has the same row:
 * count^2 / 32 comparisons of indices, and no result depends on the order of warps. */
static __global__ void __launch_bounds__(THREADS)
    scatter_kernel(struct nc_scatter s, struct nc_cuda_fault *fault)
{
    size_t i = nc_warp_of_grid<WARPS>(), lane = (size_t)nc_lane();
    if (i >= s.count || !nc_cuda_valid(fault, NC_CUDA_WRONG_ROW, s.row[i], s.rows))
        return;
    int32_t row = s.row[i];
    for (size_t from = 0; from < i; from += NC_WARP)
        if (nc_ballot(from + lane < i && s.row[from + lane] == row))
            return;
    float *to = s.dx + (size_t)row * s.width;
    for (size_t from = i; from < s.count; from += NC_WARP) {
        uint32_t same = nc_ballot(from + lane < s.count && s.row[from + lane] == row);
        while (same) {
            const float *dy = s.dy + (from + (size_t)__ffs((int)same) - 1) * s.width;
            for (size_t k = lane; k < s.width; k += NC_WARP)
                to[k] += dy[k];
            same &= same - 1;
        }
    }
}

static int grid_of(const char *operation, size_t rows, unsigned *grid)
{
    size_t blocks = (rows + WARPS - 1) / WARPS;
    if (blocks > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "%s: %zu rows are too many for cuda", operation, rows);
    *grid = (unsigned)blocks;
    return NC_OK;
}

int nc_cuda_gather(struct nc_backend *backend, const struct nc_gather *g)
{
    unsigned grid = 0;
    int status = grid_of("gather", g->count, &grid);
    if (status != NC_OK || !grid)
        return status;
    return NC_LAUNCH(gather_kernel, grid, THREADS, 0, backend->compute, *g, backend->fault);
}

int nc_cuda_scatter(struct nc_backend *backend, const struct nc_scatter *s)
{
    unsigned grid = 0;
    int status = grid_of("scatter", s->count, &grid);
    if (status != NC_OK || !grid)
        return status;
    return NC_LAUNCH(scatter_kernel, grid, THREADS, 0, backend->compute, *s, backend->fault);
}

/* ---- Normalisation -------------------------------------------------------------------------- */

/* Sum of a[k] b[k] of one row. */
static __device__ __forceinline__ float dot(const float *a, const float *b, size_t width)
{
    float sum = 0;
    for (size_t k = (size_t)nc_lane(); k < width; k += NC_WARP)
        sum += a[k] * b[k];
    return nc_warp_sum(sum);
}

static __global__ void __launch_bounds__(THREADS) normalize_kernel(struct nc_normalize n)
{
    size_t row = nc_warp_of_grid<WARPS>();
    if (row >= n.rows)
        return;
    const float *x = n.x + row * n.width;
    float *y = n.y + row * n.width;
    float inverse = 1.0f / sqrtf(dot(x, x, n.width));
    for (size_t k = (size_t)nc_lane(); k < n.width; k += NC_WARP)
        y[k] = x[k] * inverse;
    if (n.inverse_norm && nc_lane() == 0)
        n.inverse_norm[row] = inverse;
}

template <typename Dx>
static __global__ void __launch_bounds__(THREADS)
    normalize_backward_kernel(struct nc_normalize_backward n)
{
    size_t row = nc_warp_of_grid<WARPS>();
    if (row >= n.rows)
        return;
    const float *y = n.y + row * n.width, *dy = n.dy + row * n.width;
    Dx *dx = (Dx *)n.dx + row * n.width;
    float inverse = n.inverse_norm[row], along = dot(y, dy, n.width);
    for (size_t k = (size_t)nc_lane(); k < n.width; k += NC_WARP)
        nc_store1(dx + k, (dy[k] - y[k] * along) * inverse);
}

int nc_cuda_normalize_forward(struct nc_backend *backend, const struct nc_normalize *n)
{
    unsigned grid = 0;
    int status = grid_of("normalize", n->rows, &grid);
    if (status != NC_OK || !grid)
        return status;
    return NC_LAUNCH(normalize_kernel, grid, THREADS, 0, backend->compute, *n);
}

int nc_cuda_normalize_backward(struct nc_backend *backend, const struct nc_normalize_backward *n)
{
    unsigned grid = 0;
    int status = grid_of("normalize_backward", n->rows, &grid);
    if (status != NC_OK || !grid)
        return status;
    if (n->dx_type == NC_FLOAT32)
        return NC_LAUNCH(normalize_backward_kernel<float>, grid, THREADS, 0, backend->compute, *n);
    return NC_LAUNCH(normalize_backward_kernel<nc_bfloat16>, grid, THREADS, 0, backend->compute,
                     *n);
}
