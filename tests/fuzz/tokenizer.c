/* Vocabularies, and a text by them. The first byte: tokenizer.json, vocab.json with merges.txt,
 * open_clip's list, or a text for the tokenizer of the tests; and whose rules. */
#include "fuzz.h"

#include "nclip/support/error.h"
#include "nclip/tokenizer/tokenizer.h"

#include <string.h>

static void encode(const struct nc_tokenizer *tokenizer, const uint8_t *text, size_t size)
{
    struct nc_tokens tokens = {0};
    for (int rule = NC_TRUNCATE; rule <= NC_TRUNCATE_SKIP; rule++)
        fuzz_expect_sentence(nc_tokenizer_encode(tokenizer, (const char *)text, size, 77,
                                                 (enum nc_truncation)rule, &tokens));
    nc_tokens_free(&tokens);
}

/* The tokenizer of the tests, whose working folder this is; none elsewhere. */
static const struct nc_tokenizer *known(enum nc_tokenizer_rules rules)
{
    static struct nc_tokenizer *tokenizers[2];
    if (!tokenizers[rules])
        (void)nc_tokenizer_load("tokenizer/golden_tokenizer", rules, &tokenizers[rules]);
    return tokenizers[rules];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt",
                                        "added_tokens.json", "special_tokens_map.json",
                                        "tokenizer_config.json", "bpe_simple_vocab_16e6.txt.gz"};
    unsigned choice = fuzz_choose(&data, &size, 8);
    enum nc_tokenizer_rules rules =
        choice & 4 ? NC_TOKENIZER_OPEN_CLIP : NC_TOKENIZER_TRANSFORMERS;
    if ((choice & 3) == 3) {
        if (known(rules))
            encode(known(rules), data, size);
        return 0;
    }
    struct fuzz_part parts[3];
    fuzz_cut(data, size, parts, 3);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fuzz_remove(names[i]);
    if ((choice & 3) == 0) {
        fuzz_file("tokenizer.json", parts[0].data, parts[0].size);
        if (parts[2].size)
            fuzz_file("tokenizer_config.json", parts[2].data, parts[2].size);
    } else if ((choice & 3) == 1) {
        fuzz_file("vocab.json", parts[0].data, parts[0].size);
        fuzz_file("merges.txt", parts[1].data, parts[1].size);
        if (parts[2].size)
            fuzz_file("added_tokens.json", parts[2].data, parts[2].size);
    } else {
        fuzz_file("bpe_simple_vocab_16e6.txt.gz", data, size);
    }
    struct nc_tokenizer *tokenizer;
    int status = nc_tokenizer_load(fuzz_folder(), rules, &tokenizer);
    fuzz_expect_sentence(status);
    if (status == NC_OK)
        encode(tokenizer, (const uint8_t *)"A cat, no dogs &amp; \xc3\xa9t\xc3\xa9", 24);
    nc_tokenizer_destroy(status == NC_OK ? tokenizer : NULL);
    return 0;
}
