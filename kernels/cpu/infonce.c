/* Symmetric InfoNCE (Radford et al. 2021, figure 3) over tiles, without the B x B matrix.
 *
 * Forward walks the tiles of captions x pictures: one product, then each row's and each
 * column's sum of exponentials joins its running log-sum-exp. Backward makes the same tiles
 * again, turns them into coefficients and multiplies them with the pictures: the pictures
 * are frozen, so that is all.
 *
 *     g(r, c) = (w[r] exp(s - row lse[r]) + v[c] exp(s - column lse[c])
 *                - (w[r] + p[c] v[c]) [r = c]) / 2N,  p: image_positive
 *     dtext[r] = exp(logit_scale) * sum_c g(r, c) image[c],   dlogit_scale = sum g s
 *
 * For B captions, B pictures and embeddings of D numbers
 *     forward     2 B^2 D flops and 2 B^2 exponentials
 *     backward    4 B^2 D flops and 2 B^2 exponentials
 *     memory      the inputs once for each row of tiles; beyond them O(B) and one tile */
#include "infonce_tile.h"

#include "nclip/support/error.h"
#include "vector_math.h"

enum {
    ROWS = NC_TILE_ROWS,
    COLUMNS = NC_TILE_COLUMNS,
    STEP = NC_TILE_STEP,
    SPAN = NC_TILE_SPAN, /* columns that a thread sums at a time */
};

/* Behind the sums of a tile's rows, [ROWS]. */
static struct nc_tile_scratch lay_out(const struct nc_infonce *n)
{
    return nc_cpu_tile_lay_out(n, (float *)((double *)n->scratch + ROWS));
}

size_t nc_cpu_infonce_scratch(struct nc_backend *backend, const struct nc_infonce *n)
{
    (void)backend;
    return ROWS * sizeof(double) + (nc_cpu_tile_floats(n) + n->extras) * sizeof(float);
}

/* exp(max + log) += sum exp(most); the sum is 0 where everything was masked. */
static void log_add(float *max, float *log, float most, float sum)
{
    if (!(sum > 0))
        return;
    float larger = *max > most ? *max : most;
    *log = logf(expf(*max - larger + *log) + sum * expf(most - larger));
    *max = larger;
}

/* A row or column that is masked whole has -infinity as its largest score, which must not be
 * subtracted from itself. */
NC_INLINE nc_floats without_infinity(nc_floats most)
{
    return nc_select(most == -INFINITY, (nc_floats){0}, most);
}

static void add_rows(struct nc_backend *backend, const struct nc_infonce *n, const struct nc_tile *t)
{
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t i = 0; i < t->rows; i++) {
        const float *score = t->score + i * STEP;
        nc_floats most = nc_all(-INFINITY), sum = {0};
        for (size_t k = 0; k < t->columns; k += NC_LANES)
            most = nc_max(nc_load(score, k, NC_FLOAT32), most);
        most = without_infinity(nc_all(nc_highest(most)));
        for (size_t k = 0; k < t->columns; k += NC_LANES)
            sum += nc_exp(nc_load(score, k, NC_FLOAT32) - most);
        log_add(&n->row_max[t->row + i], &n->row_log[t->row + i], most[0], nc_sum(sum));
    }
}

static void add_columns(struct nc_backend *backend, const struct nc_infonce *n, const struct nc_tile *t)
{
    enum { VECTORS = SPAN / NC_LANES };
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t first = 0; first < t->columns; first += SPAN) {
        nc_floats most[VECTORS], sum[VECTORS] = {{0}};
        for (size_t v = 0; v < VECTORS; v++)
            most[v] = nc_all(-INFINITY);
        for (size_t i = 0; i < t->rows; i++)
            for (size_t v = 0; v < VECTORS; v++)
                most[v] = nc_max(nc_load(t->score, i * STEP + first + v * NC_LANES, NC_FLOAT32),
                                 most[v]);
        for (size_t v = 0; v < VECTORS; v++)
            most[v] = without_infinity(most[v]);
        for (size_t i = 0; i < t->rows; i++)
            for (size_t v = 0; v < VECTORS; v++)
                sum[v] += nc_exp(nc_load(t->score, i * STEP + first + v * NC_LANES, NC_FLOAT32) -
                                 most[v]);
        for (size_t k = 0; k < SPAN && first + k < t->columns; k++) {
            size_t column = t->column + first + k, v = k / NC_LANES, lane = k % NC_LANES;
            log_add(&n->column_max[column], &n->column_log[column], most[v][lane], sum[v][lane]);
        }
    }
}

int nc_cpu_infonce_forward(struct nc_backend *backend, const struct nc_infonce *n)
{
    int status = nc_cpu_extras_check("infonce_forward", n);
    float scale = expf(*n->logit_scale);
    struct nc_tile_scratch s = lay_out(n);
    for (size_t row = 0; row < n->captions && status == NC_OK; row += ROWS)
        for (size_t column = 0; column < n->images && status == NC_OK; column += COLUMNS) {
            struct nc_tile t;
            status = nc_cpu_tile_make(backend, "infonce", n, &s, scale, row, column, &t);
            if (status != NC_OK)
                break;
            for (size_t i = 0; i < t.rows; i++) {
                size_t positive = nc_tile_positive(n, &t, i);
                if (positive < t.columns)
                    n->positive[row + i] = t.score[i * STEP + positive];
            }
            add_rows(backend, n, &t);
            add_columns(backend, n, &t);
        }
    if (status != NC_OK)
        return status;
    nc_cpu_extra_scores(backend, n, scale, s.rest);
    for (size_t e = 0; e < n->extras; e++) { /* in order: a picture may have several */
        size_t column = (size_t)n->extra_image[e];
        log_add(&n->column_max[column], &n->column_log[column], s.rest[e], 1);
    }
    return NC_OK;
}

/* Turns scores into coefficients. Returns the tile's sum of g s, added row by row in order. */
static double make_coefficients(struct nc_backend *backend, const struct nc_infonce *n,
                                const struct nc_tile *t, double *row_sums)
{
    float half = 0.5f / (float)n->total;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t i = 0; i < t->rows; i++) {
        float *score = t->score + i * STEP;
        size_t positive = nc_tile_positive(n, t, i);
        float row_max = n->row_max[t->row + i], row_log = n->row_log[t->row + i];
        float row_weight = nc_weight_of(n->caption_weight, t->row + i);
        float target = positive < t->columns ? nc_weight_of(n->image_positive, t->column + positive) : 0;
        nc_floats sum = {0};
        for (size_t k = 0; k < t->columns; k += NC_LANES) {
            nc_floats s = nc_load(score, k, NC_FLOAT32);
            size_t at = t->column + k, left = t->columns - k;
            nc_floats column_max = nc_load_of(n->column_max, at, NC_FLOAT32, left);
            nc_floats column_log = nc_load_of(n->column_log, at, NC_FLOAT32, left);
            nc_floats column_weight = n->image_weight
                                          ? nc_load_of(n->image_weight, at, NC_FLOAT32, left)
                                          : nc_all(1);
            nc_floats g = row_weight * nc_exp(s - row_max - row_log) +
                          column_weight * nc_exp(s - column_max - column_log);
            if (positive - k < NC_LANES) /* before scaling: near 1 only a difference counts */
                g[positive - k] -= row_weight + column_weight[positive - k] * target;
            g *= half;
            nc_ints masked = s == -INFINITY;
            g = nc_select(masked, (nc_floats){0}, g);
            sum += nc_select(masked, (nc_floats){0}, g * s);
            nc_store(score, k, NC_FLOAT32, g);
        }
        row_sums[i] = nc_sum(sum);
    }
    double total = 0;
    for (size_t i = 0; i < t->rows; i++)
        total += row_sums[i];
    return total;
}

/* The contradictions' share: one column each. */
static double extras_backward(struct nc_backend *backend, const struct nc_infonce *n, float scale,
                              float *score)
{
    float half = 0.5f / (float)n->total;
    nc_cpu_extra_scores(backend, n, scale, score);
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t e = 0; e < n->extras; e++) {
        size_t column = (size_t)n->extra_image[e];
        float g = half * nc_weight_of(n->image_weight, column) *
                  expf(score[e] - n->column_max[column] - n->column_log[column]);
        nc_cpu_extra_add(n, e, g * scale);
        score[e] *= g;
    }
    double total = 0;
    for (size_t e = 0; e < n->extras; e++)
        total += score[e];
    return total;
}

int nc_cpu_infonce_backward(struct nc_backend *backend, const struct nc_infonce *n)
{
    int status = nc_cpu_extras_check("infonce_backward", n);
    float scale = expf(*n->logit_scale);
    struct nc_tile_scratch s = lay_out(n);
    double dscale = 0;
    for (size_t row = 0; row < n->captions && status == NC_OK; row += ROWS)
        for (size_t column = 0; column < n->images && status == NC_OK; column += COLUMNS) {
            struct nc_tile t;
            status = nc_cpu_tile_make(backend, "infonce", n, &s, scale, row, column, &t);
            if (status != NC_OK)
                break;
            dscale += make_coefficients(backend, n, &t, n->scratch);
            status = nc_cpu_tile_backward("infonce_backward", n, &t, scale);
        }
    if (status != NC_OK)
        return status;
    dscale += extras_backward(backend, n, scale, s.rest);
    *n->dlogit_scale += (float)dscale;
    return NC_OK;
}

int nc_cpu_infonce_loss(struct nc_backend *backend, const struct nc_infonce_loss *n)
{
    (void)backend;
    double sum = 0;
    for (size_t i = 0; i < n->pairs; i++)
        sum += nc_weight_of(n->caption_weight, i) *
                   ((double)n->row_max[i] - n->positive[i] + n->row_log[i]) +
               nc_weight_of(n->image_weight, i) * nc_weight_of(n->image_positive, i) *
                   ((double)n->column_max[i] - n->positive[i] + n->column_log[i]);
    *n->loss += (float)(sum / (2.0 * (double)n->total));
    return NC_OK;
}
