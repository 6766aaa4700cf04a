/* The hash that two tokenizers share when they give the same ids. */
#include "parts.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Sums of hashes do not depend on the order in which tables hold their entries. */
static uint64_t hash_merges(const struct nc_bpe *bpe)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bpe->merge_slots; i++) {
        const struct nc_merge *merge = &bpe->merges[i];
        const int64_t numbers[] = {merge->left, merge->right, merge->merged, merge->rank};
        if (merge->rank != UINT32_MAX)
            sum += XXH3_64bits(numbers, sizeof numbers);
    }
    return sum;
}

static uint64_t hash_pieces(const struct nc_vocabulary *vocabulary)
{
    uint64_t sum = 0;
    for (size_t id = 0; id < vocabulary->size; id++)
        if (vocabulary->offset[id] != UINT32_MAX)
            sum += XXH3_64bits_withSeed(vocabulary->text + vocabulary->offset[id],
                                        vocabulary->length[id], id);
    return sum;
}

static uint64_t hash_added(const struct nc_tokenizer *tokenizer)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const struct nc_added_token *token = &tokenizer->added[i];
        sum += XXH3_64bits_withSeed(token->text, token->length,
                                    2 * (uint64_t)token->id + token->normalized);
    }
    return sum;
}

uint64_t nc_tokenizer_fingerprint(const struct nc_tokenizer *tokenizer)
{
    const struct nc_bpe *bpe = &tokenizer->bpe;
    const uint64_t parts[] = {
        tokenizer->rules,
        (uint32_t)tokenizer->start,
        (uint32_t)tokenizer->end,
        (uint32_t)bpe->unknown,
        bpe->sweep,
        XXH3_64bits(bpe->inner, sizeof bpe->inner),
        XXH3_64bits(bpe->last, sizeof bpe->last),
        hash_merges(bpe),
        hash_pieces(&tokenizer->vocabulary),
        hash_added(tokenizer),
    };
    return XXH3_64bits(parts, sizeof parts);
}
