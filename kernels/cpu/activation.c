/* QuickGELU, GELU and its approximation by tanh, forward and backward.
 *
 *   QuickGELU  y = x s                 s = sigmoid(1.702 x)   (Hendrycks, Gimpel 2016; OpenAI's CLIP)
 *              dy/dx = s (1 + 1.702 x (1 - s))
 *   GELU       y = x P                 P = (1 + erf(x / sqrt 2)) / 2
 *              dy/dx = P + x exp(-x^2 / 2) / sqrt(2 pi)
 *   by tanh    y = x s                 s = sigmoid(u), u = sqrt(8 / pi) (x + 0.044715 x^3), which is
 *              dy/dx = s (1 + x u' (1 - s))   (1 + tanh(u / 2)) / 2 (Hendrycks, Gimpel 2016; SigLIP)
 *
 * Bytes an element: 2 T forward, 3 T backward, 4 T when y is written again. Flops: about
 * 25 for QuickGELU, 50 for GELU: memory and arithmetic are close to balance. */
#include "activation.h"

#include "cpu.h"
#include "nclip/support/error.h"

enum { PIECE = 1 << 14 }; /* elements a thread takes at a time */

NC_INLINE nc_floats slope(nc_floats x, nc_floats g, enum nc_activation activation)
{
    if (activation == NC_QUICK_GELU)
        return g * (x * 1.702f * (1.0f - g) + 1.0f);
    if (activation == NC_GELU_TANH) { /* 1 - g would lose what u' makes much of; 0 meets no infinity */
        nc_floats rest = nc_sigmoid(x * -nc_tanh_argument(x, 1.0f / 3));
        return g * rest * x * nc_tanh_argument(x, 1) + g;
    }
    return x * nc_exp(x * x * -0.5f) * 0x1.988454p-2f + g;
}

NC_INLINE void forward(const struct nc_activation_forward *a, size_t first, size_t last,
                       enum nc_activation activation, enum nc_type type)
{
    for (size_t i = first; i < last; i += NC_LANES) {
        nc_floats x = nc_load_of(a->x, i, type, last - i);
        nc_store_of(a->y, i, type, x * nc_gate(x, activation), last - i);
    }
}

NC_INLINE void backward(const struct nc_activation_backward *a, size_t first, size_t last,
                        enum nc_activation activation, enum nc_type type)
{
    for (size_t i = first; i < last; i += NC_LANES) {
        size_t left = last - i;
        nc_floats x = nc_load_of(a->x, i, type, left);
        nc_floats dy = nc_load_of(a->dy, i, type, left);
        nc_floats g = nc_gate(x, activation);
        nc_store_of(a->dx, i, type, dy * slope(x, g, activation), left);
        if (a->y)
            nc_store_of(a->y, i, type, x * g, left);
    }
}

/* Calls `pass` with the activation and the type as constants. */
#define FOR_EACH_TYPE(pass, activation)                        \
    (a->type == NC_FLOAT32                                     \
         ? pass(a, first, last, activation, NC_FLOAT32)        \
         : pass(a, first, last, activation, NC_BFLOAT16))
#define FOR_EACH_KIND(pass)                                                     \
    (a->activation == NC_QUICK_GELU  ? FOR_EACH_TYPE(pass, NC_QUICK_GELU)       \
     : a->activation == NC_GELU_TANH ? FOR_EACH_TYPE(pass, NC_GELU_TANH)        \
                                     : FOR_EACH_TYPE(pass, NC_GELU))

int nc_cpu_activation_forward(struct nc_backend *backend, const struct nc_activation_forward *a)
{
    size_t count = a->rows * a->width;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t first = 0; first < count; first += PIECE) {
        size_t last = count - first < PIECE ? count : first + PIECE;
        FOR_EACH_KIND(forward);
    }
    return NC_OK;
}

int nc_cpu_activation_backward(struct nc_backend *backend, const struct nc_activation_backward *a)
{
    size_t count = a->rows * a->width;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t first = 0; first < count; first += PIECE) {
        size_t last = count - first < PIECE ? count : first + PIECE;
        FOR_EACH_KIND(backward);
    }
    return NC_OK;
}
