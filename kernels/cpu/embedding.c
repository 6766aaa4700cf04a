/* Token and position embedding.
 *
 * forward     12 bytes and 1 flop an element
 * backward    16 bytes and 2 flops an element; rows of a table that many tokens share
 *             are added in row order, whatever the number of threads */
#include "cpu.h"

#include "nclip/error.h"

static int check(const char *operation, const int32_t *index, size_t rows, size_t limit)
{
    for (size_t r = 0; r < rows; r++)
        if (index[r] < 0 || (size_t)index[r] >= limit)
            return nc_error(NC_FAILED, "%s: row %zu has index %d, but the table has %zu rows", operation,
                            r, (int)index[r], limit);
    return NC_OK;
}

int nc_cpu_embedding_forward(struct nc_backend *backend, const struct nc_embedding *e)
{
    (void)backend;
    int status = check("embedding: token", e->token, e->rows, e->vocabulary);
    if (status == NC_OK)
        status = check("embedding: position", e->position, e->rows, e->context);
    if (status != NC_OK)
        return status;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < e->rows; r++) {
        const float *token = e->token_table + (size_t)e->token[r] * e->width;
        const float *position = e->position_table + (size_t)e->position[r] * e->width;
        float *x = e->x + r * e->width;
        for (size_t i = 0; i < e->width; i++)
            x[i] = token[i] + position[i];
    }
    return NC_OK;
}

size_t nc_cpu_embedding_scratch(struct nc_backend *backend, size_t rows)
{
    (void)backend;
    (void)rows;
    return 0;
}

/* A thread owns a span of columns of both tables and goes through all rows: nothing
 * collides, and the order of additions is that of the rows. */
int nc_cpu_embedding_backward(struct nc_backend *backend, const struct nc_embedding_backward *e)
{
    (void)backend;
    enum { SPAN = 64 };
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < e->width; first += SPAN) {
        size_t count = e->width - first < SPAN ? e->width - first : SPAN;
        for (size_t r = 0; r < e->rows; r++) {
            const float *dx = e->dx + r * e->width + first;
            if (e->dtoken_table) {
                float *to = e->dtoken_table + (size_t)e->token[r] * e->width + first;
                for (size_t i = 0; i < count; i++)
                    to[i] += dx[i];
            }
            if (e->dposition_table) {
                float *to = e->dposition_table + (size_t)e->position[r] * e->width + first;
                for (size_t i = 0; i < count; i++)
                    to[i] += dx[i];
            }
        }
    }
    return NC_OK;
}
