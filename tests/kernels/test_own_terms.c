/* Terms over a picture's own texts. */
#include "kernels.h"
#include "reference.h"

/* fp32 sums of up to 512 products, then a few factors: some roundings of 2^-24. */
static const double TOLERANCE = 4e-6;

static const struct shape {
    const char *name;
    size_t pairs, width, most; /* contradictions of a picture: 0 .. most, in turn */
    double scale;
} shapes[] = {{"one", 1, 64, 0, 1},
              {"odd", 9, 97, 3, 2.5},
              {"base", 65, 512, 1, 4.6},
              {"many", 300, 33, 2, 3}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const struct nc_own_weights weights[] = {
    {.choice = 0.7f},
    {.picture = 1.5f, .picture_low = 0.1f, .picture_high = 0.2f},
    {.text = 0.5f, .text_low = -0.05f, .text_high = 0.1f},
    {.apart = 2, .apart_margin = 0.05f},
    {.keep = 0.3f},
    {.alike = 0.4f},
    {.unlike = 1.25f},
    {.choice = 0.7f, .picture = 1.5f, .picture_low = 0.1f, .picture_high = 0.2f, .text = 0.5f,
     .text_low = -0.05f, .text_high = 0.1f, .apart = 2, .apart_margin = 0.05f, .keep = 0.3f,
     .alike = 0.4f, .unlike = 1.25f},
};
enum { WEIGHTS = sizeof weights / sizeof *weights };

/* ---- In double precision, as plainly as the formulas --------------------------------------- */

struct batch {
    size_t pairs, extras, width, total;
    struct nc_own_weights w;
    double count, logit_scale;
    double *text, *image, *extra, *base, *basis;
    int32_t *extra_image;
    double loss, dlogit_scale, *dtext, *dextra;
};

static double product(const double *a, const double *b, size_t width)
{
    double sum = 0;
    for (size_t k = 0; k < width; k++)
        sum += a[k] * b[k];
    return sum;
}

static double above(double x)
{
    return x > 0 ? x : 0;
}

/* cos(P a, P b); direction[0] and [1] of P a, [2] and [3] of P b, and their norms */
static double projected_cosine(const struct batch *b, const double *x, const double *y,
                               double direction[4], double norm[2])
{
    const double *texts[] = {x, y};
    for (size_t t = 0; t < 2; t++) {
        for (size_t k = 0; k < 2; k++)
            direction[2 * t + k] = product(texts[t], b->basis + k * b->width, b->width);
        norm[t] = hypot(direction[2 * t], direction[2 * t + 1]);
        direction[2 * t] /= norm[t];
        direction[2 * t + 1] /= norm[t];
    }
    return direction[0] * direction[2] + direction[1] * direction[3];
}

static double the_loss(const struct batch *b)
{
    const struct nc_own_weights *w = &b->w;
    double scale = exp(b->logit_scale), loss = 0;
    for (size_t i = 0; i < b->pairs; i++) {
        const double *text = b->text + i * b->width, *image = b->image + i * b->width;
        double own = product(text, image, b->width), sum = 1;
        for (size_t e = 0; e < b->extras; e++) {
            const double *extra = b->extra + e * b->width;
            if ((size_t)b->extra_image[e] != i)
                continue;
            double at_image = product(extra, image, b->width);
            double at_text = product(extra, text, b->width);
            sum += exp(scale * (at_image - own));
            loss += w->picture / b->count * (above(w->picture_low - (own - at_image)) +
                                             above(own - at_image - w->picture_high));
            loss += w->text / b->count * (above(w->text_low - (own - at_text)) +
                                          above(own - at_text - w->text_high));
            loss += w->apart / b->count * above(at_text + w->apart_margin);
            double direction[4], norm[2];
            double cosine = projected_cosine(b, text, extra, direction, norm);
            loss += w->alike / b->count * (1 - cosine) + w->unlike / b->count * above(cosine);
        }
        loss += w->choice / b->count * log(sum);
        if (w->keep != 0)
            loss += w->keep / (double)b->total *
                    (1 - product(text, b->base + i * b->width, b->width));
    }
    return loss;
}

static void add(double *to, double factor, const double *from, size_t width)
{
    for (size_t k = 0; k < width; k++)
        to[k] += factor * from[k];
}

static void differentiate(struct batch *b)
{
    const struct nc_own_weights *w = &b->w;
    double scale = exp(b->logit_scale);
    b->loss = the_loss(b);
    b->dlogit_scale = 0;
    for (size_t i = 0; i < b->pairs; i++) {
        const double *text = b->text + i * b->width, *image = b->image + i * b->width;
        double *dtext = b->dtext + i * b->width, own = product(text, image, b->width), sum = 1;
        for (size_t e = 0; e < b->extras; e++)
            if ((size_t)b->extra_image[e] == i)
                sum += exp(scale * (product(b->extra + e * b->width, image, b->width) - own));
        for (size_t e = 0; e < b->extras; e++) {
            const double *extra = b->extra + e * b->width;
            if ((size_t)b->extra_image[e] != i)
                continue;
            double at_image = product(extra, image, b->width);
            double at_text = product(extra, text, b->width);
            double z = scale * (at_image - own), share = w->choice / b->count * exp(z) / sum;
            double picture = w->picture / b->count * ((own - at_image > w->picture_high) -
                                                      (own - at_image < w->picture_low));
            double band = w->text / b->count * ((own - at_text > w->text_high) -
                                                (own - at_text < w->text_low));
            double at = w->apart / b->count * (at_text + w->apart_margin > 0) - band;
            b->dlogit_scale += share * z;
            add(dtext, picture + band - share * scale, image, b->width);
            add(dtext, at, extra, b->width);
            add(b->dextra + e * b->width, share * scale - picture, image, b->width);
            add(b->dextra + e * b->width, at, text, b->width);
            double d[4], norm[2], cosine = projected_cosine(b, text, extra, d, norm);
            double slope = (w->unlike * (cosine > 0) - w->alike) / b->count;
            for (size_t k = 0; k < 2; k++) {
                const double *u = b->basis + k * b->width;
                add(dtext, slope * (d[2 + k] - cosine * d[k]) / norm[0], u, b->width);
                add(b->dextra + e * b->width, slope * (d[k] - cosine * d[2 + k]) / norm[1], u, b->width);
            }
        }
        if (w->keep != 0)
            add(dtext, -w->keep / (double)b->total, b->base + i * b->width, b->width);
    }
}

static double *unit_rows(uint64_t seed, size_t rows, size_t width)
{
    double *x = numbers(seed, rows * width, 1, NC_FLOAT32);
    for (size_t i = 0; i < rows; i++) {
        double norm = sqrt(product(x + i * width, x + i * width, width));
        for (size_t k = 0; k < width; k++)
            x[i * width + k] = (float)(x[i * width + k] / norm);
    }
    return x;
}

static void make_batch(const struct shape *shape, const struct nc_own_weights *w, struct batch *b)
{
    *b = (struct batch){.pairs = shape->pairs, .width = shape->width, .total = shape->pairs + 3,
                        .w = *w, .logit_scale = (float)shape->scale};
    b->extra_image = calloc(shape->pairs * (shape->most + 1), sizeof *b->extra_image);
    for (size_t i = 0; i < shape->pairs; i++)
        for (size_t k = 0; k < i % (shape->most + 1); k++)
            b->extra_image[b->extras++] = (int32_t)i;
    b->count = (double)b->extras + 2;
    b->text = unit_rows(31, b->pairs, b->width);
    b->image = unit_rows(32, b->pairs, b->width);
    b->extra = unit_rows(33, b->extras, b->width);
    b->base = unit_rows(34, b->pairs, b->width);
    b->basis = unit_rows(35, 2, b->width); /* need not be orthogonal */
    b->dtext = zeros(b->pairs * b->width + 1);
    b->dextra = zeros(b->extras * b->width + 1);
}

static void free_batch(struct batch *b)
{
    double *all[] = {b->text, b->image, b->extra, b->base, b->basis, b->dtext, b->dextra};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(b->extra_image);
}

/* ---- On a backend -------------------------------------------------------------------------- */

/* Outputs begin with `start` in every place: they are added to. */
static struct nc_own_terms call_of(struct nc_ops *ops, const struct batch *b, double start)
{
    size_t texts = b->pairs * b->width, extras = b->extras * b->width;
    double *begin = zeros(texts + extras + 1);
    for (size_t k = 0; k < texts + extras + 1; k++)
        begin[k] = start;
    struct nc_own_terms n = {
        .pairs = b->pairs, .extras = b->extras, .width = b->width, .total = b->total,
        .weights = b->w, .count = on_device(ops, &b->count, 1, NC_FLOAT32),
        .text = on_device(ops, b->text, texts, NC_FLOAT32),
        .image = on_device(ops, b->image, texts, NC_FLOAT32),
        .extra = b->extras ? on_device(ops, b->extra, extras, NC_FLOAT32) : NULL,
        .base = b->w.keep != 0 ? on_device(ops, b->base, texts, NC_FLOAT32) : NULL,
        .basis = b->w.alike != 0 || b->w.unlike != 0 ? on_device(ops, b->basis, 2 * b->width, NC_FLOAT32)
                                                      : NULL,
        .extra_image = b->extras ? indices_on_device(ops, b->extra_image, b->extras) : NULL,
        .logit_scale = on_device(ops, &b->logit_scale, 1, NC_FLOAT32),
        .loss = on_device(ops, begin, 1, NC_FLOAT32),
        .dtext = on_device(ops, begin, texts, NC_FLOAT32),
        .dextra = b->extras ? on_device(ops, begin, extras, NC_FLOAT32) : NULL,
        .dlogit_scale = on_device(ops, begin, 1, NC_FLOAT32),
        .scratch = bytes_on_device(ops, ops->own_terms_scratch(ops->backend, b->pairs))};
    free(begin);
    return n;
}

static void compare(struct nc_ops *ops, const char *what, const float *got, const double *expected,
                    size_t count, double start)
{
    double *values = from_device(ops, got, count, NC_FLOAT32);
    for (size_t k = 0; k < count; k++)
        values[k] -= start;
    assert_close(what, values, expected, count, TOLERANCE);
    free(values);
}

static void terms_are_their_formulas(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t s = 0; s < SHAPES; s++)
        for (size_t w = 0; w < WEIGHTS; w++)
            for (int start = 0; start < 2; start++) {
                struct batch b;
                make_batch(&shapes[s], &weights[w], &b);
                differentiate(&b);
                double begin = start ? 0x1p-12 : 0; /* small, so that its rounding is */
                struct nc_own_terms n = call_of(ops, &b, begin);
                must(ops->own_terms(ops->backend, &n));
                compare(ops, "loss", n.loss, &b.loss, 1, begin);
                compare(ops, "dtext", n.dtext, b.dtext, b.pairs * b.width, begin);
                compare(ops, "dextra", n.dextra, b.dextra, b.extras * b.width, begin);
                compare(ops, "dlogit_scale", n.dlogit_scale, &b.dlogit_scale, 1, begin);
                free_batch(&b);
            }
}

/* What is not asked for is left alone: the loss alone, the gradients alone. */
static void halves_are_the_whole(void **state)
{
    struct nc_ops *ops = *state;
    struct batch b;
    make_batch(&shapes[1], &weights[WEIGHTS - 1], &b);
    struct nc_own_terms whole = call_of(ops, &b, 0), half = call_of(ops, &b, 0), none = half;
    must(ops->own_terms(ops->backend, &whole));
    none.dtext = none.dextra = none.dlogit_scale = NULL;
    must(ops->own_terms(ops->backend, &none));
    double *dtext = from_device(ops, half.dtext, b.pairs * b.width, NC_FLOAT32);
    for (size_t k = 0; k < b.pairs * b.width; k++)
        assert_true(dtext[k] == 0);
    free(dtext);
    none = half;
    none.loss = NULL;
    must(ops->own_terms(ops->backend, &none));
    const float *pairs[][2] = {{whole.loss, half.loss}, {whole.dtext, half.dtext},
                               {whole.dextra, half.dextra},
                               {whole.dlogit_scale, half.dlogit_scale}};
    size_t counts[] = {1, b.pairs * b.width, b.extras * b.width, 1};
    for (size_t i = 0; i < 4; i++) {
        double *one = from_device(ops, pairs[i][0], counts[i], NC_FLOAT32);
        double *other = from_device(ops, pairs[i][1], counts[i], NC_FLOAT32);
        assert_memory_equal(one, other, counts[i] * sizeof *one);
        free(one);
        free(other);
    }
    free_batch(&b);
}

/* At the largest scale, choices that are sure: right, and wrong. */
static void large_scales_are_safe(void **state)
{
    struct nc_ops *ops = *state;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct batch b;
        make_batch(&(struct shape){"sure", 3, 8, 1, 88}, &weights[0], &b);
        b.logit_scale = 5;
        for (size_t k = 0; k < b.width; k++) {
            b.text[b.width + k] = (wrong ? -1 : 1) * b.image[b.width + k];
            b.extra[k] = -b.text[b.width + k];
        }
        struct nc_own_terms n = call_of(ops, &b, 0);
        must(ops->own_terms(ops->backend, &n));
        double *loss = from_device(ops, n.loss, 1, NC_FLOAT32);
        double *dextra = from_device(ops, n.dextra, b.width, NC_FLOAT32);
        double expected = wrong ? 0.7 / b.count * 2 * exp(5) : 0;
        assert_true(fabs(*loss - expected) <= 1e-5 * expected);
        for (size_t k = 0; k < b.width; k++)
            assert_true(isfinite(dextra[k]));
        free(loss);
        free(dextra);
        free_batch(&b);
    }
}

static void a_contradiction_needs_its_picture(void **state)
{
    struct nc_ops *ops = *state;
    struct batch b;
    make_batch(&shapes[1], &weights[0], &b);
    b.extra_image[b.extras - 1] = (int32_t)b.pairs;
    struct nc_own_terms n = call_of(ops, &b, 0);
    int status = ops->own_terms(ops->backend, &n);
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    assert_int_equal(status, NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "picture 9"));
    free_batch(&b);
}

/* ---- The reference ------------------------------------------------------------------------- */

/* x: captions, contradictions, the scale */
static double loss_of(const double *x, void *context)
{
    struct batch b = *(struct batch *)context;
    b.text = (double *)x;
    b.extra = b.text + b.pairs * b.width;
    b.logit_scale = b.extra[b.extras * b.width];
    return the_loss(&b);
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    for (size_t w = 0; w < WEIGHTS; w++) {
        struct batch b;
        make_batch(&(struct shape){"small", 5, 11, 2, 1.5}, &weights[w], &b);
        differentiate(&b);
        size_t texts = b.pairs * b.width, extras = b.extras * b.width;
        double *x = zeros(texts + extras + 1), *dx = zeros(texts + extras + 1);
        memcpy(x, b.text, texts * sizeof *x);
        memcpy(x + texts, b.extra, extras * sizeof *x);
        x[texts + extras] = b.logit_scale;
        memcpy(dx, b.dtext, texts * sizeof *x);
        memcpy(dx + texts, b.dextra, extras * sizeof *x);
        dx[texts + extras] = b.dlogit_scale;
        assert_true(difference_error(loss_of, &b, x, dx, texts + extras + 1) < 1e-7);
        free(x);
        free(dx);
        free_batch(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(terms_are_their_formulas),
        cmocka_unit_test(halves_are_the_whole),
        cmocka_unit_test(large_scales_are_safe),
        cmocka_unit_test(a_contradiction_needs_its_picture),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
