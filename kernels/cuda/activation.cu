/* QuickGELU, GELU and its approximation by tanh, forward and backward; and a bias that its product
 * leaves out.
 *
 *   QuickGELU  y = x s                 s = sigmoid(1.702 x)  (Hendrycks, Gimpel 2016; OpenAI's CLIP)
 *              dy/dx = s (1 + 1.702 x (1 - s))
 *   GELU       y = x P                 P = (1 + erf(x / sqrt 2)) / 2
 *              dy/dx = P + x exp(-x^2 / 2) / sqrt(2 pi)
 *   by tanh    y = x s                 s = sigmoid(u), u = sqrt(8 / pi) (x + 0.044715 x^3)
 *              dy/dx = s (1 + x u' (1 - s))
 *
 * Bytes an element: 2 T forward, 3 T backward, 4 T when y is written again. Flops: about 12
 * for QuickGELU, 40 for GELU. At 6,800 rows of 3,072 (ViT-L/14's text tower), bf16: 84 MB
 * forward, 167 MB backward with y; implied 25 us and 50 us at 3.35 TB/s (NVIDIA H100 SXM
 * datasheet), against 0.8 GFLOP, 13 us of its fp32 units, for GELU: memory decides.
 *
 * In bf16 the exponential and the quotient are the hardware's approximations, a thousand times
 * finer than the result's rounding; in fp32, the reference precision, they are exact. */
#include "cuda.h"

enum { THREADS = 256 };

static __device__ __forceinline__ float sigmoid(float x, float)
{
    return 1.0f / (1.0f + expf(-x));
}

static __device__ __forceinline__ float sigmoid(float x, nc_bfloat16)
{
    return nc_divide(1.0f, 1.0f + nc_exp2(x * -NC_LOG2_E));
}

/* u'(x) of GELU's approximation for `third` = 1, u(x) / x for 1 / 3. Where x^2 is cut off, the gate
 * is 0 or 1 already. */
static __device__ __forceinline__ float tanh_argument(float x, float third)
{
    return fminf(x * x, 1e4f) * (0.21406445f * third) + 1.59576912f;
}

/* What y is multiplied with x to become: sigmoid(1.702 x), P(x) or sigmoid(u(x)). */
template <enum nc_activation activation, typename T>
static __device__ __forceinline__ float gate(float x)
{
    if constexpr (activation == NC_QUICK_GELU)
        return sigmoid(x * 1.702f, T());
    else if constexpr (activation == NC_GELU_TANH)
        return sigmoid(x * tanh_argument(x, 1.0f / 3), T());
    else
        return erff(x * 0.7071067811865476f) * 0.5f + 0.5f;
}

template <enum nc_activation activation, typename T>
static __device__ __forceinline__ float slope(float x, float g)
{
    if constexpr (activation == NC_QUICK_GELU)
        return g * (x * 1.702f * (1.0f - g) + 1.0f);
    else if constexpr (activation == NC_GELU_TANH)
        /* 1 - g would lose what u' makes much of; in this order 0 meets no infinity */
        return g * sigmoid(x * -tanh_argument(x, 1.0f / 3), T()) * x * tanh_argument(x, 1) + g;
    else
        return x * expf(x * x * -0.5f) * 0.3989422804014327f + g;
}

/* Numbers in 16 bytes. */
template <typename T> static constexpr int lanes_of = 16 / sizeof(T);

/* A thread takes 16 bytes; the last thread's may be cut short. In place is fine: a thread
 * reads and writes the same elements. */
template <enum nc_activation activation, typename T>
static __global__ void __launch_bounds__(THREADS) activation_kernel(const T *x, T *y, size_t count)
{
    nc_take_turn();
    constexpr int lanes = lanes_of<T>;
    size_t first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * lanes;
    if (first + lanes <= count) {
        float v[lanes];
        nc_load<lanes>(v, x + first);
#pragma unroll
        for (int i = 0; i < lanes; i++)
            v[i] *= gate<activation, T>(v[i]);
        nc_store<lanes>(y + first, v);
    } else {
        for (size_t i = first; i < count; i++) {
            float v = nc_load1(x + i);
            nc_store1(y + i, v * gate<activation, T>(v));
        }
    }
}

template <enum nc_activation activation, typename T>
static __global__ void __launch_bounds__(THREADS)
    activation_backward_kernel(const T *x, const T *dy, T *dx, T *y, size_t count)
{
    nc_take_turn();
    constexpr int lanes = lanes_of<T>;
    size_t first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * lanes;
    if (first + lanes <= count) {
        float v[lanes], d[lanes];
        nc_load<lanes>(v, x + first);
        nc_load<lanes>(d, dy + first);
#pragma unroll
        for (int i = 0; i < lanes; i++) {
            float g = gate<activation, T>(v[i]);
            d[i] *= slope<activation, T>(v[i], g);
            v[i] *= g;
        }
        nc_store<lanes>(dx + first, d);
        if (y)
            nc_store<lanes>(y + first, v);
    } else {
        for (size_t i = first; i < count; i++) {
            float v = nc_load1(x + i), g = gate<activation, T>(v);
            nc_store1(dx + i, nc_load1(dy + i) * slope<activation, T>(v, g));
            if (y)
                nc_store1(y + i, v * g);
        }
    }
}

/* A row a block in y's direction, four columns a thread; `wide` where rows are aligned. */
template <enum nc_activation activation>
static __global__ void __launch_bounds__(THREADS)
    bias_kernel(const float *__restrict__ x, const float *__restrict__ bias, size_t width,
                bool wide, nc_bfloat16 *__restrict__ y)
{
    nc_take_turn();
    size_t column = ((size_t)blockIdx.y * THREADS + threadIdx.x) * 4;
    size_t first = blockIdx.x * width + column;
    if (wide && column + 4 <= width) {
        float v[4], b[4] = {};
        nc_load4(v, x + first);
        if (bias)
            nc_unpack(b, nc_load16_constant(bias + column));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i] += b[i];
            v[i] *= gate<activation, nc_bfloat16>(v[i]);
        }
        nc_store4(y + first, v);
        return;
    }
    for (size_t i = 0; i < 4 && column + i < width; i++) {
        float v = x[first + i] + (bias ? bias[column + i] : 0.0f);
        nc_store1(y + first + i, v * gate<activation, nc_bfloat16>(v));
    }
}

/* The same grid. */
static __global__ void __launch_bounds__(THREADS)
    add_bias_kernel(const float *__restrict__ bias, size_t width, bool wide, float *x)
{
    nc_take_turn();
    size_t column = ((size_t)blockIdx.y * THREADS + threadIdx.x) * 4;
    float *at = x + blockIdx.x * width + column;
    if (wide && column + 4 <= width) {
        float v[4], b[4];
        nc_load4(v, at);
        nc_unpack(b, nc_load16_constant(bias + column));
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] += b[i];
        nc_store4(at, v);
        return;
    }
    for (size_t i = 0; i < 4 && column + i < width; i++)
        at[i] += bias[column + i];
}

/* ---- Launchers -------------------------------------------------------------------------- */

template <typename T> static int blocks_of(const char *operation, size_t count, unsigned *blocks)
{
    size_t wanted = (count + THREADS * lanes_of<T> - 1) / (THREADS * lanes_of<T>);
    if (wanted > (size_t)INT32_MAX)
        return nc_error(NC_FAILED, "%s: %zu elements are too many for cuda", operation, count);
    *blocks = (unsigned)wanted;
    return NC_OK;
}

template <typename T>
static int forward(struct nc_backend *backend, const struct nc_activation_forward *a)
{
    size_t count = a->rows * a->width;
    unsigned blocks = 0;
    int status = blocks_of<T>("activation", count, &blocks);
    if (status != NC_OK || !count)
        return status;
    const T *x = (const T *)a->x;
    T *y = (T *)a->y;
    if (a->activation == NC_QUICK_GELU)
        return NC_LAUNCH_EARLY(backend, (activation_kernel<NC_QUICK_GELU, T>), blocks, THREADS, 0,
                               x, y, count);
    if (a->activation == NC_GELU_TANH)
        return NC_LAUNCH_EARLY(backend, (activation_kernel<NC_GELU_TANH, T>), blocks, THREADS, 0, x,
                               y, count);
    return NC_LAUNCH_EARLY(backend, (activation_kernel<NC_GELU, T>), blocks, THREADS, 0, x, y,
                           count);
}

int nc_cuda_activation_forward(struct nc_backend *backend, const struct nc_activation_forward *a)
{
    return a->type == NC_FLOAT32 ? forward<float>(backend, a) : forward<nc_bfloat16>(backend, a);
}

template <typename T>
static int backward(struct nc_backend *backend, const struct nc_activation_backward *a)
{
    size_t count = a->rows * a->width;
    unsigned blocks = 0;
    int status = blocks_of<T>("activation_backward", count, &blocks);
    if (status != NC_OK || !count)
        return status;
    const T *x = (const T *)a->x, *dy = (const T *)a->dy;
    T *dx = (T *)a->dx, *y = (T *)a->y;
    if (a->activation == NC_QUICK_GELU)
        return NC_LAUNCH_EARLY(backend, (activation_backward_kernel<NC_QUICK_GELU, T>), blocks,
                               THREADS, 0, x, dy, dx, y, count);
    if (a->activation == NC_GELU_TANH)
        return NC_LAUNCH_EARLY(backend, (activation_backward_kernel<NC_GELU_TANH, T>), blocks,
                               THREADS, 0, x, dy, dx, y, count);
    return NC_LAUNCH_EARLY(backend, (activation_backward_kernel<NC_GELU, T>), blocks, THREADS, 0, x,
                           dy, dx, y, count);
}

int nc_cuda_activation_backward(struct nc_backend *backend, const struct nc_activation_backward *a)
{
    return a->type == NC_FLOAT32 ? backward<float>(backend, a) : backward<nc_bfloat16>(backend, a);
}

int nc_cuda_bias_activation(struct nc_backend *backend, enum nc_activation activation,
                            const float *x, const float *bias, size_t rows, size_t width,
                            nc_bfloat16 *y)
{
    bool wide = width % 4 == 0 && (uintptr_t)x % 16 == 0 && (uintptr_t)bias % 16 == 0 &&
                (uintptr_t)y % 8 == 0;
    dim3 grid((unsigned)rows, (unsigned)((width + 4 * THREADS - 1) / (4 * THREADS)));
    if (activation == NC_QUICK_GELU)
        return NC_LAUNCH_EARLY(backend, bias_kernel<NC_QUICK_GELU>, grid, THREADS, 0, x, bias,
                               width, wide, y);
    if (activation == NC_GELU_TANH)
        return NC_LAUNCH_EARLY(backend, bias_kernel<NC_GELU_TANH>, grid, THREADS, 0, x, bias, width,
                               wide, y);
    return NC_LAUNCH_EARLY(backend, bias_kernel<NC_GELU>, grid, THREADS, 0, x, bias, width, wide,
                           y);
}

int nc_cuda_add_bias(struct nc_backend *backend, const float *bias, size_t rows, size_t width,
                     float *x)
{
    bool wide = width % 4 == 0 && ((uintptr_t)x | (uintptr_t)bias) % 16 == 0;
    dim3 grid((unsigned)rows, (unsigned)((width + 4 * THREADS - 1) / (4 * THREADS)));
    return NC_LAUNCH_EARLY(backend, add_bias_kernel, grid, THREADS, 0, bias, width, wide, x);
}
