/* Pictures from a store: found by the ends of their names, of length one, or refused. */
#include "../support/temporary_folder.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL "../configs/quickstart/model"

enum { MOST_DIMENSION = 1024 };

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static size_t dimension(char hash[17])
{
    struct nc_model *model;
    check(nc_model_open(MODEL, &model));
    check(nc_model_vision_hash(model, hash));
    size_t count = nc_model_shape(model)->embedding;
    nc_model_close(model);
    assert_true(count <= MOST_DIMENSION);
    return count;
}

/* Two rows that are three times as long as they should be. */
static void write_store(const char *folder, const char *hash, size_t count)
{
    struct nc_embedding_writer *writer;
    struct nc_embedding_info info = {
        .model_hash = hash, .preprocessing = "none", .dimension = count, .type = NC_FLOAT32};
    float row[MOST_DIMENSION] = {0};
    check(nc_embedding_writer_open(folder, &info, 0, &writer));
    row[0] = 3;
    check(nc_embedding_writer_append(writer, "val/a.jpg", row));
    row[0] = 0;
    row[1] = -3;
    check(nc_embedding_writer_append(writer, "b.jpg", row));
    check(nc_embedding_writer_close(writer));
}

static void from_a_store(void **state)
{
    (void)state;
    char hash[17], *folder = temporary_folder_create();
    size_t count = dimension(hash);
    struct nc_evaluator *evaluator;
    struct nc_evaluator_options options = {.model = MODEL, .embeddings = folder, .device = "cpu"};
    const char *names[] = {"/their/machine/val/a.jpg", "val/b.jpg", "val/c.jpg"};
    struct nc_view items[] = {{.image = 1}, {.image = 0}, {.image = 2}};
    struct nc_views views = {items, 2, names, 3};
    float features[3 * MOST_DIMENSION];
    bool missing[3];
    write_store(folder, hash, count);
    check(nc_evaluator_open(&options, &evaluator));
    check(nc_evaluator_views(evaluator, &views, NULL, features, missing));
    assert_true(fabsf(features[1] + 1) < 1e-6f && features[0] == 0);
    assert_true(fabsf(features[count] - 1) < 1e-6f && features[count + 1] == 0);

    views.count = 3;
    assert_int_equal(nc_evaluator_views(evaluator, &views, NULL, features, missing), NC_BAD_INPUT);
    assert_non_null(
        strstr(nc_error_message(), "does not hold val/c.jpg: embed it, or give --images too"));
    /* Asked for, what embed left out is passed over, and told. */
    struct nc_evaluator *lenient;
    options.skip_unreadable = true;
    check(nc_evaluator_open(&options, &lenient));
    check(nc_evaluator_views(lenient, &views, NULL, features, missing));
    assert_true(!missing[0] && !missing[1] && missing[2]);
    assert_true(nc_evaluator_unreadable(lenient) == 1 && features[2 * count] == 0);
    nc_evaluator_close(lenient);
    views.count = 1;
    items[0].has_box = true;
    assert_int_equal(nc_evaluator_views(evaluator, &views, NULL, features, missing), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "looks at a part of b.jpg: give --images"));
    nc_evaluator_close(evaluator);
    temporary_folder_remove(folder);
}

static void another_models_store(void **state)
{
    (void)state;
    char hash[17], *folder = temporary_folder_create();
    struct nc_evaluator *evaluator;
    struct nc_evaluator_options options = {.model = MODEL, .embeddings = folder, .device = "cpu"};
    size_t count = dimension(hash);
    write_store(folder, "0123456789abcdef", count);
    assert_int_equal(nc_evaluator_open(&options, &evaluator), NC_BAD_INPUT);
    assert_null(evaluator);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(from_a_store),
                                       cmocka_unit_test(another_models_store)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
