/* Which rows of the parameter table the names of a config's `trainable` mean. */
#include "nclip/model/family.h"
#include "nclip/support/error.h"
#include "nclip/train/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after the headers it needs */
#include <cmocka.h>

/* A text tower of two blocks, with a logit_bias or without. */
static struct nc_model_shape shape_of(bool logit_bias)
{
    struct nc_model_shape shape = nc_families[NC_FAMILY_OTHER].defaults;
    shape.text.layers = 2;
    shape.vision.layers = 0;
    shape.logit_bias = logit_bias;
    return shape;
}

/* How many of the rows of a role train. */
static size_t trained(const struct nc_parameter_table *table, const bool *trainable,
                      enum nc_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < table->count; i++)
        count += table->rows[i].role == role && trainable[i];
    return count;
}

static void parse(const struct nc_model_shape *shape, struct nc_parameter_table *table,
                  const char *name, const char *other, bool **trainable)
{
    const char *names[] = {name, other};
    assert_int_equal(nc_parameter_table_create(shape, table), NC_OK);
    assert_int_equal(nc_trainable_parse(names, other ? 2 : 1, table, shape, trainable), NC_OK);
}

static void names_mean_their_rows(void **state)
{
    (void)state;
    const struct nc_model_shape shape = shape_of(false);
    struct nc_parameter_table table;
    bool *trainable;
    parse(&shape, &table, "blocks.1", "logit_scale", &trainable);
    assert_int_equal(trained(&table, trainable, NC_FC1_WEIGHT), 1);
    assert_int_equal(trained(&table, trainable, NC_LOGIT_SCALE), 1);
    assert_int_equal(trained(&table, trainable, NC_PROJECTION), 0);
    free(trainable);
    nc_parameter_table_destroy(&table);
    parse(&shape, &table, "all", NULL, &trainable);
    for (size_t i = 0; i < table.count; i++)
        assert_true(trainable[i]);
    free(trainable);
    nc_parameter_table_destroy(&table);
}

static void a_logit_bias_is_asked_for(void **state)
{
    (void)state;
    const struct nc_model_shape with = shape_of(true), without = shape_of(false);
    struct nc_parameter_table table;
    bool *trainable;
    parse(&with, &table, "all", NULL, &trainable);
    assert_int_equal(trained(&table, trainable, NC_LOGIT_BIAS), 0);
    assert_int_equal(trained(&table, trainable, NC_LOGIT_SCALE), 1);
    free(trainable);
    nc_parameter_table_destroy(&table);
    parse(&with, &table, "projection", "logit_bias", &trainable);
    assert_int_equal(trained(&table, trainable, NC_LOGIT_BIAS), 1);
    assert_int_equal(trained(&table, trainable, NC_LOGIT_SCALE), 0);
    free(trainable);
    nc_parameter_table_destroy(&table);

    const char *name = "logit_bias";
    assert_int_equal(nc_parameter_table_create(&without, &table), NC_OK);
    assert_int_equal(nc_trainable_parse(&name, 1, &table, &without, &trainable), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "\"logit_bias\" is not in this model"));
    assert_null(trainable);
    nc_parameter_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_mean_their_rows),
        cmocka_unit_test(a_logit_bias_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
