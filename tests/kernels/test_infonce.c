/* Symmetric InfoNCE over tiles and blocks, with masks and contradictions. */
#include "kernels.h"
#include "reference.h"

/* Pictures: how many groups there are, 0 for no mask. Tiles end at 256 and 1024 (cpu), 128 and 256
 * (cuda in bf16), 64 and 128 (in fp32), of the width at 64; emulated strips at 384 and 768. */
static const struct shape {
    const char *name;
    size_t pairs, width, extras, pictures;
    float pull; /* of a caption on its picture */
} shapes[] = {{"few", 5, 64, 0, 0, 0.5f},
              {"odd", 37, 100, 9, 11, 0.5f},
              {"rows", 300, 64, 0, 0, 0.5f},
              {"columns", 1100, 32, 400, 500, 0.5f},
              {"strips", 400, 512, 0, 0, 0.125f},
              {"ragged", 390, 100, 20, 0, 0.5f},
              {"wide640", 130, 640, 3, 0, 0.125f},
              {"wide768", 257, 768, 40, 60, 0.125f},
              {"wide1024", 33, 1024, 0, 12, 0.125f}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const double logit_scale = 4;

/* Inputs in double, their references, and the loss's buffers on a backend. */
struct batch {
    struct reference_infonce r;
    double *image, *text, *extra;
    int32_t *group, *place;
    struct nc_infonce n;
    float *loss;
};

static void make_inputs(struct batch *b, const struct shape *shape, double scale, enum nc_type type)
{
    size_t pairs = shape->pairs, width = shape->width;
    b->text = reference_unit_rows(60, pairs, width, type);
    b->image = reference_unit_rows(61, pairs, width, type);
    b->extra = reference_unit_rows(62, shape->extras, width, type);
    for (size_t k = 0; k < pairs * width; k++) {
        float sum = (float)b->image[k] + shape->pull * (float)b->text[k];
        b->image[k] = type == NC_FLOAT32 ? sum : nc_bfloat16_to_float(nc_bfloat16_from_float(sum));
    }
    b->group = calloc(pairs, sizeof *b->group);
    b->place = calloc(shape->extras + 1, sizeof *b->place);
    for (size_t i = 0; i < pairs; i++)
        b->group[i] = (int32_t)(shape->pictures ? i * 7 % shape->pictures : i);
    for (size_t e = 0; e < shape->extras; e++)
        b->place[e] = (int32_t)(e * 5 % pairs);
    b->r = (struct reference_infonce){
        .pairs = pairs, .width = width, .extras = shape->extras, .text = b->text, .image = b->image,
        .extra = b->extra, .logit_scale = scale, .group = shape->pictures ? b->group : NULL,
        .extra_image = b->place, .dtext = zeros(pairs * width),
        .dextra = zeros(shape->extras * width)};
    reference_infonce(&b->r);
}

static float *filled(struct nc_ops *ops, size_t count, float value)
{
    float *data = bytes_on_device(ops, count * sizeof *data);
    must(ops->fill(ops->backend, data, value, count));
    return data;
}

/* The whole matrix as one call. */
static void make_call(struct nc_ops *ops, struct batch *b, enum nc_type type)
{
    const struct reference_infonce *r = &b->r;
    size_t pairs = r->pairs, width = r->width;
    b->n = (struct nc_infonce){
        .type = type, .captions = pairs, .images = pairs, .width = width, .total = pairs,
        .text = on_device(ops, b->text, pairs * width, type),
        .image = on_device(ops, b->image, pairs * width, type),
        .logit_scale = on_device(ops, &r->logit_scale, 1, NC_FLOAT32),
        .extras = r->extras, .extra = on_device(ops, b->extra, r->extras * width, type),
        .extra_image = indices_on_device(ops, b->place, r->extras),
        .row_max = filled(ops, pairs, -INFINITY), .row_log = filled(ops, pairs, -INFINITY),
        .column_max = filled(ops, pairs, -INFINITY), .column_log = filled(ops, pairs, -INFINITY),
        .positive = filled(ops, pairs, NAN), .dtext = filled(ops, pairs * width, 0),
        .dextra = r->extras ? filled(ops, r->extras * width, 0) : NULL,
        .dlogit_scale = filled(ops, 1, 0)};
    if (r->group)
        b->n.caption_group = b->n.image_group = indices_on_device(ops, b->group, pairs);
    b->n.scratch = bytes_on_device(ops, ops->infonce_scratch(ops->backend, &b->n));
    b->loss = filled(ops, 1, 0);
}

static double loss_of(struct nc_ops *ops, struct batch *b)
{
    struct nc_infonce_loss loss = {.pairs = b->r.pairs, .total = b->r.pairs,
                                   .row_max = b->n.row_max, .row_log = b->n.row_log,
                                   .column_max = b->n.column_max, .column_log = b->n.column_log,
                                   .positive = b->n.positive,
                                   .caption_weight = b->n.caption_weight,
                                   .image_weight = b->n.image_weight, .loss = b->loss};
    must(ops->infonce_loss(ops->backend, &loss));
    double *value = from_device(ops, b->loss, 1, NC_FLOAT32), result = *value;
    free(value);
    return result;
}

static void close_batch(struct batch *b)
{
    double *all[] = {b->text, b->image, b->extra, b->r.dtext, b->r.dextra};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
    free(b->group);
    free(b->place);
}

/* A contradiction's gradient is its picture times exp(its score - the column's log-sum-exp): few
 * numbers, each as wrong as two scores, which are sums of `width` roundings. How wrong that is depends
 * on the order of the sums, and differs by a factor of three between them: the largest error of
 * four orders is the measure, where PyTorch's one happens to be small. */
static struct error error_of_orders(const struct batch *b, enum nc_type type)
{
    static const size_t orders[] = {1, 4, 8, 16}; /* sums side by side */
    struct error most = {0};
    for (size_t i = 0; i < sizeof orders / sizeof *orders && type == NC_FLOAT32; i++) {
        struct reference_infonce r = b->r;
        size_t count = r.extras * r.width;
        r.lanes = orders[i];
        r.dtext = zeros(r.pairs * r.width);
        r.dextra = zeros(count);
        reference_infonce(&r);
        struct error e = error_of(r.dextra, b->r.dextra, count);
        most = (struct error){fmax(e.mean, most.mean), fmax(e.worst, most.worst)};
        free(r.dtext);
        free(r.dextra);
    }
    return most;
}

static void one_call_is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            struct batch b;
            make_inputs(&b, &shapes[i], logit_scale, type);
            make_call(ops, &b, type);
            must(ops->infonce_forward(ops->backend, &b.n));
            /* sums of scores: their error is relative to a score */
            double loss = loss_of(ops, &b) + exp(logit_scale), expected = b.r.loss + exp(logit_scale);
            must(ops->infonce_backward(ops->backend, &b.n));
            size_t count = b.r.pairs * b.r.width, extras = b.r.extras * b.r.width;
            double *dtext = from_device(ops, b.n.dtext, count, NC_FLOAT32);
            double *dscale = from_device(ops, b.n.dlogit_scale, 1, NC_FLOAT32);
            const char *name = shapes[i].name;
            assert_as_torch("infonce.loss", name, type, &loss, &expected, 1);
            *dscale += exp(logit_scale);
            expected = b.r.dlogit_scale + exp(logit_scale);
            assert_as_torch("infonce.dlogit_scale", name, type, dscale, &expected, 1);
            assert_as_torch("infonce.dtext", name, type, dtext, b.r.dtext, count);
            if (extras) {
                double *dextra = from_device(ops, b.n.dextra, extras, NC_FLOAT32);
                assert_as_arithmetic("infonce.dextra", name, type, dextra, b.r.dextra, extras,
                                     error_of_orders(&b, type));
                free(dextra);
            }
            free(dtext);
            free(dscale);
            close_batch(&b);
        }
}

/* Of the largest gradient. In bf16 the coefficients of negatives may be rounded to it. */
static double gradient_tolerance(enum nc_type type)
{
    return type == NC_FLOAT32 ? 1e-5 : 0x1p-8;
}

/* 2 x 2 blocks, of which one caption block and one image block start elsewhere. */
static void add_up(struct nc_ops *ops, const struct shape *shape, size_t caption_cut,
                   size_t image_cut, enum nc_type type)
{
    struct batch b;
    make_inputs(&b, shape, logit_scale, type);
    make_call(ops, &b, type);
    size_t pairs = b.r.pairs, width = b.r.width, size = nc_type_size(type);
    const size_t caption_cuts[] = {0, caption_cut, pairs}, image_cuts[] = {0, image_cut, pairs};
    /* Contradictions belong to their picture, and are counted once: with the first captions. */
    int32_t first_places[16], second_places[16];
    double *extras[2] = {zeros(b.r.extras * width), zeros(b.r.extras * width)};
    size_t order[16], counts[2] = {0, 0};
    for (size_t e = 0; e < b.r.extras; e++) {
        size_t side = (size_t)b.place[e] >= image_cut;
        order[e] = counts[side];
        memcpy(extras[side] + counts[side] * width, b.extra + e * width, width * sizeof(double));
        (side ? second_places : first_places)[counts[side]++] = b.place[e] - (int32_t)(side ? image_cut : 0);
    }
    assert_true(counts[0] && counts[1]);
    float *dextra[2] = {filled(ops, counts[0] * width, 0), filled(ops, counts[1] * width, 0)};
    for (int backward = 0; backward < 2; backward++)
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < 2; j++) {
                struct nc_infonce n = b.n;
                n.first_caption = 100 + caption_cuts[i];
                n.captions = caption_cuts[i + 1] - caption_cuts[i];
                n.first_image = 100 + image_cuts[j];
                n.images = image_cuts[j + 1] - image_cuts[j];
                n.text = (const char *)b.n.text + caption_cuts[i] * width * size;
                n.image = (const char *)b.n.image + image_cuts[j] * width * size;
                n.caption_group = b.n.caption_group + caption_cuts[i];
                n.image_group = b.n.image_group + image_cuts[j];
                n.row_max = b.n.row_max + caption_cuts[i];
                n.row_log = b.n.row_log + caption_cuts[i];
                n.column_max = b.n.column_max + image_cuts[j];
                n.column_log = b.n.column_log + image_cuts[j];
                n.positive = b.n.positive + caption_cuts[i];
                n.dtext = b.n.dtext + caption_cuts[i] * width;
                n.extras = i ? 0 : counts[j];
                n.extra = on_device(ops, extras[j], counts[j] * width, type);
                n.extra_image = indices_on_device(ops, j ? second_places : first_places, counts[j]);
                n.dextra = dextra[j];
                n.scratch = bytes_on_device(ops, ops->infonce_scratch(ops->backend, &n));
                must(backward ? ops->infonce_backward(ops->backend, &n)
                              : ops->infonce_forward(ops->backend, &n));
            }
    /* a sum of scores: its error is relative to a score */
    double loss = loss_of(ops, &b) + exp(logit_scale), expected = b.r.loss + exp(logit_scale);
    double *dtext = from_device(ops, b.n.dtext, pairs * width, NC_FLOAT32);
    double *dscale = from_device(ops, b.n.dlogit_scale, 1, NC_FLOAT32);
    assert_close("loss", &loss, &expected, 1, 0x1p-24);
    assert_close("dtext", dtext, b.r.dtext, pairs * width, gradient_tolerance(type));
    assert_close("dlogit_scale", dscale, &b.r.dlogit_scale, 1, 1e-4);
    for (size_t side = 0; side < 2; side++) {
        double *got = from_device(ops, dextra[side], counts[side] * width, NC_FLOAT32);
        for (size_t e = 0; e < b.r.extras; e++)
            if (((size_t)b.place[e] >= image_cut) == side)
                for (size_t k = 0; k < width; k++)
                    assert_true(fabs(got[order[e] * width + k] - b.r.dextra[e * width + k]) < 1e-6);
        free(got);
        free(extras[side]);
    }
    free(dtext);
    free(dscale);
    close_batch(&b);
}

static void blocks_add_up(void **state)
{
    const struct shape large = {"blocks", 300, 64, 16, 90, 0.5f};
    const struct shape wide = {"wide", 900, 8, 16, 300, 0.5f}; /* some blocks are wider than a strip */
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        add_up(*state, &shapes[1], 13, 20, type);
        add_up(*state, &large, 211, 40, type);
        add_up(*state, &wide, 100, 10, type);
    }
}

/* One pair against itself: nothing to tell apart, no loss, no gradient. */
static void a_lone_pair_has_no_loss(void **state)
{
    struct nc_ops *ops = *state;
    const struct shape lone = {"lone", 1, 64, 0, 0, 0.5f};
    struct batch b;
    make_inputs(&b, &lone, logit_scale, NC_FLOAT32);
    make_call(ops, &b, NC_FLOAT32);
    must(ops->infonce_forward(ops->backend, &b.n));
    assert_true(fabs(loss_of(ops, &b)) < 1e-5);
    must(ops->infonce_backward(ops->backend, &b.n));
    double *dtext = from_device(ops, b.n.dtext, 64, NC_FLOAT32);
    for (size_t k = 0; k < 64; k++)
        assert_true(fabs(dtext[k]) < 1e-4);
    free(dtext);
    close_batch(&b);
}

/* All captions of one picture: every negative is masked. */
static void one_picture_has_no_loss(void **state)
{
    struct nc_ops *ops = *state;
    const struct shape same = {"same", 40, 32, 0, 1, 0.5f};
    struct batch b;
    make_inputs(&b, &same, logit_scale, NC_FLOAT32);
    make_call(ops, &b, NC_FLOAT32);
    must(ops->infonce_forward(ops->backend, &b.n));
    assert_true(fabs(loss_of(ops, &b)) < 1e-5);
    must(ops->infonce_backward(ops->backend, &b.n));
    double *dtext = from_device(ops, b.n.dtext, 40 * 32, NC_FLOAT32);
    for (size_t k = 0; k < 40 * 32; k++)
        assert_true(fabs(dtext[k]) < 1e-4);
    free(dtext);
    close_batch(&b);
}

/* exp(8) = 2981: scores that overflow unless the largest is taken away first. */
static void large_scales_are_safe(void **state)
{
    struct nc_ops *ops = *state;
    const struct shape lost = {"lost", 37, 100, 9, 11, 0}; /* where no positive wins */
    for (int i = 0; i < 3; i++) { /* won, in bf16: gradients of 1e-16 may be 0 */
        enum nc_type type = i == 2 ? NC_BFLOAT16 : NC_FLOAT32;
        struct batch b;
        make_inputs(&b, i == 0 ? &shapes[1] : &lost, 8, type);
        make_call(ops, &b, type);
        must(ops->infonce_forward(ops->backend, &b.n));
        double loss = loss_of(ops, &b);
        must(ops->infonce_backward(ops->backend, &b.n));
        double *dtext = from_device(ops, b.n.dtext, b.r.pairs * b.r.width, NC_FLOAT32);
        assert_true(fabs(loss - b.r.loss) < 3e-3); /* scores are known to 2981 / 2^24 each */
        assert_close("dtext", dtext, b.r.dtext, b.r.pairs * b.r.width, 2e-3);
        free(dtext);
        close_batch(&b);
    }
}

static void gradients_are_added(void **state)
{
    struct nc_ops *ops = *state;
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        struct batch b;
        make_inputs(&b, &shapes[1], logit_scale, type);
        make_call(ops, &b, type);
        must(ops->infonce_forward(ops->backend, &b.n));
        must(ops->infonce_backward(ops->backend, &b.n));
        size_t count = b.r.pairs * b.r.width;
        double *once = from_device(ops, b.n.dtext, count, NC_FLOAT32);
        must(ops->infonce_backward(ops->backend, &b.n));
        double *twice = from_device(ops, b.n.dtext, count, NC_FLOAT32);
        double *dscale = from_device(ops, b.n.dlogit_scale, 1, NC_FLOAT32);
        for (size_t k = 0; k < count; k++)
            once[k] *= 2;
        double expected = 2 * b.r.dlogit_scale;
        assert_close("dtext", twice, once, count, 1e-6);
        assert_close("dlogit_scale", dscale, &expected, 1, 1e-4);
        free(once);
        free(twice);
        free(dscale);
        close_batch(&b);
    }
}

/* All that a call computes, as bits. */
enum { OUTPUTS = 8 };

static void run_for_bits(struct nc_ops *ops, const struct shape *shape, enum nc_type type,
                         double *outputs[OUTPUTS], size_t counts[OUTPUTS])
{
    struct batch b;
    make_inputs(&b, shape, logit_scale, type);
    make_call(ops, &b, type);
    must(ops->infonce_forward(ops->backend, &b.n));
    must(ops->infonce_backward(ops->backend, &b.n));
    size_t pairs = shape->pairs;
    const struct {
        const float *data;
        size_t count;
    } made[OUTPUTS] = {{b.n.row_max, pairs},    {b.n.row_log, pairs},
                       {b.n.column_max, pairs}, {b.n.column_log, pairs},
                       {b.n.positive, pairs},   {b.n.dtext, pairs * shape->width},
                       {b.n.dlogit_scale, 1},   {b.n.dextra, shape->extras * shape->width}};
    for (size_t k = 0; k < OUTPUTS; k++) {
        counts[k] = made[k].count;
        outputs[k] = from_device(ops, made[k].data, made[k].count, NC_FLOAT32);
    }
    close_batch(&b);
}

static void bits_repeat(void **state)
{
    struct nc_ops *ops = *state;
    const struct shape shape = {"bits", 420, 72, 900, 200, 0}; /* some pictures have many contradictions */
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        double *first[OUTPUTS], *second[OUTPUTS];
        size_t counts[OUTPUTS];
        run_for_bits(ops, &shape, type, first, counts);
        run_for_bits(ops, &shape, type, second, counts);
        for (size_t k = 0; k < OUTPUTS; k++) {
            assert_memory_equal(first[k], second[k], counts[k] * sizeof(double));
            free(first[k]);
            free(second[k]);
        }
    }
}

/* A million pairs: 2 TiB if the matrix existed in bf16. */
static void scratch_stays_small(void **state)
{
    struct nc_ops *ops = *state;
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
        const struct nc_infonce n = {.type = type, .captions = 1 << 20, .images = 1 << 20,
                                     .width = 768, .total = 1 << 20, .extras = 1 << 20};
        assert_true(ops->infonce_scratch(ops->backend, &n) < (size_t)1 << 30);
    }
}

/* Weights of both sides, zeros among them; the caller frees. */
static void give_weights(struct batch *b, double **captions, double **images)
{
    size_t pairs = b->r.pairs;
    *captions = numbers(63, pairs, 1, NC_FLOAT32);
    *images = numbers(64, pairs, 1, NC_FLOAT32);
    for (size_t i = 0; i < pairs; i++) {
        (*captions)[i] = i % 3 ? fabs((*captions)[i]) : 0;
        (*images)[i] = i % 4 ? fabs((*images)[i]) : 0;
    }
    b->r.caption_weight = *captions;
    b->r.image_weight = *images;
    reference_infonce(&b->r);
}

/* `side`: both, captions alone, pictures alone; `by`: all weights are so many times as large */
static void count_weights(struct nc_ops *ops, size_t side, double by, enum nc_type type)
{
    struct batch b;
    double *captions, *images;
    make_inputs(&b, &shapes[1], logit_scale, type);
    give_weights(&b, &captions, &images);
    size_t pairs = b.r.pairs, count = pairs * b.r.width, extras = b.r.extras * b.r.width;
    for (size_t i = 0; i < pairs; i++) {
        captions[i] = (float)(captions[i] * by);
        images[i] = (float)(images[i] * by);
    }
    make_call(ops, &b, type);
    if (side == 2)
        b.r.caption_weight = NULL;
    else
        b.n.caption_weight = on_device(ops, captions, pairs, NC_FLOAT32);
    if (side == 1)
        b.r.image_weight = NULL;
    else
        b.n.image_weight = on_device(ops, images, pairs, NC_FLOAT32);
    reference_infonce(&b.r);
    must(ops->infonce_forward(ops->backend, &b.n));
    double score = (side && by < 1 ? 1 : by) * exp(logit_scale); /* the loss is a sum of scores */
    double loss = loss_of(ops, &b) + score, expected = b.r.loss + score;
    must(ops->infonce_backward(ops->backend, &b.n));
    double *dtext = from_device(ops, b.n.dtext, count, NC_FLOAT32);
    double *dextra = from_device(ops, b.n.dextra, extras, NC_FLOAT32);
    double *dscale = from_device(ops, b.n.dlogit_scale, 1, NC_FLOAT32);
    assert_close("loss", &loss, &expected, 1, 0x1p-24);
    assert_close("dtext", dtext, b.r.dtext, count, gradient_tolerance(type));
    assert_close("dextra", dextra, b.r.dextra, extras, 1e-5);
    assert_close("dlogit_scale", dscale, &b.r.dlogit_scale, 1, 1e-4);
    double *all[] = {captions, images, dtext, dextra, dscale};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
    close_batch(&b);
}

static void weights_count(void **state)
{
    for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++)
        for (size_t side = 0; side < 3; side++) {
            count_weights(*state, side, 1, type);
            count_weights(*state, side, 1e6, type);  /* beyond fp16 */
            count_weights(*state, side, 1e-8, type); /* below */
        }
}

/* -log of what the softmax of scores (of x against `others`) gives to number `target` */
static double cross_entropy(const double *x, const double *others, size_t count, size_t width,
                            size_t target, double scale)
{
    double sum = 0, positive = 0;
    for (size_t j = 0; j < count; j++) {
        double score = 0;
        for (size_t k = 0; k < width; k++)
            score += scale * x[k] * others[j * width + k];
        sum += exp(score);
        positive = j == target ? score : positive;
    }
    return log(sum) - positive;
}

/* CoN-CLIP's mean of three cross-entropies: pictures over all captions, true captions over all
 * pictures, distractors over all captions. Captions and pictures first, denials and distractors
 * behind them. */
static void con_clip_is_one_weighted_call(void **state)
{
    struct nc_ops *ops = *state;
    enum { HALF = 11, PAIRS = 2 * HALF, WIDTH = 40 };
    const struct shape shape = {"con-clip", PAIRS, WIDTH, 0, 0, 0.5f};
    struct batch b;
    make_inputs(&b, &shape, 2, NC_FLOAT32);
    double captions[PAIRS], images[PAIRS], expected = 0;
    for (size_t i = 0; i < PAIRS; i++) {
        captions[i] = i < HALF ? 4.0 / 3 : 0;
        images[i] = 4.0 / 3;
        expected += cross_entropy(b.image + i * WIDTH, b.text, PAIRS, WIDTH, i, exp(2)) / (3.0 * HALF);
        if (i < HALF)
            expected += cross_entropy(b.text + i * WIDTH, b.image, PAIRS, WIDTH, i, exp(2)) / (3.0 * HALF);
    }
    b.r.caption_weight = captions;
    b.r.image_weight = images;
    reference_infonce(&b.r);
    assert_true(fabs(b.r.loss - expected) < 1e-12);
    make_call(ops, &b, NC_FLOAT32);
    b.n.caption_weight = on_device(ops, captions, PAIRS, NC_FLOAT32);
    b.n.image_weight = on_device(ops, images, PAIRS, NC_FLOAT32);
    must(ops->infonce_forward(ops->backend, &b.n));
    assert_true(fabs(loss_of(ops, &b) - expected) < 1e-5);
    close_batch(&b);
}

static void a_contradiction_needs_its_picture(void **state)
{
    struct nc_ops *ops = *state;
    struct batch b;
    make_inputs(&b, &shapes[1], logit_scale, NC_FLOAT32);
    make_call(ops, &b, NC_FLOAT32);
    if (ops->host_memory) { /* elsewhere nobody can look before it waits */
        ((int32_t *)b.n.extra_image)[3] = 37;
        assert_int_equal(ops->infonce_forward(ops->backend, &b.n), NC_FAILED);
        assert_non_null(strstr(nc_error_message(), "37"));
    } else { /* and it touches nothing */
        size_t count = b.r.extras * b.r.width;
        b.place[3] = 37;
        b.place[4] = -1;
        b.n.extra_image = indices_on_device(ops, b.place, b.r.extras);
        must(ops->infonce_forward(ops->backend, &b.n));
        assert_int_equal(ops->synchronize(ops->backend), NC_FAILED);
        assert_true(strstr(nc_error_message(), "picture 37") ||
                    strstr(nc_error_message(), "picture -1"));
        must(ops->infonce_backward(ops->backend, &b.n));
        double *dextra = from_device(ops, b.n.dextra, count, NC_FLOAT32);
        for (size_t k = 3 * b.r.width; k < 5 * b.r.width; k++)
            assert_true(dextra[k] == 0);
        assert_true(dextra[5 * b.r.width] != 0);
        free(dextra);
    }
    close_batch(&b);
}

/* text, then contradictions, then the logit scale */
static double loss(const double *x, void *context)
{
    struct reference_infonce r = *(struct reference_infonce *)context;
    r.text = x;
    r.extra = x + r.pairs * r.width;
    r.logit_scale = x[(r.pairs + r.extras) * r.width];
    r.dtext = NULL;
    reference_infonce(&r);
    return r.loss;
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    const struct shape small = {"small", 9, 6, 4, 5, 0.5f};
    struct batch b;
    double *captions, *images;
    make_inputs(&b, &small, 1.5, NC_FLOAT32);
    give_weights(&b, &captions, &images);
    size_t text = small.pairs * small.width, extra = small.extras * small.width;
    double *x = zeros(text + extra + 1), *gradient = zeros(text + extra + 1);
    memcpy(x, b.text, text * sizeof *x);
    memcpy(x + text, b.extra, extra * sizeof *x);
    x[text + extra] = 1.5;
    memcpy(gradient, b.r.dtext, text * sizeof *x);
    memcpy(gradient + text, b.r.dextra, extra * sizeof *x);
    gradient[text + extra] = b.r.dlogit_scale;
    assert_true(difference_error(loss, &b.r, x, gradient, text + extra + 1) < 1e-8);
    free(x);
    free(gradient);
    free(captions);
    free(images);
    close_batch(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(one_call_is_as_close_as_torch),
        cmocka_unit_test(blocks_add_up),
        cmocka_unit_test(a_lone_pair_has_no_loss),
        cmocka_unit_test(one_picture_has_no_loss),
        cmocka_unit_test(large_scales_are_safe),
        cmocka_unit_test(gradients_are_added),
        cmocka_unit_test(bits_repeat),
        cmocka_unit_test(scratch_stays_small),
        cmocka_unit_test(weights_count),
        cmocka_unit_test(con_clip_is_one_weighted_call),
        cmocka_unit_test(a_contradiction_needs_its_picture),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
