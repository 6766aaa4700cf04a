/* The sigmoid loss (Zhai et al. 2023; nclip/ops.h: formulas) over tiles, without the B x B matrix.
 *
 * A tile of scores is made as InfoNCE's (infonce_tile.h). Each score s with x = s + bias is a
 * question of its own, so that one pass does all: its loss softplus(x), its coefficient sigmoid(x),
 * which takes the score's place, and with which the tile's pictures are multiplied. A positive's
 * signs are the others; it is taken out of its row and put back.
 *
 * For B captions, B pictures and embeddings of D numbers: 2 B^2 D flops for the loss alone, 4 B^2 D
 * with gradients; an exponential, two quotients and, for the loss, a short polynomial a pair. The
 * inputs once for each row of tiles; beyond them O(B) and one tile.
 *
 * Sums are taken row by row, and rows in order: the bits do not depend on the threads. */
#include "infonce_tile.h"

#include "nclip/support/error.h"
#include "vector_math.h"

/* Of questions: losses, coefficients times scores, coefficients. */
struct sums {
    double loss, scores, coefficients;
};

/* The scratch: sums of a tile's rows, [NC_TILE_ROWS]; a tile; coefficients of contradictions. */
static struct nc_tile_scratch lay_out(const struct nc_sigmoid *n, const struct nc_infonce *as)
{
    return nc_cpu_tile_lay_out(as, (float *)((struct sums *)n->scratch + NC_TILE_ROWS));
}

/* What tiles and contradictions have to know. */
static struct nc_infonce as_infonce(const struct nc_sigmoid *n)
{
    return (struct nc_infonce){
        .type = n->type, .captions = n->captions, .images = n->images, .width = n->width,
        .first_caption = n->first_caption, .first_image = n->first_image, .text = n->text,
        .image = n->image, .caption_group = n->caption_group, .image_group = n->image_group,
        .extras = n->extras, .extra = n->extra, .extra_image = n->extra_image, .dtext = n->dtext,
        .dextra = n->dextra};
}

size_t nc_cpu_sigmoid_scratch(struct nc_backend *backend, const struct nc_sigmoid *n)
{
    (void)backend;
    struct nc_infonce as = as_infonce(n);
    return NC_TILE_ROWS * sizeof(struct sums) +
           (nc_cpu_tile_floats(&as) + n->extras) * sizeof(float);
}

/* One score, whose answer is yes (z = 1) or no (-1). Returns its coefficient. */
static float question(float score, float bias, float z, float weight, struct sums *sums)
{
    float x = z * (score + bias), small = expf(-fabsf(x)), share = 1 / (1 + small);
    float g = -z * weight * (x > 0 ? small * share : share);
    sums->loss += (double)weight * ((x > 0 ? 0 : -x) + log1pf(small));
    sums->scores += (double)g * score;
    sums->coefficients += g;
    return g;
}

/* A tile's row of scores becomes one of coefficients. */
static void row_of_questions(const struct nc_sigmoid *n, const struct nc_infonce *as,
                             const struct nc_tile *t, size_t i, struct sums *sums)
{
    float *score = t->score + i * NC_TILE_STEP, own = 0, bias = *n->logit_bias;
    size_t positive = nc_tile_positive(as, t, i);
    float weight = nc_weight_of(n->caption_weight, t->row + i) / (float)n->total;
    nc_floats loss = {0}, scores = {0}, coefficients = {0};
    if (positive < t->columns) {
        own = score[positive];
        score[positive] = -INFINITY;
    }
    for (size_t k = 0; k < t->columns; k += NC_LANES) {
        size_t at = t->column + k, left = t->columns - k;
        nc_floats s = nc_load(score, k, NC_FLOAT32), x = s + bias, u = nc_all(weight);
        if (n->image_weight)
            u *= nc_load_of(n->image_weight, at, NC_FLOAT32, left);
        nc_ints masked = s == -INFINITY;
        nc_floats small = nc_exp((nc_floats)((nc_ints)x | (int32_t)0x80000000u)); /* of -|x| */
        nc_floats share = 1.0f / (1.0f + small);
        nc_floats g = u * nc_select(x > 0.0f, share, small * share);
        g = nc_select(masked, (nc_floats){0}, g);
        if (n->loss)
            loss += u * (nc_select(x > 0.0f, x, (nc_floats){0}) + nc_log1p(small));
        scores += nc_select(masked, (nc_floats){0}, g * s);
        coefficients += g;
        nc_store(score, k, NC_FLOAT32, g);
    }
    *sums = (struct sums){nc_sum(loss), nc_sum(scores), nc_sum(coefficients)};
    if (positive < t->columns)
        score[positive] = question(own, bias, 1,
                                   weight * nc_weight_of(n->image_weight, t->column + positive), sums);
}

static void add(struct sums *all, const struct sums *some)
{
    all->loss += some->loss;
    all->scores += some->scores;
    all->coefficients += some->coefficients;
}

static void questions(struct nc_backend *backend, const struct nc_sigmoid *n,
                      const struct nc_infonce *as, const struct nc_tile *t, struct sums *all)
{
    struct sums *rows = n->scratch;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t i = 0; i < t->rows; i++)
        row_of_questions(n, as, t, i, &rows[i]);
    for (size_t i = 0; i < t->rows; i++)
        add(all, &rows[i]);
}

/* A contradiction is a question to its picture alone. */
static void extra_questions(struct nc_backend *backend, const struct nc_sigmoid *n,
                            const struct nc_infonce *as, float scale, float *score,
                            struct sums *all)
{
    nc_cpu_extra_scores(backend, as, scale, score);
    for (size_t e = 0; e < n->extras; e++) {
        float weight = nc_weight_of(n->image_weight, (size_t)n->extra_image[e]) / (float)n->total;
        score[e] = question(score[e], *n->logit_bias, -1, weight, all);
    }
    if (!n->dtext)
        return;
#pragma omp parallel for num_threads(backend->threads) schedule(static)
    for (size_t e = 0; e < n->extras; e++)
        nc_cpu_extra_add(as, e, score[e] * scale);
}

int nc_cpu_sigmoid(struct nc_backend *backend, const struct nc_sigmoid *n)
{
    const struct nc_infonce as = as_infonce(n);
    int status = nc_cpu_extras_check("sigmoid", &as);
    float scale = expf(*n->logit_scale);
    struct nc_tile_scratch s = lay_out(n, &as);
    struct sums all = {0};
    for (size_t row = 0; row < n->captions && status == NC_OK; row += NC_TILE_ROWS)
        for (size_t column = 0; column < n->images && status == NC_OK; column += NC_TILE_COLUMNS) {
            struct nc_tile t;
            status = nc_cpu_tile_make(backend, "sigmoid", &as, &s, scale, row, column, &t);
            if (status != NC_OK)
                break;
            questions(backend, n, &as, &t, &all);
            if (n->dtext)
                status = nc_cpu_tile_backward("sigmoid", &as, &t, scale);
        }
    if (status != NC_OK)
        return status;
    extra_questions(backend, n, &as, scale, s.rest, &all);
    if (n->loss)
        *n->loss += (float)all.loss;
    if (n->dtext) {
        *n->dlogit_scale += (float)all.scores;
        *n->dlogit_bias += (float)all.coefficients;
    }
    return NC_OK;
}
