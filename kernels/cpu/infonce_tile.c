/* Tiles of scores, and contradictions (infonce_tile.h). */
#include "infonce_tile.h"

#include "nclip/support/error.h"

#include <oneapi/dnnl/dnnl.h>

static size_t most_rows(const struct nc_infonce *n)
{
    return n->captions < NC_TILE_ROWS ? n->captions : NC_TILE_ROWS;
}

static size_t most_columns(const struct nc_infonce *n)
{
    return n->images < NC_TILE_COLUMNS ? n->images : NC_TILE_COLUMNS;
}

size_t nc_cpu_tile_floats(const struct nc_infonce *n)
{
    size_t inputs = n->type == NC_FLOAT32 ? 0 : (most_rows(n) + most_columns(n)) * n->width;
    return most_rows(n) * NC_TILE_STEP + inputs;
}

struct nc_tile_scratch nc_cpu_tile_lay_out(const struct nc_infonce *n, float *scratch)
{
    struct nc_tile_scratch s = {.score = scratch};
    s.text = s.score + most_rows(n) * NC_TILE_STEP;
    s.image = s.text + (n->type == NC_FLOAT32 ? 0 : most_rows(n) * n->width);
    s.rest = s.image + (n->type == NC_FLOAT32 ? 0 : most_columns(n) * n->width);
    return s;
}

/* Rows first .. first + count of a matrix of T, converted where they must be. */
static const float *as_fp32(struct nc_backend *backend, const struct nc_infonce *n,
                            const void *data, size_t first, size_t count, float *converted)
{
    const char *from = (const char *)data + first * n->width * nc_type_size(n->type);
    if (n->type == NC_FLOAT32)
        return (const float *)from;
    nc_cpu_convert(backend, converted, NC_FLOAT32, from, n->type, count * n->width);
    return converted;
}

int nc_cpu_tile_make(struct nc_backend *backend, const char *operation, const struct nc_infonce *n,
                     const struct nc_tile_scratch *s, float scale, size_t row, size_t column,
                     struct nc_tile *t)
{
    t->row = row;
    t->rows = n->captions - row < NC_TILE_ROWS ? n->captions - row : NC_TILE_ROWS;
    t->column = column;
    t->columns = n->images - column < NC_TILE_COLUMNS ? n->images - column : NC_TILE_COLUMNS;
    t->score = s->score;
    t->text = as_fp32(backend, n, n->text, row, t->rows, s->text);
    t->image = as_fp32(backend, n, n->image, column, t->columns, s->image);
    dnnl_dim_t width = (dnnl_dim_t)n->width;
    dnnl_status_t status =
        dnnl_sgemm('N', 'T', (dnnl_dim_t)t->rows, (dnnl_dim_t)t->columns, width, scale, t->text,
                   width, t->image, width, 0.0f, t->score, NC_TILE_STEP);
    if (status != dnnl_success)
        return nc_error(NC_FAILED, "%s: oneDNN refused %zu captions, %zu images, width %zu "
                        "(status %d)", operation, t->rows, t->columns, n->width, (int)status);
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t i = 0; i < t->rows; i++) {
        float *score = t->score + i * NC_TILE_STEP;
        size_t positive = nc_tile_positive(n, t, i);
        if (n->caption_group)
            for (size_t k = 0; k < t->columns; k++)
                if (n->caption_group[row + i] == n->image_group[column + k] && k != positive)
                    score[k] = -INFINITY;
        for (size_t k = t->columns; k < t->columns + NC_TILE_SPAN && k < NC_TILE_STEP; k++)
            score[k] = -INFINITY; /* whole vectors can be read from here on */
    }
    return NC_OK;
}

int nc_cpu_tile_backward(const char *operation, const struct nc_infonce *n, const struct nc_tile *t,
                         float scale)
{
    dnnl_dim_t width = (dnnl_dim_t)n->width;
    dnnl_status_t status =
        dnnl_sgemm('N', 'N', (dnnl_dim_t)t->rows, width, (dnnl_dim_t)t->columns, scale, t->score,
                   NC_TILE_STEP, t->image, width, 1.0f, n->dtext + t->row * n->width, width);
    return status == dnnl_success
               ? NC_OK
               : nc_error(NC_FAILED, "%s: oneDNN refused %zu captions, %zu images, width %zu "
                          "(status %d)", operation, t->rows, t->columns, n->width, (int)status);
}

void nc_cpu_extra_scores(struct nc_backend *backend, const struct nc_infonce *n, float scale,
                         float *score)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t e = 0; e < n->extras; e++) {
        size_t left = e * n->width, right = (size_t)n->extra_image[e] * n->width;
        nc_floats sum = {0};
        for (size_t k = 0; k < n->width; k += NC_LANES) {
            size_t rest = n->width - k;
            if (n->type == NC_FLOAT32)
                sum += nc_load_of(n->extra, left + k, NC_FLOAT32, rest) *
                       nc_load_of(n->image, right + k, NC_FLOAT32, rest);
            else
                sum += nc_load_of(n->extra, left + k, NC_BFLOAT16, rest) *
                       nc_load_of(n->image, right + k, NC_BFLOAT16, rest);
        }
        score[e] = scale * nc_sum(sum);
    }
}

void nc_cpu_extra_add(const struct nc_infonce *n, size_t e, float by)
{
    float *dextra = n->dextra + e * n->width;
    for (size_t k = 0; k < n->width; k += NC_LANES) {
        size_t left = n->width - k, at = (size_t)n->extra_image[e] * n->width + k;
        nc_floats image = n->type == NC_FLOAT32 ? nc_load_of(n->image, at, NC_FLOAT32, left)
                                                : nc_load_of(n->image, at, NC_BFLOAT16, left);
        nc_store_of(dextra, k, NC_FLOAT32, nc_load_of(dextra, k, NC_FLOAT32, left) + image * by,
                    left);
    }
}

int nc_cpu_extras_check(const char *operation, const struct nc_infonce *n)
{
    for (size_t e = 0; e < n->extras; e++)
        if (n->extra_image[e] < 0 || (size_t)n->extra_image[e] >= n->images)
            return nc_error(NC_FAILED, "%s: contradiction %zu belongs to picture %d of %zu",
                            operation, e, n->extra_image[e], n->images);
    return NC_OK;
}
