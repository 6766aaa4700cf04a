/* Layer normalisation (Ba, Kiros, Hinton 2016), fused with the residual add.
 *
 *     y = (x - mean) * rstd * weight + bias            mean, variance: two passes in fp32
 *     dx = rstd * (g - mean(g) - xhat * mean(g xhat))   with g = dy * weight, xhat = (x - mean) * rstd
 *     dweight = sum_rows dy * xhat,  dbias = sum_rows dy
 *
 * forward     reads 4 (8 with a residual), writes 4 or 2 (8 or 6) bytes an element; 8 flops
 * backward    reads 8 or 6 (12 or 10 accumulating), writes 4 (6 with a copy); 14 flops
 * A row is read from memory once and from the cache after that. */
#include "cpu.h"
#include "vector_math.h"

#include "nclip/error.h"

enum {
    CHUNKS = 32,     /* of rows: column sums are made per chunk and then in order of chunks */
    MOST_WIDTH = 16384,
};

static float mean_of(const float *x, size_t width)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < width; i++)
        sum += x[i];
    return sum / (float)width;
}

static float variance_of(const float *x, float mean, size_t width)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < width; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum / (float)width;
}

static void forward_row(const struct nc_layernorm *l, size_t r)
{
    size_t width = l->width;
    const float *x = l->x + r * width;
    if (l->residual) {
        const float *residual = l->residual + r * width;
        float *sum = l->sum + r * width;
        for (size_t i = 0; i < width; i++)
            sum[i] = x[i] + residual[i];
        x = sum;
    }
    float mean = mean_of(x, width);
    float rstd = 1.0f / sqrtf(variance_of(x, mean, width) + l->epsilon);
    const float *restrict weight = l->weight, *restrict bias = l->bias;
    if (l->y_type == NC_FLOAT32) {
        float *y = (float *)l->y + r * width;
        for (size_t i = 0; i < width; i++)
            y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
    } else {
        nc_bfloat16 *restrict y = (nc_bfloat16 *)l->y + r * width;
        for (size_t i = 0; i < width; i++)
            y[i] = nc_round_bfloat16((x[i] - mean) * rstd * weight[i] + bias[i]);
    }
    if (l->mean) {
        l->mean[r] = mean;
        l->rstd[r] = rstd;
    }
}

int nc_cpu_layernorm_forward(struct nc_backend *backend, const struct nc_layernorm *l)
{
    (void)backend;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < l->rows; r++)
        forward_row(l, r);
    return NC_OK;
}

size_t nc_cpu_layernorm_scratch(struct nc_backend *backend, size_t rows, size_t width)
{
    (void)backend;
    (void)rows;
    return CHUNKS * 2 * width * sizeof(float);
}

/* One row; its share of the column sums goes to dweight and dbias where they are wanted. */
static void backward_row(const struct nc_layernorm_backward *l, size_t r, float *restrict dweight,
                         float *restrict dbias)
{
    size_t width = l->width;
    const float *restrict x = l->x + r * width, *restrict weight = l->weight;
    float dy[MOST_WIDTH], mean = l->mean[r], rstd = l->rstd[r], sum = 0, along = 0;
    nc_load_row(dy, l->dy, l->dy_type, r * width, width);
#pragma omp simd reduction(+ : sum, along)
    for (size_t i = 0; i < width; i++) {
        float g = dy[i] * weight[i];
        sum += g;
        along += g * (x[i] - mean) * rstd;
    }
    sum /= (float)width;
    along /= (float)width;
    if (dweight) {
#pragma omp simd
        for (size_t i = 0; i < width; i++) {
            dweight[i] += dy[i] * (x[i] - mean) * rstd;
            dbias[i] += dy[i];
        }
    }
    float *restrict dx = l->dx + r * width;
    float keep = l->accumulate ? 1.0f : 0.0f;
    if (!l->accumulate)
        memset(dx, 0, width * sizeof *dx);
#pragma omp simd
    for (size_t i = 0; i < width; i++)
        dx[i] = keep * dx[i] + rstd * (dy[i] * weight[i] - sum - (x[i] - mean) * rstd * along);
    if (l->dx_copy)
        nc_store_row(l->dx_copy, NC_BFLOAT16, r * width, dx, width);
}

int nc_cpu_layernorm_backward(struct nc_backend *backend, const struct nc_layernorm_backward *l)
{
    (void)backend;
    size_t width = l->width;
    if (width > MOST_WIDTH)
        return nc_error(NC_FAILED, "layernorm_backward: width %zu is more than %d", width, MOST_WIDTH);
    float *sums = l->dweight ? l->scratch : NULL;
#pragma omp parallel for schedule(static)
    for (size_t chunk = 0; chunk < CHUNKS; chunk++) {
        size_t first = l->rows * chunk / CHUNKS, end = l->rows * (chunk + 1) / CHUNKS;
        float *dweight = sums ? sums + chunk * 2 * width : NULL;
        if (dweight)
            memset(dweight, 0, 2 * width * sizeof *dweight);
        for (size_t r = first; r < end; r++)
            backward_row(l, r, dweight, dweight ? dweight + width : NULL);
    }
    if (!sums)
        return NC_OK;
    for (size_t chunk = 0; chunk < CHUNKS; chunk++) {
        const float *dweight = sums + chunk * 2 * width, *dbias = dweight + width;
        for (size_t i = 0; i < width; i++) {
            l->dweight[i] += dweight[i];
            l->dbias[i] += dbias[i];
        }
    }
    return NC_OK;
}
