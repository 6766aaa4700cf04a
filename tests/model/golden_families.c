/* Text towers of every family against transformers and open_clip: features and every gradient, in
 * fp32 and bf16, whole and in micro batches. Values: make_families_golden.py (computed in fp64). */
#include "../backends.h"
#include "../support/temporary_folder.h"

#include "nclip/checkpoints/exchange.h"
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

enum { MOST_CAPTIONS = 8, MOST_IDS = 256, MOST_ROWS = MOST_CAPTIONS * 256 };

static const struct {
    const char *name;
    enum nc_family_name family;
    enum nc_text_mask mask;
    enum nc_end_rule end_rule;
    size_t context, head_size;
} models[] = {
    {"siglip", NC_FAMILY_SIGLIP, NC_MASK_NONE, NC_END_LAST, 16, 72},
    {"siglip2", NC_FAMILY_SIGLIP_2, NC_MASK_NONE, NC_END_LAST, 16, 32},
    {"metaclip_2", NC_FAMILY_METACLIP_2, NC_MASK_CAUSAL, NC_END_FIRST, 16, 32},
    {"long_context", NC_FAMILY_CLIP, NC_MASK_CAUSAL, NC_END_FIRST, 248, 32},
    {"open_clip_siglip2", NC_FAMILY_SIGLIP, NC_MASK_NONE, NC_END_LAST, 16, 32},
    {"mobileclip_s", NC_FAMILY_OTHER, NC_MASK_NONE, NC_END_ARGMAX, 16, 32},
    {"pe_core", NC_FAMILY_CLIP, NC_MASK_CAUSAL, NC_END_ARGMAX, 32, 32},
    {"clipa", NC_FAMILY_OTHER, NC_MASK_NONE, NC_END_LAST, 16, 32},
    {"worldwide", NC_FAMILY_METACLIP_2, NC_MASK_CAUSAL, NC_END_FIRST, 16, 32},
    {"longclip", NC_FAMILY_CLIP, NC_MASK_CAUSAL, NC_END_ARGMAX, 32, 32},
    {"unmasked_padding", NC_FAMILY_OTHER, NC_MASK_PADDING, NC_END_FIRST, 16, 32},
};

/* Errors are reported with their message, not as a bare number. */
static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

struct fixture {
    const char *name;
    enum nc_type type;
    char *folder; /* temporary: of an imported model */
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_tensors *golden;
    struct nc_arena *arena;
    struct nc_text_tower *tower;
    float *master, *gradients, *features, *direction;
    nc_bfloat16 *shadow;
    int32_t captions[MOST_CAPTIONS][MOST_IDS];
    size_t length[MOST_CAPTIONS], count;
    bool *trainable;
};

static const float *golden(const struct fixture *f, const char *name, size_t count)
{
    const struct nc_tensor *tensor = nc_tensors_find(f->golden, name);
    if (!tensor || tensor->type != NC_FLOAT32 || tensor->count != count)
        fail_msg("%s: golden value %s is missing or has another shape", f->name, name);
    return (const float *)(const void *)tensor->data;
}

static void read_captions(struct fixture *f, const char *path)
{
    cJSON *root;
    check(nc_json_load(path, &root));
    const cJSON *row, *id;
    cJSON_ArrayForEach(row, root)
    {
        cJSON_ArrayForEach(id, row) f->captions[f->count][f->length[f->count]++] = id->valueint;
        f->count++;
    }
    cJSON_Delete(root);
}

/* What transformers wrote is opened; what open_clip wrote is imported. */
static void open_model(struct fixture *f, const char *folder)
{
    const struct nc_import_options text_only = {.text_only = true};
    bool has_tokenizer;
    f->folder = temporary_folder_create();
    char *imported = nc_path_join(f->folder, "text");
    char *config = nc_path_join(folder, "open_clip_config.json");
    if (nc_file_exists(config)) {
        check(nc_model_import(folder, &text_only, imported, &has_tokenizer));
        folder = imported;
    }
    check(nc_model_open(folder, &f->model));
    free(imported);
    free(config);
}

static void reserve(struct fixture *f, size_t bytes, void *slot)
{
    check(nc_arena_reserve(f->arena, "", bytes, slot));
}

static void open_fixture(struct fixture *f, const char *backend, const char *name, enum nc_type type)
{
    char path[256];
    memset(f, 0, sizeof *f);
    f->name = name;
    f->type = type;
    check(nc_ops_create(backend, 0, &f->ops));
    snprintf(path, sizeof path, "model/families/%s", name);
    open_model(f, path);
    snprintf(path, sizeof path, "model/families/%s/golden.safetensors", name);
    check(nc_tensors_open(path, &f->golden));
    snprintf(path, sizeof path, "model/families/%s/captions.json", name);
    read_captions(f, path);
    const struct nc_parameter_table *table = nc_model_table(f->model);
    const struct nc_model_shape *shape = nc_model_shape(f->model);
    size_t count = table->tower_elements[0], features = f->count * shape->embedding * sizeof(float);
    struct nc_text_capacity capacity = {f->count, MOST_ROWS, MOST_ROWS, MOST_ROWS, true};
    check(nc_arena_create(&f->arena));
    check(nc_text_tower_create(f->ops, shape, table, type, &capacity, f->arena, &f->tower));
    reserve(f, count * 4, &f->master);
    reserve(f, count * 2, &f->shadow);
    reserve(f, count * 4, &f->gradients);
    reserve(f, features, &f->features);
    reserve(f, features, &f->direction);
    check(nc_arena_commit(f->arena, f->ops));
    float *host = malloc(count * sizeof *host);
    check(nc_model_load(f->model, NC_TOWER_TEXT, host));
    check(f->ops->upload(f->ops->backend, f->master, host, count * 4));
    check(f->ops->convert(f->ops->backend, f->shadow, NC_BFLOAT16, f->master, NC_FLOAT32, count));
    check(f->ops->upload(f->ops->backend, f->direction,
                         golden(f, "direction", f->count * shape->embedding), features));
    check(f->ops->synchronize(f->ops->backend));
    free(host);
    f->trainable = calloc(table->count, sizeof *f->trainable);
    for (size_t i = 0; i < table->count; i++)
        f->trainable[i] = table->rows[i].tower == NC_TOWER_TEXT &&
                          table->rows[i].role != NC_LOGIT_SCALE &&
                          table->rows[i].role != NC_LOGIT_BIAS;
}

static void close_fixture(struct fixture *f)
{
    nc_text_tower_destroy(f->tower);
    nc_arena_destroy(f->arena);
    nc_tensors_close(f->golden);
    nc_model_close(f->model);
    nc_ops_destroy(f->ops);
    temporary_folder_remove(f->folder);
    free(f->trainable);
}

/* One minus the cosine of the two rows that differ most. */
static double worst_cosine(const float *a, const float *b, size_t rows, size_t width)
{
    double worst = 0;
    for (size_t r = 0; r < rows; r++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = r * width; i < (r + 1) * width; i++) {
            ab += (double)a[i] * b[i];
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
        }
        double distance = 1 - ab / sqrt(aa * bb);
        worst = distance >= worst ? distance : worst;
    }
    return worst;
}

static double norm(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (b ? b[i] : 0)) * ((double)a[i] - (b ? b[i] : 0));
    return sqrt(sum);
}

static void compare_gradients(const struct fixture *f, double tolerance)
{
    const struct nc_parameter_table *table = nc_model_table(f->model);
    float *host = malloc(table->tower_elements[0] * 4);
    check(f->ops->download(f->ops->backend, host, f->gradients, table->tower_elements[0] * 4));
    size_t compared = 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        char name[128];
        if (!f->trainable[i])
            continue;
        snprintf(name, sizeof name, "gradient.%s", row->name);
        const float *expected = golden(f, name, row->count);
        double size = norm(expected, NULL, row->count);
        /* The softmax does not see a constant in the keys: their bias has no gradient but rounding. */
        if (row->role == NC_KEY_BIAS) {
            snprintf(name, sizeof name, "gradient.%s", table->rows[i - 1].name);
            size = norm(golden(f, name, row->count), NULL, row->count);
        }
        double error = norm(host + row->offset, expected, row->count) / size;
        if (!(error < tolerance))
            fail_msg("%s: %s: gradient is off by %.3g relative", f->name, row->name, error);
        compared++;
    }
    assert_true(compared >= 2 + 2 * 16 + 3);
    free(host);
}

static void pack(const struct fixture *f, size_t first, size_t count, bool pad,
                 struct nc_packing *packing)
{
    const struct nc_model_shape *shape = nc_model_shape(f->model);
    nc_packing_clear(packing);
    for (size_t i = first; i < first + count; i++)
        check(nc_caption_pack(shape, f->captions[i], f->length[i], true, packing));
    assert_true(!nc_shape_is_padded(shape) || packing->rows == count * shape->context);
    assert_true(shape->mask == NC_MASK_CAUSAL || !packing->repeated);
    if (pad)
        nc_packing_pad(packing);
}

static void run(struct fixture *f, bool pad, double cosine, double gradient)
{
    const struct nc_model_shape *shape = nc_model_shape(f->model);
    struct nc_weights weights = {f->master, f->type == NC_FLOAT32 ? NULL : f->shadow};
    size_t features = f->count * shape->embedding;
    const float *expected = golden(f, "features", features);
    struct nc_packing packing;
    float *host = malloc(features * 4);
    check(nc_packing_create(f->count, MOST_ROWS, &packing));
    pack(f, 0, f->count, pad, &packing);
    check(nc_text_tower_load(f->tower, &packing, NULL));
    for (int keep = 0; keep < 2; keep++) {
        check(nc_text_tower_forward(f->tower, &weights, &packing, keep, false, f->features));
        check(f->ops->download(f->ops->backend, host, f->features, features * 4));
        double distance = worst_cosine(host, expected, f->count, shape->embedding);
        if (!(distance < cosine))
            fail_msg("%s: features: 1 - cosine is %.3g", f->name, distance);
    }
    check(nc_text_tower_backward(f->tower, &weights, &packing, f->direction, f->trainable, false,
                                 f->gradients));
    compare_gradients(f, gradient);
    for (size_t first = 0; first < f->count; first += 4) { /* in micro batches */
        size_t count = f->count - first < 4 ? f->count - first : 4;
        size_t at = first * shape->embedding;
        pack(f, first, count, pad, &packing);
        check(nc_text_tower_load(f->tower, &packing, NULL));
        check(nc_text_tower_forward(f->tower, &weights, &packing, true, false, f->features + at));
        check(nc_text_tower_backward(f->tower, &weights, &packing, f->direction + at, f->trainable,
                                     first > 0, f->gradients));
    }
    compare_gradients(f, gradient);
    nc_packing_destroy(&packing);
    free(host);
}

static void all_models(enum nc_type type, double cosine, double gradient)
{
    for (const char *const *backend = nc_ops_names(); *backend; backend++) {
        if (!backend_opens(*backend))
            continue;
        for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
            struct fixture f;
            open_fixture(&f, *backend, models[i].name, type);
            run(&f, i % 2, cosine, gradient);
            close_fixture(&f);
        }
    }
}

static void features_and_gradients_are_equal(void **state)
{
    (void)state;
    all_models(NC_FLOAT32, 1e-6, 1e-4);
}

/* Tiny models with large weights are hard on bf16. */
static void bf16_is_close(void **state)
{
    (void)state;
    all_models(NC_BFLOAT16, 2e-3, 2e-1);
}

static void descriptions_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct fixture f;
        open_fixture(&f, "cpu", models[i].name, NC_FLOAT32);
        const struct nc_model_shape *shape = nc_model_shape(f.model);
        assert_int_equal(shape->family, models[i].family);
        assert_int_equal(shape->mask, models[i].mask);
        assert_int_equal(shape->end_rule, models[i].end_rule);
        assert_int_equal(shape->context, models[i].context);
        assert_int_equal(shape->text.width / shape->text.heads, models[i].head_size);
        const char *const *unknown;
        assert_int_equal(nc_model_unknown(f.model, &unknown), 0);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptions_are_read),
        cmocka_unit_test(features_and_gradients_are_equal),
        cmocka_unit_test(bf16_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
