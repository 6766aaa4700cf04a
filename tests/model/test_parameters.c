/* The table of parameters: no overlap, the right sizes, and products that overflow. */
#include "nclip/model/parameters.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Widths that are no multiple of the alignment, so that every row needs padding. */
static const struct nc_model_shape odd = {
    .text = {.width = 33, .layers = 3, .heads = 1, .mlp = 35},
    .vision = {.width = 39, .layers = 2, .heads = 1, .mlp = 51},
    .embedding = 13,
    .vocabulary = 101,
    .context = 7,
    .image_size = 11,
    .patch_size = 4,
    .channels = 3,
};

static const struct nc_model_shape vit_l_14 = {
    .text = {.width = 768, .layers = 12, .heads = 12, .mlp = 3072},
    .vision = {.width = 1024, .layers = 24, .heads = 16, .mlp = 4096},
    .embedding = 768,
    .vocabulary = 49408,
    .context = 77,
    .image_size = 224,
    .patch_size = 14,
    .channels = 3,
};

static void rows_fill_each_buffer_without_overlap(void **state)
{
    (void)state;
    struct nc_parameter_table table;
    assert_int_equal(nc_parameter_table_create(&odd, &table), NC_OK);
    size_t end[2] = {0};
    for (size_t i = 0; i < table.count; i++) {
        const struct nc_parameter *row = &table.rows[i];
        size_t count = 1;
        for (size_t j = 0; j < row->rank; j++)
            count *= row->shape[j];
        assert_int_equal(row->count, count);
        assert_true(row->offset >= end[row->tower]);
        assert_true(row->offset < end[row->tower] + 16); /* padding is less than one line */
        if (row->openai_slice < 1)
            assert_int_equal(row->offset % 16, 0);
        if (i && table.rows[i - 1].tower != row->tower)
            assert_int_equal(row->tower, NC_TOWER_VISION); /* text first */
        end[row->tower] = row->offset + row->count;
    }
    for (int tower = 0; tower < 2; tower++) {
        assert_int_equal(table.tower_elements[tower] % 16, 0);
        assert_true(table.tower_elements[tower] >= end[tower]);
        assert_true(table.tower_elements[tower] < end[tower] + 16);
    }
    nc_parameter_table_destroy(&table);
    assert_null(table.rows);
}

static void query_key_and_value_are_one_matrix(void **state)
{
    (void)state;
    struct nc_parameter_table table;
    assert_int_equal(nc_parameter_table_create(&odd, &table), NC_OK);
    for (int tower = 0; tower < 2; tower++) {
        size_t width = tower == NC_TOWER_TEXT ? odd.text.width : odd.vision.width;
        int layers = tower == NC_TOWER_TEXT ? 3 : 2;
        for (int block = 0; block < layers; block++) {
            size_t weight = nc_parameter_offset(&table, tower, NC_QUERY_WEIGHT, block);
            size_t bias = nc_parameter_offset(&table, tower, NC_QUERY_BIAS, block);
            for (int i = 1; i < 3; i++) {
                assert_int_equal(nc_parameter_offset(&table, tower, NC_QUERY_WEIGHT + i, block),
                                 weight + (size_t)i * width * width);
                assert_int_equal(nc_parameter_offset(&table, tower, NC_QUERY_BIAS + i, block),
                                 bias + (size_t)i * width);
            }
        }
    }
    nc_parameter_table_destroy(&table);
}

static void rows_are_found_by_role(void **state)
{
    (void)state;
    struct nc_parameter_table table;
    assert_int_equal(nc_parameter_table_create(&odd, &table), NC_OK);
    for (size_t i = 0; i < table.count; i++) {
        const struct nc_parameter *row = &table.rows[i];
        assert_ptr_equal(nc_parameter_find(&table, row->tower, row->role, row->block), row);
    }
    assert_null(nc_parameter_find(&table, NC_TOWER_TEXT, NC_FC1_BIAS, 3));
    assert_null(nc_parameter_find(&table, NC_TOWER_TEXT, NC_FC1_BIAS, NC_NO_BLOCK));
    assert_null(nc_parameter_find(&table, NC_TOWER_VISION, NC_LOGIT_SCALE, NC_NO_BLOCK));
    assert_null(nc_parameter_find(&table, NC_TOWER_TEXT, NC_CLASS_EMBEDDING, NC_NO_BLOCK));
    assert_string_equal(nc_parameter_find(&table, NC_TOWER_VISION, NC_OUT_WEIGHT, 1)->name,
                        "vision_model.encoder.layers.1.self_attn.out_proj.weight");
    nc_parameter_table_destroy(&table);
}

/* The numbers of parameters that OpenAI's ViT-L/14 is known for: 427,616,513 in all,
 * of them 123,650,305 in the text tower with its projection and the logit scale. */
static void vit_l_14_has_its_size(void **state)
{
    (void)state;
    struct nc_parameter_table table;
    assert_int_equal(nc_parameter_table_create(&vit_l_14, &table), NC_OK);
    size_t elements[2] = {0};
    for (size_t i = 0; i < table.count; i++)
        elements[table.rows[i].tower] += table.rows[i].count;
    assert_int_equal(elements[NC_TOWER_TEXT], 123650305);
    assert_int_equal(elements[NC_TOWER_TEXT] + elements[NC_TOWER_VISION], 427616513);
    nc_parameter_table_destroy(&table);
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    struct nc_parameter_table table;
    struct nc_model_shape shape = odd;
    shape.vocabulary = SIZE_MAX / 33 + 1; /* the product wraps around */
    assert_int_equal(nc_parameter_table_create(&shape, &table), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "token_embedding"));
    assert_null(table.rows);
    shape = odd;
    shape.text.mlp = SIZE_MAX / 33 / 20; /* each fits, the buffer in bytes does not */
    assert_int_equal(nc_parameter_table_create(&shape, &table), NC_BAD_INPUT);
    shape = odd;
    shape.text.layers = SIZE_MAX;
    assert_int_equal(nc_parameter_table_create(&shape, &table), NC_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_fill_each_buffer_without_overlap),
        cmocka_unit_test(query_key_and_value_are_one_matrix),
        cmocka_unit_test(rows_are_found_by_role),
        cmocka_unit_test(vit_l_14_has_its_size),
        cmocka_unit_test(products_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
