/* Configs that cannot be, or that nclip does not compute, are refused by name. */
#include "nclip/checkpoints/folder.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int read_config(const char *text, struct nc_model_shape *shape)
{
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "config.json");
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    int status = nc_model_shape_read(path, shape);
    if (status != NC_OK && !strstr(nc_error_message(), path))
        fail_msg("the file is not named: %s", nc_error_message());
    free(path);
    temporary_folder_remove(folder);
    return status;
}

static void impossible_configs_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *config, *reason;
    } cases[] = {
        {"{\"model_type\":\"blip\"}", "\"blip\""},
        {"{\"model_type\":\"siglip\",\"text_config\":{\"pad_token_id\":32000}}", "\"pad_token_id\" -1"},
        {"{\"model_type\":\"metaclip_2\",\"text_config\":{\"eos_token_id\":50000}}", "lies outside"},
        {"{\"model_type\":\"nclip_text_model\",\"mask\":\"some\"}", "\"mask\" is \"some\""},
        {"{\"model_type\":\"nclip_text_model\",\"mask\":\"padding\",\"pooling\":\"last\"}",
         "does not see padding"},
        {"{\"model_type\":7}", "\"model_type\" is not a string"},
        {"{\"projection_dim\":0}", "\"projection_dim\" is 0"},
        {"{\"projection_dim\":-5}", "\"projection_dim\" is not a whole number"},
        {"{\"projection_dim\":1e12}", "\"projection_dim\" is 1000000000000"},
        {"{\"logit_scale_init_value\":1e9}", "logit_scale_init_value"},
        {"{\"text_config\":[]}", "\"text_config\" is not an object"},
        {"{\"vision_config_dict\":3}", "\"vision_config_dict\" is not an object"},
        {"{\"text_config\":{\"hidden_size\":\"512\"}}", "text_config: \"hidden_size\""},
        {"{\"text_config\":{\"hidden_size\":512.5}}", "text_config: \"hidden_size\""},
        {"{\"text_config\":{\"num_attention_heads\":7}}", "512 is no multiple"},
        {"{\"text_config\":{\"num_attention_heads\":0}}", "\"num_attention_heads\" is 0"},
        {"{\"text_config\":{\"num_attention_heads\":32}}", "heads of 16"},
        {"{\"vision_config\":{\"num_attention_heads\":4}}", "vision_config: heads of 192"},
        {"{\"text_config\":{\"num_hidden_layers\":100000}}", "\"num_hidden_layers\" is 100000"},
        {"{\"text_config\":{\"vocab_size\":4294967296}}", "\"vocab_size\" is 4294967296"},
        {"{\"text_config\":{\"max_position_embeddings\":0}}", "\"max_position_embeddings\" is 0"},
        {"{\"text_config\":{\"hidden_act\":\"gelu_new\"}}", "\"gelu_new\"; nclip computes"},
        {"{\"vision_config\":{\"hidden_act\":\"relu\"}}", "vision_config: \"hidden_act\""},
        {"{\"text_config\":{\"layer_norm_eps\":0}}", "\"layer_norm_eps\" is 0"},
        {"{\"text_config\":{\"eos_token_id\":[2,3]}}", "\"eos_token_id\" is not a whole number"},
        {"{\"text_config\":{\"vocab_size\":100}}", "\"eos_token_id\" 49407 lies outside"},
        {"{\"vision_config\":{\"patch_size\":225}}", "\"patch_size\" 225 is larger"},
        {"{\"vision_config\":{\"image_size\":[224,224]}}", "\"image_size\" is not a whole"},
        {"{\"vision_config\":{\"num_channels\":1}}", "\"num_channels\" is 1"},
        {"[]", "not a JSON object"},
        {"{\"text_config\":{},}", "not valid JSON"},
        {"{\"projection_dim\":NaN}", "\"projection_dim\" is not a whole number"},
        {"", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nc_model_shape shape;
        if (read_config(cases[i].config, &shape) != NC_BAD_INPUT)
            fail_msg("accepted %s", cases[i].config);
        if (!strstr(nc_error_message(), cases[i].reason))
            fail_msg("expected \"%s\" in: %s", cases[i].reason, nc_error_message());
    }
}

static void the_end_rule_follows_the_checkpoint(void **state)
{
    (void)state;
    struct nc_model_shape shape;
    assert_int_equal(read_config("{\"text_config\":{\"eos_token_id\":2}}", &shape), NC_OK);
    assert_int_equal(shape.end_rule, NC_END_ARGMAX);
    assert_int_equal(read_config("{\"text_config\":{\"eos_token_id\":3}}", &shape), NC_OK);
    assert_int_equal(shape.end_rule, NC_END_FIRST);
    assert_int_equal(shape.end_token, 3);
    assert_int_equal(read_config("{}", &shape), NC_OK);
    assert_int_equal(shape.end_rule, NC_END_FIRST);
    assert_int_equal(shape.end_token, 49407);
    /* The old rule needs no end token in the vocabulary. */
    assert_int_equal(read_config("{\"text_config\":{\"vocab_size\":2,\"eos_token_id\":2}}", &shape),
                     NC_OK);
}

/* An eos_token_id of 2 is the older convention of CLIP's configs alone. */
static void families_are_told_apart(void **state)
{
    (void)state;
    struct nc_model_shape shape;
    assert_int_equal(read_config("{\"model_type\":\"metaclip_2\",\"text_config\":{\"eos_token_id\":2}}",
                                 &shape), NC_OK);
    assert_int_equal(shape.family, NC_FAMILY_METACLIP_2);
    assert_int_equal(shape.end_rule, NC_END_FIRST);
    assert_int_equal(shape.end_token, 2);
    assert_true(nc_shape_has_vision(&shape));
    assert_int_equal(read_config("{\"model_type\":\"siglip\",\"text_config\":{\"hidden_size\":1152,"
                                 "\"num_attention_heads\":16}}", &shape), NC_OK);
    assert_int_equal(shape.embedding, 1152);
    assert_int_equal(shape.context, 64);
    assert_int_equal(shape.text.activation, NC_GELU_TANH);
    assert_int_equal(shape.mask, NC_MASK_NONE);
    assert_int_equal(shape.end_rule, NC_END_LAST);
    assert_true(shape.projection_bias && shape.logit_bias && !nc_shape_has_vision(&shape));
    assert_int_equal(read_config("{\"model_type\":\"siglip2_text_model\",\"projection_size\":96}",
                                 &shape), NC_OK);
    assert_int_equal(shape.family, NC_FAMILY_SIGLIP_2);
    assert_int_equal(shape.embedding, 96);
    assert_int_equal(read_config("{\"model_type\":\"nclip_text_model\",\"mask\":\"none\","
                                 "\"pooling\":\"argmax\"}", &shape), NC_OK);
    assert_int_equal(shape.mask, NC_MASK_NONE);
    assert_int_equal(shape.end_rule, NC_END_ARGMAX);
    assert_false(shape.projection_bias || shape.logit_bias);
}

static void pictures_are_cut_into_whole_patches(void **state)
{
    (void)state;
    struct nc_model_shape shape;
    assert_int_equal(
        read_config("{\"vision_config\":{\"image_size\":230,\"patch_size\":16}}", &shape), NC_OK);
    assert_int_equal(nc_vision_tokens(&shape), 14 * 14 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(impossible_configs_are_refused),
        cmocka_unit_test(the_end_rule_follows_the_checkpoint),
        cmocka_unit_test(families_are_told_apart),
        cmocka_unit_test(pictures_are_cut_into_whole_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
