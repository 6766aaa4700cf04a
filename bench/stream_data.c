/* Generates stores and sets (stream_data.h). */
#include "stream_data.h"

#include "../host/train/examples/random.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"
#include "nclip/tokenizer/tokenizer.h"
#include "workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 11, BASE_ROWS = 4096, SHARD_BYTES = 256 << 20, SHARD_BLOCKS = 256 };

/* What the set says of the model; without one, CLIP's numbers. */
struct model_facts {
    char hash[17];
    uint64_t tokenizer;
    size_t vocabulary, context, embedding;
    int32_t start, end;
};

static int find_facts(const char *folder, struct model_facts *facts)
{
    *facts = (struct model_facts){.hash = "bench", .vocabulary = WORKLOAD_START + 2, .context = 77,
                                  .start = WORKLOAD_START, .end = WORKLOAD_START + 1};
    if (!folder)
        return NC_OK;
    struct nc_model *model = NULL;
    struct nc_tokenizer *tokenizer = NULL;
    struct nc_tokens ids = {0};
    int status = nc_model_open(folder, &model);
    if (status == NC_OK)
        status = nc_model_vision_hash(model, facts->hash);
    if (status == NC_OK)
        status = nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status == NC_OK)
        status = nc_tokenizer_encode(tokenizer, "a", 1, nc_model_shape(model)->context, NC_TRUNCATE,
                                     &ids);
    if (status == NC_OK) {
        const struct nc_model_shape *shape = nc_model_shape(model);
        facts->tokenizer = nc_tokenizer_fingerprint(tokenizer);
        facts->vocabulary = shape->vocabulary;
        facts->context = shape->context;
        facts->embedding = shape->embedding;
        facts->start = ids.ids[0];
        facts->end = shape->end_token;
    }
    nc_tokens_free(&ids);
    nc_tokenizer_destroy(tokenizer);
    nc_model_close(model);
    return status;
}

/* ---- The store ------------------------------------------------------------------------- */

/* Rows are pieces of a block of random numbers: what they are does not matter, only that a disk
 * cannot do without them. */
static int append_rows(const struct stream_data *d, struct nc_embedding_writer *writer)
{
    size_t numbers = BASE_ROWS * d->dimension;
    float *base = malloc(numbers * sizeof *base), scale = sqrtf(3.0f / (float)d->dimension);
    if (!base)
        return nc_error(NC_FAILED, "bench: no memory");
    uint64_t state = nc_random_stream(SEED, 1, 0);
    for (size_t i = 0; i < numbers; i++)
        base[i] = ((float)(nc_random_next(&state) >> 40) * 0x1p-23f - 1) * scale;
    struct nc_progress *progress = nc_progress_start("store", "rows", 0, d->rows);
    int status = NC_OK;
    for (size_t i = nc_embedding_writer_count(writer); i < d->rows && status == NC_OK; i++) {
        char key[32];
        snprintf(key, sizeof key, "%09zu.jpg", i);
        status = nc_embedding_writer_append(writer, key,
                                            base + i * 40503 % (numbers - d->dimension + 1));
        if (i % 4096 == 0)
            nc_progress_update(progress, i, NULL);
    }
    nc_progress_finish(progress);
    free(base);
    return status;
}

/* Whether it is there as a whole; an open store would have to be closed before more is written. */
static bool has_store(const struct stream_data *d, const char *path)
{
    struct nc_embedding_store *store = NULL;
    bool whole = nc_folder_exists(path) && nc_embedding_store_open(path, &store) == NC_OK &&
                 nc_embedding_store_count(store) >= d->rows;
    nc_embedding_store_close(store);
    return whole;
}

static int make_store(struct stream_data *d, const struct model_facts *facts, const char *path)
{
    if (has_store(d, path))
        return NC_OK;
    struct nc_embedding_info info = {facts->hash, "none", d->dimension, NC_BFLOAT16, true};
    struct nc_embedding_writer *writer;
    double begun = nc_seconds();
    int status = nc_embedding_writer_open(path, &info, SHARD_BYTES / (2 * d->dimension), &writer);
    if (status != NC_OK)
        return status;
    status = append_rows(d, writer);
    if (status != NC_OK) {
        nc_embedding_writer_abandon(writer);
        return status;
    }
    status = nc_embedding_writer_close(writer);
    d->store_seconds = nc_seconds() - begun;
    return status;
}

/* ---- The set --------------------------------------------------------------------------- */

struct maker {
    const struct model_facts *facts;
    struct nc_set_info info;
    uint64_t state;
    uint64_t *ordinal;
    uint32_t *row;
    uint16_t *lengths;
    uint8_t *counts;
    int32_t *tokens;
};

static int prepare_maker(struct maker *m, size_t rows)
{
    m->ordinal = malloc(rows * sizeof *m->ordinal);
    m->row = malloc(rows * sizeof *m->row);
    m->lengths = malloc(rows * sizeof *m->lengths);
    m->counts = malloc(rows);
    m->tokens = malloc(rows * m->facts->context * sizeof *m->tokens);
    if (!m->ordinal || !m->row || !m->lengths || !m->counts || !m->tokens)
        return nc_error(NC_FAILED, "bench: no memory");
    memset(m->counts, 1, rows);
    for (size_t i = 0; i < rows; i++)
        m->row[i] = (uint32_t)i;
    return NC_OK;
}

static int add_block(struct maker *m, const struct nc_embedding_block *block,
                     struct nc_set_shard *shard)
{
    struct nc_set_heads heads = {.examples = block->rows, .texts = block->rows,
                                 .ordinal = m->ordinal, .row = m->row, .lengths = m->lengths,
                                 .counts = {[NC_TEXT_CAPTION] = m->counts}};
    uint64_t words = (uint64_t)(m->facts->start < m->facts->end ? m->facts->start : m->facts->end);
    for (size_t i = 0; i < block->rows; i++) {
        size_t length = workload_draw_length(&m->state);
        length = length < m->facts->context ? length : m->facts->context;
        m->ordinal[i] = block->first_row + i;
        m->lengths[i] = (uint16_t)length;
        int32_t *to = m->tokens + heads.tokens;
        to[0] = m->facts->start;
        for (size_t k = 1; k + 1 < length; k++)
            to[k] = (int32_t)((uint64_t)workload_draw_token(&m->state) % words);
        to[length - 1] = m->facts->end;
        heads.tokens += length;
        m->info.longest_text = length > m->info.longest_text ? length : m->info.longest_text;
    }
    m->info.tokens += heads.tokens;
    m->info.largest_block = block->rows > m->info.largest_block ? block->rows
                                                                : m->info.largest_block;
    return nc_set_shard_add(shard, block->rows, &heads, m->tokens, NULL);
}

static int write_shards(const struct stream_data *d, const char *path, struct maker *m,
                        size_t *shards)
{
    struct nc_progress *progress = nc_progress_start("set", "blocks", 0, m->info.blocks);
    int status = NC_OK;
    for (size_t first = 0; first < m->info.blocks && status == NC_OK; first += SHARD_BLOCKS) {
        struct nc_embedding_block block;
        struct nc_set_shard *shard;
        size_t left = m->info.blocks - first;
        struct nc_set_shard_head head = {.number = (*shards)++, .first_block = first,
                                         .blocks = left < SHARD_BLOCKS ? left : SHARD_BLOCKS,
                                         .roles = m->info.roles, .id_bytes = m->info.id_bytes};
        nc_embedding_store_block(d->store, first, &block);
        head.first_row = block.first_row;
        status = nc_set_shard_create(path, &head, &shard);
        for (size_t b = first; b < first + head.blocks && status == NC_OK; b++) {
            nc_embedding_store_block(d->store, b, &block);
            status = add_block(m, &block, shard);
        }
        if (status == NC_OK)
            status = nc_set_shard_commit(shard);
        else if (shard)
            nc_set_shard_abort(shard);
        nc_progress_update(progress, first, NULL);
    }
    nc_progress_finish(progress);
    return status;
}

static int make_set(struct stream_data *d, const struct model_facts *facts, const char *store,
                    const char *path)
{
    const char *sources[] = {"generated"};
    const uint64_t source_bytes[] = {0};
    char *whole = realpath(store, NULL); /* it is read from other folders */
    struct maker m = {.facts = facts, .state = nc_random_stream(SEED, 2, 0)};
    double begun = nc_seconds();
    size_t shards = 0, largest = 0;
    for (size_t b = 0; b < nc_embedding_store_blocks(d->store); b++) {
        struct nc_embedding_block block;
        nc_embedding_store_block(d->store, b, &block);
        largest = block.rows > largest ? block.rows : largest;
    }
    m.info = (struct nc_set_info){
        .store = whole ? whole : store, .store_fingerprint = nc_embedding_store_fingerprint(d->store),
        .store_rows = d->rows, .blocks = nc_embedding_store_blocks(d->store),
        .dimension = d->dimension, .type = NC_BFLOAT16, .model_hash = facts->hash,
        .tokenizer = facts->tokenizer, .vocabulary = facts->vocabulary, .context = facts->context,
        .id_bytes = facts->vocabulary <= 65536 ? 2 : 4, .too_long = "truncate",
        .roles = 1u << NC_TEXT_CAPTION, .captions = d->rows, .examples = d->rows, .texts = d->rows,
        .pictures = d->rows, .sources = sources,
        .source_bytes = source_bytes, .source_count = 1};
    int status = prepare_maker(&m, largest);
    if (status == NC_OK)
        status = nc_folder_create(path);
    if (status == NC_OK)
        status = write_shards(d, path, &m, &shards);
    m.info.longest_example = m.info.longest_text;
    if (status == NC_OK)
        status = nc_set_finish(path, &m.info, shards);
    free(m.ordinal);
    free(m.row);
    free(m.lengths);
    free(m.counts);
    free(m.tokens);
    free(whole);
    d->set_seconds = nc_seconds() - begun;
    return status;
}

/* ---- Both --------------------------------------------------------------------------------- */

int stream_data_open(struct stream_data *d)
{
    struct model_facts facts;
    char *store = nc_path_join(d->folder, "store"), *set = nc_path_join(d->folder, "set");
    int status = store && set ? find_facts(d->model, &facts)
                              : nc_error(NC_FAILED, "bench: no memory");
    if (status == NC_OK && d->model && facts.embedding != d->dimension)
        status = nc_error(NC_USAGE, "--model has embeddings of %zu columns, --dimension is %zu",
                          facts.embedding, d->dimension);
    if (status == NC_OK)
        status = nc_folder_create(d->folder);
    if (status == NC_OK)
        status = make_store(d, &facts, store);
    if (status == NC_OK)
        status = nc_embedding_store_open(store, &d->store);
    if (status == NC_OK && nc_embedding_store_count(d->store) != d->rows)
        status = nc_error(NC_USAGE, "%s: has %zu rows already: name another folder, or give --rows %zu",
                          store, nc_embedding_store_count(d->store),
                          nc_embedding_store_count(d->store));
    if (status == NC_OK && !nc_folder_holds(set, NC_SET_FILE))
        status = make_set(d, &facts, store, set);
    if (status == NC_OK)
        status = nc_set_open(set, &d->set);
    free(store);
    free(set);
    if (status != NC_OK)
        stream_data_close(d);
    return status;
}

void stream_data_close(struct stream_data *d)
{
    nc_set_close(d->set);
    nc_embedding_store_close(d->store);
    d->set = NULL;
    d->store = NULL;
}
