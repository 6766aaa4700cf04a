/* Byte-pair encoding of one word.
 *
 * A word's bytes are its first symbols; the last one carries the end of the word.
 * Of all neighbours in the list of merges, the pair that stands first in the list
 * becomes one symbol, until none is left (Sennrich et al., "Neural Machine
 * Translation of Rare Words with Subword Units", 2016, with bytes as in GPT-2).
 * Symbols are ids from the start: strings are compared only while loading.
 */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>

/* ---- pieces */

static int grow_slots(struct nc_vocabulary *vocabulary, const char *where)
{
    size_t count = vocabulary->slot_count ? 2 * vocabulary->slot_count : 1024;
    int32_t *slots = malloc(count * sizeof *slots);
    if (!slots)
        return nc_error(NC_FAILED, "%s: no memory for the vocabulary", where);
    memset(slots, 0xff, count * sizeof *slots);
    for (size_t i = 0; i < vocabulary->slot_count; i++) {
        int32_t id = vocabulary->slots[i];
        if (id < 0)
            continue;
        size_t slot =
            XXH3_64bits(vocabulary->text + vocabulary->offset[id], vocabulary->length[id]) &
            (count - 1);
        while (slots[slot] >= 0)
            slot = (slot + 1) & (count - 1);
        slots[slot] = id;
    }
    free(vocabulary->slots);
    vocabulary->slots = slots;
    vocabulary->slot_count = count;
    return NC_OK;
}

/* The slot that holds the piece, or the empty one where it belongs. */
static int32_t *find_slot(const struct nc_vocabulary *vocabulary, const char *piece, size_t length)
{
    size_t mask = vocabulary->slot_count - 1;
    size_t slot = XXH3_64bits(piece, length) & mask;
    for (; vocabulary->slots[slot] >= 0; slot = (slot + 1) & mask) {
        int32_t id = vocabulary->slots[slot];
        if (vocabulary->length[id] == length &&
            memcmp(vocabulary->text + vocabulary->offset[id], piece, length) == 0)
            break;
    }
    return &vocabulary->slots[slot];
}

static int grow_ids(struct nc_vocabulary *vocabulary, const char *where, size_t size)
{
    if (size > vocabulary->capacity) {
        size_t capacity = size > 2 * vocabulary->capacity ? size : 2 * vocabulary->capacity;
        uint32_t *offset = realloc(vocabulary->offset, capacity * sizeof *offset);
        if (offset)
            vocabulary->offset = offset;
        uint32_t *length = realloc(vocabulary->length, capacity * sizeof *length);
        if (length)
            vocabulary->length = length;
        if (!offset || !length)
            return nc_error(NC_FAILED, "%s: no memory for the vocabulary", where);
        vocabulary->capacity = capacity;
    }
    while (vocabulary->size < size)
        vocabulary->offset[vocabulary->size++] = UINT32_MAX;
    return NC_OK;
}

int nc_vocabulary_add(struct nc_vocabulary *vocabulary, const char *where, const char *piece,
                      size_t length, size_t id, bool replace)
{
    if (id >= NC_VOCABULARY_LIMIT)
        return nc_error(NC_BAD_INPUT, "%s: the id %zu of \"%.40s\" is beyond the %d allowed", where,
                        id, piece, NC_VOCABULARY_LIMIT);
    if (id < vocabulary->size && vocabulary->offset[id] != UINT32_MAX)
        return nc_error(NC_BAD_INPUT, "%s: \"%.40s\" and \"%.40s\" both have the id %zu", where,
                        vocabulary->text + vocabulary->offset[id], piece, id);
    int status = grow_ids(vocabulary, where, id + 1);
    if (status == NC_OK && 2 * vocabulary->entries >= vocabulary->slot_count)
        status = grow_slots(vocabulary, where);
    if (status != NC_OK)
        return status;
    int32_t *slot = find_slot(vocabulary, piece, length);
    if (*slot >= 0 && !replace)
        return nc_error(NC_BAD_INPUT, "%s: \"%.40s\" is there twice, as %d and as %zu", where,
                        piece, (int)*slot, id);
    if (length >= vocabulary->text_capacity - vocabulary->text_size) {
        size_t capacity = 2 * vocabulary->text_capacity + length + 4096;
        char *text = capacity < UINT32_MAX ? realloc(vocabulary->text, capacity) : NULL;
        if (!text)
            return nc_error(NC_FAILED, "%s: no memory for the vocabulary", where);
        vocabulary->text = text;
        vocabulary->text_capacity = capacity;
    }
    memcpy(vocabulary->text + vocabulary->text_size, piece, length);
    vocabulary->text[vocabulary->text_size + length] = 0;
    vocabulary->offset[id] = (uint32_t)vocabulary->text_size;
    vocabulary->length[id] = (uint32_t)length;
    vocabulary->text_size += length + 1;
    vocabulary->entries += *slot < 0;
    *slot = (int32_t)id;
    return NC_OK;
}

int32_t nc_vocabulary_find(const struct nc_vocabulary *vocabulary, const char *piece, size_t length)
{
    return vocabulary->slot_count ? *find_slot(vocabulary, piece, length) : -1;
}

void nc_vocabulary_free(struct nc_vocabulary *vocabulary)
{
    free(vocabulary->text);
    free(vocabulary->offset);
    free(vocabulary->length);
    free(vocabulary->slots);
    *vocabulary = (struct nc_vocabulary){0};
}

/* ---- bytes and merges */

static bool prints(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

uint8_t nc_byte_letter(size_t index, char letter[3])
{
    /* The bytes that print stand for themselves and come first; the others are
     * U+0100 and on (bytes_to_unicode of GPT-2). */
    unsigned byte = 0, skipped = 0;
    bool printing = index < 188;
    for (size_t seen = 0;; byte++) {
        if (prints(byte) != printing)
            continue;
        if (seen++ == (printing ? index : index - 188))
            break;
        skipped++;
    }
    utf8proc_ssize_t length = utf8proc_encode_char(
        (utf8proc_int32_t)(printing ? byte : 0x100 + skipped), (utf8proc_uint8_t *)letter);
    letter[length] = 0;
    return (uint8_t)byte;
}

int nc_bpe_bytes(struct nc_bpe *bpe, const char *where, const struct nc_vocabulary *vocabulary)
{
    bool any = false;
    for (size_t i = 0; i < 256; i++) {
        char letter[3], last[8];
        uint8_t byte = nc_byte_letter(i, letter);
        int length = snprintf(last, sizeof last, "%s</w>", letter);
        bpe->inner[byte] = nc_vocabulary_find(vocabulary, letter, strlen(letter));
        bpe->last[byte] = nc_vocabulary_find(vocabulary, last, (size_t)length);
        any = any || bpe->last[byte] >= 0;
    }
    return any ? NC_OK
               : nc_error(NC_BAD_INPUT,
                          "%s: this is not the vocabulary of a CLIP tokenizer: no letter ends in "
                          "</w>",
                          where);
}

static size_t merge_slot(const struct nc_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9e3779b97f4a7c15u;
    size_t mask = bpe->merge_slots - 1;
    size_t slot = (size_t)(key >> 32) & mask;
    while (bpe->merges[slot].rank != UINT32_MAX &&
           (bpe->merges[slot].left != left || bpe->merges[slot].right != right))
        slot = (slot + 1) & mask;
    return slot;
}

int nc_bpe_reserve(struct nc_bpe *bpe, const char *where, size_t merges)
{
    if (merges >= NC_VOCABULARY_LIMIT)
        return nc_error(NC_BAD_INPUT, "%s: %zu merges are more than the %d allowed", where, merges,
                        NC_VOCABULARY_LIMIT);
    size_t slots = 1024;
    while (slots < 2 * merges)
        slots *= 2;
    bpe->merges = malloc(slots * sizeof *bpe->merges);
    if (!bpe->merges)
        return nc_error(NC_FAILED, "%s: no memory for %zu merges", where, merges);
    for (size_t i = 0; i < slots; i++)
        bpe->merges[i].rank = UINT32_MAX;
    bpe->merge_slots = slots;
    return NC_OK;
}

int nc_bpe_add_merge(struct nc_bpe *bpe, const char *where, size_t line,
                     const struct nc_vocabulary *vocabulary, const char *left, size_t left_length,
                     const char *right, size_t right_length, uint32_t rank)
{
    int32_t ids[2] = {nc_vocabulary_find(vocabulary, left, left_length),
                      nc_vocabulary_find(vocabulary, right, right_length)};
    if (ids[0] < 0 || ids[1] < 0)
        return nc_error(NC_BAD_INPUT, "%s: merge %zu takes \"%.*s\", which the vocabulary lacks",
                        where, line, (int)(ids[0] < 0 ? left_length : right_length),
                        ids[0] < 0 ? left : right);
    char small[256];
    size_t length = left_length + right_length;
    char *both = length <= sizeof small ? small : malloc(length);
    if (!both)
        return nc_error(NC_FAILED, "%s: no memory for a merge of %zu bytes", where, length);
    memcpy(both, left, left_length);
    memcpy(both + left_length, right, right_length);
    int32_t merged = nc_vocabulary_find(vocabulary, both, length);
    int status = NC_OK;
    if (merged < 0)
        status = nc_error(NC_BAD_INPUT, "%s: merge %zu makes \"%.*s\", which the vocabulary lacks",
                          where, line, (int)(length < 200 ? length : 200), both);
    if (both != small)
        free(both);
    if (status != NC_OK)
        return status;
    struct nc_merge *merge = &bpe->merges[merge_slot(bpe, ids[0], ids[1])];
    bpe->merge_count += merge->rank == UINT32_MAX;
    *merge = (struct nc_merge){ids[0], ids[1], merged, rank}; /* said twice: the last counts */
    return NC_OK;
}

void nc_bpe_free(struct nc_bpe *bpe)
{
    free(bpe->merges);
    bpe->merges = NULL;
}

/* ---- encoding */

uint32_t nc_bpe_pair(const struct nc_bpe *bpe, int32_t left, int32_t right, int32_t *merged)
{
    const struct nc_merge *merge = &bpe->merges[merge_slot(bpe, left, right)];
    *merged = merge->merged;
    return merge->rank;
}

enum { SHORT_WORD = 48 };

/* Few symbols: look at all pairs for each merge. */
static size_t encode_short(const struct nc_bpe *bpe, int32_t *ids, size_t count)
{
    uint32_t rank[SHORT_WORD];
    int32_t merged[SHORT_WORD];
    for (size_t i = 0; i + 1 < count; i++)
        rank[i] = nc_bpe_pair(bpe, ids[i], ids[i + 1], &merged[i]);
    while (count > 1) {
        uint32_t best = UINT32_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++)
            if (rank[i] < best) {
                best = rank[i];
                at = i;
            }
        if (best == UINT32_MAX)
            break;
        do {
            ids[at] = merged[at];
            count--;
            for (size_t i = at + 1; i < count; i++) {
                ids[i] = ids[i + 1];
                rank[i - 1] = rank[i];
                merged[i - 1] = merged[i];
            }
            if (at > 0)
                rank[at - 1] = nc_bpe_pair(bpe, ids[at - 1], ids[at], &merged[at - 1]);
            if (at + 1 < count)
                rank[at] = nc_bpe_pair(bpe, ids[at], ids[at + 1], &merged[at]);
            for (at++; bpe->sweep && at + 1 < count && rank[at] != best; at++)
                ;
        } while (bpe->sweep && at + 1 < count);
    }
    return count;
}

/* A heap of numbers, the least on top. */
static void heap_push(uint64_t *heap, size_t *count, uint64_t key)
{
    size_t i = (*count)++;
    for (; i > 0 && key < heap[(i - 1) / 2]; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = key;
}

static void heap_pop(uint64_t *heap, size_t *count)
{
    uint64_t key = heap[--*count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *count; i = child) {
        if (child + 1 < *count && heap[child + 1] < heap[child])
            child++;
        if (key <= heap[child])
            break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

/* Many symbols, as a list with a heap of their pairs: the key is the rank, then the
 * place. A pair that is no longer there is passed over when it comes up. */
struct long_word {
    uint64_t *heap, *waiting; /* [3 count], [2 count] */
    int32_t *id, *merged;     /* NOTHING: merged into another symbol */
    uint32_t *rank;           /* of the pair that starts here; UINT32_MAX: none */
    uint32_t *next, *previous;
    size_t heap_count, waiting_count;
};
enum { WORDS_PER_SYMBOL = 2 * (3 + 2) + 5, NOTHING = -2 };

static void look_at_pair(const struct nc_bpe *bpe, struct long_word *w, uint32_t at)
{
    w->rank[at] = nc_bpe_pair(bpe, w->id[at], w->id[w->next[at]], &w->merged[at]);
    uint64_t key = (uint64_t)w->rank[at] << 32 | at;
    if (w->rank[at] == UINT32_MAX)
        return;
    if (bpe->sweep) /* comes up after all pairs of the rank that is being merged */
        w->waiting[w->waiting_count++] = key;
    else
        heap_push(w->heap, &w->heap_count, key);
}

static size_t merge_long(const struct nc_bpe *bpe, struct long_word *w, size_t count)
{
    uint32_t end = (uint32_t)count;
    for (uint32_t i = 0; i < end; i++) {
        w->next[i] = i + 1;
        w->previous[i] = i - 1;
        w->rank[i] = UINT32_MAX;
    }
    for (uint32_t i = 0; i + 1 < end; i++)
        look_at_pair(bpe, w, i);
    for (uint32_t current = UINT32_MAX;;) {
        if (!w->heap_count || (uint32_t)(w->heap[0] >> 32) != current) {
            while (w->waiting_count)
                heap_push(w->heap, &w->heap_count, w->waiting[--w->waiting_count]);
            if (!w->heap_count)
                break;
        }
        current = (uint32_t)(w->heap[0] >> 32);
        uint32_t at = (uint32_t)w->heap[0];
        heap_pop(w->heap, &w->heap_count);
        if (w->rank[at] != current)
            continue;
        uint32_t gone = w->next[at];
        w->id[at] = w->merged[at];
        w->rank[at] = w->rank[gone] = UINT32_MAX;
        w->id[gone] = NOTHING;
        w->next[at] = w->next[gone];
        if (w->next[at] < end) {
            w->previous[w->next[at]] = at;
            look_at_pair(bpe, w, at);
        }
        if (at > 0)
            look_at_pair(bpe, w, w->previous[at]);
    }
    size_t used = 0;
    for (uint32_t i = 0; i < end; i = w->next[i])
        w->id[used++] = w->id[i];
    return used;
}

static int encode_long(const struct nc_bpe *bpe, struct nc_bpe_scratch *scratch, int32_t *ids,
                       size_t *count)
{
    size_t n = *count;
    if (n > scratch->capacity) {
        uint64_t *memory =
            n < UINT32_MAX / WORDS_PER_SYMBOL
                ? realloc(scratch->memory, n * WORDS_PER_SYMBOL * sizeof(uint32_t) + 8)
                : NULL;
        if (!memory)
            return nc_error(NC_FAILED, "no memory for a word of %zu bytes", n);
        scratch->memory = memory;
        scratch->capacity = n;
    }
    struct long_word w = {.heap = scratch->memory, .waiting = scratch->memory + 3 * n};
    uint32_t *words = (uint32_t *)(scratch->memory + 5 * n);
    w.id = (int32_t *)words;
    w.merged = (int32_t *)(words + n);
    w.rank = words + 2 * n;
    w.next = words + 3 * n;
    w.previous = words + 4 * n;
    memcpy(w.id, ids, n * sizeof *ids);
    *count = merge_long(bpe, &w, n);
    memcpy(ids, w.id, *count * sizeof *ids);
    return NC_OK;
}

int nc_bpe_encode(const struct nc_bpe *bpe, const uint8_t *word, size_t length,
                  struct nc_bpe_scratch *scratch, int32_t *ids, size_t *count)
{
    for (size_t i = 0; i < length; i++) {
        int32_t id = i + 1 < length ? bpe->inner[word[i]] : bpe->last[word[i]];
        ids[i] = id >= 0 ? id : bpe->unknown;
    }
    *count = length;
    if (length <= SHORT_WORD) {
        *count = encode_short(bpe, ids, length);
        return NC_OK;
    }
    return encode_long(bpe, scratch, ids, count);
}
