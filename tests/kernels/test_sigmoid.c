/* The sigmoid loss over tiles and blocks, with masks, weights and contradictions. */
#include "kernels.h"
#include "reference.h"

/* Groups: how many there are, 0 for no mask. Tiles end at 256 and 1024 (cpu), 128 and 256 (cuda in
 * bf16), 64 and 128 (in fp32), of the width at 64; emulated strips at 384 and 768. */
static const struct shape {
    const char *name;
    size_t captions, images, width, extras, groups;
    bool weights;
} shapes[] = {{"one", 1, 1, 64, 0, 0, false},
              {"few", 5, 5, 64, 2, 0, false},
              {"odd", 37, 37, 100, 9, 11, true},
              {"tall", 300, 7, 64, 0, 0, false},
              {"broad", 7, 1100, 32, 40, 500, true},
              {"strips", 400, 800, 72, 33, 0, false},
              {"wide", 130, 257, 768, 3, 60, true}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* A fresh SigLIP's, with which every answer is no; one that has learnt. */
static const struct start {
    double logit_scale, logit_bias;
} starts[] = {{2.302585, -10}, {4.6, -16}};
enum { STARTS = sizeof starts / sizeof *starts };

/* ---- In double precision, as plainly as the formulas --------------------------------------- */

struct batch {
    size_t captions, images, width, extras, total, first_caption, first_image;
    double logit_scale, logit_bias;
    double *text, *image, *extra, *caption_weight, *image_weight;
    int32_t *caption_group, *image_group, *extra_image;
    bool masked, weighted;
    /* what comes of it; gradients where `dtext` */
    double loss, dlogit_scale, dlogit_bias, *dtext, *dextra;
};

static double product(const double *a, const double *b, size_t width)
{
    double sum = 0;
    for (size_t k = 0; k < width; k++)
        sum += a[k] * b[k];
    return sum;
}

/* One text against one picture: z = 1 where they belong together, else -1. */
static void question(struct batch *b, const double *text, const double *image, double z,
                     double weight, double *dtext)
{
    double scale = exp(b->logit_scale), score = scale * product(text, image, b->width);
    double x = z * (score + b->logit_bias), u = weight / (double)b->total;
    double g = -z * u / (1 + exp(x));
    b->loss += u * (x > 0 ? log1p(exp(-x)) : log1p(exp(x)) - x);
    b->dlogit_scale += g * score;
    b->dlogit_bias += g;
    for (size_t k = 0; dtext && k < b->width; k++)
        dtext[k] += g * scale * image[k];
}

static void compute(struct batch *b)
{
    size_t width = b->width;
    b->loss = b->dlogit_scale = b->dlogit_bias = 0;
    for (size_t r = 0; r < b->captions; r++)
        for (size_t c = 0; c < b->images; c++) {
            bool pair = b->first_caption + r == b->first_image + c;
            if (b->masked && !pair && b->caption_group[r] == b->image_group[c])
                continue;
            double weight = b->weighted ? b->caption_weight[r] * b->image_weight[c] : 1;
            question(b, b->text + r * width, b->image + c * width, pair ? 1 : -1, weight,
                     b->dtext ? b->dtext + r * width : NULL);
        }
    for (size_t e = 0; e < b->extras; e++) {
        size_t c = (size_t)b->extra_image[e];
        question(b, b->extra + e * width, b->image + c * width, -1,
                 b->weighted ? b->image_weight[c] : 1, b->dextra ? b->dextra + e * width : NULL);
    }
}

static double *weights_of(uint64_t seed, size_t count)
{
    double *w = numbers(seed, count, 1, NC_FLOAT32);
    for (size_t i = 0; i < count; i++)
        w[i] = i % 3 ? fabs(w[i]) : 0;
    return w;
}

/* Pictures lean on their captions, and contradictions on their pictures. */
static void make_batch(struct batch *b, const struct shape *shape, const struct start *start,
                       enum nc_type type)
{
    size_t captions = shape->captions, images = shape->images, width = shape->width;
    *b = (struct batch){.captions = captions, .images = images, .width = width,
                        .extras = shape->extras, .total = captions + 3, .first_caption = 100,
                        .first_image = 100, .logit_scale = (float)start->logit_scale,
                        .logit_bias = start->logit_bias, .masked = shape->groups > 0,
                        .weighted = shape->weights};
    b->text = reference_unit_rows(60, captions, width, type);
    b->image = reference_unit_rows(61, images, width, type);
    b->extra = reference_unit_rows(62, shape->extras, width, type);
    b->caption_weight = weights_of(63, captions);
    b->image_weight = weights_of(64, images);
    b->caption_group = calloc(captions + 1, sizeof *b->caption_group);
    b->image_group = calloc(images + 1, sizeof *b->image_group);
    b->extra_image = calloc(shape->extras + 1, sizeof *b->extra_image);
    for (size_t i = 0; i < captions; i++)
        b->caption_group[i] = (int32_t)(shape->groups ? i * 7 % shape->groups : i);
    for (size_t i = 0; i < images; i++)
        b->image_group[i] = (int32_t)(shape->groups ? i * 7 % shape->groups : i);
    for (size_t e = 0; e < shape->extras; e++)
        b->extra_image[e] = (int32_t)(e * 5 % images);
    for (size_t i = 0; i < images && i < captions; i++)
        for (size_t k = 0; k < width; k++) {
            float sum = (float)(0.5 * b->image[i * width + k] + 0.5 * b->text[i * width + k]);
            b->image[i * width + k] =
                type == NC_FLOAT32 ? sum : nc_bfloat16_to_float(nc_bfloat16_from_float(sum));
        }
    b->dtext = zeros(captions * width);
    b->dextra = zeros(shape->extras * width + 1);
}

static void free_batch(struct batch *b)
{
    double *all[] = {b->text, b->image, b->extra, b->caption_weight, b->image_weight, b->dtext,
                     b->dextra};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(b->caption_group);
    free(b->image_group);
    free(b->extra_image);
}

/* ---- On a backend --------------------------------------------------------------------------- */

static float *filled(struct nc_ops *ops, size_t count, float value)
{
    float *data = bytes_on_device(ops, count * sizeof *data);
    if (count)
        must(ops->fill(ops->backend, data, value, count));
    return data;
}

/* Outputs begin with `start` in every place: they are added to. */
static struct nc_sigmoid call_of(struct nc_ops *ops, const struct batch *b, enum nc_type type,
                                 float start)
{
    size_t texts = b->captions * b->width, extras = b->extras * b->width;
    struct nc_sigmoid n = {
        .type = type, .captions = b->captions, .images = b->images, .width = b->width,
        .first_caption = b->first_caption, .first_image = b->first_image, .total = b->total,
        .text = on_device(ops, b->text, texts, type),
        .image = on_device(ops, b->image, b->images * b->width, type),
        .logit_scale = on_device(ops, &b->logit_scale, 1, NC_FLOAT32),
        .logit_bias = on_device(ops, &b->logit_bias, 1, NC_FLOAT32), .extras = b->extras,
        .extra = b->extras ? on_device(ops, b->extra, extras, type) : NULL,
        .extra_image = b->extras ? indices_on_device(ops, b->extra_image, b->extras) : NULL,
        .loss = filled(ops, 1, start), .dtext = filled(ops, texts, start),
        .dextra = filled(ops, extras, start), .dlogit_scale = filled(ops, 1, start),
        .dlogit_bias = filled(ops, 1, start)};
    if (b->masked) {
        n.caption_group = indices_on_device(ops, b->caption_group, b->captions);
        n.image_group = indices_on_device(ops, b->image_group, b->images);
    }
    if (b->weighted) {
        n.caption_weight = on_device(ops, b->caption_weight, b->captions, NC_FLOAT32);
        n.image_weight = on_device(ops, b->image_weight, b->images, NC_FLOAT32);
    }
    n.scratch = bytes_on_device(ops, ops->sigmoid_scratch(ops->backend, &n));
    return n;
}

static void compare(struct nc_ops *ops, const char *what, const float *got, const double *expected,
                    size_t count, double start, double tolerance)
{
    double *values = from_device(ops, got, count, NC_FLOAT32);
    for (size_t k = 0; k < count; k++)
        values[k] -= start;
    assert_close(what, values, expected, count, tolerance);
    free(values);
}

/* Of the largest gradient. In bf16 the coefficients of negatives are rounded to fp16. */
static double gradient_tolerance(enum nc_type type)
{
    return type == NC_FLOAT32 ? 1e-5 : 1e-3;
}

static void compare_all(struct nc_ops *ops, const struct batch *b, const struct nc_sigmoid *n,
                        enum nc_type type, double start)
{
    double gradients = gradient_tolerance(type);
    compare(ops, "loss", n->loss, &b->loss, 1, start, 1e-5);
    compare(ops, "dtext", n->dtext, b->dtext, b->captions * b->width, start, gradients);
    if (b->extras)
        compare(ops, "dextra", n->dextra, b->dextra, b->extras * b->width, start, 1e-5);
    compare(ops, "dlogit_scale", n->dlogit_scale, &b->dlogit_scale, 1, start, 1e-4);
    compare(ops, "dlogit_bias", n->dlogit_bias, &b->dlogit_bias, 1, start, 1e-4);
}

static void one_call_is_its_formulas(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t s = 0; s < SHAPES; s++)
        for (size_t i = 0; i < STARTS; i++)
            for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
                struct batch b;
                make_batch(&b, &shapes[s], &starts[i], type);
                compute(&b);
                struct nc_sigmoid n = call_of(ops, &b, type, 0);
                must(ops->sigmoid(ops->backend, &n));
                compare_all(ops, &b, &n, type, 0);
                free_batch(&b);
            }
}

/* Outputs are added to, not written. */
static void calls_add_up(void **state)
{
    struct nc_ops *ops = *state;
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        struct batch b;
        make_batch(&b, &shapes[2], &starts[1], type);
        compute(&b);
        struct nc_sigmoid n = call_of(ops, &b, type, 0x1p-6f);
        must(ops->sigmoid(ops->backend, &n));
        compare_all(ops, &b, &n, type, 0x1p-6);
        free_batch(&b);
    }
}

/* 2 x 2 blocks of the whole, as ranks have them: each of its own captions and pictures. The
 * contradictions come with the first captions. */
static void blocks_are_the_whole(void **state)
{
    struct nc_ops *ops = *state;
    const struct shape large = {"blocks", 300, 300, 64, 16, 90, true};
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        struct batch b;
        make_batch(&b, &large, &starts[1], type);
        for (size_t e = 0; e < b.extras; e++) /* of the first pictures */
            b.extra_image[e] = (int32_t)(e * 5 % 40);
        compute(&b);
        struct nc_sigmoid whole = call_of(ops, &b, type, 0);
        const size_t captions[] = {0, 211, 300}, images[] = {0, 40, 300};
        size_t size = nc_type_size(type);
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < 2; j++) {
                struct nc_sigmoid n = whole;
                n.first_caption += captions[i];
                n.captions = captions[i + 1] - captions[i];
                n.first_image += images[j];
                n.images = images[j + 1] - images[j];
                n.text = (const char *)whole.text + captions[i] * b.width * size;
                n.image = (const char *)whole.image + images[j] * b.width * size;
                n.caption_group += captions[i];
                n.image_group += images[j];
                n.caption_weight += captions[i];
                n.image_weight += images[j];
                n.dtext += captions[i] * b.width;
                n.extras = i || j ? 0 : b.extras;
                n.scratch = bytes_on_device(ops, ops->sigmoid_scratch(ops->backend, &n));
                must(ops->sigmoid(ops->backend, &n));
            }
        compare_all(ops, &b, &whole, type, 0);
        free_batch(&b);
    }
}

static void assert_same_numbers(struct nc_ops *ops, const float *a, const float *b, size_t count)
{
    double *one = from_device(ops, a, count, NC_FLOAT32);
    double *other = from_device(ops, b, count, NC_FLOAT32);
    assert_memory_equal(one, other, count * sizeof *one);
    free(one);
    free(other);
}

/* The same bits in each run; and of the loss alone, of the gradients alone. What is not asked for
 * is left alone. */
static void halves_have_the_bits_of_the_whole(void **state)
{
    struct nc_ops *ops = *state;
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        struct batch b;
        make_batch(&b, &shapes[5], &starts[1], type);
        struct nc_sigmoid whole = call_of(ops, &b, type, 0), half = call_of(ops, &b, type, 0);
        must(ops->sigmoid(ops->backend, &whole));
        struct nc_sigmoid loss = half, gradients = half;
        loss.dtext = loss.dextra = loss.dlogit_scale = loss.dlogit_bias = NULL;
        gradients.loss = NULL;
        must(ops->sigmoid(ops->backend, &loss));
        double *untouched = from_device(ops, half.dtext, b.captions * b.width, NC_FLOAT32);
        for (size_t k = 0; k < b.captions * b.width; k++)
            assert_true(untouched[k] == 0);
        free(untouched);
        must(ops->sigmoid(ops->backend, &gradients));
        assert_same_numbers(ops, whole.loss, half.loss, 1);
        assert_same_numbers(ops, whole.dtext, half.dtext, b.captions * b.width);
        assert_same_numbers(ops, whole.dextra, half.dextra, b.extras * b.width);
        assert_same_numbers(ops, whole.dlogit_scale, half.dlogit_scale, 1);
        assert_same_numbers(ops, whole.dlogit_bias, half.dlogit_bias, 1);
        free_batch(&b);
    }
}

/* exp(8) = 2981: exponentials that would overflow, of questions that are sure, right and wrong. */
static void large_scales_are_safe(void **state)
{
    struct nc_ops *ops = *state;
    const struct start large = {8, -10};
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        struct batch b;
        make_batch(&b, &shapes[2], &large, type);
        compute(&b);
        struct nc_sigmoid n = call_of(ops, &b, type, 0);
        must(ops->sigmoid(ops->backend, &n));
        compare(ops, "loss", n.loss, &b.loss, 1, 0, 1e-5);
        compare(ops, "dtext", n.dtext, b.dtext, b.captions * b.width, 0, 2e-3);
        free_batch(&b);
    }
}

/* Coefficients beyond fp16's range, and below it. */
static void weights_may_be_of_any_size(void **state)
{
    struct nc_ops *ops = *state;
    const double sizes[] = {1e6, 1e-8};
    for (size_t i = 0; i < 2; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct batch b;
            make_batch(&b, &shapes[2], &starts[1], type);
            for (size_t k = 0; k < b.captions; k++)
                b.caption_weight[k] = (float)(b.caption_weight[k] * sizes[i]);
            compute(&b);
            struct nc_sigmoid n = call_of(ops, &b, type, 0);
            must(ops->sigmoid(ops->backend, &n));
            compare_all(ops, &b, &n, type, 0);
            free_batch(&b);
        }
}

/* What is no number must not vanish. */
static void nan_stays_nan(void **state)
{
    struct nc_ops *ops = *state;
    struct batch b;
    make_batch(&b, &shapes[1], &starts[0], NC_FLOAT32);
    b.text[3] = NAN;
    struct nc_sigmoid n = call_of(ops, &b, NC_FLOAT32, 0);
    must(ops->sigmoid(ops->backend, &n));
    double *loss = from_device(ops, n.loss, 1, NC_FLOAT32);
    double *dtext = from_device(ops, n.dtext, 1, NC_FLOAT32);
    assert_true(isnan(*loss) && isnan(*dtext));
    free(loss);
    free(dtext);
    free_batch(&b);
}

/* A million pairs: 2 TiB if the matrix existed in bf16. */
static void scratch_stays_small(void **state)
{
    struct nc_ops *ops = *state;
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        const struct nc_sigmoid n = {.type = type, .captions = 1 << 20, .images = 1 << 20,
                                     .width = 768, .total = 1 << 20, .extras = 1 << 20};
        assert_true(ops->sigmoid_scratch(ops->backend, &n) < (size_t)1 << 30);
    }
}

static void a_contradiction_needs_its_picture(void **state)
{
    struct nc_ops *ops = *state;
    struct batch b;
    make_batch(&b, &shapes[2], &starts[0], NC_FLOAT32);
    b.extra_image[3] = 37;
    struct nc_sigmoid n = call_of(ops, &b, NC_FLOAT32, 0);
    int status = ops->sigmoid(ops->backend, &n);
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    assert_int_equal(status, NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "picture 37"));
    free_batch(&b);
}

/* ---- The reference -------------------------------------------------------------------------- */

/* x: captions, contradictions, the scale, the bias */
static double loss_of(const double *x, void *context)
{
    struct batch b = *(struct batch *)context;
    b.text = (double *)x;
    b.extra = b.text + b.captions * b.width;
    b.logit_scale = b.extra[b.extras * b.width];
    b.logit_bias = b.extra[b.extras * b.width + 1];
    b.dtext = b.dextra = NULL;
    compute(&b);
    return b.loss;
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    const struct shape small = {"small", 9, 11, 6, 4, 5, true};
    const struct start mild = {1.5, -2};
    struct batch b;
    make_batch(&b, &small, &mild, NC_FLOAT32);
    compute(&b);
    size_t texts = b.captions * b.width, extras = b.extras * b.width;
    double *x = zeros(texts + extras + 2), *dx = zeros(texts + extras + 2);
    memcpy(x, b.text, texts * sizeof *x);
    memcpy(x + texts, b.extra, extras * sizeof *x);
    x[texts + extras] = b.logit_scale;
    x[texts + extras + 1] = b.logit_bias;
    memcpy(dx, b.dtext, texts * sizeof *x);
    memcpy(dx + texts, b.dextra, extras * sizeof *x);
    dx[texts + extras] = b.dlogit_scale;
    dx[texts + extras + 1] = b.dlogit_bias;
    assert_true(difference_error(loss_of, &b, x, dx, texts + extras + 2) < 1e-7);
    free(x);
    free(dx);
    free_batch(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(one_call_is_its_formulas),
        cmocka_unit_test(calls_add_up),
        cmocka_unit_test(blocks_are_the_whole),
        cmocka_unit_test(halves_have_the_bits_of_the_whole),
        cmocka_unit_test(large_scales_are_safe),
        cmocka_unit_test(weights_may_be_of_any_size),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(scratch_stays_small),
        cmocka_unit_test(a_contradiction_needs_its_picture),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
