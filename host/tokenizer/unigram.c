/* Words to pieces by a unigram language model: the pieces whose scores sum up highest, found by Viterbi's
 * algorithm from left to right. Source: Kudo 2018, "Subword regularization"; the rules for what is
 * unknown and for ties are those of sentencepiece's unigram_model.cc (EncodeOptimized) and tokenizers'
 * unigram/model.rs, which agree but for the precision of their sums. */
#include "pieces.h"

#include "nclip/support/error.h"

/* The best way to a place in the word. */
struct node {
    double score;
    uint32_t start; /* of its last piece; UINT32_MAX: no way */
    int32_t id;     /* -1: unknown */
};

static void offer(struct node *nodes, size_t start, size_t end, double score, int32_t id, bool single)
{
    double sum = single ? (double)((float)score + (float)nodes[start].score)
                        : score + nodes[start].score;
    if (nodes[end].start == UINT32_MAX || sum > nodes[end].score)
        nodes[end] = (struct node){sum, (uint32_t)start, id};
}

/* All pieces that the word has at `start`: the sorted ones that share its bytes so far, narrowed byte by
 * byte. */
static void offer_pieces(const struct nc_pieces *p, const struct nc_vocabulary *vocabulary,
                         const uint8_t *word, size_t start, size_t length, struct node *nodes,
                         bool *single_there)
{
    size_t low = p->first[word[start]], high = p->first[word[start] + 1];
    size_t character = nc_utf8_length(word[start]);
    for (size_t depth = 1; low < high; depth++) {
        int32_t id = p->order[low];
        if (vocabulary->length[id] == depth) { /* the shortest comes first */
            double score = p->user && p->user[id]
                               ? (double)depth * p->largest_score - 0.1
                               : p->score[id];
            offer(nodes, start, start + depth, score, id, p->single);
            *single_there |= depth == character;
            low++;
        }
        if (start + depth >= length)
            break;
        uint8_t byte = word[start + depth];
        for (int side = 0; side < 2; side++) { /* the first with at least, then with more than this byte */
            size_t from = low, to = high;
            while (from < to) {
                size_t middle = from + (to - from) / 2;
                const char *piece = vocabulary->text + vocabulary->offset[p->order[middle]];
                if ((uint8_t)piece[depth] < byte + side)
                    from = middle + 1;
                else
                    to = middle;
            }
            *(side ? &high : &low) = from;
        }
    }
}

int nc_unigram_encode(const struct nc_pieces *p, const struct nc_vocabulary *vocabulary,
                      const uint8_t *word, size_t length, struct nc_pieces_scratch *scratch)
{
    scratch->count = 0;
    scratch->memory.count = 0;
    int status = nc_pieces_reserve(scratch, length + 1);
    if (status == NC_OK)
        status = nc_buffer_reserve(&scratch->memory, (length + 1) * sizeof(struct node));
    if (status != NC_OK)
        return status;
    struct node *nodes = (struct node *)(void *)scratch->memory.at;
    for (size_t i = 0; i <= length; i++)
        nodes[i] = (struct node){0, UINT32_MAX, -1};
    nodes[0].start = 0;
    for (size_t start = 0; start < length; start += nc_utf8_length(word[start])) {
        bool single = false;
        size_t character = nc_utf8_length(word[start]);
        offer_pieces(p, vocabulary, word, start, length, nodes, &single);
        if (!single)
            offer(nodes, start, start + character, p->unknown_score, -1, p->single);
    }
    /* The way back, and then forwards. */
    size_t count = 0;
    for (size_t end = length; end > 0; end = nodes[end].start)
        scratch->starts[count++] = (uint32_t)end;
    uint32_t *ends = scratch->starts;
    for (size_t i = 0; i < count / 2; i++) {
        uint32_t swap = ends[i];
        ends[i] = ends[count - 1 - i];
        ends[count - 1 - i] = swap;
    }
    /* A piece is never longer than what was read, so its place in the arrays is behind. */
    bool run = false;
    for (size_t i = 0; i < count; i++)
        nodes[i] = (struct node){0, nodes[ends[i]].start, nodes[ends[i]].id};
    for (size_t i = 0, start, end; i < count; i++) {
        start = nodes[i].start;
        end = i + 1 < count ? nodes[i + 1].start : length;
        if (nodes[i].id < 0) {
            nc_pieces_add_unknown(p, word, start, end, !run, scratch);
            run = true;
            continue;
        }
        run = false;
        scratch->starts[scratch->count] = (uint32_t)start;
        scratch->ids[scratch->count++] = nodes[i].id;
    }
    return NC_OK;
}
