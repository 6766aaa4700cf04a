/* Ids of transformers and open_clip (make_tokenizer_golden.py), from each of the
 * three forms of the same vocabulary. */
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const sources[] = {"tokenizer/golden_tokenizer", /* tokenizer.json */
                                      "tokenizer/golden_tokenizer/vocab.json",
                                      "tokenizer/golden_tokenizer/bpe.txt.gz"};

static size_t from_hex(const char *hex, char *bytes)
{
    size_t count = strlen(hex) / 2;
    for (size_t i = 0; i < count; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtol(digits, NULL, 16);
    }
    return count;
}

static void check_all(const struct nc_tokenizer *tokenizer, const char *rules, const cJSON *entries)
{
    struct nc_tokens tokens = {0};
    const cJSON *entry;
    size_t number = 0, wrong = 0;
    cJSON_ArrayForEach(entry, entries)
    {
        const char *text = NULL, *hex = NULL;
        const cJSON *ids;
        char bytes[4096];
        size_t length, context = 0, i = 0;
        assert_int_equal(nc_json_optional_string("golden", entry, "text", &text), NC_OK);
        assert_int_equal(nc_json_optional_string("golden", entry, "hex", &hex), NC_OK);
        assert_int_equal(nc_json_optional_size("golden", entry, "context", &context), NC_OK);
        assert_int_equal(nc_json_array("golden", entry, rules, &ids), NC_OK);
        length = hex ? from_hex(hex, bytes) : strlen(text);
        assert_int_equal(nc_tokenizer_encode(tokenizer, hex ? bytes : text, length, context,
                                             NC_TRUNCATE, &tokens),
                         NC_OK);
        bool same = tokens.count == (size_t)cJSON_GetArraySize(ids);
        const cJSON *id;
        cJSON_ArrayForEach(id, ids)
        {
            same = same && tokens.ids[i] == id->valueint;
            i++;
        }
        if (!same) {
            print_error("%s: text %zu differs: %s\n", rules, number, hex ? hex : text);
            wrong++;
        }
        number++;
    }
    assert_true(number > 400);
    assert_int_equal(wrong, 0);
    nc_tokens_free(&tokens);
}

static void check_rules(enum nc_tokenizer_rules rules, const char *name)
{
    cJSON *entries;
    assert_int_equal(nc_json_load("tokenizer/golden_tokenizer.json", &entries), NC_OK);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct nc_tokenizer *tokenizer;
        assert_int_equal(nc_tokenizer_load(sources[i], rules, &tokenizer), NC_OK);
        assert_int_equal(nc_tokenizer_vocabulary_size(tokenizer), 512 + 1500 + 2);
        assert_int_equal(nc_tokenizer_start(tokenizer), 512 + 1500);
        assert_int_equal(nc_tokenizer_end(tokenizer), 512 + 1501);
        check_all(tokenizer, name, entries);
        nc_tokenizer_destroy(tokenizer);
    }
    cJSON_Delete(entries);
}

static void test_transformers(void **state)
{
    (void)state;
    check_rules(NC_TOKENIZER_TRANSFORMERS, "transformers");
}

static void test_open_clip(void **state)
{
    (void)state;
    check_rules(NC_TOKENIZER_OPEN_CLIP, "open_clip");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transformers),
        cmocka_unit_test(test_open_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
