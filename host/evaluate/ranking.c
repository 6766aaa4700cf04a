/* Computes the cosines in tiles of TILE rows, 2 x rows x columns x width flops by the backend's
 * linear layer, and reads each tile twice while it is in the cache: for the best columns of its
 * rows, and for the best rows of each column. */
#include "ranking.h"

#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE = 1024, /* rows at once */
    BLOCK = 256, /* columns that a thread looks after */
};

struct buffers {
    struct nc_ops *ops;
    void *columns, *rows, *scores;
    size_t columns_bytes, rows_bytes, scores_bytes;
    float *host; /* [TILE, column_count] when the backend's memory is not the host's */
};

static void insert(struct ranking *ranking, float score, size_t index)
{
    size_t at = ranking->count < RANKED ? ranking->count++ : RANKED - 1;
    for (; at > 0 && ranking->score[at - 1] < score; at--) {
        ranking->score[at] = ranking->score[at - 1];
        ranking->index[at] = ranking->index[at - 1];
    }
    ranking->score[at] = score;
    ranking->index[at] = index;
}

static float worst(const struct ranking *ranking)
{
    return ranking->count < RANKED ? -INFINITY : ranking->score[RANKED - 1];
}

static void rank_row(const float *scores, size_t count, struct ranking *ranking)
{
    enum { STRIDE = 16 };
    float limit = -INFINITY;
    for (size_t first = 0; first < count; first += STRIDE) {
        size_t end = first + STRIDE < count ? first + STRIDE : count;
        bool any = false;
        for (size_t i = first; i < end; i++)
            any |= scores[i] > limit;
        for (size_t i = first; any && i < end; i++) {
            if (scores[i] > limit) {
                insert(ranking, scores[i], i);
                limit = worst(ranking);
            }
        }
    }
}

static void rank_columns(const float *scores, size_t rows, size_t first_row, size_t columns,
                         size_t first, size_t count, struct ranking *rankings)
{
    float limit[BLOCK];
    for (size_t c = 0; c < count; c++)
        limit[c] = worst(&rankings[first + c]);
    for (size_t r = 0; r < rows; r++) {
        const float *row = scores + r * columns + first;
        for (size_t c = 0; c < count; c++) {
            if (row[c] > limit[c]) {
                insert(&rankings[first + c], row[c], first_row + r);
                limit[c] = worst(&rankings[first + c]);
            }
        }
    }
}

static void rank_tile(const float *scores, size_t rows, size_t first_row, size_t columns,
                      struct ranking *by_row, struct ranking *by_column)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        rank_row(scores + r * columns, columns, &by_row[first_row + r]);
    if (!by_column)
        return;
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < columns; first += BLOCK)
        rank_columns(scores, rows, first_row, columns, first,
                     columns - first < BLOCK ? columns - first : BLOCK, by_column);
}

static int allocate(struct buffers *b, size_t columns, size_t width)
{
    struct nc_backend *backend = b->ops->backend;
    b->columns_bytes = columns * width * sizeof(float);
    b->rows_bytes = TILE * width * sizeof(float);
    b->scores_bytes = TILE * columns * sizeof(float);
    int status = b->ops->allocate(backend, b->columns_bytes, &b->columns);
    if (status == NC_OK)
        status = b->ops->allocate(backend, b->rows_bytes, &b->rows);
    if (status == NC_OK)
        status = b->ops->allocate(backend, b->scores_bytes, &b->scores);
    if (status == NC_OK && !b->ops->host_memory && !(b->host = malloc(b->scores_bytes)))
        status = nc_error(NC_FAILED, "evaluate: no memory");
    return status;
}

static void release(struct buffers *b)
{
    if (b->columns)
        b->ops->release(b->ops->backend, b->columns, b->columns_bytes);
    if (b->rows)
        b->ops->release(b->ops->backend, b->rows, b->rows_bytes);
    if (b->scores)
        b->ops->release(b->ops->backend, b->scores, b->scores_bytes);
    free(b->host);
}

/* *scores: [rows, columns] in host memory. */
static int multiply(struct buffers *b, const float *rows, size_t count, size_t columns,
                    size_t width, const float **scores)
{
    struct nc_backend *backend = b->ops->backend;
    struct nc_linear product = {.type = NC_FLOAT32,
                                .rows = count,
                                .in = width,
                                .out = columns,
                                .x = b->rows,
                                .weight = b->columns,
                                .y = b->scores,
                                .y_type = NC_FLOAT32};
    *scores = b->ops->host_memory ? b->scores : b->host;
    int status = b->ops->upload(backend, b->rows, rows, count * width * sizeof *rows);
    if (status == NC_OK)
        status = b->ops->linear(backend, &product);
    if (status == NC_OK)
        status = b->ops->host_memory ? b->ops->synchronize(backend)
                                     : b->ops->download(backend, b->host, b->scores,
                                                        count * columns * sizeof(float));
    return status;
}

int ranking_compute(struct nc_ops *ops, const float *rows, size_t row_count, const float *columns,
                    size_t column_count, size_t width, struct ranking *by_row,
                    struct ranking *by_column)
{
    struct buffers buffers = {.ops = ops};
    const float *scores;
    memset(by_row, 0, row_count * sizeof *by_row);
    if (by_column)
        memset(by_column, 0, column_count * sizeof *by_column);
    int status = allocate(&buffers, column_count, width);
    if (status == NC_OK)
        status = ops->upload(ops->backend, buffers.columns, columns, buffers.columns_bytes);
    for (size_t first = 0; first < row_count && status == NC_OK; first += TILE) {
        size_t count = row_count - first < TILE ? row_count - first : TILE;
        status = multiply(&buffers, rows + first * width, count, column_count, width, &scores);
        if (status == NC_OK)
            rank_tile(scores, count, first, column_count, by_row, by_column);
    }
    release(&buffers);
    return status;
}
