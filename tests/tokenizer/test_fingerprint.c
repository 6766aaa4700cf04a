/* Fingerprints of tokenizers: the same for files that say the same, another for those that give
 * other ids. */
#include "../support/temporary_folder.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *folder;

static void put(const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    free(path);
}

static uint64_t fingerprint(enum nc_tokenizer_rules rules)
{
    struct nc_tokenizer *tokenizer;
    if (nc_tokenizer_load(folder, rules, &tokenizer) != NC_OK)
        fail_msg("%s", nc_error_message());
    uint64_t hash = nc_tokenizer_fingerprint(tokenizer);
    nc_tokenizer_destroy(tokenizer);
    return hash;
}

#define PIECES "\"a\": 0, \"a</w>\": 1, \"b\": 2, \"b</w>\": 3, \"ab</w>\": 4"
#define ENDS "\"<|startoftext|>\": 5, \"<|endoftext|>\": 6"

static void tells_what_ids_depend_on(void **state)
{
    (void)state;
    folder = temporary_folder_create();
    put("vocab.json", "{" PIECES ", " ENDS "}");
    put("merges.txt", "#version: 0.2\na b</w>\n");
    uint64_t hash = fingerprint(NC_TOKENIZER_TRANSFORMERS);
    put("vocab.json", "{" ENDS ",\n" PIECES "}"); /* in other words */
    put("merges.txt", "a b</w>\r\n\r\n");
    assert_true(hash == fingerprint(NC_TOKENIZER_TRANSFORMERS));
    assert_true(hash != fingerprint(NC_TOKENIZER_OPEN_CLIP));
    put("added_tokens.json", "{\"<A>\": 9}");
    uint64_t added = fingerprint(NC_TOKENIZER_TRANSFORMERS);
    assert_true(hash != added);
    put("added_tokens.json", "{\"<B>\": 9}");
    assert_true(added != fingerprint(NC_TOKENIZER_TRANSFORMERS));
    put("added_tokens.json", "{}");
    assert_true(hash == fingerprint(NC_TOKENIZER_TRANSFORMERS));
    put("merges.txt", "\n");
    assert_true(hash != fingerprint(NC_TOKENIZER_TRANSFORMERS));
    put("merges.txt", "a b</w>\n");
    put("vocab.json", "{\"b\": 0, \"a</w>\": 1, \"a\": 2, \"b</w>\": 3, \"ab</w>\": 4, " ENDS "}");
    assert_true(hash != fingerprint(NC_TOKENIZER_TRANSFORMERS));
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_what_ids_depend_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
