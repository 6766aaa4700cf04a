/* QuickGELU, x sigmoid(1.702 x) (OpenAI's CLIP), and GELU, x Phi(x) with erf
 * (Hendrycks, Gimpel 2016).
 *
 * forward     2 elements moved, about 20 flops
 * backward    3 elements moved (4 with act(x)), about 25 flops
 * Bound by memory in fp32; in bf16 about even with the arithmetic. */
#include "cpu.h"
#include "vector_math.h"

#include "nclip/error.h"

enum { PIECE = 1024 }; /* elements at once: fits the first cache in fp32 */

static void apply(enum nc_activation activation, float *restrict y, const float *restrict x, size_t count)
{
    if (activation == NC_QUICK_GELU) {
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] / (1.0f + nc_exp(-1.702f * x[i]));
    } else {
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            y[i] = 0.5f * x[i] * (1.0f + nc_erf(x[i] * 0.70710678118654752f));
    }
}

/* d becomes d * act'(x), y becomes act(x). */
static void apply_backward(enum nc_activation activation, float *restrict d, float *restrict y,
                           const float *restrict x, size_t count)
{
    if (activation == NC_QUICK_GELU) {
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            float sigmoid = 1.0f / (1.0f + nc_exp(-1.702f * x[i]));
            y[i] = x[i] * sigmoid;
            d[i] *= sigmoid + 1.702f * y[i] * (1.0f - sigmoid);
        }
    } else {
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            float phi = 0.5f * (1.0f + nc_erf(x[i] * 0.70710678118654752f));
            y[i] = x[i] * phi;
            d[i] *= phi + x[i] * 0.3989422804014327f * nc_exp(-0.5f * x[i] * x[i]);
        }
    }
}

int nc_cpu_activation_forward(struct nc_backend *backend, const struct nc_activation_forward *a)
{
    (void)backend;
    size_t total = a->rows * a->width;
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < total; at += PIECE) {
        float x[PIECE], y[PIECE];
        size_t count = total - at < PIECE ? total - at : PIECE;
        nc_load_row(x, a->x, a->type, at, count);
        apply(a->activation, y, x, count);
        nc_store_row(a->y, a->type, at, y, count);
    }
    return NC_OK;
}

int nc_cpu_activation_backward(struct nc_backend *backend, const struct nc_activation_backward *a)
{
    (void)backend;
    size_t total = a->rows * a->width;
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < total; at += PIECE) {
        float x[PIECE], y[PIECE], d[PIECE];
        size_t count = total - at < PIECE ? total - at : PIECE;
        nc_load_row(x, a->x, a->type, at, count);
        nc_load_row(d, a->dy, a->type, at, count);
        apply_backward(a->activation, d, y, x, count);
        nc_store_row(a->dx, a->type, at, d, count);
        if (a->y)
            nc_store_row(a->y, a->type, at, y, count);
    }
    return NC_OK;
}
