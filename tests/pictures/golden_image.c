/* Pictures against PIL and transformers, value by value (make_image_golden.py). */
#include "nclip/formats/json.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

struct golden {
    cJSON *cases;
    uint8_t *bytes;
    size_t size;
};

static struct golden golden;

static int setup(void **state)
{
    (void)state;
    if (nc_json_load("pictures/images/golden.json", &golden.cases) != NC_OK)
        return 1;
    size_t capacity = 1 << 20;
    golden.bytes = malloc(capacity);
    gzFile file = gzopen("pictures/images/golden.bin.gz", "rb");
    int count = file && golden.bytes ? gzread(file, golden.bytes, (unsigned)capacity) : -1;
    gzclose(file);
    golden.size = count > 0 ? (size_t)count : 0;
    return count <= 0;
}

static int teardown(void **state)
{
    (void)state;
    cJSON_Delete(golden.cases);
    free(golden.bytes);
    return 0;
}

static const char *text(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key)->valuestring;
}

static size_t number(const cJSON *object, const char *key)
{
    size_t value = 0;
    assert_int_equal(nc_json_size("golden.json", object, key, &value), NC_OK);
    return value;
}

static void load_as(const cJSON *item, const struct nc_image_reading *reading,
                    struct nc_image *image)
{
    char path[128];
    snprintf(path, sizeof path, "pictures/images/%s", text(item, "file"));
    if (nc_image_load(path, reading, image) != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void load(const cJSON *item, struct nc_image *image)
{
    load_as(item, NULL, image);
}

static void same_pixels(const cJSON *item, const struct nc_image *image, const uint8_t *expected)
{
    assert_int_equal(image->width, number(item, "width"));
    assert_int_equal(image->height, number(item, "height"));
    assert_int_equal(image->width * image->height * 3, number(item, "bytes"));
    for (size_t i = 0; i < number(item, "bytes"); i++)
        if (image->pixels[i] != expected[i])
            fail_msg("%s to %zu x %zu: pixel (%zu, %zu), colour %zu is %d, PIL has %d",
                     text(item, "file"), image->width, image->height, i / 3 % image->width,
                     i / 3 / image->width, i % 3, image->pixels[i], expected[i]);
}

static void check_decode(const cJSON *item, const uint8_t *expected)
{
    struct nc_image image;
    bool white = cJSON_HasObjectItem(item, "transparency");
    const cJSON *damage = cJSON_GetObjectItemCaseSensitive(item, "damage");
    struct nc_image_reading reading = {white ? NC_TRANSPARENCY_WHITE : NC_TRANSPARENCY_DROP, false};
    load_as(item, &reading, &image);
    same_pixels(item, &image, expected);
    if (damage ? !strstr(image.damage, damage->valuestring) : image.damage[0])
        fail_msg("%s: the damage is \"%s\"", text(item, "file"), image.damage);
    nc_image_free(&image);

    /* Strict, what is damaged is refused in the same words, and all else is the same. */
    char path[128];
    reading.strict = true;
    snprintf(path, sizeof path, "pictures/images/%s", text(item, "file"));
    assert_int_equal(nc_image_load(path, &reading, &image), damage ? NC_BAD_INPUT : NC_OK);
    if (damage)
        assert_non_null(strstr(nc_error_message(), damage->valuestring));
    else
        same_pixels(item, &image, expected);
    nc_image_free(&image);
}

static void check_resize(const cJSON *item, const uint8_t *expected)
{
    struct nc_image image, resized;
    load(item, &image);
    assert_int_equal(nc_image_resize(&image, number(item, "width"), number(item, "height"),
                                     (enum nc_resample)number(item, "resample"), &resized),
                     NC_OK);
    same_pixels(item, &resized, expected);
    nc_image_free(&resized);
    nc_image_free(&image);
}

static void check_preprocess(const cJSON *item, const uint8_t *expected)
{
    struct nc_image image;
    struct nc_preprocess preprocess;
    size_t size = number(item, "size"), count = 3 * size * size;
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(item, "config");
    if (nc_preprocess_parse("golden.json", config, size, &preprocess) != NC_OK)
        fail_msg("%s", nc_error_message());
    load_as(item, &preprocess.reading, &image);
    double box[4];
    const cJSON *numbers = cJSON_GetObjectItemCaseSensitive(item, "box");
    for (int i = 0; i < 4 && cJSON_IsArray(numbers); i++)
        box[i] = cJSON_GetArrayItem(numbers, i)->valuedouble;

    float *out = malloc(count * sizeof *out);
    if (nc_image_preprocess(&preprocess, &image, cJSON_IsArray(numbers) ? box : NULL, out) != NC_OK)
        fail_msg("%s: %s", text(item, "file"), nc_error_message());
    assert_int_equal(count * sizeof *out, number(item, "bytes"));
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, expected + i * sizeof value, sizeof value);
        if (out[i] != value)
            fail_msg("%s: value %zu of [3, %zu, %zu] is %.9g, transformers has %.9g",
                     text(item, "file"), i, size, size, (double)out[i], (double)value);
    }
    free(out);
    nc_image_free(&image);
}

static void run(const char *kind, void (*check)(const cJSON *, const uint8_t *), size_t at_least)
{
    size_t offset = 0, count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, golden.cases)
    {
        size_t bytes = number(item, "bytes");
        assert_true(bytes <= golden.size - offset);
        if (strcmp(text(item, "kind"), kind) == 0) {
            check(item, golden.bytes + offset);
            count++;
        }
        offset += bytes;
    }
    assert_int_equal(offset, golden.size);
    assert_true(count >= at_least);
}

static void decodes_as_pil(void **state)
{
    (void)state;
    run("decode", check_decode, 67);
}

/* On each level of processor, as far as this one goes. */
static void on_all_levels(const char *kind, void (*check)(const cJSON *, const uint8_t *),
                          size_t at_least)
{
    static const char *const levels[] = {"v2", "v3", "v4"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        assert_int_equal(setenv("NCLIP_CPU", levels[i], 1), 0);
        run(kind, check, at_least);
    }
    unsetenv("NCLIP_CPU");
}

static void resizes_as_pil(void **state)
{
    (void)state;
    on_all_levels("resize", check_resize, 20);
}

/* Sizes that no file of PIL's answers holds: the levels agree. */
static void levels_agree(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int round = 0; round < 300; round++) {
        size_t size[4]; /* width and height, before and after */
        for (int i = 0; i < 4; i++) {
            random = random * 1664525 + 1013904223;
            size[i] = 1 + (random >> 16) % (round % 10 == i ? 700 : 60);
        }
        struct nc_image image = {size[0], size[1], malloc(3 * size[0] * size[1])}, first, other;
        for (size_t i = 0; i < 3 * size[0] * size[1]; i++) {
            random = random * 1664525 + 1013904223;
            image.pixels[i] = round % 3 ? (uint8_t)(random >> 24) : (random >> 31 ? 255 : 0);
        }
        enum nc_resample resample = (enum nc_resample)(1 + round % 3);
        setenv("NCLIP_CPU", "v2", 1);
        assert_int_equal(nc_image_resize(&image, size[2], size[3], resample, &first), NC_OK);
        for (int level = 3; level <= 4; level++) {
            setenv("NCLIP_CPU", level == 3 ? "v3" : "v4", 1);
            assert_int_equal(nc_image_resize(&image, size[2], size[3], resample, &other), NC_OK);
            assert_memory_equal(first.pixels, other.pixels, 3 * size[2] * size[3]);
            nc_image_free(&other);
        }
        nc_image_free(&first);
        nc_image_free(&image);
    }
    unsetenv("NCLIP_CPU");
}

static void preprocesses_as_transformers(void **state)
{
    (void)state;
    on_all_levels("preprocess", check_preprocess, 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_as_pil),
        cmocka_unit_test(resizes_as_pil),
        cmocka_unit_test(levels_agree),
        cmocka_unit_test(preprocesses_as_transformers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
