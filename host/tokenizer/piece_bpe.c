/* Words to pieces by merging pairs, the best first, the leftmost of equal ones (Sennrich et al. 2016).
 * Which pairs merge is said by a list, as in tokenizer.json, or by the vocabulary: two pieces whose sum is
 * a piece, the one of the highest score first. Sources: sentencepiece's bpe_model.cc; tokenizers'
 * models/bpe/word.rs. A heap holds the pairs, so that a long text takes n log n. */
#include "pieces.h"

#include "nclip/support/error.h"

#include <string.h>

/* A part of the word. */
struct symbol {
    uint32_t start, length; /* length 0: merged into another */
    int32_t id;             /* -1: unknown */
    int32_t previous, next; /* -1: none */
};

struct pair {
    uint32_t rank;
    int32_t left, merged;
    uint32_t length; /* of both together, when the pair was found */
};

struct word {
    const struct nc_pieces *p;
    const struct nc_vocabulary *vocabulary;
    const uint8_t *bytes;
    struct symbol *symbols;
    size_t count;
    struct pair *heap;
    size_t heap_count;
};

static bool before(const struct pair *a, const struct pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void push(struct word *w, struct pair pair)
{
    size_t at = w->heap_count++;
    for (; at && before(&pair, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = pair;
}

static struct pair pop(struct word *w)
{
    struct pair best = w->heap[0], last = w->heap[--w->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < w->heap_count; at = child) {
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return best;
}

/* What the symbol and the next one become; false: they stay apart. */
static bool find_pair(const struct word *w, int32_t left, struct pair *pair)
{
    const struct symbol *a = &w->symbols[left];
    if (a->next < 0)
        return false;
    const struct symbol *b = &w->symbols[a->next];
    *pair = (struct pair){.left = left, .length = a->length + b->length};
    if (w->p->merges) {
        pair->rank = nc_bpe_pair(w->p->merges, a->id, b->id, &pair->merged);
        return a->id >= 0 && b->id >= 0 && pair->rank != UINT32_MAX;
    }
    if ((w->p->user && ((a->id >= 0 && w->p->user[a->id]) || (b->id >= 0 && w->p->user[b->id]))))
        return false; /* it always stays whole */
    pair->merged = nc_vocabulary_find(w->vocabulary, (const char *)w->bytes + a->start, pair->length);
    if (pair->merged < 0 || (size_t)pair->merged >= w->p->size || !w->p->normal[pair->merged])
        return false;
    pair->rank = w->p->rank[pair->merged];
    return true;
}

static void look_at(struct word *w, int32_t left)
{
    struct pair pair;
    if (left >= 0 && find_pair(w, left, &pair))
        push(w, pair);
}

static void merge_all(struct word *w)
{
    for (size_t i = 0; i < w->count; i++)
        look_at(w, (int32_t)i);
    while (w->heap_count) {
        struct pair best = pop(w), now;
        struct symbol *a = &w->symbols[best.left];
        if (!a->length || !find_pair(w, best.left, &now) || now.merged != best.merged ||
            now.length != best.length)
            continue; /* one of them has gone */
        struct symbol *b = &w->symbols[a->next];
        a->length += b->length;
        a->id = best.merged;
        a->next = b->next;
        b->length = 0;
        if (a->next >= 0)
            w->symbols[a->next].previous = best.left;
        look_at(w, a->previous);
        look_at(w, best.left);
    }
}

static void add_symbol(struct word *w, size_t start, size_t length, int32_t id)
{
    int32_t at = (int32_t)w->count++;
    w->symbols[at] = (struct symbol){(uint32_t)start, (uint32_t)length, id, at - 1, -1};
    if (at)
        w->symbols[at - 1].next = at;
}

/* The longest user-defined piece here; 0: none. */
static size_t user_piece(const struct word *w, size_t start, size_t length, int32_t *id)
{
    size_t longest = 0;
    if (!w->p->user)
        return 0;
    for (size_t i = w->p->first[w->bytes[start]]; i < w->p->first[w->bytes[start] + 1]; i++) {
        int32_t piece = w->p->order[i];
        size_t bytes = w->vocabulary->length[piece];
        if (w->p->user[piece] && bytes > longest && bytes <= length - start &&
            memcmp(w->vocabulary->text + w->vocabulary->offset[piece], w->bytes + start, bytes) == 0) {
            longest = bytes;
            *id = piece;
        }
    }
    return longest;
}

/* The characters. Where merges are listed, an unknown one is its bytes' pieces from the start. */
static void split(struct word *w, size_t length)
{
    const struct nc_pieces *p = w->p;
    for (size_t at = 0, size; at < length; at += size) {
        int32_t id = -1;
        size = user_piece(w, at, length, &id);
        if (size) {
            add_symbol(w, at, size, id);
            continue;
        }
        size = nc_utf8_length(w->bytes[at]);
        id = nc_vocabulary_find(w->vocabulary, (const char *)w->bytes + at, size);
        if (id >= (int32_t)p->size || (id >= 0 && !p->normal[id]))
            id = -1;
        bool bytes = id < 0 && p->merges && p->byte_fallback;
        for (size_t i = 0; i < size && bytes; i++)
            bytes = p->bytes[w->bytes[at + i]] >= 0;
        for (size_t i = 0; i < size && bytes; i++)
            add_symbol(w, at + i, 1, p->bytes[w->bytes[at + i]]);
        if (!bytes)
            add_symbol(w, at, size, id);
    }
}

int nc_piece_bpe_encode(const struct nc_pieces *p, const struct nc_vocabulary *vocabulary,
                        const uint8_t *word, size_t length, struct nc_pieces_scratch *scratch)
{
    scratch->count = 0;
    int status = nc_pieces_reserve(scratch, length + 1);
    /* A symbol is looked at once at first, and twice for each merge. */
    if (status == NC_OK)
        status = nc_buffer_reserve(&scratch->memory, (length + 1) * (sizeof(struct symbol) +
                                                                    3 * sizeof(struct pair)));
    if (status != NC_OK)
        return status;
    int32_t whole = p->ignore_merges ? nc_vocabulary_find(vocabulary, (const char *)word, length) : -1;
    if (whole >= 0 && (size_t)whole < p->size) {
        scratch->starts[0] = 0;
        scratch->ids[scratch->count++] = whole;
        return NC_OK;
    }
    struct word w = {.p = p, .vocabulary = vocabulary, .bytes = word};
    w.symbols = (struct symbol *)(void *)scratch->memory.at;
    w.heap = (struct pair *)(void *)(w.symbols + length + 1);
    split(&w, length);
    merge_all(&w);
    bool run = false;
    for (int32_t i = w.count ? 0 : -1; i >= 0; i = w.symbols[i].next) {
        const struct symbol *symbol = &w.symbols[i];
        if (symbol->id < 0) {
            nc_pieces_add_unknown(p, word, symbol->start, symbol->start + symbol->length, !run, scratch);
        } else {
            scratch->starts[scratch->count] = symbol->start;
            scratch->ids[scratch->count++] = symbol->id;
        }
        run = symbol->id < 0;
    }
    return NC_OK;
}
