/* The hash that two tokenizers share when they give the same ids. */
#include "pieces.h"

#include <string.h>

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
                                    2 * (uint64_t)token->id + token->normalized +
                                        ((uint64_t)token->left_space << 62) +
                                        ((uint64_t)token->right_space << 63));
    }
    return sum;
}

static uint64_t hash_steps(const struct nc_steps *steps)
{
    const struct nc_charsmap *charsmap = &steps->charsmap;
    const uint64_t rules = (uint64_t)steps->spm.dummy_prefix | (uint64_t)steps->spm.remove_extra_spaces << 1 |
                           (uint64_t)steps->spm.escape_spaces << 2 | (uint64_t)steps->spm.inside << 3;
    uint64_t hash = XXH3_64bits(&rules, sizeof rules);
    for (size_t i = 0; i < steps->count; i++) {
        const struct nc_step *step = &steps->list[i];
        const uint64_t parts[] = {hash, step->kind, (uint64_t)step->left | (uint64_t)step->right << 1,
                                  XXH3_64bits(step->from, strlen(step->from)),
                                  XXH3_64bits(step->to, strlen(step->to))};
        hash = XXH3_64bits(parts, sizeof parts);
    }
    if (charsmap->units) {
        hash = XXH3_64bits_withSeed(charsmap->units, charsmap->unit_count * sizeof *charsmap->units, hash);
        hash = XXH3_64bits_withSeed(charsmap->text, charsmap->text_size, hash);
    }
    return hash;
}

/* What a vocabulary of pieces adds. */
static uint64_t hash_kind(const struct nc_pieces *p)
{
    const bool flags[] = {p->split_at_white, p->split_behind_space, p->metaspace_split, p->space_first,
                          p->is_bpe,         p->single,             p->byte_fallback,   p->fuse_unknown,
                          p->ignore_merges,  p->has_start,          p->has_end,         p->end_once};
    const uint64_t parts[] = {
        XXH3_64bits(flags, sizeof flags),
        p->metaspace,
        (uint32_t)p->unknown,
        (uint32_t)p->pad,
        hash_steps(&p->steps),
        XXH3_64bits(p->score, p->size * sizeof *p->score),
        XXH3_64bits(p->normal, p->size * sizeof *p->normal),
        p->user ? XXH3_64bits(p->user, p->size * sizeof *p->user) : 0,
    };
    return XXH3_64bits(parts, sizeof parts);
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
    uint64_t hash = XXH3_64bits(parts, sizeof parts);
    if (tokenizer->pieces)
        hash ^= hash_kind(tokenizer->pieces);
    return tokenizer->cleaning ? XXH3_64bits_withSeed(&hash, sizeof hash, tokenizer->cleaning) : hash;
}
