/* Sums of the columns of a matrix: the gradient of a bias.
 *
 *   sums[column] = or += sum over rows of dy[row, column], in fp32
 *
 * Bytes: rows columns T, and 8 columns a slice of rows, which stay in the L2 cache. At 6,800 rows
 * of 3,072 (ViT-L/14's text tower), bf16: 42 MB, implied 12 us at 3.35 TB/s (NVIDIA H100 SXM
 * datasheet). One flop a number: memory decides. A thread has 64 bytes under way, nvcc 13 keeps 48
 * KB of them a multiprocessor.
 *
 * A block sums a strip of columns over a slice of rows: a lane for some neighbouring columns, a
 * warp for every WARPS-th row, then the warps in order. The strip's last block adds its slices, in
 * order: which block that is changes no bit. */
#include "cuda.h"

enum {
    WARPS = 8,
    THREADS = WARPS * NC_WARP,
    MOST_SLICES = NC_CUDA_COLUMN_SLICES,
    BLOCKS_EACH = 6, /* per multiprocessor */
    AHEAD = 4,       /* rows in one turn */
};

/* The sums of this block's slice, in partial[slice][columns]. */
template <int lanes, typename T>
static __device__ __forceinline__ void sum_slice(const T *__restrict__ dy, size_t rows,
                                                 size_t columns, float *partial, float *parts)
{
    constexpr int strip = NC_WARP * lanes;
    size_t column = (size_t)blockIdx.x * strip + (size_t)nc_lane() * lanes;
    size_t warp = threadIdx.x / NC_WARP, last = rows * (blockIdx.y + 1) / gridDim.y;
    float sum[lanes];
#pragma unroll
    for (int i = 0; i < lanes; i++)
        sum[i] = 0;
    if (column < columns) {
        const T *from = dy + column;
        size_t row = rows * blockIdx.y / gridDim.y + warp;
        for (; row + (AHEAD - 1) * WARPS < last; row += AHEAD * WARPS) {
            float v[AHEAD][lanes];
#pragma unroll
            for (int j = 0; j < AHEAD; j++)
                nc_load<lanes>(v[j], from + (row + j * WARPS) * columns);
#pragma unroll
            for (int j = 0; j < AHEAD; j++)
#pragma unroll
                for (int i = 0; i < lanes; i++)
                    sum[i] += v[j][i];
        }
#pragma unroll 1
        for (; row < last; row += WARPS) {
            float v[lanes];
            nc_load<lanes>(v, from + row * columns);
#pragma unroll
            for (int i = 0; i < lanes; i++)
                sum[i] += v[i];
        }
    }
#pragma unroll
    for (int i = 0; i < lanes; i++)
        parts[warp * strip + (size_t)nc_lane() * lanes + i] = sum[i];
    nc_barrier();
    for (unsigned k = threadIdx.x; k < strip; k += THREADS) {
        float total = 0;
        for (int w = 0; w < WARPS; w++)
            total += parts[w * strip + k];
        if ((size_t)blockIdx.x * strip + k < columns)
            partial[blockIdx.y * columns + (size_t)blockIdx.x * strip + k] = total;
    }
}

template <int lanes, typename T>
static __global__ void __launch_bounds__(THREADS, BLOCKS_EACH)
    sum_columns_kernel(const T *__restrict__ dy, size_t rows, size_t columns, float *partial,
                       uint32_t *arrived, bool accumulate, float *sums)
{
    nc_take_turn();
    NC_SHARED(float, parts); /* [WARPS][NC_WARP * lanes] */
    constexpr int strip = NC_WARP * lanes;
    sum_slice<lanes, T>(dy, rows, columns, partial, parts);
    if (!nc_last_block(arrived + blockIdx.x, gridDim.y, reinterpret_cast<uint32_t *>(parts)))
        return;
    for (unsigned k = threadIdx.x; k < strip; k += THREADS) {
        size_t column = (size_t)blockIdx.x * strip + k;
        if (column >= columns)
            return;
        float sum = 0;
#pragma unroll 8
        for (unsigned slice = 0; slice < gridDim.y; slice++)
            sum += partial[slice * columns + column];
        sums[column] = accumulate ? sums[column] + sum : sum;
    }
}

template <int lanes, typename T>
static int sum_columns(struct nc_backend *backend, const void *dy, size_t rows, size_t columns,
                       float *partial, bool accumulate, float *sums)
{
    unsigned strips = (unsigned)((columns + NC_WARP * lanes - 1) / (NC_WARP * lanes));
    unsigned most = (unsigned)((rows + WARPS - 1) / WARPS);
    unsigned wanted = (unsigned)backend->multiprocessors * BLOCKS_EACH / strips;
    wanted = wanted < MOST_SLICES ? wanted : (unsigned)MOST_SLICES;
    wanted = wanted < most ? wanted : most;
    return NC_LAUNCH_EARLY(backend, (sum_columns_kernel<lanes, T>),
                           dim3(strips, wanted ? wanted : 1), THREADS,
                           THREADS * lanes * sizeof(float), (const T *)dy, rows, columns, partial,
                           backend->arrived, accumulate, sums);
}

int nc_cuda_sum_columns(struct nc_backend *backend, enum nc_type type, const void *dy, size_t rows,
                        size_t columns, float *partial, bool accumulate, float *sums)
{
    bool fp32 = type == NC_FLOAT32, aligned = (uintptr_t)dy % 16 == 0;
    if (fp32 && aligned && columns % 4 == 0)
        return sum_columns<4, float>(backend, dy, rows, columns, partial, accumulate, sums);
    if (fp32)
        return sum_columns<1, float>(backend, dy, rows, columns, partial, accumulate, sums);
    if (aligned && columns % 8 == 0)
        return sum_columns<8, nc_bfloat16>(backend, dy, rows, columns, partial, accumulate, sums);
    return sum_columns<1, nc_bfloat16>(backend, dy, rows, columns, partial, accumulate, sums);
}
