/* Composed features: in two and three dimensions, where the angles are known; files of splits; a
 * model's own features. */
#include "../support/temporary_folder.h"
#include "nclip/evaluate/composition.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL "../configs/quickstart/model"

static const double degree = 3.14159265358979323846 / 180;

static void at_angle(double degrees, float out[2])
{
    out[0] = (float)cos(degrees * degree);
    out[1] = (float)sin(degrees * degree);
}

/* The angle of what a at 0 degrees and n at `denied` degrees are composed to. */
static double composed_angle(const struct nc_composition *composition, double denied)
{
    float a[2], n[2], out[2];
    at_angle(0, a);
    at_angle(denied, n);
    nc_compose(composition, a, n, 2, out);
    assert_true(fabs(hypot((double)out[0], (double)out[1]) - 1) < 1e-6);
    return atan2((double)out[1], (double)out[0]) / degree;
}

static void space_in_the_plane(void **state)
{
    (void)state;
    struct nc_composition space = {.method = NC_METHOD_SPACE, .threshold = cos(40 * degree)};
    /* Around n at 60 degrees nothing above 20 is meant, around a nothing below -40: -10. */
    assert_true(fabs(composed_angle(&space, 60) + 10) < 1e-4);
    assert_true(fabs(composed_angle(&space, -60) - 10) < 1e-4);
    assert_true(fabs(composed_angle(&space, 20) + 30) < 1e-4);
    assert_true(fabs(composed_angle(&space, 79) + 0.5) < 1e-4);
    /* The caps do not meet, or are one. */
    assert_true(fabs(composed_angle(&space, 81)) < 1e-6);
    assert_true(fabs(composed_angle(&space, 180)) < 1e-6);
    assert_true(fabs(composed_angle(&space, 0)) < 1e-6);
    /* SpaceVLM's threshold: A = 23.0739 degrees; T = 30 gives 15 - 23.0739. */
    space.threshold = 0.92;
    assert_true(fabs(composed_angle(&space, 30) + 8.07391) < 1e-4);
}

static void space_in_three_dimensions(void **state)
{
    (void)state;
    /* T = 60 degrees, t = 0.8: A = 36.8699; sin and cos of A + 30 = 66.8699 are 0.919615 and
     * 0.392820; 0.919615 / sin 60 = 1.061880. */
    const float a[3] = {1, 0, 0}, n[3] = {0.5f, 0.5f, 0.70710678f};
    struct nc_composition space = {.method = NC_METHOD_SPACE, .threshold = 0.8};
    float out[3];
    nc_compose(&space, a, n, 3, out);
    const double along = 1.0618802, of_n = 0.3928203 - along * 0.5;
    assert_true(fabs((double)out[0] - (along + of_n * 0.5)) < 1e-5);
    assert_true(fabs((double)out[1] - of_n * 0.5) < 1e-5);
    assert_true(fabs((double)out[2] - of_n * 0.70710678) < 1e-5);
}

static void difference(void **state)
{
    (void)state;
    struct nc_composition composition = {.method = NC_METHOD_DIFFERENCE, .weight = 1};
    assert_true(fabs(composed_angle(&composition, 90) + 45) < 1e-5);
    assert_true(fabs(composed_angle(&composition, 60) + 60) < 1e-5);
    assert_true(fabs(composed_angle(&composition, 0)) < 1e-6); /* nothing is left: a */
    composition.weight = 0;
    assert_true(fabs(composed_angle(&composition, 60)) < 1e-6);
    composition.weight = 0.5;
    assert_true(fabs(composed_angle(&composition, 90) - atan2(-0.5, 1) / degree) < 1e-5);
}

static void refuses_wrong_numbers(void **state)
{
    (void)state;
    static const struct nc_composition wrong[] = {
        {NC_METHOD_SPACE, NULL, 1, 1},          {NC_METHOD_SPACE, NULL, 1, 0},
        {NC_METHOD_SPACE, NULL, 1, NAN},        {NC_METHOD_DIFFERENCE, NULL, -1, 0.9},
        {NC_METHOD_DIFFERENCE, NULL, NAN, 0.9}, {NC_METHOD_PLAIN, "splits.jsonl", 1, 0.9}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(nc_composition_check(&wrong[i]), NC_USAGE);
}

/* ---- With a model ---- */

static const char *const texts[] = {
    "a picture of a red circle", "a picture of a shape that is not red",
    "there is no circle",        "a picture of a shape",
    "a picture of a red shape",  "circle",
    "A photo of something"};
enum { TEXTS = 7, MOST_DIMENSION = 1024 };

static void check_composed(struct nc_evaluator *evaluator, const char *splits)
{
    struct nc_composition composition = {
        .method = NC_METHOD_DIFFERENCE, .splits = splits, .weight = 1, .threshold = 0.92};
    size_t size = nc_evaluator_embedding(evaluator), composed;
    float *own = malloc(TEXTS * size * sizeof *own), *made = malloc(3 * size * sizeof *made);
    float expected[MOST_DIMENSION];
    assert_true(own && made && size <= MOST_DIMENSION);
    assert_int_equal(nc_evaluator_texts(evaluator, texts, TEXTS, own), NC_OK);
    for (int method = NC_METHOD_DIFFERENCE; method < NC_METHODS; method++) {
        composition.method = (enum nc_method)method;
        if (nc_composed_texts(evaluator, &composition, texts, 3, made, &composed) != NC_OK)
            fail_msg("%s", nc_error_message());
        assert_int_equal(composed, 2);
        nc_compose(&composition, own + 3 * size, own + 4 * size, size, expected);
        float farthest = 0;
        for (size_t i = 0; i < size; i++)
            farthest = fmaxf(farthest,
                             fmaxf(fabsf(made[i] - own[i]), fabsf(made[size + i] - expected[i])));
        nc_compose(&composition, own + 6 * size, own + 5 * size, size, expected);
        for (size_t i = 0; i < size; i++)
            farthest = fmaxf(farthest, fabsf(made[2 * size + i] - expected[i]));
        assert_true(farthest < 1e-5f);
    }
    free(own);
    free(made);
}

static char *write_file(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void by_rules_and_by_files(void **state)
{
    (void)state;
    struct nc_evaluator *evaluator;
    struct nc_evaluator_options options = {.model = MODEL, .device = "cpu"};
    assert_int_equal(nc_evaluator_open(&options, &evaluator), NC_OK);
    check_composed(evaluator, NULL);

    static const char *const files[][2] = {
        {"a.jsonl",
         "{\"caption\": \"a picture of a shape that is not red\", \"affirmed\": \"a "
         "picture of a shape\", \"denied\": \"a picture of a red shape\"}\n\n{\"caption\": \"there "
         "is no circle\", \"affirmed\": null, \"denied\": \"circle\"}\n"},
        {"a.csv", "caption,affirmed,denied\na picture of a shape that is not red,a picture of a "
                  "shape,a picture of a red shape\nthere is no circle,,circle\n"},
        {"b.csv",
         ",index,original sentence,affirmative part,negation part\n0,7,a picture of a "
         "shape that is not red,a picture of a shape,a picture of a red shape\n1,8,there is no "
         "circle,,circle\n"},
        {"c.csv", "Prompts,Affirmative,Negated\na picture of a shape that is not red,a picture of "
                  "a shape,a picture of a red shape\nthere is no circle,,circle\n"}};
    char *folder = temporary_folder_create();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = write_file(folder, files[i][0], files[i][1]);
        check_composed(evaluator, path);
        free(path);
    }
    static const char *const wrong[][3] = {
        {"w.jsonl", "{\"caption\": \"a dog\", \"affirmed\": \"a dog\"}\n", "does not tell how"},
        {"w.jsonl", "{\"affirmed\": \"a dog\"}\n", "line 1: \"caption\" is missing"},
        {"w.jsonl", "{\"caption\": \"no\", \"denied\": 7}\n", "line 1: \"denied\""},
        {"w.jsonl", "{\"caption\": \"no\"}\n{\"caption\": \"no\", \"denied\": \"x\"}\n",
         "line 2: \"no\" stands there already"},
        {"w.jsonl", "[]\n", "line 1: is not an object"},
        {"w.jsonl", "\n", "holds no split caption"},
        {"w.csv", "a,b\n1,2\n", "no column \"caption\""},
        {"w.csv", "caption,affirmed\na,b\n", "denied"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *path = write_file(folder, wrong[i][0], wrong[i][1]);
        struct nc_composition composition = {
            .method = NC_METHOD_SPACE, .splits = path, .weight = 1, .threshold = 0.92};
        float features[3 * MOST_DIMENSION];
        int status = nc_composed_texts(evaluator, &composition, texts, 3, features, NULL);
        if (status != NC_BAD_INPUT || !strstr(nc_error_message(), wrong[i][2]))
            fail_msg("%zu: status %d: %s", i, status, nc_error_message());
        free(path);
    }
    nc_evaluator_close(evaluator);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_in_the_plane),
        cmocka_unit_test(space_in_three_dimensions),
        cmocka_unit_test(difference),
        cmocka_unit_test(refuses_wrong_numbers),
        cmocka_unit_test(by_rules_and_by_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
