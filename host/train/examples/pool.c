/* Reads groups of blocks into memory, as examples (pool.h). */
#include "pool.h"

#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes of an example, a text and a token as they are used: the arrays of struct nc_examples, and
 * both lists. */
enum { EXAMPLE = 4 + 4 + 8 + 4 + 2 + 4 + 4, DISTRACTOR = 8 + 4, ROLE = 4, TEXT = 8, TOKEN = 4 };

/* Beside captions and contradictions. */
static size_t role_bytes(unsigned roles)
{
    size_t bytes = roles & 1u << NC_TEXT_CHOICES ? sizeof(uint8_t) : 0;
    for (int role = NC_TEXT_ABSENCE; role < NC_TEXT_ROLES; role++)
        bytes += roles & 1u << role ? ROLE : 0;
    return bytes;
}

uint64_t nc_pool_block_bytes(const struct nc_set *set, const struct nc_embedding_store *store,
                             unsigned roles, size_t b)
{
    struct nc_set_block block;
    struct nc_embedding_block rows;
    nc_set_block(set, b, &block);
    nc_embedding_store_block(store, b, &rows);
    if (!block.examples)
        return 0;
    size_t example = EXAMPLE + (nc_set_info(set)->has_distractors ? DISTRACTOR : 0) +
                     role_bytes(roles);
    return nc_block_room(block.heads.offset, block.heads.bytes) +
           nc_block_room(block.body.offset, block.body.bytes) +
           nc_block_room(rows.offset, rows.bytes) + (uint64_t)block.examples * example +
           (uint64_t)(block.texts + 1) * TEXT + (uint64_t)block.tokens * TOKEN;
}

/* ---- Memory ------------------------------------------------------------------------------ */

/* Pages that are taken when they are first written to. */
static void *reserve(struct nc_pool *pool, size_t count, size_t size)
{
    size_t bytes = (count ? count : 1) * size;
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    pool->maps[pool->map_count].start = start;
    pool->maps[pool->map_count++].bytes = bytes;
    return start;
}

static int reserve_all(struct nc_pool *pool)
{
    struct nc_examples *e = &pool->all;
    size_t half = (size_t)pool->half_bytes;
    pool->examples = half / EXAMPLE;
    pool->texts = half / TEXT;
    pool->tokens = half / TOKEN;
    if (pool->examples > UINT32_MAX / 2)
        pool->examples = UINT32_MAX / 2;
    if (pool->texts > UINT32_MAX / 2)
        pool->texts = UINT32_MAX / 2;
    char *area = reserve(pool, 2, half);
    e->pool = area;
    e->tokens = reserve(pool, 2 * pool->tokens, sizeof *e->tokens);
    e->token_start = reserve(pool, 2 * pool->texts, sizeof *e->token_start);
    e->embedding = reserve(pool, 2 * pool->examples, sizeof *e->embedding);
    e->image = reserve(pool, 2 * pool->examples, sizeof *e->image);
    e->owner = reserve(pool, 2 * pool->examples, sizeof *e->owner);
    bool made = area && e->tokens && e->token_start && e->embedding && e->image && e->owner;
    for (int role = 0; role < NC_TEXT_ROLES; role++) {
        if (role > NC_TEXT_CONTRADICTION && !(pool->losses.roles & 1u << role))
            continue;
        e->text[role] = reserve(pool, 2 * pool->examples, sizeof *e->text[role]);
        made = made && e->text[role];
    }
    if (e->text[NC_TEXT_CHOICES])
        made = (e->choices = reserve(pool, 2 * pool->examples, sizeof *e->choices)) && made;
    if (pool->losses.distractors) {
        e->distractor_embedding = reserve(pool, 2 * pool->examples, sizeof *e->distractor_embedding);
        e->distractor_image = reserve(pool, 2 * pool->examples, sizeof *e->distractor_image);
        made = made && e->distractor_embedding && e->distractor_image;
    }
    for (size_t h = 0; h < 2; h++) {
        struct nc_pool_half *own = &pool->halves[h];
        own->area = area + h * half;
        own->list = reserve(pool, pool->examples, sizeof *own->list);
        own->scratch = reserve(pool, pool->examples, sizeof *own->scratch);
        own->first_example = h * pool->examples;
        own->first_text = h * pool->texts;
        own->first_token = h * pool->tokens;
        made = made && own->list && own->scratch;
    }
    return made ? NC_OK
                : nc_error(NC_FAILED, "train: no memory for a pool of %llu bytes; lower pool_bytes",
                           2ull * pool->half_bytes);
}

int nc_pool_create(const struct nc_set *set, struct nc_embedding_store *store,
                   const struct nc_config *config, bool pictures_of_others, struct nc_pool *pool)
{
    const struct nc_embedding_info *info = nc_embedding_store_info(store);
    uint64_t half = config->pool_bytes / 2;
    *pool = (struct nc_pool){.set = set, .store = store,
                             .pictures_of_others = pictures_of_others && config->mask_same_image,
                             .row_bytes = info->dimension * nc_type_size(info->type),
                             .half_bytes = half / NC_BLOCK_ALIGNMENT * NC_BLOCK_ALIGNMENT};
    nc_losses_of(config, &pool->losses);
    pool->all.store = store;
    int status = reserve_all(pool);
    if (status != NC_OK)
        nc_pool_free(pool);
    return status;
}

void nc_pool_free(struct nc_pool *pool)
{
    for (size_t i = 0; i < pool->map_count; i++)
        munmap(pool->maps[i].start, pool->maps[i].bytes);
    for (size_t h = 0; h < 2; h++)
        free(pool->halves[h].blocks);
    *pool = (struct nc_pool){0};
}

/* ---- A group on its way ------------------------------------------------------------------ */

static int make_room(struct nc_pool_half *half, size_t blocks)
{
    half->block_count = 0;
    half->used = 0;
    half->examples = 0;
    if (blocks <= half->block_capacity)
        return NC_OK;
    free(half->blocks);
    half->blocks = calloc(blocks, sizeof *half->blocks);
    half->block_capacity = half->blocks ? blocks : 0;
    return half->blocks ? NC_OK : nc_error(NC_FAILED, "train: no memory");
}

static int too_small(const struct nc_pool *pool)
{
    return nc_error(NC_FAILED, "train: a group of blocks does not fit in half of %llu bytes",
                    2ull * pool->half_bytes);
}

static int place(struct nc_pool *pool, struct nc_pool_half *half, struct nc_block_read *read)
{
    size_t room = nc_block_room(read->offset, read->bytes);
    if (room > pool->half_bytes - half->used)
        return too_small(pool);
    read->room = half->area + half->used;
    half->used += room;
    return NC_OK;
}

static struct nc_block_read part_of(const struct nc_set_block *block,
                                    const struct nc_set_part *part, const char *name, size_t number)
{
    return (struct nc_block_read){.path = block->path, .offset = part->offset, .bytes = part->bytes,
                                  .has_sum = true, .sum = part->sum, .part = name,
                                  .block = number};
}

static int lay_out(struct nc_pool *pool, struct nc_pool_half *half, struct nc_pool_block *own)
{
    struct nc_set_block block;
    struct nc_embedding_block rows;
    nc_set_block(pool->set, own->number, &block);
    nc_embedding_store_block(pool->store, own->number, &rows);
    own->examples = block.examples;
    own->heads = part_of(&block, &block.heads, "heads", own->number);
    own->body = part_of(&block, &block.body, "texts", own->number);
    own->rows = (struct nc_block_read){.path = rows.path, .offset = rows.offset,
                                       .bytes = rows.bytes, .has_sum = rows.has_sum,
                                       .sum = rows.sum, .part = "rows", .block = rows.number};
    own->heads.context = own->body.context = own->rows.context = own;
    own->parts = own->own ? 3 : pool->pictures_of_others;
    int status = own->parts ? place(pool, half, &own->heads) : NC_OK;
    if (status == NC_OK && own->own)
        status = place(pool, half, &own->body);
    if (status == NC_OK && own->own)
        status = place(pool, half, &own->rows);
    return status;
}

/* The numbers by which it is known, before anything is read. */
static int enter(struct nc_pool *pool, struct nc_pool_half *half, size_t number, size_t owner,
                 bool mine, size_t *texts, size_t *tokens)
{
    struct nc_set_block block;
    nc_set_block(pool->set, number, &block);
    struct nc_pool_block *own = &half->blocks[half->block_count++];
    *own = (struct nc_pool_block){.number = number, .owner = (uint16_t)owner, .own = mine,
                                  .first_example = half->examples, .first_text = *texts,
                                  .first_token = *tokens};
    half->examples += block.examples;
    if (mine) { /* each block has one more start: where its last text ends */
        *texts += block.texts + 1;
        *tokens += block.tokens;
    }
    if (half->examples > pool->examples || *texts > pool->texts || *tokens > pool->tokens)
        return too_small(pool);
    return lay_out(pool, half, own);
}

int nc_pool_begin(struct nc_pool *pool, size_t h, const struct nc_order *order, size_t group,
                  size_t rank, size_t ranks, struct nc_block_reader *reader)
{
    struct nc_pool_half *half = &pool->halves[h];
    size_t first = order->first[group], count = order->first[group + 1] - first;
    size_t texts = 0, tokens = 0;
    int status = make_room(half, count);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        size_t owner = nc_order_owner(order, group, i, ranks);
        status = enter(pool, half, order->sequence[first + i], owner, owner == rank, &texts,
                       &tokens);
    }
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        struct nc_pool_block *own = &half->blocks[i];
        if (own->parts)
            nc_block_reader_start(reader, &own->heads);
        if (!own->own)
            continue;
        nc_block_reader_start(reader, &own->body);
        nc_block_reader_start(reader, &own->rows);
    }
    return status;
}

/* ---- What has arrived -------------------------------------------------------------------- */

/* The same picture, the same number: that of its row, as far as an int32 goes. */
static int32_t picture(uint64_t row)
{
    return (int32_t)(row & INT32_MAX);
}

static int wrong(const struct nc_pool_block *block, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: block %zu: %s", block->heads.path, block->number, what);
}

/* What is streamed cannot leave single examples out. */
static int lacks(const struct nc_pool *pool, const struct nc_pool_block *block)
{
    char needs[200], what[300];
    snprintf(what, sizeof what, "an example lacks what the loss needs: %s; prepare the set of captions "
             "that have it", nc_losses_needs(&pool->losses, needs, sizeof needs));
    return wrong(block, what);
}

/* Where the block's texts begin and end. */
static void set_texts(struct nc_pool *pool, const struct nc_pool_half *half,
                      const struct nc_pool_block *block, const struct nc_set_heads *heads)
{
    size_t *start = pool->all.token_start + half->first_text + block->first_text;
    size_t at = half->first_token + block->first_token;
    for (size_t i = 0; i < heads->texts; i++) {
        start[i] = at;
        at += heads->lengths[i];
    }
    start[heads->texts] = at;
}

static int set_own(struct nc_pool *pool, const struct nc_pool_half *half,
                   const struct nc_pool_block *block, const struct nc_set_heads *heads,
                   const void *distractors)
{
    struct nc_examples *e = &pool->all;
    size_t first = half->first_example + block->first_example;
    size_t text = half->first_text + block->first_text, other = 0;
    size_t rows = (size_t)((const char *)block->rows.data - e->pool);
    size_t others = distractors ? (size_t)((const char *)distractors - e->pool) : 0;
    set_texts(pool, half, block, heads);
    for (size_t i = 0; i < heads->examples; i++) {
        for (int role = 0; role < NC_TEXT_ROLES; role++) {
            size_t count = heads->counts[role] ? heads->counts[role][i] : 0;
            bool taken = nc_losses_take(&pool->losses, role);
            if (e->text[role])
                e->text[role][first + i] = taken && count ? (uint32_t)text : NC_NO_TEXT;
            if (role == NC_TEXT_CHOICES && e->choices)
                e->choices[first + i] = (uint8_t)count;
            if (role == NC_TEXT_CHOICES && e->choices && count > NC_MOST_CHOICES)
                return wrong(block, "an example has more than 15 choices, which a stream has no room "
                                    "for; a pool_bytes that holds the set has");
            text += count;
        }
        e->embedding[first + i] = rows + heads->row[i] * pool->row_bytes;
        bool has = heads->distractor && heads->distractor[i] != NC_SET_NO_ROW;
        if (nc_examples_lack(&pool->losses, e, first + i, has))
            return lacks(pool, block);
        if (pool->losses.distractors)
            e->distractor_embedding[first + i] = others + other * pool->row_bytes;
        other += has;
    }
    return NC_OK;
}

static int decode(struct nc_pool *pool, const struct nc_pool_half *half,
                  const struct nc_pool_block *block)
{
    struct nc_examples *e = &pool->all;
    struct nc_set_heads heads;
    const void *distractors = NULL;
    size_t first = half->first_example + block->first_example;
    struct nc_set_block about;
    nc_set_block(pool->set, block->number, &about);
    int status = nc_set_decode_heads(pool->set, block->number, block->heads.data, &heads);
    if (status == NC_OK && block->own)
        status = nc_set_decode_body(pool->set, block->number, block->body.data,
                                    e->tokens + half->first_token + block->first_token,
                                    &distractors);
    if (status == NC_OK && block->own)
        status = set_own(pool, half, block, &heads, distractors);
    for (size_t i = 0; status == NC_OK && i < heads.examples; i++) {
        e->image[first + i] = picture(about.first_row + heads.row[i]);
        if (pool->losses.distractors)
            e->distractor_image[first + i] =
                heads.distractor ? picture(heads.distractor[i]) : -1;
    }
    return status;
}

int nc_pool_arrived(struct nc_pool *pool, size_t h, struct nc_block_read *read)
{
    struct nc_pool_block *block = read->context;
    return --block->parts ? NC_OK : decode(pool, &pool->halves[h], block);
}

void nc_pool_finish(struct nc_pool *pool, size_t h, const struct nc_order *order, size_t group)
{
    struct nc_pool_half *half = &pool->halves[h];
    for (size_t b = 0; b < half->block_count; b++) {
        const struct nc_pool_block *block = &half->blocks[b];
        for (size_t i = 0; i < block->examples; i++)
            pool->all.owner[half->first_example + block->first_example + i] = block->owner;
    }
    nc_order_list(order, group, half->scratch, half->list);
    for (size_t i = 0; i < half->examples; i++)
        half->list[i] += (uint32_t)half->first_example;
}
