/* The second pass of preparing a set: the examples of a range of blocks are read from the spill,
 * sorted, and written as one shard. A range is as many buckets as fit in RANGE bytes; a bucket that
 * does not fit is read once for each part of its blocks that does. */
#include "prepare.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <stdlib.h>
#include <string.h>

enum { RANGE = 32 << 20 }; /* bytes of the spill at once, unless others are asked for; one block
                              may need more */

struct place { /* of an example in `records` */
    uint64_t row, ordinal;
    size_t at;
};

struct ranges {
    struct prepare *p;
    size_t blocks, buckets, row_bytes, limit;
    struct nc_progress *progress;
    /* the range at hand */
    size_t first_row, end_row;
    char *records; /* end to end */
    size_t used, capacity;
    struct place *places; /* [examples], sorted */
    size_t examples, place_capacity;
    uint64_t *block_bytes; /* of a bucket that is too large */
    size_t bucket_block;   /* its first */
    /* a block of it */
    struct nc_set_heads heads;
    uint64_t *ordinal, *distractor;
    uint32_t *row;
    uint8_t *counts[NC_TEXT_ROLES];
    size_t example_capacity;
    uint16_t *lengths;
    size_t text_capacity;
    int32_t *tokens;
    size_t token_capacity;
    char *embeddings;
    size_t embedding_capacity;
};

static int no_memory(const struct ranges *r)
{
    return nc_error(NC_FAILED, "%s: no memory", r->p->options->out);
}

static void *grow(void *array, size_t *capacity, size_t needed, size_t item)
{
    if (needed <= *capacity)
        return array;
    size_t larger = *capacity + *capacity / 2 > needed ? *capacity + *capacity / 2 : needed + 64;
    void *moved = reallocarray(array, larger, item);
    if (moved)
        *capacity = larger;
    return moved;
}

static size_t bucket_block(const struct ranges *r, size_t bucket)
{
    return (bucket * r->blocks + r->buckets - 1) / r->buckets;
}

static size_t block_row(const struct ranges *r, size_t block)
{
    struct nc_embedding_block b;
    if (block == r->blocks)
        return nc_embedding_store_count(r->p->store);
    nc_embedding_store_block(r->p->store, block, &b);
    return b.first_row;
}

/* ---- a range in memory ---- */

static int take(void *context, const struct spill_record *record)
{
    struct ranges *r = context;
    if (record->row < r->first_row || record->row >= r->end_row)
        return NC_OK;
    char *records = grow(r->records, &r->capacity, r->used + record->bytes, 1);
    r->records = records ? records : r->records;
    struct place *places =
        grow(r->places, &r->place_capacity, r->examples + 1, sizeof *places);
    r->places = places ? places : r->places;
    if (!records || !places)
        return no_memory(r);
    places[r->examples++] = (struct place){record->row, record->ordinal, r->used};
    memcpy(records + r->used, record, record->bytes);
    r->used += record->bytes;
    return NC_OK;
}

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static void sort(struct ranges *r)
{
    size_t i = 1;
    while (i < r->examples && compare(&r->places[i - 1], &r->places[i]) < 0)
        i++; /* captions often come in the rows' order */
    if (i < r->examples)
        qsort(r->places, r->examples, sizeof *r->places, compare);
}

/* ---- a block ---- */

static const struct spill_record *record_at(const struct ranges *r, size_t place)
{
    return (const void *)(r->records + r->places[place].at);
}

static int reserve_examples(struct ranges *r, size_t count)
{
    size_t capacity = r->example_capacity;
    if (count <= capacity)
        return NC_OK;
    void **const arrays[] = {(void **)&r->ordinal, (void **)&r->distractor, (void **)&r->row};
    const size_t sizes[] = {sizeof *r->ordinal, sizeof *r->distractor, sizeof *r->row};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        free(*arrays[i]);
        *arrays[i] = calloc(count, sizes[i]);
        if (!*arrays[i])
            return no_memory(r);
    }
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++) {
        free(r->counts[role]);
        r->counts[role] = calloc(count, 1);
        if (!r->counts[role])
            return no_memory(r);
    }
    r->example_capacity = count;
    return NC_OK;
}

static int add_distractor(struct ranges *r, uint64_t row, size_t *embeddings)
{
    const void *data;
    size_t bytes = *embeddings * r->row_bytes;
    if (row == NC_SET_NO_ROW)
        return NC_OK;
    char *larger = grow(r->embeddings, &r->embedding_capacity, bytes + r->row_bytes, 1);
    if (!larger)
        return no_memory(r);
    r->embeddings = larger;
    int status = nc_embedding_store_row(r->p->store, row, &data);
    if (status == NC_OK)
        memcpy(larger + bytes, data, r->row_bytes);
    ++*embeddings;
    return status;
}

static int add_tokens(struct ranges *r, const struct spill_record *record)
{
    struct nc_set_heads *heads = &r->heads;
    size_t id_bytes = r->p->info.id_bytes, lengths = record->texts * sizeof(uint16_t);
    if (sizeof *record + lengths + record->tokens * id_bytes > record->bytes)
        return nc_error(NC_FAILED, "%s: damaged: remove it and run nclip prepare again",
                        r->p->work);
    uint16_t *texts = grow(r->lengths, &r->text_capacity, heads->texts + record->texts,
                           sizeof *texts);
    r->lengths = texts ? texts : r->lengths;
    int32_t *tokens = grow(r->tokens, &r->token_capacity, heads->tokens + record->tokens,
                           sizeof *tokens);
    r->tokens = tokens ? tokens : r->tokens;
    if (!texts || !tokens)
        return no_memory(r);
    const char *at = (const char *)(record + 1);
    memcpy(texts + heads->texts, at, lengths);
    at += lengths;
    tokens += heads->tokens;
    const uint16_t *narrow = (const void *)at;
    if (id_bytes == 4)
        memcpy(tokens, at, record->tokens * id_bytes);
    for (size_t i = 0; id_bytes == 2 && i < record->tokens; i++)
        tokens[i] = narrow[i];
    heads->texts += record->texts;
    heads->tokens += record->tokens;
    return NC_OK;
}

/* Examples `first` .. of the range that are of the block's rows; *end is behind them. */
static int write_block(struct ranges *r, size_t block, size_t first, size_t *end,
                       struct nc_set_shard *shard)
{
    struct prepare_counts *counts = &r->p->state.counts;
    size_t first_row = block_row(r, block), end_row = block_row(r, block + 1), embeddings = 0;
    *end = first;
    while (*end < r->examples && r->places[*end].row < end_row)
        ++*end;
    size_t n = *end - first;
    int status = reserve_examples(r, n);
    r->heads = (struct nc_set_heads){.examples = n};
    for (size_t i = 0; i < n && status == NC_OK; i++) {
        const struct spill_record *record = record_at(r, first + i);
        r->ordinal[i] = record->ordinal;
        r->distractor[i] = record->distractor;
        r->row[i] = (uint32_t)(record->row - first_row);
        for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
            r->counts[role][i] = record->counts[role];
        counts->pictures += !i || r->row[i] != r->row[i - 1];
        status = add_tokens(r, record);
        if (status == NC_OK)
            status = add_distractor(r, record->distractor, &embeddings);
    }
    if (status != NC_OK)
        return status;
    counts->largest_block = n > counts->largest_block ? n : counts->largest_block;
    r->heads.ordinal = r->ordinal;
    r->heads.distractor = counts->distractors ? r->distractor : NULL;
    r->heads.row = r->row;
    r->heads.lengths = r->lengths;
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
        r->heads.counts[role] = counts->roles >> role & 1 ? r->counts[role] : NULL;
    return nc_set_shard_add(shard, end_row - first_row, &r->heads, r->tokens, r->embeddings);
}

/* ---- a shard ---- */

static int write_shard(struct ranges *r, size_t first_block, size_t end_block)
{
    struct prepare *p = r->p;
    const struct nc_set_shard_head head = {
        .number = p->state.shards,
        .first_block = first_block,
        .blocks = end_block - first_block,
        .first_row = r->first_row,
        .roles = p->state.counts.roles,
        .id_bytes = p->info.id_bytes,
        .row_bytes = p->state.counts.distractors ? r->row_bytes : 0,
    };
    struct nc_set_shard *shard;
    int status = nc_set_shard_create(p->options->out, &head, &shard);
    if (status != NC_OK)
        return status;
    size_t at = 0;
    for (size_t block = first_block; block < end_block && status == NC_OK; block++)
        status = write_block(r, block, at, &at, shard);
    if (status == NC_OK)
        return nc_set_shard_commit(shard);
    nc_set_shard_abort(shard);
    return status;
}

/* The examples of the blocks, which are of buckets first .. end - 1. */
static int write_range(struct ranges *r, size_t first_block, size_t end_block, size_t first,
                       size_t end)
{
    struct prepare *p = r->p;
    if (end_block <= p->state.next_block) /* by an earlier call */
        return NC_OK;
    r->used = r->examples = 0;
    r->first_row = block_row(r, first_block);
    r->end_row = block_row(r, end_block);
    int status = spill_read(p->spill, first, end, take, r);
    if (status != NC_OK)
        return status;
    sort(r);
    status = write_shard(r, first_block, end_block);
    if (status != NC_OK)
        return status;
    p->state.next_block = end_block;
    p->state.shards++;
    nc_progress_update(r->progress, r->end_row, NULL);
    return prepare_save(p);
}

/* ---- buckets that are too large ---- */

static int weigh(void *context, const struct spill_record *record)
{
    struct ranges *r = context;
    size_t block = nc_embedding_store_block_of(r->p->store, record->row);
    r->block_bytes[block - r->bucket_block] += record->bytes;
    return NC_OK;
}

static int write_in_parts(struct ranges *r, size_t bucket)
{
    size_t first = bucket_block(r, bucket), end = bucket_block(r, bucket + 1);
    if (end <= r->p->state.next_block) /* by an earlier call */
        return NC_OK;
    r->bucket_block = first;
    r->block_bytes = calloc(end - first, sizeof *r->block_bytes);
    int status = r->block_bytes ? spill_read(r->p->spill, bucket, bucket + 1, weigh, r)
                                : no_memory(r);
    while (first < end && status == NC_OK && !nc_signals_stop()) {
        size_t to = first + 1;
        uint64_t bytes = r->block_bytes[first - r->bucket_block];
        while (to < end && bytes + r->block_bytes[to - r->bucket_block] <= r->limit)
            bytes += r->block_bytes[to++ - r->bucket_block];
        status = write_range(r, first, to, bucket, bucket + 1);
        first = to;
    }
    free(r->block_bytes);
    r->block_bytes = NULL;
    return status;
}

static int write_all(struct ranges *r)
{
    struct prepare *p = r->p;
    int status = spill_index(p->spill);
    for (size_t bucket = 0; bucket < r->buckets && status == NC_OK && !nc_signals_stop();) {
        size_t end = bucket + 1;
        uint64_t bytes = spill_bucket_bytes(p->spill, bucket);
        while (end < r->buckets && bytes + spill_bucket_bytes(p->spill, end) <= r->limit)
            bytes += spill_bucket_bytes(p->spill, end++);
        if (bytes > r->limit)
            status = write_in_parts(r, bucket);
        else
            status = write_range(r, bucket_block(r, bucket), bucket_block(r, end), bucket, end);
        if (status == NC_OK && bucket_block(r, end) <= p->state.next_block)
            spill_drop(p->spill, bucket, end);
        bucket = end;
    }
    if (status == NC_OK && nc_signals_stop() && p->state.next_block < r->blocks)
        status = nc_error(NC_FAILED,
                          "stopped by a signal after %llu blocks of %zu; the same command goes on",
                          (unsigned long long)p->state.next_block, r->blocks);
    return status;
}

int prepare_write_ranges(struct prepare *p)
{
    const struct nc_embedding_info *info = nc_embedding_store_info(p->store);
    struct ranges r = {.p = p, .row_bytes = info->dimension * nc_type_size(info->type)};
    r.limit = p->options->range_bytes ? p->options->range_bytes : RANGE;
    r.blocks = nc_embedding_store_blocks(p->store);
    r.buckets = r.blocks < SPILL_BUCKETS ? r.blocks : SPILL_BUCKETS;
    if (!p->options->quiet)
        r.progress = nc_progress_start("prepare 2/2", "rows", block_row(&r, p->state.next_block),
                                       nc_embedding_store_count(p->store));
    int status = write_all(&r);
    nc_progress_finish(r.progress);
    free(r.records);
    free(r.places);
    free(r.ordinal);
    free(r.distractor);
    free(r.row);
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
        free(r.counts[role]);
    free(r.lengths);
    free(r.tokens);
    free(r.embeddings);
    return status;
}
