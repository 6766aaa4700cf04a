/* AdamW (Loshchilov, Hutter 2019) in the order of torch.optim.AdamW, and the sum of squares.
 *
 * adamw           28 bytes an element (reads p g m v, writes p m v), 30 with the shadow; 13 flops
 * squared_norm    4 bytes and 2 flops an element
 * Both are bound by memory. */
#include "cpu.h"
#include "loop_math.h"

#include "nclip/error.h"

int nc_cpu_adamw(struct nc_backend *backend, const struct nc_adamw *a)
{
    (void)backend;
    double correction1 = 1 - pow(a->beta1, (double)a->step);
    double correction2 = 1 - pow(a->beta2, (double)a->step);
    const float step_size = (float)(a->learning_rate / correction1);
    const float root = (float)(1 / sqrt(correction2));
    const float decay = (float)(1 - (double)a->learning_rate * a->weight_decay);
    const float factor = a->gradient_factor ? *a->gradient_factor : 1.0f;
    const float beta1 = a->beta1, beta2 = a->beta2, epsilon = a->epsilon;
    const float limit = a->limit > 0 ? a->limit : INFINITY;
    float *restrict p = a->parameter, *restrict m = a->first, *restrict v = a->second;
    const float *restrict gradient = a->gradient;
    nc_bfloat16 *restrict shadow = a->shadow;
    enum { PIECE = 4096 };
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < a->count; at += PIECE) {
        size_t end = a->count - at < PIECE ? a->count : at + PIECE;
#pragma omp simd
        for (size_t i = at; i < end; i++) {
            float g = gradient[i] * factor;
            m[i] = m[i] + (1 - beta1) * (g - m[i]);
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            float updated = p[i] * decay - step_size * m[i] / (sqrtf(v[i]) * root + epsilon);
            p[i] = updated > limit ? limit : updated;
        }
        if (shadow) {
#pragma omp simd
            for (size_t i = at; i < end; i++)
                shadow[i] = nc_round_bfloat16(p[i]);
        }
    }
    return NC_OK;
}

int nc_cpu_squared_norm(struct nc_backend *backend, const float *data, size_t count, double *sum)
{
    (void)backend;
    enum { PARTS = 64 }; /* fixed, so that the sum does not depend on the threads */
    double parts[PARTS];
    size_t size = (count + PARTS - 1) / PARTS;
#pragma omp parallel for schedule(static)
    for (size_t part = 0; part < PARTS; part++) {
        size_t first = part * size < count ? part * size : count;
        size_t end = first + size < count ? first + size : count;
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (size_t i = first; i < end; i++)
            total += (double)data[i] * data[i];
        parts[part] = total;
    }
    for (size_t part = 0; part < PARTS; part++)
        *sum += parts[part];
    return NC_OK;
}
