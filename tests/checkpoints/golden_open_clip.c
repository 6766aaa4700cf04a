/* Models that open_clip made, imported: the logits that open_clip computes for them. Exported
 * again, the tensors that it wrote. Values: make_open_clip_golden.py (computed in fp64). */
#include "nclip/checkpoints/exchange.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/encoder/encoder.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS = 4, PICTURES = 3, EMBEDDING = 24 };

static const char tokenizer[] = "../configs/quickstart/model";

static void done(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static struct nc_model *import(const char *source, const char *folder)
{
    struct nc_model *model;
    bool has_tokenizer;
    const struct nc_import_options options = {.tokenizer = tokenizer};
    done(nc_model_import(source, &options, folder, &has_tokenizer));
    assert_true(has_tokenizer);
    done(nc_model_open(folder, &model));
    return model;
}

static void compare_logits(const struct nc_model *model, const struct nc_tensors *golden)
{
    static const char *const texts[TEXTS] = {"a red circle", "a shape that is not red",
                                             "no triangle", ""};
    const struct nc_encoder_options options = {.text = true, .vision = true};
    float text[TEXTS][EMBEDDING], image[PICTURES][EMBEDDING];
    const float *pixels = (const float *)(const void *)nc_tensors_find(golden, "pixels")->data;
    const float *logits = (const float *)(const void *)nc_tensors_find(golden, "logits")->data;
    struct nc_ops *ops;
    struct nc_encoder *encoder;
    done(nc_ops_create("cpu", 0, &ops));
    done(nc_encoder_create(ops, model, &options, &encoder));
    done(nc_encoder_texts(encoder, texts, TEXTS, false, text[0]));
    done(nc_encoder_pictures(encoder, pixels, PICTURES, false, image[0]));
    double scale = exp((double)nc_model_logit_scale(model));
    for (int i = 0; i < PICTURES; i++) {
        for (int t = 0; t < TEXTS; t++) {
            double sum = 0;
            for (int k = 0; k < EMBEDDING; k++)
                sum += (double)image[i][k] * (double)text[t][k];
            double difference = fabs(scale * sum - (double)logits[i * TEXTS + t]);
            if (!(difference < 1e-5))
                fail_msg("picture %d, text %d: the logit is off by %g", i, t, difference);
        }
    }
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
}

static void compare_tensors(const char *source, const char *folder)
{
    struct nc_tensors *theirs, *ours;
    char *name = nc_path_join(source, "open_clip_model.safetensors");
    done(nc_tensors_open(name, &theirs));
    free(name);
    name = nc_path_join(folder, "open_clip_model.safetensors");
    done(nc_tensors_open(name, &ours));
    free(name);
    assert_int_equal(nc_tensors_count(theirs), nc_tensors_count(ours));
    for (size_t i = 0; i < nc_tensors_count(theirs); i++) {
        const struct nc_tensor *one = nc_tensors_at(theirs, i);
        const struct nc_tensor *other = nc_tensors_find(ours, one->name);
        if (!other || one->rank != other->rank || one->bytes != other->bytes ||
            memcmp(one->shape, other->shape, sizeof one->shape) != 0 ||
            strcmp(one->type_name, other->type_name) != 0 ||
            memcmp(one->data, other->data, one->bytes) != 0)
            fail_msg("\"%s\" differs", one->name);
    }
    nc_tensors_close(theirs);
    nc_tensors_close(ours);
}

static void models_of_open_clip_compute_the_same(void **state)
{
    (void)state;
    static const char *const sources[] = {"checkpoints/open_clip/gelu", "checkpoints/open_clip/quick_gelu"};
    for (size_t i = 0; i < 2; i++) {
        struct nc_tensors *golden;
        char *temporary = temporary_folder_create();
        char *folder = nc_path_join(temporary, "imported"),
             *again = nc_path_join(temporary, "again");
        char *path = nc_path_join(sources[i], "golden.safetensors");
        struct nc_model *model = import(sources[i], folder);
        done(nc_tensors_open(path, &golden));
        compare_logits(model, golden);
        done(nc_model_export(model, NC_FORMAT_OPEN_CLIP, NULL, again));
        compare_tensors(sources[i], again);
        nc_tensors_close(golden);
        nc_model_close(model);
        free(path);
        free(folder);
        free(again);
        temporary_folder_remove(temporary);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(models_of_open_clip_compute_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
