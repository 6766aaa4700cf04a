/* Both towers against PyTorch and transformers: features, loss and every gradient, in
 * fp32 and bf16, packed, with and without shared prefixes, whole and in micro batches.
 * Values: make_towers_golden.py (computed in fp64). */
#include "../backends.h"

#include "nclip/checkpoints/folder.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/formats/json.h"
#include "nclip/model/towers.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after the headers it needs */
#include <cmocka.h>

enum { MOST_CAPTIONS = 16, MOST_TOKENS = 256 };

/* Errors are reported with their message, not as a bare number. */
static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

struct fixture {
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_tensors *golden;
    struct nc_arena *arena;
    struct nc_text_tower *text;
    struct nc_vision_tower *vision;
    float *master[2], *gradients, *features, *dfeatures, *picture_features, *lse, *loss;
    nc_bfloat16 *shadow[2];
    void *infonce_scratch;
    int32_t captions[MOST_CAPTIONS][64];
    size_t length[MOST_CAPTIONS], count;
    bool *trainable;
    enum nc_type type;
};

static const float *golden(const struct fixture *f, const char *name, size_t count)
{
    const struct nc_tensor *tensor = nc_tensors_find(f->golden, name);
    if (!tensor || tensor->type != NC_FLOAT32 || tensor->count != count)
        fail_msg("golden value %s is missing or has another shape", name);
    return (const float *)tensor->data;
}

static void read_captions(struct fixture *f)
{
    cJSON *root;
    check(nc_json_load("model/towers/captions.json", &root));
    const cJSON *row, *id;
    cJSON_ArrayForEach(row, root)
    {
        size_t length = 0;
        cJSON_ArrayForEach(id, row) f->captions[f->count][length++] = id->valueint;
        f->length[f->count++] = length;
    }
    cJSON_Delete(root);
}

static void open_fixture(struct fixture *f, const char *backend, const char *name, enum nc_type type)
{
    char path[256];
    memset(f, 0, sizeof *f);
    f->type = type;
    check(nc_ops_create(backend, 0, &f->ops));
    snprintf(path, sizeof path, "model/towers/%s", name);
    check(nc_model_open(path, &f->model));
    snprintf(path, sizeof path, "model/towers/%s/golden.safetensors", name);
    check(nc_tensors_open(path, &f->golden));
    read_captions(f);
    const struct nc_parameter_table *table = nc_model_table(f->model);
    const struct nc_model_shape *shape = nc_model_shape(f->model);
    check(nc_arena_create(&f->arena));
    struct nc_text_capacity capacity = {f->count, MOST_TOKENS, MOST_TOKENS, MOST_TOKENS, true};
    check(nc_text_tower_create(f->ops, shape, table, type, &capacity, f->arena, &f->text));
    check(nc_vision_tower_create(f->ops, shape, table, type, f->count, f->arena, &f->vision));
    struct nc_infonce loss = {.captions = f->count, .images = f->count, .width = shape->embedding,
                              .total = f->count};
    size_t features = f->count * shape->embedding * sizeof(float);
    for (int tower = 0; tower < 2; tower++) {
        check(nc_arena_reserve(f->arena, "", table->tower_elements[tower] * 4, (void **)&f->master[tower]));
        check(nc_arena_reserve(f->arena, "", table->tower_elements[tower] * 2, (void **)&f->shadow[tower]));
    }
    check(nc_arena_reserve(f->arena, "", table->tower_elements[0] * 4, (void **)&f->gradients));
    check(nc_arena_reserve(f->arena, "", features, (void **)&f->features));
    check(nc_arena_reserve(f->arena, "", features, (void **)&f->dfeatures));
    check(nc_arena_reserve(f->arena, "", features, (void **)&f->picture_features));
    check(nc_arena_reserve(f->arena, "", 5 * f->count * 4, (void **)&f->lse));
    check(nc_arena_reserve(f->arena, "", 4, (void **)&f->loss));
    check(nc_arena_reserve(f->arena, "", f->ops->infonce_scratch(f->ops->backend, &loss) + 64, &f->infonce_scratch));
    check(nc_arena_commit(f->arena, f->ops));
    for (int tower = 0; tower < 2; tower++) {
        size_t count = table->tower_elements[tower];
        float *host = malloc(count * sizeof *host);
        check(nc_model_load(f->model, (enum nc_tower)tower, host));
        check(f->ops->upload(f->ops->backend, f->master[tower], host, count * 4));
        check(f->ops->convert(f->ops->backend, f->shadow[tower], NC_BFLOAT16, f->master[tower], NC_FLOAT32, count));
        check(f->ops->synchronize(f->ops->backend));
        free(host);
    }
    f->trainable = calloc(table->count, sizeof *f->trainable);
    for (size_t i = 0; i < table->count; i++)
        f->trainable[i] = table->rows[i].tower == NC_TOWER_TEXT;
}

static void close_fixture(struct fixture *f)
{
    nc_text_tower_destroy(f->text);
    nc_vision_tower_destroy(f->vision);
    nc_arena_destroy(f->arena);
    nc_tensors_close(f->golden);
    nc_model_close(f->model);
    nc_ops_destroy(f->ops);
    free(f->trainable);
}

static struct nc_weights weights(const struct fixture *f, enum nc_tower tower)
{
    return (struct nc_weights){f->master[tower], f->type == NC_FLOAT32 ? NULL : f->shadow[tower]};
}

/* One minus the cosine of the two rows that differ most. */
static double worst_cosine(const float *a, const float *b, size_t rows, size_t width)
{
    double worst = 0;
    for (size_t r = 0; r < rows; r++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < width; i++) {
            ab += (double)a[r * width + i] * b[r * width + i];
            aa += (double)a[r * width + i] * a[r * width + i];
            bb += (double)b[r * width + i] * b[r * width + i];
        }
        double distance = 1 - ab / sqrt(aa * bb);
        worst = distance > worst ? distance : worst;
    }
    return worst;
}

/* |a - b| / |b| */
static double relative(const float *a, const float *b, size_t count)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

/* How a batch is laid out. */
struct layout {
    bool share, pad;
};

static void pack(const struct fixture *f, size_t first, size_t count, struct layout layout,
                 struct nc_packing *packing)
{
    nc_packing_clear(packing);
    for (size_t i = first; i < first + count; i++) {
        size_t end = nc_caption_end(nc_model_shape(f->model), f->captions[i], f->length[i]);
        assert_int_equal(end, f->length[i]);
        check(nc_packing_add(packing, f->captions[i], end, layout.share));
    }
    if (layout.pad)
        nc_packing_pad(packing);
}

static void run_loss(struct fixture *f, struct nc_infonce *loss)
{
    const struct nc_model_shape *shape = nc_model_shape(f->model);
    size_t scale = nc_parameter_offset(nc_model_table(f->model), NC_TOWER_TEXT, NC_LOGIT_SCALE, NC_NO_BLOCK);
    *loss = (struct nc_infonce){
        .type = NC_FLOAT32, .captions = f->count, .images = f->count, .width = shape->embedding,
        .total = f->count, .text = f->features, .image = f->picture_features,
        .logit_scale = f->master[0] + scale, .row_max = f->lse, .row_log = f->lse + f->count,
        .column_max = f->lse + 2 * f->count, .column_log = f->lse + 3 * f->count,
        .positive = f->lse + 4 * f->count, .dtext = f->dfeatures,
        .dlogit_scale = f->gradients + scale, .scratch = f->infonce_scratch};
    check(f->ops->fill(f->ops->backend, f->lse, -INFINITY, 4 * f->count));
    check(f->ops->infonce_forward(f->ops->backend, loss));
    check(f->ops->zero(f->ops->backend, f->loss, 4));
    struct nc_infonce_loss sum = {.pairs = f->count, .total = f->count, .row_max = loss->row_max,
                                  .row_log = loss->row_log, .column_max = loss->column_max,
                                  .column_log = loss->column_log, .positive = loss->positive,
                                  .loss = f->loss};
    check(f->ops->infonce_loss(f->ops->backend, &sum));
    check(f->ops->zero(f->ops->backend, f->dfeatures, f->count * shape->embedding * 4));
    check(f->ops->zero(f->ops->backend, f->gradients + scale, 4));
    check(f->ops->infonce_backward(f->ops->backend, loss));
}

/* What the parity of a precision is held to: for bf16 twice the error that PyTorch's own
 * autocast makes on these models (make_towers_golden.py --bf16: 1 - cosine 1.9e-4, loss
 * 1.5e-2, worst gradient of a tensor 1.0e-1). Tiny models with large weights are hard on bf16. */
struct tolerance {
    double cosine, loss, gradient;
};

static void compare_gradients(const struct fixture *f, double tolerance)
{
    const struct nc_parameter_table *table = nc_model_table(f->model);
    float *host = malloc(table->tower_elements[0] * 4);
    check(f->ops->download(f->ops->backend, host, f->gradients, table->tower_elements[0] * 4));
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        char name[128];
        if (row->tower != NC_TOWER_TEXT)
            continue;
        snprintf(name, sizeof name, "gradient.%s", row->name);
        double error;
        /* The softmax does not see a constant in the keys: their bias has no gradient but rounding. */
        if (row->role == NC_KEY_BIAS) {
            const float *other = host + nc_parameter_offset(table, NC_TOWER_TEXT, NC_QUERY_BIAS, row->block);
            double norm = 0, reference = 0;
            for (size_t k = 0; k < row->count; k++) {
                norm += (double)host[row->offset + k] * host[row->offset + k];
                reference += (double)other[k] * other[k];
            }
            error = sqrt(norm / reference);
        } else {
            error = relative(host + row->offset, golden(f, name, row->count), row->count);
        }
        if (!(error < tolerance))
            fail_msg("%s: gradient is off by %.3g relative", row->name, error);
    }
    free(host);
}

static void one_batch(struct fixture *f, struct layout layout, const struct tolerance *tolerance)
{
    const struct nc_model_shape *shape = nc_model_shape(f->model);
    size_t features = f->count * shape->embedding;
    struct nc_weights text = weights(f, NC_TOWER_TEXT), vision = weights(f, NC_TOWER_VISION);
    struct nc_packing packing;
    struct nc_infonce loss;
    float *host = malloc(features * 4), value;
    check(nc_packing_create(f->count, MOST_TOKENS, &packing));
    pack(f, 0, f->count, layout, &packing);
    assert_true((packing.repeated > 0) == layout.share);
    assert_true(layout.pad == (packing.rows % NC_PACKING_BUCKET == 0));

    check(nc_vision_tower_forward(f->vision, &vision,
                                  golden(f, "pixels", f->count * 3 * shape->image_size * shape->image_size),
                                  f->count, false, f->picture_features));
    check(f->ops->download(f->ops->backend, host, f->picture_features, features * 4));
    assert_true(worst_cosine(host, golden(f, "image", features), f->count, shape->embedding) < tolerance->cosine);

    check(nc_text_tower_load(f->text, &packing, NULL));
    check(nc_text_tower_forward(f->text, &text, &packing, false, false, f->features));
    check(f->ops->download(f->ops->backend, host, f->features, features * 4));
    assert_true(worst_cosine(host, golden(f, "text", features), f->count, shape->embedding) < tolerance->cosine);
    check(nc_text_tower_forward(f->text, &text, &packing, true, false, f->features));
    check(f->ops->download(f->ops->backend, host, f->features, features * 4));
    assert_true(worst_cosine(host, golden(f, "text", features), f->count, shape->embedding) < tolerance->cosine);

    run_loss(f, &loss);
    check(f->ops->download(f->ops->backend, &value, f->loss, 4));
    float expected = *golden(f, "loss", 1);
    assert_true(fabs(value - expected) < tolerance->loss * expected);
    check(nc_text_tower_backward(f->text, &text, &packing, f->dfeatures, f->trainable, false, f->gradients));
    compare_gradients(f, tolerance->gradient);

    /* The same batch in micro batches: features first, then each part again. */
    for (size_t first = 0; first < f->count; first += 3) {
        size_t count = f->count - first < 3 ? f->count - first : 3;
        pack(f, first, count, layout, &packing);
        check(nc_text_tower_load(f->text, &packing, NULL));
        check(nc_text_tower_forward(f->text, &text, &packing, true, false, f->features + first * shape->embedding));
        check(nc_text_tower_backward(f->text, &text, &packing, f->dfeatures + first * shape->embedding,
                                     f->trainable, first > 0, f->gradients));
    }
    compare_gradients(f, tolerance->gradient);
    nc_packing_destroy(&packing);
    free(host);
}

static void all_models(enum nc_type type, const struct tolerance *tolerance)
{
    static const char *const models[] = {"quick_gelu", "gelu"};
    for (const char *const *backend = nc_ops_names(); *backend; backend++) {
        if (!backend_opens(*backend))
            continue;
        for (size_t i = 0; i < 2; i++) {
            for (int variant = 0; variant < 4; variant++) {
                struct fixture f;
                open_fixture(&f, *backend, models[i], type);
                one_batch(&f, (struct layout){variant % 2, variant / 2}, tolerance);
                close_fixture(&f);
            }
        }
    }
}

static void test_fp32(void **state)
{
    (void)state;
    const struct tolerance tolerance = {1e-6, 1e-5, 1e-4};
    all_models(NC_FLOAT32, &tolerance);
}

static void test_bf16(void **state)
{
    (void)state;
    const struct tolerance tolerance = {3.8e-4, 3e-2, 2e-1};
    all_models(NC_BFLOAT16, &tolerance);
}

/* A frozen tensor's gradient is not touched, and what trains gets the same as before. */
static void test_frozen(void **state)
{
    (void)state;
    struct fixture f;
    struct nc_packing packing;
    struct nc_infonce loss;
    open_fixture(&f, "cpu", "gelu", NC_FLOAT32);
    const struct nc_parameter_table *table = nc_model_table(f.model);
    struct nc_weights text = weights(&f, NC_TOWER_TEXT), vision = weights(&f, NC_TOWER_VISION);
    const struct nc_model_shape *shape = nc_model_shape(f.model);
    check(nc_packing_create(f.count, MOST_TOKENS, &packing));
    pack(&f, 0, f.count, (struct layout){.share = true}, &packing);
    check(nc_vision_tower_forward(f.vision, &vision,
                                  golden(&f, "pixels", f.count * 3 * shape->image_size * shape->image_size),
                                  f.count, false, f.picture_features));
    check(nc_text_tower_load(f.text, &packing, NULL));
    check(nc_text_tower_forward(f.text, &text, &packing, true, false, f.features));
    run_loss(&f, &loss);
    for (size_t i = 0; i < table->count; i++)
        f.trainable[i] = table->rows[i].tower == NC_TOWER_TEXT &&
                         (table->rows[i].block == 1 || table->rows[i].role == NC_PROJECTION);
    for (size_t i = 0; i < table->tower_elements[0]; i++)
        f.gradients[i] = 123;
    check(nc_text_tower_backward(f.text, &text, &packing, f.dfeatures, f.trainable, false, f.gradients));
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        char name[128];
        if (row->tower != NC_TOWER_TEXT || row->role == NC_KEY_BIAS)
            continue;
        snprintf(name, sizeof name, "gradient.%s", row->name);
        if (f.trainable[i])
            assert_true(relative(f.gradients + row->offset, golden(&f, name, row->count), row->count) < 1e-4);
        else
            for (size_t k = 0; k < row->count; k++)
                assert_true(f.gradients[row->offset + k] == 123);
    }
    nc_packing_destroy(&packing);
    close_fixture(&f);
}

static void test_end_of_text(void **state)
{
    (void)state;
    struct nc_model_shape first = {.end_rule = NC_END_FIRST, .end_token = 9};
    struct nc_model_shape largest = {.end_rule = NC_END_ARGMAX, .end_token = 2};
    const int32_t twice[] = {7, 3, 9, 4, 9}, none[] = {7, 3, 4}, high[] = {7, 2, 11, 9, 11};
    assert_int_equal(nc_caption_end(&first, twice, 5), 3);
    assert_int_equal(nc_caption_end(&first, none, 3), 1); /* argmax of nothing found is the first */
    assert_int_equal(nc_caption_end(&largest, high, 5), 3);
    assert_int_equal(nc_caption_end(&largest, none, 3), 1);
    assert_int_equal(nc_caption_end(&largest, none, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp32),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_end_of_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
