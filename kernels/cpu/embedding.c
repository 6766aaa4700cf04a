/* Token and position embedding, and their gradients.
 *
 *   x[row] = token_table[token[row]] + position_table[position[row]]
 *   dtoken_table[token[row]] += dx[row], dposition_table[position[row]] += dx[row]
 *
 * Bytes: 12 rows width forward; backward 12 for each table (dx read, a table's row
 * read and written, mostly in cache: few tokens make up most of a batch). */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

static int check_indices(const char *operation, const int32_t *token, const int32_t *position,
                         size_t rows, size_t vocabulary, size_t context)
{
    for (size_t r = 0; r < rows; r++) {
        if (token[r] < 0 || (size_t)token[r] >= vocabulary)
            return nc_error(NC_FAILED, "%s: token %d is outside of the vocabulary of %zu", operation,
                            token[r], vocabulary);
        if (position[r] < 0 || (size_t)position[r] >= context)
            return nc_error(NC_FAILED, "%s: position %d is outside of the context of %zu", operation,
                            position[r], context);
    }
    return NC_OK;
}

int nc_cpu_embedding_forward(struct nc_backend *backend, const struct nc_embedding *e)
{
    int status = check_indices("embedding", e->token, e->position, e->rows, e->vocabulary,
                               e->context);
    if (status != NC_OK)
        return status;
    size_t width = e->width;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t r = 0; r < e->rows; r++) {
        const float *token = e->token_table + (size_t)e->token[r] * width;
        const float *position = e->position_table + (size_t)e->position[r] * width;
        float *x = e->x + r * width;
        for (size_t k = 0; k < width; k++)
            x[k] = token[k] + position[k];
    }
    return NC_OK;
}

size_t nc_cpu_embedding_scratch(struct nc_backend *backend, size_t rows)
{
    (void)backend;
    (void)rows;
    return 0;
}

/* Threads share out the columns, so that each entry of a table is summed in the order
 * of rows without sorting them. */
static void add_rows(int threads, const int32_t *index, size_t rows, size_t width, const float *dx,
                     float *table)
{
    size_t strips = nc_round_up(width) / NC_LANES;
    size_t parts = (size_t)threads < strips ? (size_t)threads : strips;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t part = 0; part < parts; part++) {
        size_t first = part * strips / parts * NC_LANES;
        size_t last = (part + 1) * strips / parts * NC_LANES;
        last = last < width ? last : width;
        for (size_t r = 0; r < rows; r++) {
            float *to = table + (size_t)index[r] * width;
            const float *from = dx + r * width;
            for (size_t k = first; k < last; k++)
                to[k] += from[k];
        }
    }
}

int nc_cpu_embedding_backward(struct nc_backend *backend, const struct nc_embedding_backward *e)
{
    int status = check_indices("embedding_backward", e->token, e->position, e->rows, e->vocabulary,
                               e->context);
    if (status != NC_OK)
        return status;
    if (e->dtoken_table)
        add_rows(backend->threads, e->token, e->rows, e->width, e->dx, e->dtoken_table);
    if (e->dposition_table)
        add_rows(backend->threads, e->position, e->rows, e->width, e->dx, e->dposition_table);
    return NC_OK;
}
