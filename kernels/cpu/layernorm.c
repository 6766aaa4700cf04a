/* Layer normalisation (Ba, Kiros, Hinton 2016), forward with the residual added on the
 * way, and backward with the gradient that flows past the norm added on the way.
 *
 *   y  = xhat weight + bias            xhat = (x - mean) rstd
 *   dx = rstd (g - mean(g) - xhat mean(g xhat))         g = dy weight
 *   dweight = sum over rows of dy xhat,  dbias = sum over rows of dy
 *
 * Mean and variance in two passes over a row that the first pass brought into cache.
 *
 * Bytes a row and column, T the output's size: forward 4 + T (12 + T with a residual);
 * backward 8 + T, 12 + T when dx accumulates, 2 more for the bf16 copy. Flops: 8
 * forward, 14 backward: memory decides. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

#include <math.h>

/* Column sums: rows are cut into pieces by their number alone, each piece is summed by
 * one thread, and the pieces are added in order. */
enum { PIECE_ROWS = 32, MOST_PIECES = 64 };

static size_t piece_rows(size_t rows)
{
    size_t length = (rows + MOST_PIECES - 1) / MOST_PIECES;
    return length > PIECE_ROWS ? length : PIECE_ROWS;
}

NC_INLINE void forward_row(const struct nc_layernorm *n, size_t r, enum nc_type type)
{
    size_t width = n->width;
    const float *x = n->x + r * width;
    nc_floats sum = {0};
    if (n->residual) {
        const float *residual = n->residual + r * width;
        float *to = n->sum + r * width;
        for (size_t k = 0; k < width; k += NC_LANES) {
            size_t left = width - k;
            nc_floats v = nc_load_of(x, k, NC_FLOAT32, left) +
                          nc_load_of(residual, k, NC_FLOAT32, left);
            nc_store_of(to, k, NC_FLOAT32, v, left);
            sum += v;
        }
        x = to;
    } else {
        for (size_t k = 0; k < width; k += NC_LANES)
            sum += nc_load_of(x, k, NC_FLOAT32, width - k);
    }
    float mean = nc_sum(sum) / (float)width;

    nc_floats squares = {0};
    size_t whole = width / NC_LANES * NC_LANES;
    for (size_t k = 0; k < whole; k += NC_LANES) {
        nc_floats d = nc_load(x, k, NC_FLOAT32) - mean;
        squares += d * d;
    }
    float square = 0;
    for (size_t k = whole; k < width; k++)
        square += (x[k] - mean) * (x[k] - mean);
    float rstd = 1.0f / sqrtf((nc_sum(squares) + square) / (float)width + n->epsilon);

    for (size_t k = 0; k < width; k += NC_LANES) {
        size_t left = width - k;
        nc_floats xhat = (nc_load_of(x, k, NC_FLOAT32, left) - mean) * rstd;
        nc_floats y = xhat * nc_load_of(n->weight, k, NC_FLOAT32, left) +
                      nc_load_of(n->bias, k, NC_FLOAT32, left);
        nc_store_of(n->y, r * width + k, type, y, left);
    }
    if (n->mean) {
        n->mean[r] = mean;
        n->rstd[r] = rstd;
    }
}

int nc_cpu_layernorm_forward(struct nc_backend *backend, const struct nc_layernorm *n)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t r = 0; r < n->rows; r++) {
        if (n->y_type == NC_FLOAT32)
            forward_row(n, r, NC_FLOAT32);
        else
            forward_row(n, r, NC_BFLOAT16);
    }
    return NC_OK;
}

/* Each piece's dweight, then its dbias. */
size_t nc_cpu_layernorm_scratch(struct nc_backend *backend, size_t rows, size_t width)
{
    (void)backend;
    size_t pieces = (rows + PIECE_ROWS - 1) / PIECE_ROWS;
    pieces = pieces < MOST_PIECES ? pieces : MOST_PIECES;
    return pieces * 2 * width * sizeof(float);
}

/* dweight and dbias of a piece are added to; both NULL for a frozen norm. */
NC_INLINE void backward_row(const struct nc_layernorm_backward *n, size_t r, enum nc_type type,
                            float *dweight, float *dbias)
{
    size_t width = n->width;
    const float *x = n->x + r * width;
    float *dx = n->dx + r * width;
    float mean = n->mean[r], rstd = n->rstd[r];
    nc_floats sum_g = {0}, sum_gx = {0};
    for (size_t k = 0; k < width; k += NC_LANES) {
        size_t left = width - k;
        nc_floats dy = nc_load_of(n->dy, r * width + k, type, left);
        nc_floats xhat = (nc_load_of(x, k, NC_FLOAT32, left) - mean) * rstd;
        nc_floats g = dy * nc_load_of(n->weight, k, NC_FLOAT32, left);
        sum_g += g;
        sum_gx += g * xhat;
        if (dweight) {
            nc_floats w = nc_load_of(dweight, k, NC_FLOAT32, left) + dy * xhat;
            nc_floats b = nc_load_of(dbias, k, NC_FLOAT32, left) + dy;
            nc_store_of(dweight, k, NC_FLOAT32, w, left);
            nc_store_of(dbias, k, NC_FLOAT32, b, left);
        }
    }
    float mean_g = nc_sum(sum_g) / (float)width, mean_gx = nc_sum(sum_gx) / (float)width;
    for (size_t k = 0; k < width; k += NC_LANES) {
        size_t left = width - k;
        nc_floats dy = nc_load_of(n->dy, r * width + k, type, left);
        nc_floats xhat = (nc_load_of(x, k, NC_FLOAT32, left) - mean) * rstd;
        nc_floats g = dy * nc_load_of(n->weight, k, NC_FLOAT32, left);
        nc_floats v = (g - mean_g - xhat * mean_gx) * rstd;
        if (n->accumulate)
            v += nc_load_of(dx, k, NC_FLOAT32, left);
        nc_store_of(dx, k, NC_FLOAT32, v, left);
        if (n->dx_copy)
            nc_store_of(n->dx_copy, r * width + k, NC_BFLOAT16, v, left);
    }
}

int nc_cpu_layernorm_backward(struct nc_backend *backend, const struct nc_layernorm_backward *n)
{
    size_t width = n->width, length = piece_rows(n->rows);
    size_t pieces = (n->rows + length - 1) / length;
    float *partial = n->dweight ? n->scratch : NULL;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t piece = 0; piece < pieces; piece++) {
        float *dweight = partial ? partial + piece * 2 * width : NULL;
        float *dbias = partial ? dweight + width : NULL;
        if (partial)
            memset(dweight, 0, 2 * width * sizeof(float));
        size_t last = (piece + 1) * length < n->rows ? (piece + 1) * length : n->rows;
        for (size_t r = piece * length; r < last; r++) {
            if (n->dy_type == NC_FLOAT32)
                backward_row(n, r, NC_FLOAT32, dweight, dbias);
            else
                backward_row(n, r, NC_BFLOAT16, dweight, dbias);
        }
    }
    if (!n->dweight)
        return NC_OK;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t k = 0; k < width; k++) {
        float dweight = 0, dbias = 0;
        for (size_t piece = 0; piece < pieces; piece++) {
            dweight += partial[piece * 2 * width + k];
            dbias += partial[(piece * 2 + 1) * width + k];
        }
        n->dweight[k] = n->overwrite ? dweight : n->dweight[k] + dweight;
        n->dbias[k] = n->overwrite ? dbias : n->dbias[k] + dbias;
    }
    return NC_OK;
}
