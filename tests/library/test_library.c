/* libnclip's functions give what the program gives, and say what is wrong. */
#include "nclip/encoder/encoder.h"
#include "nclip/nclip.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char model[] = "../configs/quickstart/model";
static const char *const texts[] = {"a red circle", "a shape that is not red", ""};

static void done(int status)
{
    if (status != NC_CLIP_OK)
        fail_msg("%s", nc_clip_error());
}

static void says(const char *piece)
{
    if (!strstr(nc_clip_error(), piece))
        fail_msg("\"%s\" does not say \"%s\"", nc_clip_error(), piece);
}

static int open_both(void **state)
{
    nc_clip *clip;
    if (nc_clip_open(model, NC_CLIP_TEXT | NC_CLIP_IMAGES, &clip) != NC_CLIP_OK)
        return 1;
    *state = clip;
    return 0;
}

static int close_it(void **state)
{
    nc_clip_close(*state);
    return 0;
}

static void tells_what_the_model_is(void **state)
{
    assert_int_equal(nc_clip_dimension(*state), 64);
    assert_int_equal(nc_clip_context(*state), 32);
    assert_int_equal(nc_clip_image_size(*state), 64);
    assert_true(nc_clip_logit_scale(*state) > 1);
    assert_string_equal(nc_clip_version(), NCLIP_VERSION);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.", NC_CLIP_VERSION_MAJOR, NC_CLIP_VERSION_MINOR);
    assert_int_equal(strncmp(nc_clip_version(), version, strlen(version)), 0);
}

static void texts_are_what_the_encoder_makes_of_them(void **state)
{
    float ours[3 * 64], expected[3 * 64];
    struct nc_ops *ops;
    struct nc_model *folder;
    struct nc_encoder *encoder;
    const struct nc_encoder_options options = {.text = true};
    assert_int_equal(nc_model_open(model, &folder), NC_OK);
    assert_int_equal(nc_ops_create("cpu", 0, &ops), NC_OK);
    assert_int_equal(nc_encoder_create(ops, folder, &options, &encoder), NC_OK);
    assert_int_equal(nc_encoder_texts(encoder, texts, 3, false, expected), NC_OK);
    done(nc_clip_encode_texts(*state, texts, 3, ours));
    assert_memory_equal(ours, expected, sizeof ours);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    nc_model_close(folder);
}

static void tokenizes_into_the_context(void **state)
{
    int32_t ids[32];
    char many[400] = "";
    size_t count;
    done(nc_clip_tokenize(*state, "red", ids, &count));
    assert_int_equal(ids[0], 774);
    assert_int_equal(ids[count - 1], 775);
    done(nc_clip_tokenize(*state, "", ids, &count));
    assert_int_equal(count, 2);
    for (int i = 0; i < 60; i++)
        strcat(many, "red ");
    done(nc_clip_tokenize(*state, many, ids, &count));
    assert_int_equal(count, 32);
    assert_int_equal(ids[31], 775);
}

static void pixels_give_what_a_file_gives(void **state)
{
    struct nc_image image;
    float by_file[2 * 64], by_pixels[64], by_stride[64];
    const char *const paths[] = {"pictures/images/rgb.png", "pictures/images/420.jpg"};
    done(nc_clip_encode_image_files(*state, paths, 2, by_file));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nc_image_load(paths[i], NULL, &image), NC_OK);
        size_t stride = 3 * image.width + 5;
        uint8_t *wide = malloc(stride * image.height);
        memset(wide, 255, stride * image.height);
        for (size_t y = 0; y < image.height; y++)
            memcpy(wide + y * stride, image.pixels + y * 3 * image.width, 3 * image.width);
        done(nc_clip_encode_rgb(*state, image.pixels, image.width, image.height, 0, by_pixels));
        done(nc_clip_encode_rgb(*state, wide, image.width, image.height, stride, by_stride));
        assert_memory_equal(by_pixels, by_stride, sizeof by_pixels);
        for (int k = 0; k < 64; k++)
            assert_true(fabsf(by_pixels[k] - by_file[i * 64 + k]) < 1e-6f);
        free(wide);
        nc_image_free(&image);
    }
}

static void scores_are_cosines_and_a_softmax(void **state)
{
    float features[3 * 64], scores[9], probabilities[3];
    done(nc_clip_encode_texts(*state, texts, 3, features));
    nc_clip_cosines(*state, features, 3, features, 3, scores);
    for (int i = 0; i < 3; i++) {
        assert_true(fabsf(scores[4 * i] - 1) < 1e-6f);
        for (int k = 0; k < i; k++)
            assert_true(scores[3 * i + k] == scores[3 * k + i] && scores[3 * i + k] < 0.999f);
    }
    nc_clip_probabilities(*state, scores, 3, probabilities);
    double scale = (double)nc_clip_logit_scale(*state), sum = 0;
    for (int i = 0; i < 3; i++)
        sum += exp(scale * (double)scores[i]);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(exp(scale * (double)scores[i]) / sum - (double)probabilities[i]) < 1e-6);
    nc_clip_probabilities(*state, scores, 3, scores); /* in place */
    assert_memory_equal(scores, probabilities, sizeof probabilities);
}

static void errors_are_sentences(void **state)
{
    nc_clip *clip = *state;
    const char *const gone[] = {"pictures/images/rgb.png", "gone.png"};
    float features[2 * 64];
    int32_t ids[32];
    size_t count;
    assert_int_equal(nc_clip_encode_image_files(clip, gone, 2, features), NC_CLIP_BAD_INPUT);
    says("gone.png: ");
    assert_int_equal(nc_clip_encode_rgb(clip, (const uint8_t *)"", 0, 1, 0, features),
                     NC_CLIP_BAD_INPUT);
    assert_int_equal(nc_clip_encode_rgb(clip, (const uint8_t *)"", 8, 8, 23, features),
                     NC_CLIP_BAD_INPUT);
    says("8 x 8 pixels, 23 bytes a row");
    done(nc_clip_encode_texts(clip, texts, 2, features)); /* still usable */

    assert_int_equal(nc_clip_open("gone", NC_CLIP_TEXT, &clip), NC_CLIP_BAD_INPUT);
    assert_null(clip);
    says("gone: not a folder");
    assert_int_equal(nc_clip_open(model, 0, &clip), NC_CLIP_USAGE);
    assert_int_equal(nc_clip_open(model, NC_CLIP_TEXT | 64, &clip), NC_CLIP_USAGE);
    says("0x41");
    done(nc_clip_open(model, NC_CLIP_TEXT, &clip));
    assert_int_equal(nc_clip_encode_image_files(clip, gone, 1, features), NC_CLIP_USAGE);
    says("without NC_CLIP_IMAGES");
    nc_clip_close(clip);
    done(nc_clip_open(model, NC_CLIP_IMAGES | NC_CLIP_BF16, &clip));
    assert_int_equal(nc_clip_tokenize(clip, "red", ids, &count), NC_CLIP_USAGE);
    assert_int_equal(nc_clip_encode_texts(clip, texts, 1, features), NC_CLIP_USAGE);
    says("without NC_CLIP_TEXT");
    done(nc_clip_encode_image_files(clip, gone, 1, features));
    nc_clip_close(clip);
    nc_clip_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_the_model_is),
        cmocka_unit_test(texts_are_what_the_encoder_makes_of_them),
        cmocka_unit_test(tokenizes_into_the_context),
        cmocka_unit_test(pixels_give_what_a_file_gives),
        cmocka_unit_test(scores_are_cosines_and_a_softmax),
        cmocka_unit_test(errors_are_sentences),
    };
    return cmocka_run_group_tests(tests, open_both, close_it);
}
