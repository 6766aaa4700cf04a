/* What nclip info says of a model's folder. */
#include "varied_folder.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = temporary_folder_create();
    return 0;
}

static int teardown(void **state)
{
    temporary_folder_remove(*state);
    return 0;
}

static char *describe(const struct nc_model *model, bool json, bool parameters)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(nc_model_describe(model, out, json, parameters), NC_OK);
    fclose(out);
    return text;
}

static void a_model_is_described(void **state)
{
    char *folder = make_model(state, "model",
                              (struct variation){.type = NC_FLOAT16,
                                                 .broken = "logit_scale",
                                                 .value = 2,
                                                 .extra = "odd",
                                                 .extra_type = "F32"});
    struct nc_model *model = open_model(folder);
    char *text = describe(model, false, false), hash[17];
    assert_int_equal(nc_model_vision_hash(model, hash), NC_OK);
    const char *const expected[] = {folder,
                                    hash,
                                    "fp16",
                                    "fp32",
                                    "the first token 49",
                                    "2.0000 (similarities are multiplied by 7.39)",
                                    "odd"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (!strstr(text, expected[i]))
            fail_msg("expected \"%s\" in\n%s", expected[i], text);
    }
    assert_null(strstr(text, "self_attn"));
    free(text);
    text = describe(model, false, true);
    assert_non_null(strstr(text, "text_model.encoder.layers.1.self_attn.q_proj.weight"));
    assert_non_null(strstr(text, "32 x 3 x 4 x 4"));
    free(text);

    text = describe(model, true, true);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    cJSON *root;
    const cJSON *part, *table;
    size_t value, elements = 0;
    const char *name;
    assert_int_equal(nc_json_parse("description", text, strlen(text), &root), NC_OK);
    assert_int_equal(nc_json_object("description", root, "text", &part), NC_OK);
    assert_int_equal(nc_json_size("text", part, "head_size", &value), NC_OK);
    assert_int_equal(value, 32);
    assert_int_equal(nc_json_string("text", part, "end_rule", &name), NC_OK);
    assert_string_equal(name, "first");
    assert_int_equal(nc_json_object("description", root, "vision", &part), NC_OK);
    assert_int_equal(nc_json_string("vision", part, "hash", &name), NC_OK);
    assert_string_equal(name, hash);
    assert_int_equal(nc_json_array("description", root, "parameter_table", &table), NC_OK);
    for (const cJSON *row = table->child; row; row = row->next) {
        size_t count = 1;
        assert_int_equal(nc_json_array("row", row, "shape", &part), NC_OK);
        for (const cJSON *size = part->child; size; size = size->next)
            count *= (size_t)size->valuedouble;
        elements += count;
    }
    assert_int_equal(nc_json_size("description", root, "parameters", &value), NC_OK);
    assert_int_equal(value, elements);
    cJSON_Delete(root);
    free(text);
    nc_model_close(model);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_is_described, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
