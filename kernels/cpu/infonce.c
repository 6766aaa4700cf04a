/* Symmetric InfoNCE (Radford et al. 2021, figure 3) over tiles, without the B x B matrix.
 *
 * Forward walks the tiles of captions x pictures: one product, then each row's and each
 * column's sum of exponentials joins its running log-sum-exp. Backward makes the same tiles
 * again, turns them into coefficients and multiplies them with the pictures: the pictures
 * are frozen, so that is all.
 *
 *     g(r, c) = (exp(s - row_lse[r]) + exp(s - column_lse[c]) - 2 [r = c]) / 2N
 *     dtext[r] = exp(logit_scale) * sum_c g(r, c) image[c],   dlogit_scale = sum g s
 *
 * forward     2 B^2 D flops, backward 4 B^2 D; memory beyond the inputs: O(B) and one tile */
#include "cpu.h"
#include "loop_math.h"

#include "nclip/error.h"

#include <oneapi/dnnl/dnnl.h>

enum { ROWS = 256, COLUMNS = 1024, SPAN = 64 };

/* A tile's place, and the scratch: the tile, then inputs as fp32 where they are not. */
struct tile {
    size_t row, rows, column, columns;
    float *score;              /* [rows, COLUMNS] */
    const float *text, *image; /* [rows, width], [columns, width] */
};

size_t nc_cpu_infonce_scratch(struct nc_backend *backend, const struct nc_infonce *n)
{
    (void)backend;
    size_t inputs = n->type == NC_FLOAT32 ? 0 : (size_t)(ROWS + COLUMNS) * n->width;
    return ((size_t)ROWS * COLUMNS + inputs + n->width) * sizeof(float);
}

static const float *as_fp32(const struct nc_infonce *n, const void *data, size_t first, size_t count,
                            float *scratch)
{
    if (n->type == NC_FLOAT32)
        return (const float *)data + first * n->width;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < count; r++)
        nc_load_row(scratch + r * n->width, data, n->type, (first + r) * n->width, n->width);
    return scratch;
}

static bool is_positive(const struct nc_infonce *n, size_t r, size_t c)
{
    return n->first_caption + r == n->first_image + c;
}

/* Scaled scores of the tile; masked pairs are -infinity. */
static int make_scores(const struct nc_infonce *n, struct tile *t, float scale)
{
    float *inputs = (float *)n->scratch + (size_t)ROWS * COLUMNS;
    t->score = n->scratch;
    t->text = as_fp32(n, n->text, t->row, t->rows, inputs);
    t->image = as_fp32(n, n->image, t->column, t->columns, inputs + (size_t)ROWS * n->width);
    dnnl_status_t status = dnnl_sgemm('N', 'T', (dnnl_dim_t)t->rows, (dnnl_dim_t)t->columns,
                                      (dnnl_dim_t)n->width, scale, t->text, (dnnl_dim_t)n->width,
                                      t->image, (dnnl_dim_t)n->width, 0.0f, t->score, COLUMNS);
    if (status != dnnl_success)
        return nc_error(NC_FAILED, "infonce: oneDNN refused %zu x %zu x %zu (status %d)", t->rows,
                        t->columns, n->width, (int)status);
    if (!n->caption_group)
        return NC_OK;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t->rows; i++)
        for (size_t k = 0; k < t->columns; k++)
            if (n->caption_group[t->row + i] == n->image_group[t->column + k] &&
                !is_positive(n, t->row + i, t->column + k))
                t->score[i * COLUMNS + k] = -INFINITY;
    return NC_OK;
}

/* log(exp(a) + exp(b)); either may be -infinity. */
static float log_add(float a, float b)
{
    float most = a > b ? a : b;
    return most == -INFINITY ? most : most + logf(expf(a - most) + expf(b - most));
}

static void add_rows(const struct nc_infonce *n, const struct tile *t)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t->rows; i++) {
        const float *score = t->score + i * COLUMNS;
        float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
        for (size_t k = 0; k < t->columns; k++)
            most = score[k] > most ? score[k] : most;
        if (most == -INFINITY)
            continue;
#pragma omp simd reduction(+ : sum)
        for (size_t k = 0; k < t->columns; k++)
            sum += nc_exp(score[k] - most);
        float *lse = &n->row_lse[t->row + i];
        *lse = log_add(*lse, most + logf(sum));
    }
}

/* A span of columns at a time: the tile is read by rows. */
static void add_columns(const struct nc_infonce *n, const struct tile *t)
{
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < t->columns; first += SPAN) {
        size_t count = t->columns - first < SPAN ? t->columns - first : SPAN;
        float most[SPAN], sum[SPAN] = {0};
        for (size_t k = 0; k < SPAN; k++)
            most[k] = -INFINITY;
        for (size_t i = 0; i < t->rows; i++) {
            const float *score = t->score + i * COLUMNS + first;
            for (size_t k = 0; k < count; k++)
                most[k] = score[k] > most[k] ? score[k] : most[k];
        }
        for (size_t k = 0; k < count; k++)
            most[k] = most[k] == -INFINITY ? 0 : most[k]; /* a column that is masked whole */
        for (size_t i = 0; i < t->rows; i++) {
            const float *score = t->score + i * COLUMNS + first;
#pragma omp simd
            for (size_t k = 0; k < count; k++)
                sum[k] += nc_exp(score[k] - most[k]);
        }
        for (size_t k = 0; k < count; k++) {
            float *lse = &n->column_lse[t->column + first + k];
            if (sum[k] > 0)
                *lse = log_add(*lse, most[k] + logf(sum[k]));
        }
    }
}

static void note_positives(const struct nc_infonce *n, const struct tile *t)
{
    for (size_t i = 0; i < t->rows; i++) {
        size_t number = n->first_caption + t->row + i;
        if (number >= n->first_image + t->column && number < n->first_image + t->column + t->columns)
            n->positive[t->row + i] = t->score[i * COLUMNS + number - n->first_image - t->column];
    }
}

/* scale * extra[e] . image, in fp32. */
static float extra_score(const struct nc_infonce *n, size_t e, float scale)
{
    double sum = 0;
    size_t left = e * n->width, right = (size_t)n->extra_image[e] * n->width;
    for (size_t k = 0; k < n->width; k++) {
        float a = n->type == NC_FLOAT32 ? ((const float *)n->extra)[left + k]
                                        : nc_bfloat16_to_float(((const nc_bfloat16 *)n->extra)[left + k]);
        float b = n->type == NC_FLOAT32 ? ((const float *)n->image)[right + k]
                                        : nc_bfloat16_to_float(((const nc_bfloat16 *)n->image)[right + k]);
        sum += (double)a * b;
    }
    return (float)(scale * sum);
}

int nc_cpu_infonce_forward(struct nc_backend *backend, const struct nc_infonce *n)
{
    (void)backend;
    float scale = expf(*n->logit_scale);
    for (size_t row = 0; row < n->captions; row += ROWS) {
        for (size_t column = 0; column < n->images; column += COLUMNS) {
            struct tile t = {.row = row, .rows = n->captions - row < ROWS ? n->captions - row : ROWS,
                             .column = column,
                             .columns = n->images - column < COLUMNS ? n->images - column : COLUMNS};
            int status = make_scores(n, &t, scale);
            if (status != NC_OK)
                return status;
            note_positives(n, &t);
            add_rows(n, &t);
            add_columns(n, &t);
        }
    }
    for (size_t e = 0; e < n->extras; e++) {
        float *lse = &n->column_lse[n->extra_image[e]];
        *lse = log_add(*lse, extra_score(n, e, scale));
    }
    return NC_OK;
}

/* Scores become coefficients; returns the tile's sum of g s. Rows' sums are added in order. */
static double make_coefficients(const struct nc_infonce *n, const struct tile *t)
{
    double row_sums[ROWS], total = 0;
    float half = 0.5f / (float)n->total;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t->rows; i++) {
        float *score = t->score + i * COLUMNS, row_lse = n->row_lse[t->row + i];
        const float *column_lse = n->column_lse + t->column;
        size_t number = n->first_caption + t->row + i;
        size_t at = number - n->first_image - t->column; /* wraps to a large number when outside */
        double sum = 0;
        float positive = at < t->columns ? score[at] : 0;
#pragma omp simd reduction(+ : sum)
        for (size_t k = 0; k < t->columns; k++) {
            float s = score[k];
            float g = half * (nc_exp(s - row_lse) + nc_exp(s - column_lse[k]));
            sum += s == -INFINITY ? 0.0 : (double)g * s;
            score[k] = s == -INFINITY ? 0.0f : g;
        }
        if (at < t->columns) {
            score[at] -= 2 * half;
            sum -= 2.0 * half * positive;
        }
        row_sums[i] = sum;
    }
    for (size_t i = 0; i < t->rows; i++)
        total += row_sums[i];
    return total;
}

/* The contradictions' share: one column each. */
static double extras_backward(const struct nc_infonce *n, float scale)
{
    double total = 0;
    float half = 0.5f / (float)n->total;
    float *image = (float *)n->scratch + (size_t)ROWS * COLUMNS +
                   (n->type == NC_FLOAT32 ? 0 : (size_t)(ROWS + COLUMNS) * n->width);
    for (size_t e = 0; e < n->extras; e++) {
        size_t column = (size_t)n->extra_image[e];
        float s = extra_score(n, e, scale), g = half * expf(s - n->column_lse[column]);
        nc_load_row(image, n->image, n->type, column * n->width, n->width);
        float *dextra = n->dextra + e * n->width;
        for (size_t k = 0; k < n->width; k++)
            dextra[k] += g * scale * image[k];
        total += (double)g * s;
    }
    return total;
}

int nc_cpu_infonce_backward(struct nc_backend *backend, const struct nc_infonce *n)
{
    (void)backend;
    float scale = expf(*n->logit_scale);
    double dscale = 0;
    for (size_t row = 0; row < n->captions; row += ROWS) {
        for (size_t column = 0; column < n->images; column += COLUMNS) {
            struct tile t = {.row = row, .rows = n->captions - row < ROWS ? n->captions - row : ROWS,
                             .column = column,
                             .columns = n->images - column < COLUMNS ? n->images - column : COLUMNS};
            int status = make_scores(n, &t, scale);
            if (status != NC_OK)
                return status;
            dscale += make_coefficients(n, &t);
            dnnl_status_t done = dnnl_sgemm('N', 'N', (dnnl_dim_t)t.rows, (dnnl_dim_t)n->width,
                                            (dnnl_dim_t)t.columns, scale, t.score, COLUMNS, t.image,
                                            (dnnl_dim_t)n->width, 1.0f, n->dtext + row * n->width,
                                            (dnnl_dim_t)n->width);
            if (done != dnnl_success)
                return nc_error(NC_FAILED, "infonce_backward: oneDNN failed (status %d)", (int)done);
        }
    }
    dscale += extras_backward(n, scale);
    *n->dlogit_scale += (float)dscale;
    return NC_OK;
}

int nc_cpu_infonce_loss(struct nc_backend *backend, const struct nc_infonce_loss *n)
{
    (void)backend;
    double sum = 0;
    for (size_t i = 0; i < n->pairs; i++)
        sum += (double)n->row_lse[i] - n->positive[i] + n->column_lse[i] - n->positive[i];
    *n->loss += (float)(sum / (2.0 * (double)n->total));
    return NC_OK;
}
