/* Vocabularies of pieces, and a text by them. The first byte: tokenizer.json, spiece.model,
 * tokenizer.model (each may have a tokenizer_config.json and an open_clip_config.json beside it), or a text
 * for one of the tests' vocabularies, the last of which is of open_clip's, which cleans it first. */
#include "fuzz.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <stdio.h>

static void encode(const struct nc_tokenizer *tokenizer, const uint8_t *text, size_t size)
{
    struct nc_tokens tokens = {0};
    for (int rule = NC_TRUNCATE; rule <= NC_TRUNCATE_SKIP; rule++)
        fuzz_expect_sentence(nc_tokenizer_encode(tokenizer, (const char *)text, size, 16,
                                                 (enum nc_truncation)rule, &tokens));
    nc_tokens_free(&tokens);
}

/* A vocabulary of the tests in a folder that asks for open_clip's cleaning. */
static const struct nc_tokenizer *cleaned(void)
{
    static const char config[] = "{\"model_cfg\": {\"text_cfg\": {\"hf_tokenizer_name\": \".\", "
                                 "\"tokenizer_kwargs\": {\"clean\": \"canonicalize\"}}}}";
    static struct nc_tokenizer *tokenizer;
    struct nc_mapping file;
    if (tokenizer || nc_file_map("tokenizer/golden_open_clip_text/t5/tokenizer.json", &file) != NC_OK)
        return tokenizer;
    fuzz_remove("tokenizer_config.json");
    fuzz_file("tokenizer.json", file.data, file.size);
    fuzz_file("open_clip_config.json", (const uint8_t *)config, sizeof config - 1);
    nc_file_unmap(&file);
    (void)nc_tokenizer_load(fuzz_folder(), NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    fuzz_remove("open_clip_config.json");
    return tokenizer;
}

/* Those of the tests, whose working folder this is. */
static const struct nc_tokenizer *known(unsigned kind)
{
    static const char *const names[] = {"siglip", "gemma", "siglip2", "metaclip_2", "t5"};
    static struct nc_tokenizer *tokenizers[6];
    char path[128];
    if (kind == 5)
        return cleaned();
    snprintf(path, sizeof path, "tokenizer/golden_pieces/%s", names[kind]);
    if (!tokenizers[kind])
        (void)nc_tokenizer_load(path, NC_TOKENIZER_TRANSFORMERS, &tokenizers[kind]);
    return tokenizers[kind];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer.json", "spiece.model", "tokenizer.model"};
    static const char text[] = "A cat,  no dogs \xc2\xa0\xc3\xa9t\xc3\xa9 \xef\xac\x81 <mask> \xe6\x97\xa5</s>";
    unsigned choice = fuzz_choose(&data, &size, 9);
    if (choice >= 3) {
        if (known(choice - 3))
            encode(known(choice - 3), data, size);
        return 0;
    }
    struct fuzz_part parts[3];
    for (size_t i = 0; i < 3; i++)
        fuzz_remove(names[i]);
    fuzz_remove("tokenizer_config.json");
    fuzz_remove("open_clip_config.json");
    fuzz_cut(data, size, parts, 3);
    fuzz_file(names[choice], parts[0].data, parts[0].size);
    if (parts[1].size)
        fuzz_file("tokenizer_config.json", parts[1].data, parts[1].size);
    if (parts[2].size)
        fuzz_file("open_clip_config.json", parts[2].data, parts[2].size);
    struct nc_tokenizer *tokenizer;
    int status = nc_tokenizer_load(fuzz_folder(), NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    fuzz_expect_sentence(status);
    if (status == NC_OK)
        encode(tokenizer, (const uint8_t *)text, sizeof text - 1);
    nc_tokenizer_destroy(status == NC_OK ? tokenizer : NULL);
    return 0;
}
