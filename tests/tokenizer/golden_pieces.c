/* Ids of the tokenizers of SigLIP, SigLIP 2, MetaCLIP 2 and T5 for hostile texts, as transformers,
 * tokenizers and sentencepiece give them (make_pieces_golden.py); and what is refused. */
#include "../support/temporary_folder.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    int32_t end, pad;
    size_t least; /* texts of it */
} kinds[] = {{"siglip", 1, 1, 300},
             {"gemma", 1, 0, 300},
             {"siglip2", 1, 0, 300},
             {"metaclip_2", 2, 1, 300},
             {"t5", 1, 0, 300}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct nc_tokenizer *load(const char *name)
{
    char path[128];
    struct nc_tokenizer *tokenizer;
    snprintf(path, sizeof path, "tokenizer/golden_pieces/%s", name);
    if (nc_tokenizer_load(path, NC_TOKENIZER_TRANSFORMERS, &tokenizer) != NC_OK)
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

/* `context`: what is cut must be what a longer result begins with. */
static size_t check_kind(const struct nc_tokenizer *tokenizer, size_t kind, const cJSON *entries,
                         size_t context)
{
    struct nc_tokens tokens = {0};
    size_t checked = 0, wrong = 0;
    const cJSON *entry, *id;
    cJSON_ArrayForEach(entry, entries)
    {
        char bytes[4096];
        const cJSON *ids = nc_json_member(entry, kinds[kind].name);
        const char *hex = nc_json_member(entry, "hex")->valuestring;
        size_t length = from_hex(hex, bytes), i = 0;
        if (!ids)
            continue;
        if (nc_tokenizer_encode(tokenizer, bytes, length, context, NC_TRUNCATE, &tokens) != NC_OK)
            fail_msg("%s: %s", kinds[kind].name, nc_error_message());
        size_t full = (size_t)cJSON_GetArraySize(ids);
        bool same = tokens.full_count == full && (full <= context || !context || tokens.truncated);
        cJSON_ArrayForEach(id, ids)
        {
            if (i + 1 == tokens.count && tokens.truncated)
                same = same && tokens.ids[i] == kinds[kind].end;
            else if (i < tokens.count)
                same = same && tokens.ids[i] == id->valueint;
            i++;
        }
        if (!same) {
            print_error("%s: text %s differs\n", kinds[kind].name, hex);
            wrong++;
        }
        checked++;
    }
    nc_tokens_free(&tokens);
    assert_int_equal(wrong, 0);
    return checked;
}

static void ids_are_the_peers(void **state)
{
    (void)state;
    cJSON *entries;
    assert_int_equal(nc_json_load("tokenizer/golden_pieces.json", &entries), NC_OK);
    for (size_t i = 0; i < KINDS; i++) {
        struct nc_tokenizer *tokenizer = load(kinds[i].name);
        assert_int_equal(nc_tokenizer_end(tokenizer), kinds[i].end);
        assert_int_equal(nc_tokenizer_pad(tokenizer), kinds[i].pad);
        assert_true(check_kind(tokenizer, i, entries, 0) >= kinds[i].least);
        check_kind(tokenizer, i, entries, 16);
        nc_tokenizer_destroy(tokenizer);
    }
    cJSON_Delete(entries);
}

/* A set of captions that was prepared with one vocabulary is not taken with another. */
static void fingerprints_tell_them_apart(void **state)
{
    (void)state;
    uint64_t seen[KINDS];
    for (size_t i = 0; i < KINDS; i++) {
        struct nc_tokenizer *tokenizer = load(kinds[i].name), *again = load(kinds[i].name);
        seen[i] = nc_tokenizer_fingerprint(tokenizer);
        assert_true(seen[i] == nc_tokenizer_fingerprint(again));
        for (size_t k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
        nc_tokenizer_destroy(tokenizer);
        nc_tokenizer_destroy(again);
    }
}

static void lost_negations_are_noticed(void **state)
{
    (void)state;
    static const char text[] = "a photo of a street with cars and trees but no people";
    for (size_t i = 0; i < KINDS; i++) {
        struct nc_tokenizer *tokenizer = load(kinds[i].name);
        struct nc_tokens tokens = {0};
        assert_int_equal(nc_tokenizer_encode(tokenizer, text, sizeof text - 1, 12, NC_TRUNCATE, &tokens),
                         NC_OK);
        assert_true(tokens.truncated && tokens.negation_lost);
        size_t full = tokens.full_count;
        assert_int_equal(nc_tokenizer_encode(tokenizer, text, sizeof text - 1, full, NC_TRUNCATE, &tokens),
                         NC_OK);
        assert_false(tokens.truncated || tokens.negation_lost);
        nc_tokens_free(&tokens);
        nc_tokenizer_destroy(tokenizer);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static void other_pipelines_are_named(void **state)
{
    (void)state;
#define MODEL "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1]]}"
    static const struct {
        const char *json, *reason;
    } cases[] = {
        {"{\"normalizer\":{\"type\":\"NFKC\"}," MODEL "}", "normalizer has a step \"NFKC\""},
        {"{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x+\"},\"content\":\"\"}," MODEL "}",
         "replaces \"x+\""},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}," MODEL "}",
         "precompiled_charsmap of 3 bytes"},
        {"{\"pre_tokenizer\":{\"type\":\"Digits\"}," MODEL "}", "pre_tokenizer has a step \"Digits\""},
        {"{\"post_processor\":{\"type\":\"RobertaProcessing\"}," MODEL "}",
         "post_processor has a step \"RobertaProcessing\""},
        {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<x>\"}}]},"
         MODEL "}", "template has \"<x>\""},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":7,\"vocab\":[[\"a\",-1]]}}", "\"unk_id\" 7"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "not a string with its score"},
        {"{\"added_tokens\":[{\"content\":\"x\"}]," MODEL "}", "\"x\" has no id"},
        {"{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
         "which the vocabulary lacks"},
    };
    char *folder = temporary_folder_create();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nc_tokenizer *tokenizer;
        write_file(folder, "tokenizer.json", cases[i].json);
        if (nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer) != NC_BAD_INPUT)
            fail_msg("accepted %s", cases[i].json);
        if (!strstr(nc_error_message(), cases[i].reason))
            fail_msg("expected \"%s\" in: %s", cases[i].reason, nc_error_message());
    }
    temporary_folder_remove(folder);
}

static void models_need_a_known_class(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *model = nc_path_join(folder, "tokenizer.model");
    struct nc_tokenizer *tokenizer;
    struct nc_mapping file;
    assert_int_equal(nc_file_map("tokenizer/golden_pieces/siglip/spiece.model", &file), NC_OK);
    FILE *out = fopen(model, "wb");
    assert_non_null(out);
    fwrite(file.data, 1, file.size, out);
    fclose(out);
    nc_file_unmap(&file);
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "tokenizer_class is \"(none)\""));
    write_file(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\"}");
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "LlamaTokenizer"));
    write_file(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"SiglipTokenizer\"}");
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_OK);
    nc_tokenizer_destroy(tokenizer);
    write_file(folder, "tokenizer.model", "\n\377\377\377");
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "no SentencePiece model"));
    assert_int_equal(nc_tokenizer_load("tokenizer/golden_pieces/siglip", NC_TOKENIZER_OPEN_CLIP,
                                       &tokenizer), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "open_clip"));
    free(model);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_the_peers),
        cmocka_unit_test(fingerprints_tell_them_apart),
        cmocka_unit_test(lost_negations_are_noticed),
        cmocka_unit_test(other_pipelines_are_named),
        cmocka_unit_test(models_need_a_known_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
