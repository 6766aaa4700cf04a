/* A batch's terms over all texts and pictures: describes each to the backend, converts its inputs to
 * the loss's precision, and computes it on one rank; ring.c does so on several. */
#include "parts.h"

#include "nclip/support/error.h"

#include <math.h>

/* ---- Weights ------------------------------------------------------------------------------------- */

/* Whether all rows and columns count once. */
static bool is_plain(const struct nc_loss_term *term)
{
    bool plain = true;
    for (unsigned k = 0; k < term->texts; k++)
        plain = plain && nc_term_row_weight(term, k) == 1;
    for (unsigned m = 0; m < term->pictures; m++)
        plain = plain && nc_term_column_weight(term, m) == 1;
    return plain;
}

bool nc_step_weighted(const struct nc_step *step)
{
    for (size_t i = 0; i < step->losses.part_count; i++)
        if (step->losses.parts[i].grid && !is_plain(step->losses.parts[i].grid))
            return true;
    return false;
}

/* Neighbours of one weight are filled at once. */
static int fill(struct nc_step *step, const struct nc_loss_term *term, size_t count, float *to,
                unsigned blocks, float (*weight)(const struct nc_loss_term *, unsigned))
{
    struct nc_ops *ops = step->ops;
    int status = NC_OK;
    for (unsigned first = 0, end; first < blocks && count && status == NC_OK; first = end) {
        for (end = first + 1; end < blocks && weight(term, end) == weight(term, first);)
            end++;
        status = ops->fill(ops->backend, to + first * count, weight(term, first),
                           (end - first) * count);
    }
    return status;
}

int nc_step_weigh(struct nc_step *step, const struct nc_loss_term *term, size_t count, float *rows,
                  float *columns)
{
    int status = NC_OK;
    if (rows)
        status = fill(step, term, count, rows, term->texts, nc_term_row_weight);
    return columns && status == NC_OK
               ? fill(step, term, count, columns, term->pictures, nc_term_column_weight) : status;
}

/* ---- What lies where ------------------------------------------------------------------------------ */

static struct nc_infonce common_of(const struct nc_step *step, size_t total)
{
    size_t scale = nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    return (struct nc_infonce){
        .type = step->config->loss_precision, .width = step->shape->embedding, .total = total,
        .logit_scale = step->master ? step->master + scale : NULL,
        .dlogit_scale = step->gradient ? step->gradient + scale : NULL,
        .scratch = step->infonce_scratch};
}

struct nc_infonce nc_step_largest_call(const struct nc_step *step, size_t count, size_t beside)
{
    struct nc_infonce n = common_of(step, count);
    n.captions = nc_step_grid_rows(step, count);
    n.images = nc_step_grid_columns(step, count);
    for (size_t i = 0; i < step->losses.part_count; i++) {
        const struct nc_loss_term *term = step->losses.parts[i].grid;
        if (term && term->hard != NC_NO_ROLE) {
            n.extras = beside;
            n.dextra = step->dfeatures;
        }
    }
    return n;
}

static const void *texts_of(const struct nc_step *step, size_t row)
{
    enum nc_type type = step->config->loss_precision;
    const char *rows = type == NC_FLOAT32 ? (const char *)step->features : step->loss_features;
    return rows + row * step->shape->embedding * nc_type_size(type);
}

/* A term's contradictions: one more negative each. */
static void set_extras(const struct nc_step *step, const struct nc_batch *batch, int role,
                       struct nc_infonce *n)
{
    if (role == NC_NO_ROLE || !batch->texts[role])
        return;
    size_t place = nc_batch_place(batch, role);
    n->extras = batch->texts[role];
    n->extra = texts_of(step, place);
    n->dextra = step->dfeatures + place * step->shape->embedding;
    n->extra_image = step->inputs.extra_image + (place - batch->count);
}

void nc_step_grid_of(const struct nc_step *step, const struct nc_batch *batch,
                     const struct nc_loss_term *term, struct nc_step_grid *grid)
{
    const struct nc_batch_source *source = &batch->source[term->source];
    bool plain = is_plain(term), rounded = step->config->loss_precision != NC_FLOAT32;
    *grid = (struct nc_step_grid){
        .term = term, .common = common_of(step, source->total),
        .texts = {.count = source->count, .rows = texts_of(step, 0), .drows = step->dfeatures,
                  .row_max = step->row_max, .row_log = step->row_log, .positive = step->positive,
                  .weight = plain ? NULL : step->caption_weight, .own = true},
        .pictures = {.count = source->count, .group = step->inputs.group,
                     .rows = rounded ? step->loss_image : (void *)step->inputs.image,
                     .column_max = step->column_max, .column_log = step->column_log,
                     .weight = plain ? NULL : step->image_weight, .elsewhere = step->elsewhere}};
    set_extras(step, batch, term->hard, &grid->common);
    for (unsigned m = 0; m < term->pictures; m++)
        grid->pictures.place[m] = term->picture[m] * batch->count + source->first;
    for (unsigned k = 0; k < term->texts; k++) {
        int own = nc_term_picture_of(term, k);
        int role = (int)term->text[k];
        grid->texts.place[k] = nc_batch_place(batch, role) +
                               (role ? source->before[role] : source->first);
        if (own >= 0 && step->config->mask_same_image) /* a text that is false of all is masked from none */
            grid->texts.group[k] = step->inputs.group + grid->pictures.place[own];
    }
}

int nc_step_convert_features(struct nc_step *step, const struct nc_batch *batch)
{
    struct nc_ops *ops = step->ops;
    size_t width = step->shape->embedding;
    if (step->config->loss_precision == NC_FLOAT32)
        return NC_OK;
    int status = ops->convert(ops->backend, step->loss_features, NC_BFLOAT16, step->features,
                              NC_FLOAT32, (batch->count + batch->beside) * width);
    return status == NC_OK ? ops->convert(ops->backend, step->loss_image, NC_BFLOAT16,
                                          step->inputs.image, NC_FLOAT32,
                                          nc_step_sides(step) * batch->count * width)
                           : status;
}

/* ---- A term --------------------------------------------------------------------------------------- */

int nc_step_grid_start(struct nc_step *step, const struct nc_step_grid *grid)
{
    struct nc_ops *ops = step->ops;
    const struct nc_grid_texts *t = &grid->texts;
    const struct nc_grid_pictures *p = &grid->pictures;
    size_t rows = grid->term->texts * t->count, columns = grid->term->pictures * p->count;
    int status = nc_step_weigh(step, grid->term, t->count, t->weight ? step->caption_weight : NULL,
                               p->weight ? step->image_weight : NULL);
    if (status != NC_OK || !nc_term_has_sums(grid->term))
        return status;
    if (nc_term_has_others(grid->term) && columns)
        status = ops->zero(ops->backend, step->elsewhere, columns * sizeof(float));
    if (status == NC_OK && !step->ranks) /* all four */
        return ops->fill(ops->backend, step->row_max, -INFINITY, 4 * nc_step_running(step));
    struct {
        float *data;
        size_t count;
    } running[] = {{t->row_max, rows}, {t->row_log, rows}, {p->column_max, columns},
                   {p->column_log, columns}};
    for (size_t i = 0; i < sizeof running / sizeof *running && status == NC_OK; i++)
        if (running[i].count)
            status = ops->fill(ops->backend, running[i].data, -INFINITY, running[i].count);
    return status;
}

int nc_step_grid_sum(struct nc_step *step, const struct nc_step_grid *grid)
{
    struct nc_ops *ops = step->ops;
    struct nc_infonce_loss sums[NC_TEXT_ROLES];
    size_t count = nc_grid_losses(grid->term, grid->common.total, &grid->texts, &grid->pictures,
                                  &step->numbers->loss, sums);
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = ops->infonce_loss(ops->backend, &sums[i]);
    return status;
}

size_t nc_step_bias(const struct nc_step *step)
{
    return nc_parameter_offset(step->table, NC_TOWER_TEXT, NC_LOGIT_BIAS, NC_NO_BLOCK);
}

int nc_step_sigmoid(struct nc_step *step, const struct nc_infonce *call, bool gradients)
{
    struct nc_sigmoid n = nc_grid_sigmoid(call, gradients);
    n.logit_bias = step->master + nc_step_bias(step);
    n.loss = &step->numbers->loss;
    n.dlogit_bias = gradients ? step->gradient + nc_step_bias(step) : NULL;
    n.scratch = step->sigmoid_scratch;
    return step->ops->sigmoid(step->ops->backend, &n);
}

int nc_step_grid(struct nc_step *step, const struct nc_batch *batch,
                 const struct nc_loss_term *term, bool gradients)
{
    struct nc_ops *ops = step->ops;
    struct nc_step_grid grid;
    struct nc_infonce calls[NC_MOST_CALLS];
    nc_step_grid_of(step, batch, term, &grid);
    size_t count = nc_grid_calls(term, &grid.common, &grid.texts, &grid.pictures, calls);
    int status = nc_step_grid_start(step, &grid);
    bool sums = nc_term_has_sums(term);
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = sums ? ops->infonce_forward(ops->backend, &calls[i])
                      : nc_step_sigmoid(step, &calls[i], gradients);
    if (status == NC_OK && sums)
        status = nc_step_grid_sum(step, &grid);
    for (size_t i = 0; i < count && gradients && sums && status == NC_OK; i++)
        status = ops->infonce_backward(ops->backend, &calls[i]);
    return status;
}
