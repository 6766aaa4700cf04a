/* Opens prepared sets. */
#include "set_open.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

static int wrong(const char *path, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged examples: %s; remove the set and run nclip prepare again", path,
                    what);
}

/* Reads shard `number`, whose blocks follow the `blocks` that are there. */
static int open_shard(struct nc_set *set, size_t number, size_t *blocks, size_t *row)
{
    const struct nc_set_info *info = &set->description.info;
    const struct set_listed *listed = &set->description.shards[number];
    struct set_shard *shard = &set->shards[number];
    struct nc_set_shard_head head;
    struct set_entry *entries;
    uint64_t sum;
    shard->first_block = *blocks;
    shard->path = set_shard_path(set->folder, number);
    if (!shard->path)
        return nc_error(NC_FAILED, "%s: no memory", set->folder);
    int status = set_read_shard(shard->path, &head, &entries, &sum);
    if (status != NC_OK)
        return status;
    size_t row_bytes = info->has_distractors ? info->dimension * nc_type_size(info->type) : 0;
    if (sum != listed->sum || head.number != number || head.first_block != *blocks ||
        listed->first_block != *blocks || head.blocks != listed->blocks || head.first_row != *row ||
        head.roles != info->roles || head.id_bytes != info->id_bytes ||
        head.row_bytes != row_bytes || head.blocks > info->blocks - *blocks)
        status = wrong(shard->path, "it is not the shard that " NC_SET_FILE " speaks of");
    struct set_entry *larger =
        status == NC_OK ? realloc(set->entries, (*blocks + head.blocks) * sizeof *larger) : NULL;
    if (larger) {
        memcpy(larger + *blocks, entries, head.blocks * sizeof *larger);
        set->entries = larger;
        *blocks += head.blocks;
        *row = larger[*blocks - 1].first_row + larger[*blocks - 1].rows;
    } else if (status == NC_OK) {
        status = nc_error(NC_FAILED, "%s: no memory", shard->path);
    }
    free(entries);
    return status;
}

/* What set.json counts is what the tables hold. */
static int check_counts(const struct nc_set *set, size_t blocks, size_t rows)
{
    const struct nc_set_info *info = &set->description.info;
    uint64_t examples = 0, texts = 0, tokens = 0, distractors = 0;
    size_t largest = 0;
    for (size_t b = 0; b < blocks; b++) {
        const struct set_entry *entry = &set->entries[b];
        examples += entry->examples;
        texts += entry->texts;
        tokens += entry->tokens;
        distractors += entry->distractors;
        largest = entry->examples > largest ? entry->examples : largest;
    }
    char *path = nc_path_join(set->folder, NC_SET_FILE);
    int status = !path ? nc_error(NC_FAILED, "%s: no memory", set->folder)
                 : blocks == info->blocks && rows == info->store_rows &&
                         examples == info->examples && texts == info->texts &&
                         tokens == info->tokens && distractors == info->distractors &&
                         largest == info->largest_block
                     ? NC_OK
                     : wrong(path, "it counts otherwise than the shards");
    free(path);
    return status;
}

int nc_set_open(const char *folder, struct nc_set **out)
{
    *out = NULL;
    struct nc_set *set = calloc(1, sizeof *set);
    if (set)
        set->folder = strdup(folder);
    int status = set && set->folder ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK)
        status = set_read_info(folder, &set->description);
    if (status == NC_OK) {
        set->shards = calloc(set->description.count ? set->description.count : 1,
                             sizeof *set->shards);
        status = set->shards ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    }
    size_t blocks = 0, row = 0;
    for (size_t i = 0; status == NC_OK && i < set->description.count; i++)
        status = open_shard(set, i, &blocks, &row);
    if (status == NC_OK)
        status = check_counts(set, blocks, row);
    if (status == NC_OK)
        *out = set;
    else
        nc_set_close(set);
    return status;
}

void nc_set_close(struct nc_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; set->shards && i < set->description.count; i++)
        free(set->shards[i].path);
    free(set->shards);
    free(set->entries);
    set_free_info(&set->description);
    free(set->folder);
    free(set);
}

const struct nc_set_info *nc_set_info(const struct nc_set *set)
{
    return &set->description.info;
}

size_t nc_set_shards(const struct nc_set *set)
{
    return set->description.count;
}

size_t nc_set_blocks(const struct nc_set *set)
{
    return set->description.info.blocks;
}

const struct set_shard *set_shard_of(const struct nc_set *set, size_t b)
{
    size_t low = 0, high = set->description.count; /* the last shard that starts at or before b */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (set->shards[middle].first_block <= b)
            low = middle;
        else
            high = middle;
    }
    return &set->shards[low];
}

void nc_set_block(const struct nc_set *set, size_t b, struct nc_set_block *block)
{
    const struct set_entry *e = &set->entries[b];
    *block = (struct nc_set_block){
        .path = set_shard_of(set, b)->path,
        .first_row = e->first_row,
        .rows = e->rows,
        .examples = e->examples,
        .texts = e->texts,
        .tokens = e->tokens,
        .distractors = e->distractors,
        .heads = {e->heads.offset, e->heads.bytes, e->heads.sum},
        .body = {e->body.offset, e->body.bytes, e->body.sum},
    };
}

int nc_set_expect(const struct nc_set *set, const struct nc_set_info *has)
{
    static const char *const again = "make it again with nclip prepare";
    const struct nc_set_info *info = &set->description.info;
    if (has->model_hash && strcmp(has->model_hash, info->model_hash) != 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples for the embeddings of another model (%s; the model at hand "
                        "is %s); %s",
                        set->folder, info->model_hash, has->model_hash, again);
    if (has->dimension && has->dimension != info->dimension)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples for embeddings with %zu columns, but the model at hand has "
                        "%zu; %s",
                        set->folder, info->dimension, has->dimension, again);
    if (has->vocabulary && has->vocabulary != info->vocabulary)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples for a vocabulary of %zu, but that of the model at hand has "
                        "%zu; %s",
                        set->folder, info->vocabulary, has->vocabulary, again);
    if (has->context && has->context != info->context)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples for a context of %zu tokens, but the model at hand has %zu; "
                        "%s",
                        set->folder, info->context, has->context, again);
    if (has->tokenizer && has->tokenizer != info->tokenizer)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples of another tokenizer than that of the model at hand; %s",
                        set->folder, again);
    if (has->store_fingerprint && has->store_fingerprint != info->store_fingerprint)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples joined to other embeddings than those in %s: they were "
                        "changed since, or are others; %s",
                        set->folder, has->store ? has->store : info->store, again);
    return NC_OK;
}
