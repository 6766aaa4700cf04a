/* Rows picked out, put back, and brought to length one.
 *
 *   gather, scatter     y[i] = x[row[i]], dx[row[i]] += dy[i]
 *   normalise           y = x / |x|          dx = (dy - y (y . dy)) / |x|
 *
 * Bytes: gather 8 count width, scatter 12; normalise 8 rows width, its backward 12 (10
 * into bf16). Flops: 3 rows width forward, 5 backward: memory decides. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

#include <math.h>

enum { SMALL = 1 << 14 }; /* elements below which more threads cost more than they bring */

static int check_rows(const char *operation, const int32_t *row, size_t count, size_t rows)
{
    for (size_t i = 0; i < count; i++)
        if (row[i] < 0 || (size_t)row[i] >= rows)
            return nc_error(NC_FAILED, "%s: row %d of %zu does not exist", operation, row[i], rows);
    return NC_OK;
}

int nc_cpu_gather(struct nc_backend *backend, const struct nc_gather *g)
{
    int status = check_rows("gather", g->row, g->count, g->rows);
    if (status != NC_OK)
        return status;
#pragma omp parallel for num_threads(backend->threads) schedule(static) \
    if (g->count * g->width > SMALL)
    for (size_t i = 0; i < g->count; i++)
        memcpy(g->y + i * g->width, g->x + (size_t)g->row[i] * g->width, g->width * sizeof *g->y);
    return NC_OK;
}

/* Rows may repeat, so threads share out the columns: each sum keeps the order of i. */
int nc_cpu_scatter(struct nc_backend *backend, const struct nc_scatter *s)
{
    int status = check_rows("scatter", s->row, s->count, s->rows);
    if (status != NC_OK)
        return status;
    size_t strips = nc_round_up(s->width) / NC_LANES;
    size_t parts = (size_t)backend->threads < strips ? (size_t)backend->threads : strips;
#pragma omp parallel for num_threads(backend->threads) schedule(static) \
    if (s->count * s->width > SMALL)
    for (size_t part = 0; part < parts; part++) {
        size_t first = part * strips / parts * NC_LANES;
        size_t last = (part + 1) * strips / parts * NC_LANES;
        last = last < s->width ? last : s->width;
        for (size_t i = 0; i < s->count; i++) {
            float *to = s->dx + (size_t)s->row[i] * s->width;
            const float *from = s->dy + i * s->width;
            for (size_t k = first; k < last; k++)
                to[k] += from[k];
        }
    }
    return NC_OK;
}

/* Sum of a[k] b[k] of one row. */
static float dot(const float *a, const float *b, size_t width)
{
    nc_floats sum = {0};
    for (size_t k = 0; k < width; k += NC_LANES)
        sum += nc_load_of(a, k, NC_FLOAT32, width - k) * nc_load_of(b, k, NC_FLOAT32, width - k);
    return nc_sum(sum);
}

int nc_cpu_normalize_forward(struct nc_backend *backend, const struct nc_normalize *n)
{
    size_t width = n->width;
#pragma omp parallel for num_threads(backend->threads) schedule(static) \
    if (n->rows * width > SMALL)
    for (size_t r = 0; r < n->rows; r++) {
        const float *x = n->x + r * width;
        float *y = n->y + r * width;
        float inverse = 1.0f / sqrtf(dot(x, x, width));
        for (size_t k = 0; k < width; k++)
            y[k] = x[k] * inverse;
        if (n->inverse_norm)
            n->inverse_norm[r] = inverse;
    }
    return NC_OK;
}

NC_INLINE void normalize_row_backward(const struct nc_normalize_backward *n, size_t r,
                                      enum nc_type type)
{
    size_t width = n->width;
    const float *y = n->y + r * width, *dy = n->dy + r * width;
    float inverse = n->inverse_norm[r], along = dot(y, dy, width);
    for (size_t k = 0; k < width; k += NC_LANES) {
        size_t left = width - k;
        nc_floats rest =
            nc_load_of(dy, k, NC_FLOAT32, left) - nc_load_of(y, k, NC_FLOAT32, left) * along;
        nc_store_of(n->dx, r * width + k, type, rest * inverse, left);
    }
}

int nc_cpu_normalize_backward(struct nc_backend *backend, const struct nc_normalize_backward *n)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static) \
    if (n->rows * n->width > SMALL)
    for (size_t r = 0; r < n->rows; r++) {
        if (n->dx_type == NC_FLOAT32)
            normalize_row_backward(n, r, NC_FLOAT32);
        else
            normalize_row_backward(n, r, NC_BFLOAT16);
    }
    return NC_OK;
}
