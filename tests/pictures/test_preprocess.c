/* What preprocessor_config.json may say, and boxes. Values: golden_image.c. */
#include "nclip/formats/json.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, size_t size, struct nc_preprocess *preprocess)
{
    cJSON *root = NULL;
    assert_int_equal(nc_json_parse("config", text, strlen(text), &root), NC_OK);
    int status = nc_preprocess_parse("config", root, size, preprocess);
    cJSON_Delete(root);
    return status;
}

static void same(const char *text, size_t size, const char *description)
{
    struct nc_preprocess preprocess;
    if (parse(text, size, &preprocess) != NC_OK)
        fail_msg("%s: %s", text, nc_error_message());
    char *line = nc_preprocess_describe(&preprocess);
    assert_string_equal(line, description);
    free(line);
}

static void refuses(const char *text, const char *because)
{
    struct nc_preprocess preprocess;
    assert_int_equal(parse(text, 224, &preprocess), NC_BAD_INPUT);
    if (!strstr(nc_error_message(), because))
        fail_msg("%s: \"%s\" does not say \"%s\"", text, nc_error_message(), because);
}

#define COLORS "mean 0.48145467 0.457827508 0.408210725, std 0.268629551 0.26130259 0.275777102"

static void absent_keys_are_clips(void **state)
{
    (void)state;
    const char *clip = "rgb, shortest edge 224 bicubic, centre 224x224, times "
                       "0.0039215686274509803, " COLORS;
    same("{}", 224, clip);
    same("{\"size\": 224, \"crop_size\": 224, \"resample\": 3}", 224, clip);
    same("{\"size\": {\"shortest_edge\": 224}, \"crop_size\": {\"height\": 224, \"width\": 224},"
         " \"do_convert_rgb\": true, \"rescale_factor\": 0.00392156862745098,"
         " \"image_processor_type\": \"CLIPImageProcessor\", \"size_divisor\": null}",
         224, clip);
    same("{\"size\": null, \"image_mean\": null}", 224, clip);
}

static void other_settings_are_read(void **state)
{
    (void)state;
    same("{\"size\": {\"height\": 64, \"width\": 64}, \"do_center_crop\": false, \"resample\": 2,"
         " \"image_mean\": 0.5, \"image_std\": [0.5, 0.25, 1]}",
         64,
         "rgb, resized to 64x64 bilinear, not cropped, times 0.0039215686274509803, mean 0.5 0.5 "
         "0.5, std 0.5 0.25 1");
    same("{\"do_resize\": false, \"crop_size\": [8, 8], \"do_rescale\": false,"
         " \"do_normalize\": false, \"image_std\": 0}",
         8, "rgb, not resized, centre 8x8, not rescaled, not normalised");
    const char *square =
        "rgb, resized to 64x64 bicubic, centre 64x64, times 0.0039215686274509803, " COLORS;
    same("{\"size\": 64, \"default_to_square\": true}", 64, square);
    same("{\"size\": {\"shortest_edge\": 64}, \"use_square_size\": true}", 64, square);
    same("{\"size\": {\"shortest_edge\": 64}, \"default_to_square\": true, \"do_pad\": false,"
         " \"transparency\": \"white\"}",
         64,
         "rgb on white, shortest edge 64 bicubic, centre 64x64, times "
         "0.0039215686274509803, " COLORS);
#define SIGLIP                                                                                     \
    "{\"image_processor_type\": \"SiglipImageProcessor\", \"do_resize\": true, \"do_rescale\": "   \
    "true,"                                                                                        \
    " \"rescale_factor\": 0.00392156862745098, \"do_normalize\": true, \"image_mean\": [0.5, "     \
    "0.5, 0.5],"                                                                                   \
    " \"image_std\": [0.5, 0.5, 0.5], \"resample\": 3, \"size\": "
    const char *siglip = "rgb, resized to 64x64 bicubic, not cropped, times 0.0039215686274509803, "
                         "mean 0.5 0.5 0.5, std 0.5 0.5 0.5";
    same(SIGLIP "{\"height\": 64, \"width\": 64}}", 64, siglip);
    same(SIGLIP "64}", 64, siglip);
    same("{\"size\": 100, \"resample\": 1}", 96,
         "rgb, shortest edge 100 lanczos, centre 96x96, times 0.0039215686274509803, " COLORS);
}

static void wrong_settings_are_named(void **state)
{
    (void)state;
    refuses("[]", "not an object");
    refuses("{\"size\": \"224\"}", "\"size\"");
    refuses("{\"size\": 0}", "\"size\"");
    refuses("{\"size\": 22.5}", "\"size\"");
    refuses("{\"size\": 1e99}", "\"size\"");
    refuses("{\"size\": {\"longest_edge\": 224}}", "longest_edge");
    refuses("{\"size\": {\"shortest_edge\": 224, \"longest_edge\": 300}}", "longest_edge");
    refuses("{\"size\": {\"height\": 224}}", "height and width");
    refuses("{\"size\": [224]}", "\"size\"");
    refuses("{\"crop_size\": {\"shortest_edge\": 224}}", "\"crop_size\"");
    refuses("{\"crop_size\": -4}", "\"crop_size\"");
    refuses("{\"resample\": 0}", "\"resample\"");
    refuses("{\"resample\": \"bicubic\"}", "\"resample\"");
    refuses("{\"do_resize\": 1}", "\"do_resize\"");
    refuses("{\"do_pad\": true}", "do_pad");
    refuses("{\"image_processor_type\": \"ViTImageProcessor\", \"size\": 224}",
            "leaves \"resample\" to the defaults of ViTImageProcessor");
    refuses("{\"do_convert_rgb\": false}", "do_convert_rgb");
    refuses("{\"transparency\": \"black\"}", "\"transparency\"");
    refuses("{\"default_to_square\": 1}", "default_to_square");
    refuses("{\"use_square_size\": \"yes\"}", "use_square_size");
    refuses("{\"crop_pct\": 0.9}", "\"crop_pct\" may change pixels");
    refuses("{\"do_flip_channel_order\": true}", "\"do_flip_channel_order\" may change pixels");
    refuses("{\"size_divisor\": 32}", "\"size_divisor\" may change pixels");
    refuses("{\"size\": {\"max_height\": 3, \"max_width\": 3}}", "max_height");
    refuses("{\"image_mean\": [0.5, 0.5]}", "\"image_mean\"");
    refuses("{\"image_std\": [0.5, 0, 0.5]}", "\"image_std\"");
    refuses("{\"image_std\": [0.5, \"x\", 0.5]}", "\"image_std\"");
    refuses("{\"rescale_factor\": 1e999}", "\"rescale_factor\"");
    refuses("{\"crop_size\": 336}", "336 x 336");
    refuses("{\"do_center_crop\": false}", "many sizes");
    refuses("{\"do_center_crop\": false, \"do_resize\": false}", "many sizes");
}

static void put(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    free(path);
}

static void files_are_found(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    struct nc_preprocess preprocess;
    assert_int_equal(nc_preprocess_load(folder, 32, &preprocess), NC_OK);
    assert_int_equal(preprocess.shortest_edge, 32);
    assert_int_equal(preprocess.crop_width, 32);

    put(folder, "preprocessor_config.json", "{\"size\": 40, \"crop_size\": 32}");
    assert_int_equal(nc_preprocess_load(folder, 32, &preprocess), NC_OK);
    assert_int_equal(preprocess.shortest_edge, 40);

    put(folder, "processor_config.json", "{\"processor_class\": \"CLIPProcessor\"}");
    assert_int_equal(nc_preprocess_load(folder, 32, &preprocess), NC_OK);
    assert_int_equal(preprocess.shortest_edge, 40);

    put(folder, "processor_config.json",
        "{\"image_processor\": {\"size\": 50, \"crop_size\": 32}}");
    assert_int_equal(nc_preprocess_load(folder, 32, &preprocess), NC_OK);
    assert_int_equal(preprocess.shortest_edge, 50);
    assert_int_equal(preprocess.reading.transparency,
                     NC_TRANSPARENCY_WHITE); /* as transformers 5 */
    assert_true(nc_preprocess_choose(&preprocess, "drop", true));
    assert_int_equal(preprocess.reading.transparency, NC_TRANSPARENCY_DROP);
    assert_true(preprocess.reading.strict);
    assert_false(nc_preprocess_choose(&preprocess, "black", false));

    put(folder, "processor_config.json", "{\"image_processor\": ");
    assert_int_equal(nc_preprocess_load(folder, 32, &preprocess), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "processor_config.json"));
    temporary_folder_remove(folder);
}

static void boxes_without_pixels_are_refused(void **state)
{
    (void)state;
    uint8_t pixels[4 * 4 * 3] = {0};
    struct nc_image image = {4, 4, pixels};
    struct nc_preprocess preprocess;
    float out[3 * 8 * 8];
    nc_preprocess_default(8, &preprocess);
    const double wrong[][4] = {
        {0, 0, 0, 2},        {1, 1, 2, -1},    {0, 0, 0.4, 3},  {0, 0, NAN, 2},
        {0, 0, 2, INFINITY}, {1e300, 0, 2, 2}, {-1e9, 0, 1, 1}, {0, -130000, 130000, 260000},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nc_image_preprocess(&preprocess, &image, wrong[i], out), NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "box"));
    }
    struct nc_image nothing = {0};
    assert_int_equal(nc_image_preprocess(&preprocess, &nothing, NULL, out), NC_BAD_INPUT);
}

/* What is written reads back as the same settings. */
static void settings_survive_a_file(void **state)
{
    static const char *const settings[] = {
        "{}",
        "{\"size\": [8, 8], \"do_center_crop\": false, \"image_mean\": [0.5, 0.25, 0.1]}",
        "{\"resample\": 2, \"image_std\": [0.1, 0.2, 0.3]}",
        "{\"size\": {\"shortest_edge\": 10}, \"do_normalize\": false, \"rescale_factor\": 0.1}",
        "{\"do_resize\": false, \"do_rescale\": false, \"resample\": 1}",
        "{\"transparency\": \"white\"}",
    };
    (void)state;
    char *folder = temporary_folder_create();
    char *path = nc_path_join(folder, "preprocessor_config.json");
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        struct nc_preprocess before, after;
        assert_int_equal(parse(settings[i], 8, &before), NC_OK);
        assert_int_equal(nc_preprocess_write(path, &before), NC_OK);
        assert_int_equal(nc_preprocess_load(folder, 8, &after), NC_OK);
        char *one = nc_preprocess_describe(&before), *other = nc_preprocess_describe(&after);
        assert_string_equal(one, other);
        free(one);
        free(other);
    }
    free(path);
    temporary_folder_remove(folder);
}

/* A box of which nothing lies in the picture is black. */
static void outside_is_black(void **state)
{
    (void)state;
    uint8_t pixels[4 * 4 * 3];
    memset(pixels, 200, sizeof pixels);
    struct nc_image image = {4, 4, pixels};
    struct nc_preprocess preprocess;
    float out[3 * 8 * 8];
    nc_preprocess_default(8, &preprocess);
    const double box[4] = {10, -20, 5, 3};
    assert_int_equal(nc_image_preprocess(&preprocess, &image, box, out), NC_OK);
    for (size_t i = 0; i < 3 * 64; i++)
        assert_true(out[i] ==
                    (0.0f - preprocess.image_mean[i / 64]) / preprocess.image_std[i / 64]);
}

/* The longest possible strip costs no more than its crop. */
static void a_strip_needs_little_memory(void **state)
{
    (void)state;
    struct nc_image image = {NC_IMAGE_MAX_EDGE, 1, calloc(NC_IMAGE_MAX_EDGE, 3)};
    struct nc_preprocess preprocess;
    size_t size = 224;
    float *out = malloc(3 * size * size * sizeof *out);
    nc_preprocess_default(size, &preprocess);
    assert_int_equal(nc_image_preprocess(&preprocess, &image, NULL, out), NC_OK);
    free(out);
    nc_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_are_clips),
        cmocka_unit_test(other_settings_are_read),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(files_are_found),
        cmocka_unit_test(settings_survive_a_file),
        cmocka_unit_test(boxes_without_pixels_are_refused),
        cmocka_unit_test(outside_is_black),
        cmocka_unit_test(a_strip_needs_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
