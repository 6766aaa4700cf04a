/* Ids of open_clip's HFTokenizer for hostile texts (make_open_clip_text_golden.py): what it does
 * with a text before the tokenizer, by the folder's config or by what nclip import noted; what is
 * not followed is refused by its name. */
#include "../support/temporary_folder.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name, *clean;
} kinds[] = {{"t5", "canonicalize"}, {"gemma", "canonicalize"}, {"xlm", "whitespace"},
             {"clip", "whitespace"}, {"t5", "lower"},           {"xlm", "whitespace_underscore"}};
enum { KINDS = sizeof kinds / sizeof kinds[0], LEAST = 340 };

static void put(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    free(path);
}

static void copy(const char *from, const char *folder, const char *name)
{
    char *source = nc_path_join(from, name), *target = nc_path_join(folder, name);
    struct nc_mapping file;
    if (nc_file_exists(source)) {
        assert_int_equal(nc_file_map(source, &file), NC_OK);
        assert_int_equal(nc_file_write(target, file.data, file.size), NC_OK);
        nc_file_unmap(&file);
    }
    free(source);
    free(target);
}

/* A folder of that vocabulary. */
static char *vocabulary(const char *name)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "vocab.json",
                                        "merges.txt"};
    char from[128], *folder = temporary_folder_create();
    bool clip = strcmp(name, "clip") == 0;
    snprintf(from, sizeof from, "tokenizer/golden_open_clip_text/%s", name);
    for (size_t i = clip ? 2 : 0; i < sizeof files / sizeof files[0]; i++)
        copy(clip ? "tokenizer/golden_tokenizer" : from, folder, files[i]);
    return folder;
}

static void put_config(const char *folder, const char *text)
{
    char config[512];
    snprintf(config, sizeof config, "{\"model_cfg\": {\"text_cfg\": {%s}}}", text);
    put(folder, "open_clip_config.json", config);
}

static struct nc_tokenizer *load(const char *folder, enum nc_tokenizer_rules rules)
{
    struct nc_tokenizer *tokenizer;
    if (nc_tokenizer_load(folder, rules, &tokenizer) != NC_OK)
        fail_msg("%s", nc_error_message());
    return tokenizer;
}

static size_t from_hex(const char *hex, char *bytes)
{
    size_t count = strlen(hex) / 2;
    for (size_t i = 0; i < count; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtol(digits, NULL, 16);
    }
    return count;
}

static void check_texts(const struct nc_tokenizer *tokenizer, size_t kind, const cJSON *entries)
{
    struct nc_tokens tokens = {0};
    size_t checked = 0, wrong = 0;
    const cJSON *entry, *id;
    char key[64];
    snprintf(key, sizeof key, "%s %s", kinds[kind].name, kinds[kind].clean);
    cJSON_ArrayForEach(entry, entries)
    {
        char bytes[4096];
        const char *hex = nc_json_member(entry, "hex")->valuestring;
        const cJSON *ids = nc_json_member(entry, key);
        size_t i = 0, length = from_hex(hex, bytes);
        assert_non_null(ids);
        if (nc_tokenizer_encode(tokenizer, bytes, length, 0, NC_TRUNCATE, &tokens) != NC_OK)
            fail_msg("%s: %s", key, nc_error_message());
        bool same = tokens.count == (size_t)cJSON_GetArraySize(ids);
        cJSON_ArrayForEach(id, ids)
        {
            if (i < tokens.count)
                same = same && tokens.ids[i] == id->valueint;
            i++;
        }
        if (!same)
            print_error("%s: text %s differs\n", key, hex);
        wrong += !same;
        checked++;
    }
    nc_tokens_free(&tokens);
    assert_int_equal(wrong, 0);
    assert_true(checked >= LEAST);
}

static void ids_are_open_clips(void **state)
{
    (void)state;
    cJSON *entries;
    assert_int_equal(nc_json_load("tokenizer/golden_open_clip_text.json", &entries), NC_OK);
    for (size_t i = 0; i < KINDS; i++) {
        char *folder = vocabulary(kinds[i].name), text[256];
        snprintf(text, sizeof text,
                 "\"hf_tokenizer_name\": \".\", \"tokenizer_kwargs\": {\"clean\": \"%s\"}",
                 kinds[i].clean);
        put_config(folder, text);
        for (int rules = NC_TOKENIZER_TRANSFORMERS; rules <= NC_TOKENIZER_OPEN_CLIP; rules++) {
            struct nc_tokenizer *tokenizer = load(folder, (enum nc_tokenizer_rules)rules);
            assert_string_equal(nc_text_cleaning_names[nc_tokenizer_cleaning(tokenizer)],
                                kinds[i].clean);
            check_texts(tokenizer, i, entries);
            nc_tokenizer_destroy(tokenizer);
        }
        temporary_folder_remove(folder);
    }
    cJSON_Delete(entries);
}

/* Where it is said: open_clip's config, unless the folder is transformers'; nclip import's note
 * first. */
static void folders_say_it(void **state)
{
    (void)state;
    char *folder = vocabulary("clip");
    struct nc_tokenizer *tokenizer = load(folder, NC_TOKENIZER_TRANSFORMERS);
    assert_int_equal(nc_tokenizer_cleaning(tokenizer), NC_TEXT_AS_IT_IS);
    uint64_t plain = nc_tokenizer_fingerprint(tokenizer);
    nc_tokenizer_destroy(tokenizer);

    put_config(folder, "\"hf_tokenizer_name\": \"x\"");
    tokenizer = load(folder, NC_TOKENIZER_TRANSFORMERS);
    assert_int_equal(nc_tokenizer_cleaning(tokenizer),
                     NC_TEXT_WHITESPACE); /* HFTokenizer's default */
    assert_true(nc_tokenizer_fingerprint(tokenizer) != plain);
    nc_tokenizer_destroy(tokenizer);

    put(folder, "config.json", "{}");
    tokenizer = load(folder, NC_TOKENIZER_TRANSFORMERS);
    assert_int_equal(nc_tokenizer_cleaning(tokenizer), NC_TEXT_AS_IT_IS);
    assert_true(nc_tokenizer_fingerprint(tokenizer) == plain);
    nc_tokenizer_destroy(tokenizer);

    put(folder, "tokenizer_config.json", "{\"open_clip_clean\": \"canonicalize\"}");
    tokenizer = load(folder, NC_TOKENIZER_OPEN_CLIP);
    assert_int_equal(nc_tokenizer_cleaning(tokenizer), NC_TEXT_CANONICALIZE);
    nc_tokenizer_destroy(tokenizer);
    temporary_folder_remove(folder);
}

static void others_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"clean\": \"basic\"}",
         "\"clean\" is \"basic\""},
        {"\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"strip_sep_token\": true}",
         "\"strip_sep_token\""},
        {"\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"language\": \"fra_Latn\"}",
         "\"language\""},
        {"\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"clean\": 7}", "\"clean\" is not"},
        {"\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": []",
         "\"tokenizer_kwargs\" is not an object"},
        {"\"hf_tokenizer_name\": \"x\", \"tokenizer_mode\": \"clips\"",
         "\"tokenizer_mode\" is \"clips\""},
        {"\"tokenizer_type\": \"tiktoken\"", "\"tokenizer_type\" is \"tiktoken\""},
        {"\"tokenizer_kwargs\": {\"clean\": \"canonicalize\"}", "open_clip's own tokenizer"},
        {"\"tokenizer_kwargs\": {\"reduction_mask\": \"syntax\"}", "\"reduction_mask\""},
    };
    char *folder = vocabulary("t5");
    struct nc_tokenizer *tokenizer;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_config(folder, cases[i].text);
        if (nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer) != NC_BAD_INPUT)
            fail_msg("accepted %s", cases[i].text);
        if (!strstr(nc_error_message(), cases[i].reason))
            fail_msg("expected \"%s\" in: %s", cases[i].reason, nc_error_message());
    }
    put_config(folder, "\"tokenizer_kwargs\": {\"clean\": \"lower\", \"strip_sep_token\": false}");
    nc_tokenizer_destroy(load(folder, NC_TOKENIZER_TRANSFORMERS));
    /* Pieces by open_clip's rules, and nothing says which. */
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_OPEN_CLIP, &tokenizer), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "hf_tokenizer_name"));
    put(folder, "tokenizer_config.json", "{\"open_clip_clean\": \"none\"}");
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer),
                     NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "\"open_clip_clean\" is \"none\""));
    temporary_folder_remove(folder);
}

/* A denial that is cut off is found in the cleaned text. */
static void lost_negations_are_noticed(void **state)
{
    (void)state;
    static const char text[] = "a_photo_of a street with cars and trees but&nbsp;NO   people";
    for (size_t i = 0; i < KINDS; i++) {
        char *folder = vocabulary(kinds[i].name);
        struct nc_tokens tokens = {0};
        put_config(folder, "\"hf_tokenizer_name\": \".\"");
        struct nc_tokenizer *tokenizer = load(folder, NC_TOKENIZER_TRANSFORMERS);
        assert_int_equal(
            nc_tokenizer_encode(tokenizer, text, sizeof text - 1, 12, NC_TRUNCATE, &tokens), NC_OK);
        assert_true(tokens.truncated && tokens.negation_lost);
        nc_tokens_free(&tokens);
        nc_tokenizer_destroy(tokenizer);
        temporary_folder_remove(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_open_clips),
        cmocka_unit_test(folders_say_it),
        cmocka_unit_test(others_are_named),
        cmocka_unit_test(lost_negations_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
