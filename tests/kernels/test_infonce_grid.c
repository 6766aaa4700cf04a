/* InfoNCE of several texts a picture: a rectangle of texts against pictures, in a call for each text
 * of the pictures, in which every row has its own positive and every column a target among its own. */
#include "kernels.h"
#include "reference.h"

enum { TEXTS = 3 }; /* of a picture */

/* Three captions of each of `pictures`, laid one after the other. */
struct rectangle {
    size_t pictures, width;
    double logit_scale;
    const double *text, *image;             /* [TEXTS * pictures, width], [pictures, width] */
    const double *row_weight, *image_weight; /* [TEXTS * pictures], [pictures] */
    const double *target; /* [TEXTS * pictures] a picture's shares of its texts, 1 together */
    double loss, dlogit_scale, *dtext;
};

static double score(const struct rectangle *r, size_t row, size_t column)
{
    double sum = 0;
    for (size_t k = 0; k < r->width; k++)
        sum += r->text[row * r->width + k] * r->image[column * r->width + k];
    return exp(r->logit_scale) * sum;
}

/* The formula and its derivative, cell by cell. */
static void compute(struct rectangle *r)
{
    size_t n = r->pictures, rows = TEXTS * n;
    double *s = zeros(rows * n), *row = zeros(rows), *column = zeros(n);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < n; j++) {
            s[i * n + j] = score(r, i, j);
            row[i] += exp(s[i * n + j]);
            column[j] += exp(s[i * n + j]);
        }
    r->loss = r->dlogit_scale = 0;
    memset(r->dtext, 0, rows * r->width * sizeof *r->dtext);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < n; j++) {
            double w = r->row_weight[i] / (2 * (double)n), v = r->image_weight[j] / (2 * (double)n);
            bool own = i % n == j;
            double here = s[i * n + j], target = own ? r->target[i] : 0;
            if (own)
                r->loss += w * (log(row[i]) - here) + v * target * (log(column[j]) - here);
            double g = w * (exp(here) / row[i] - own) + v * (exp(here) / column[j] - target);
            for (size_t k = 0; k < r->width; k++)
                r->dtext[i * r->width + k] +=
                    exp(r->logit_scale) * g * r->image[j * r->width + k];
            r->dlogit_scale += g * here;
        }
    free(s);
    free(row);
    free(column);
}

/* Targets: of every fifth picture three quarters and a quarter, else one text. */
static void make(size_t pictures, size_t width, enum nc_type type, struct rectangle *r)
{
    size_t rows = TEXTS * pictures;
    double *row_weight = numbers(73, rows, 1, NC_FLOAT32);
    double *image_weight = numbers(74, pictures, 1, NC_FLOAT32), *target = zeros(rows);
    for (size_t i = 0; i < rows; i++)
        row_weight[i] = i % 4 ? fabs(row_weight[i]) : 0;
    for (size_t j = 0; j < pictures; j++) {
        image_weight[j] = fabs(image_weight[j]);
        target[j % TEXTS * pictures + j] = j % 5 ? 1 : 0.75;
        target[(j + 1) % TEXTS * pictures + j] = j % 5 ? 0 : 0.25;
    }
    *r = (struct rectangle){.pictures = pictures, .width = width, .logit_scale = 2.5,
                            .text = reference_unit_rows(71, rows, width, type),
                            .image = reference_unit_rows(72, pictures, width, type),
                            .row_weight = row_weight, .image_weight = image_weight,
                            .target = target, .dtext = zeros(rows * width)};
    compute(r);
}

static void unmake(struct rectangle *r)
{
    const double *all[] = {r->text, r->image, r->row_weight, r->image_weight, r->target, r->dtext};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free((void *)all[i]);
}

static float *filled(struct nc_ops *ops, size_t count, float value)
{
    float *data = bytes_on_device(ops, count * sizeof *data);
    must(ops->fill(ops->backend, data, value, count));
    return data;
}

/* In TEXTS calls, as a step makes them. */
static void compare(struct nc_ops *ops, size_t pictures, size_t width, enum nc_type type)
{
    struct rectangle r;
    make(pictures, width, type, &r);
    size_t rows = TEXTS * pictures, size = nc_type_size(type);
    char *text = on_device(ops, r.text, rows * width, type);
    float *row_weight = on_device(ops, r.row_weight, rows, NC_FLOAT32);
    float *target = on_device(ops, r.target, rows, NC_FLOAT32);
    float *row_max = filled(ops, rows, -INFINITY), *row_log = filled(ops, rows, -INFINITY);
    float *positive = filled(ops, rows, NAN), *dtext = filled(ops, rows * width, 0);
    float *loss = filled(ops, 1, 0);
    struct nc_infonce calls[TEXTS], whole = {
        .type = type, .captions = pictures, .images = pictures, .width = width, .total = pictures,
        .image = on_device(ops, r.image, pictures * width, type),
        .logit_scale = on_device(ops, &r.logit_scale, 1, NC_FLOAT32),
        .image_weight = on_device(ops, r.image_weight, pictures, NC_FLOAT32),
        .column_max = filled(ops, pictures, -INFINITY),
        .column_log = filled(ops, pictures, -INFINITY), .dlogit_scale = filled(ops, 1, 0)};
    whole.scratch = bytes_on_device(ops, ops->infonce_scratch(ops->backend, &whole));
    for (size_t t = 0; t < TEXTS; t++) {
        size_t at = t * pictures;
        calls[t] = whole;
        calls[t].text = text + at * width * size;
        calls[t].caption_weight = row_weight + at;
        calls[t].image_positive = target + at;
        calls[t].row_max = row_max + at;
        calls[t].row_log = row_log + at;
        calls[t].positive = positive + at;
        calls[t].dtext = dtext + at * width;
        must(ops->infonce_forward(ops->backend, &calls[t]));
    }
    for (size_t t = 0; t < TEXTS; t++) {
        const struct nc_infonce *n = &calls[t];
        struct nc_infonce_loss sum = {
            .pairs = pictures, .total = pictures, .row_max = n->row_max, .row_log = n->row_log,
            .column_max = n->column_max, .column_log = n->column_log, .positive = n->positive,
            .caption_weight = n->caption_weight, .image_weight = n->image_weight,
            .image_positive = n->image_positive, .loss = loss};
        must(ops->infonce_loss(ops->backend, &sum));
        must(ops->infonce_backward(ops->backend, n));
    }
    double *got = from_device(ops, loss, 1, NC_FLOAT32);
    double *gradient = from_device(ops, dtext, rows * width, NC_FLOAT32);
    double *dscale = from_device(ops, whole.dlogit_scale, 1, NC_FLOAT32);
    *got += exp(r.logit_scale); /* a sum of scores: its error is relative to a score */
    r.loss += exp(r.logit_scale);
    assert_close("loss", got, &r.loss, 1, 0x1p-22);
    assert_close("dtext", gradient, r.dtext, rows * width, type == NC_FLOAT32 ? 1e-5 : 0x1p-8);
    assert_close("dlogit_scale", dscale, &r.dlogit_scale, 1, 1e-4);
    free(got);
    free(gradient);
    free(dscale);
    unmake(&r);
}

static void targets_are_chosen(void **state)
{
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        compare(*state, 7, 24, type);
        compare(*state, 300, 64, type);
    }
}

/* x: texts, the scale */
static double loss_of(const double *x, void *context)
{
    struct rectangle r = *(struct rectangle *)context;
    r.text = x;
    r.logit_scale = x[TEXTS * r.pictures * r.width];
    r.dtext = zeros(TEXTS * r.pictures * r.width);
    compute(&r);
    free(r.dtext);
    return r.loss;
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    struct rectangle r;
    make(6, 5, NC_FLOAT32, &r);
    size_t texts = TEXTS * r.pictures * r.width;
    double *x = zeros(texts + 1), *gradient = zeros(texts + 1);
    memcpy(x, r.text, texts * sizeof *x);
    x[texts] = r.logit_scale;
    memcpy(gradient, r.dtext, texts * sizeof *x);
    gradient[texts] = r.dlogit_scale;
    assert_true(difference_error(loss_of, &r, x, gradient, texts + 1) < 1e-7);
    free(x);
    free(gradient);
    unmake(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(targets_are_chosen),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
