/* Moving single rows, and L2 normalisation.
 *
 * gather, scatter    8 bytes an element moved
 * normalise          8 bytes and 3 flops an element; backward 12 bytes and 6 flops */
#include "cpu.h"
#include "vector_math.h"

#include "nclip/error.h"

int nc_cpu_gather(struct nc_backend *backend, const struct nc_gather *g)
{
    (void)backend;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < g->count; i++)
        memcpy(g->y + i * g->width, g->x + (size_t)g->row[i] * g->width, g->width * sizeof *g->y);
    return NC_OK;
}

/* Rows may repeat: each thread takes a span of columns, and all rows in order. */
int nc_cpu_scatter(struct nc_backend *backend, const struct nc_scatter *s)
{
    (void)backend;
    enum { SPAN = 64 };
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < s->width; first += SPAN) {
        size_t count = s->width - first < SPAN ? s->width - first : SPAN;
        for (size_t i = 0; i < s->count; i++) {
            float *to = s->dx + (size_t)s->row[i] * s->width + first;
            const float *from = s->dy + i * s->width + first;
            for (size_t k = 0; k < count; k++)
                to[k] += from[k];
        }
    }
    return NC_OK;
}

static float dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return (float)sum;
}

int nc_cpu_normalize_forward(struct nc_backend *backend, const struct nc_normalize *n)
{
    (void)backend;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < n->rows; r++) {
        const float *x = n->x + r * n->width;
        float *y = n->y + r * n->width;
        float inverse = 1.0f / sqrtf(dot(x, x, n->width));
        for (size_t i = 0; i < n->width; i++)
            y[i] = x[i] * inverse;
        if (n->inverse_norm)
            n->inverse_norm[r] = inverse;
    }
    return NC_OK;
}

int nc_cpu_normalize_backward(struct nc_backend *backend, const struct nc_normalize_backward *n)
{
    (void)backend;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < n->rows; r++) {
        const float *y = n->y + r * n->width, *dy = n->dy + r * n->width;
        float along = dot(y, dy, n->width), inverse = n->inverse_norm[r];
        if (n->dx_type == NC_FLOAT32) {
            float *dx = (float *)n->dx + r * n->width;
            for (size_t i = 0; i < n->width; i++)
                dx[i] = (dy[i] - y[i] * along) * inverse;
        } else {
            nc_bfloat16 *dx = (nc_bfloat16 *)n->dx + r * n->width;
            for (size_t i = 0; i < n->width; i++)
                dx[i] = nc_round_bfloat16((dy[i] - y[i] * along) * inverse);
        }
    }
    return NC_OK;
}
