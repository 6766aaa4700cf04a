/* Orders the examples of a large set (order.h). */
#include "order.h"

#include "nclip/support/error.h"
#include "random.h"

#include <stdlib.h>
#include <string.h>

/* Beside those of examples.c. */
enum { STREAM_HELD_OUT = 3, STREAM_BLOCKS = 4, STREAM_LANES = 5 };
enum { STARTS = 4 }; /* groups smaller than the others: half / 2^STARTS, ... */

static int split(struct nc_order *o, double held_out)
{
    uint32_t *drawn = malloc(o->block_count * sizeof *drawn);
    bool *held = calloc(o->block_count, sizeof *held);
    int status = NC_OK;
    if (!drawn || !held) {
        status = nc_error(NC_FAILED, "train: no memory");
        goto cleanup;
    }
    size_t used = 0;
    for (size_t i = 0; i < o->block_count; i++)
        if (o->blocks[i].examples)
            drawn[used++] = (uint32_t)i;
    uint64_t state = nc_random_stream(o->seed, STREAM_HELD_OUT, 0);
    nc_random_shuffle(&state, drawn, used);
    size_t count = (size_t)((double)used * held_out + 0.5);
    if (held_out > 0 && !count) /* asked for */
        count = 1;
    for (size_t i = 0; i < count && i < used; i++)
        held[drawn[i]] = true;
    for (size_t i = 0; i < o->block_count; i++) {
        if (!o->blocks[i].examples)
            continue;
        if (held[i]) {
            o->validation[o->validation_blocks++] = (uint32_t)i;
            o->validation_count += o->blocks[i].examples;
        } else {
            o->training[o->training_blocks++] = (uint32_t)i;
            o->training_count += o->blocks[i].examples;
        }
    }
    if (!o->training_count)
        status = nc_error(NC_BAD_INPUT,
                          "train: all %zu blocks of the set are held out for validation; lower "
                          "validation_fraction", used);
cleanup:
    free(drawn);
    free(held);
    return status;
}

int nc_order_create(const struct nc_order_block *blocks, size_t count, uint64_t seed,
                    double held_out, uint64_t half, size_t batch, struct nc_order *o)
{
    *o = (struct nc_order){.blocks = blocks, .block_count = count, .seed = seed, .half = half,
                           .batch = batch};
    if (!count || count > UINT32_MAX)
        return nc_error(NC_BAD_INPUT, "train: a set of %zu blocks cannot be trained on", count);
    o->training = malloc(count * sizeof *o->training);
    o->validation = malloc(count * sizeof *o->validation);
    o->sequence = malloc(count * sizeof *o->sequence);
    o->first = malloc((count + 1) * sizeof *o->first);
    o->start = malloc((count + 1) * sizeof *o->start);
    int status = o->training && o->validation && o->sequence && o->first && o->start
                     ? split(o, held_out) : nc_error(NC_FAILED, "train: no memory");
    if (status != NC_OK)
        nc_order_free(o);
    return status;
}

void nc_order_free(struct nc_order *o)
{
    free(o->training);
    free(o->validation);
    free(o->sequence);
    free(o->first);
    free(o->start);
    *o = (struct nc_order){0};
}

/* ---- Groups ------------------------------------------------------------------------------ */

/* What the next group should take: all that are left alike, once the first ones are made. */
static uint64_t target(const struct nc_order *o, size_t group, uint64_t left, uint64_t largest)
{
    uint64_t most = o->half > largest ? o->half - largest : 0; /* one block more still fits */
    if (group < STARTS && !o->epoch && !o->validating)
        return most >> (STARTS - group);
    uint64_t groups = most ? (left + most - 1) / most : 1;
    return left / (groups ? groups : 1);
}

static int cut(struct nc_order *o, size_t blocks)
{
    uint64_t left = 0, largest = 0, examples = 0;
    for (size_t i = 0; i < blocks; i++) {
        const struct nc_order_block *block = &o->blocks[o->sequence[i]];
        left += block->bytes;
        largest = block->bytes > largest ? block->bytes : largest;
    }
    o->groups = 0;
    for (size_t at = 0; at < blocks; o->groups++) {
        uint64_t wanted = target(o, o->groups, left, largest), bytes = 0, own = 0;
        o->first[o->groups] = at;
        o->start[o->groups] = examples;
        while (at < blocks && (!bytes || bytes < wanted || own < 2 * o->batch)) {
            const struct nc_order_block *block = &o->blocks[o->sequence[at]];
            if (bytes + block->bytes > o->half)
                break;
            bytes += block->bytes;
            own += block->examples;
            at++;
        }
        if (at < blocks && own < 2 * o->batch)
            return nc_error(NC_BAD_INPUT,
                            "train: pool_bytes is %llu: half of it must hold two batches of %zu "
                            "captions with their pictures' embeddings, and holds %llu captions",
                            2ull * o->half, o->batch, (unsigned long long)own);
        examples += own;
        left -= bytes;
    }
    o->first[o->groups] = blocks;
    o->start[o->groups] = o->count = examples;
    return NC_OK;
}

int nc_order_begin_epoch(struct nc_order *o, uint64_t epoch)
{
    uint64_t state = nc_random_stream(o->seed, STREAM_BLOCKS, epoch);
    o->validating = false;
    o->epoch = epoch;
    memcpy(o->sequence, o->training, o->training_blocks * sizeof *o->sequence);
    nc_random_shuffle(&state, o->sequence, o->training_blocks);
    return cut(o, o->training_blocks);
}

int nc_order_begin_validation(struct nc_order *o)
{
    o->validating = true;
    o->epoch = 0;
    memcpy(o->sequence, o->validation, o->validation_blocks * sizeof *o->sequence);
    return cut(o, o->validation_blocks);
}

size_t nc_order_group_of(const struct nc_order *o, uint64_t position)
{
    size_t low = 0, high = o->groups;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (o->start[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- Lanes ------------------------------------------------------------------------------- */

static size_t blocks_in(const struct nc_order *o, size_t group)
{
    return o->first[group + 1] - o->first[group];
}

static size_t lanes_in(const struct nc_order *o, size_t group)
{
    size_t blocks = blocks_in(o, group);
    return blocks < NC_ORDER_LANES ? blocks : NC_ORDER_LANES;
}

/* Those that have a block more than others are spread over all lanes, and so over all ranks. */
static size_t lane_of(const struct nc_order *o, size_t group, size_t i)
{
    return i * lanes_in(o, group) / blocks_in(o, group);
}

size_t nc_order_owner(const struct nc_order *o, size_t group, size_t i, size_t ranks)
{
    return lane_of(o, group, i) * ranks / lanes_in(o, group);
}

struct lane {
    uint32_t *next; /* its examples, shuffled */
    uint64_t taken, count;
    size_t number;
};

/* The lane of which a smaller share is taken comes first: example k of n stands at (k + 1/2) / n. */
static bool before(const struct lane *a, const struct lane *b)
{
    uint64_t x = (2 * a->taken + 1) * b->count, y = (2 * b->taken + 1) * a->count;
    return x != y ? x < y : a->number < b->number;
}

static void sink(struct lane *heap, size_t size, size_t at)
{
    struct lane lane = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < size && before(&heap[child + 1], &heap[child]))
            child++;
        if (child >= size || !before(&heap[child], &lane))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = lane;
}

static void shuffle(const struct nc_order *o, size_t group, const struct lane *lane)
{
    uint64_t epoch = nc_random_stream(o->seed, STREAM_LANES, 2 * o->epoch + o->validating);
    uint64_t state = nc_random_stream(epoch, group, lane->number);
    nc_random_shuffle(&state, lane->next, (size_t)lane->count);
}

/* The lanes' examples end to end in `scratch`. */
static void deal(const struct nc_order *o, size_t group, uint32_t *scratch, struct lane *lane)
{
    size_t first = o->first[group], blocks = blocks_in(o, group), lanes = lanes_in(o, group);
    for (size_t i = 0; i < lanes; i++)
        lane[i] = (struct lane){.number = i};
    for (size_t i = 0; i < blocks; i++)
        lane[lane_of(o, group, i)].count += o->blocks[o->sequence[first + i]].examples;
    for (size_t i = 0; i < lanes; i++) {
        lane[i].next = scratch;
        scratch += lane[i].count;
    }
    uint32_t example = 0;
    for (size_t i = 0; i < blocks; i++) {
        struct lane *own = &lane[lane_of(o, group, i)];
        for (uint32_t k = o->blocks[o->sequence[first + i]].examples; k; k--)
            own->next[own->taken++] = example++;
    }
    for (size_t i = 0; i < lanes; i++)
        lane[i].taken = 0;
}

void nc_order_list(const struct nc_order *o, size_t group, uint32_t *scratch, uint32_t *list)
{
    struct lane heap[NC_ORDER_LANES];
    size_t lanes = lanes_in(o, group);
    deal(o, group, scratch, heap);
    for (size_t i = 0; i < lanes; i++)
        shuffle(o, group, &heap[i]);
    for (size_t i = lanes; i-- > 0;)
        sink(heap, lanes, i);
    while (lanes) {
        *list++ = heap->next[heap->taken++];
        if (heap->taken == heap->count)
            heap[0] = heap[--lanes];
        if (lanes)
            sink(heap, lanes, 0);
    }
}
