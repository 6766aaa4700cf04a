/* A text tower of open_clip's CustomTextCLIP, taken from beside a vision tower that nclip does not
 * compute: the features that open_clip computes. Values: make_custom_text_golden.py (fp32). */
#include "../support/temporary_folder.h"
#include "nclip/checkpoints/exchange.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/encoder/encoder.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CAPTIONS = 3, EMBEDDING = 24 };

static void done(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void features_are_open_clips(void **state)
{
    (void)state;
    static const size_t start[CAPTIONS + 1] = {0, 5, 8, 40};
    int32_t ids[40] = {298, 5, 6, 7, 299, 298, 9, 299, 298};
    for (int i = 1; i < 31; i++)
        ids[8 + i] = i;
    ids[39] = 299;
    char *folder = temporary_folder_create(), *out = nc_path_join(folder, "text");
    const struct nc_import_options import = {.text_only = true};
    struct nc_encoder_options options = {.text = true, .ids = true, .batch = 2};
    float features[CAPTIONS][EMBEDDING];
    struct nc_tensors *golden;
    struct nc_model *model;
    struct nc_encoder *encoder;
    struct nc_ops *ops;
    bool has_tokenizer;
    char hash[17];
    done(nc_model_import("checkpoints/custom_text", &import, out, &has_tokenizer));
    assert_false(has_tokenizer);
    done(nc_model_open(out, &model));
    done(nc_ops_create("cpu", 0, &ops));
    done(nc_encoder_create(ops, model, &options, &encoder));
    done(nc_encoder_ids(encoder, ids, start, CAPTIONS, 1, false, features[0]));
    done(nc_tensors_open("checkpoints/custom_text/golden.safetensors", &golden));
    const float *expected =
        (const float *)(const void *)nc_tensors_find(golden, "features")->data;
    for (int i = 0; i < CAPTIONS; i++) {
        double cosine = 0;
        for (int k = 0; k < EMBEDDING; k++)
            cosine += (double)features[i][k] * (double)expected[i * EMBEDDING + k];
        if (!(1 - cosine < 1e-6))
            fail_msg("caption %d: 1 - cosine is %g", i, 1 - cosine);
    }
    options.vision = true;
    struct nc_encoder *none;
    assert_int_equal(nc_encoder_create(ops, model, &options, &none), NC_BAD_INPUT);
    assert_int_equal(nc_model_vision_hash(model, hash), NC_BAD_INPUT);
    nc_tensors_close(golden);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    nc_model_close(model);
    free(out);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(features_are_open_clips)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
