/* Writes small prepared sets. */
#include "captions/small_set.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 };

size_t small_set_examples(const struct small_set *set, size_t row)
{
    return row / set->block_rows % 3 == 2 ? 0 : row % 4;
}

size_t small_set_texts(const struct small_set *set, size_t row, size_t example, unsigned role)
{
    if (!(set->roles >> role & 1))
        return 0;
    return role == NC_TEXT_CAPTION ? 1 : (row + role + example) % 3;
}

size_t small_set_length(size_t row, size_t example, size_t text)
{
    return 2 + (row * 7 + example * 3 + text) % 9;
}

int32_t small_set_token(const struct small_set *set, size_t row, size_t example, size_t text,
                        size_t token)
{
    return (int32_t)((row * 131 + example * 17 + text * 5 + token) % set->vocabulary);
}

uint64_t small_set_distractor(const struct small_set *set, size_t row, size_t example)
{
    return set->distractors && (row + example) % 2 ? (row * 3 + 1) % set->rows : NC_SET_NO_ROW;
}

struct arrays {
    uint64_t ordinal[MOST], distractor[MOST];
    uint32_t row[MOST];
    uint16_t lengths[MOST];
    uint8_t counts[NC_TEXT_ROLES][MOST];
    int32_t tokens[MOST];
    float embeddings[MOST];
};

static void fill(const struct small_set *set, size_t first_row, size_t rows, struct arrays *a,
                 struct nc_set_heads *heads, struct nc_set_info *info)
{
    size_t distractors = 0;
    *heads = (struct nc_set_heads){.ordinal = a->ordinal,
                                   .distractor = set->distractors ? a->distractor : NULL,
                                   .row = a->row,
                                   .lengths = a->lengths};
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
        heads->counts[role] = set->roles >> role & 1 ? a->counts[role] : NULL;
    for (size_t row = first_row; row < first_row + rows; row++) {
        info->pictures += small_set_examples(set, row) > 0;
        for (size_t e = 0; e < small_set_examples(set, row); e++) {
            size_t text = 0, n = heads->examples++, before = heads->tokens;
            a->ordinal[n] = 4 * row + e;
            a->distractor[n] = small_set_distractor(set, row, e);
            a->row[n] = (uint32_t)(row - first_row);
            for (unsigned role = 0; role < NC_TEXT_ROLES; role++) {
                a->counts[role][n] = (uint8_t)small_set_texts(set, row, e, role);
                for (size_t i = 0; i < a->counts[role][n]; i++, text++) {
                    size_t length = small_set_length(row, e, text);
                    a->lengths[heads->texts++] = (uint16_t)length;
                    for (size_t t = 0; t < length; t++)
                        a->tokens[heads->tokens++] = small_set_token(set, row, e, text, t);
                    info->longest_text = length > info->longest_text ? length : info->longest_text;
                }
            }
            if (heads->tokens - before > info->longest_example)
                info->longest_example = heads->tokens - before;
            for (size_t i = 0; a->distractor[n] != NC_SET_NO_ROW && i < set->dimension; i++)
                a->embeddings[distractors * set->dimension + i] =
                    (float)(a->distractor[n] * set->dimension + i);
            distractors += a->distractor[n] != NC_SET_NO_ROW;
        }
    }
    info->examples += heads->examples;
    info->texts += heads->texts;
    info->tokens += heads->tokens;
    info->distractors += distractors;
    if (heads->examples > info->largest_block)
        info->largest_block = heads->examples;
}

bool small_set_write(const char *folder, const struct small_set *set)
{
    static const struct nc_set_left_out left_out[] = {
        {"picture_not_in_store", 3, "a.jpg"}, {"caption_too_long", 1, "a very \"long\" one"}};
    static const char *const sources[] = {"a.jsonl", "-"};
    static const uint64_t source_bytes[] = {1000, 0};
    struct arrays *a = calloc(1, sizeof *a);
    size_t blocks = (set->rows + set->block_rows - 1) / set->block_rows, shards = 0;
    struct nc_set_info info = {.store = "/somewhere/store",
                               .store_fingerprint = 0xfedcba9876543210u,
                               .store_rows = set->rows,
                               .blocks = blocks,
                               .dimension = set->dimension,
                               .type = NC_FLOAT32,
                               .model_hash = "00aa11bb22cc33dd",
                               .tokenizer = 0x0123456789abcdefu,
                               .vocabulary = set->vocabulary,
                               .context = 77,
                               .id_bytes = set->vocabulary > 65536 ? 4 : 2,
                               .too_long = "truncate",
                               .roles = set->roles,
                               .has_distractors = set->distractors,
                               .captions = 4 * set->rows,
                               .left_out = left_out,
                               .left_out_count = 2,
                               .sources = sources,
                               .source_bytes = source_bytes,
                               .source_count = 2};
    int status = a ? nc_folder_create(folder) : nc_error(NC_FAILED, "no memory");
    for (size_t block = 0; block < blocks && status == NC_OK; shards++) {
        struct nc_set_shard_head head = {
            .number = shards,
            .first_block = block,
            .blocks = blocks - block < set->blocks_a_shard ? blocks - block : set->blocks_a_shard,
            .first_row = block * set->block_rows,
            .roles = set->roles,
            .id_bytes = info.id_bytes,
            .row_bytes = set->distractors ? set->dimension * 4 : 0};
        struct nc_set_shard *shard;
        status = nc_set_shard_create(folder, &head, &shard);
        if (status != NC_OK)
            break;
        for (size_t end = block + head.blocks; block < end && status == NC_OK; block++) {
            struct nc_set_heads heads;
            size_t first = block * set->block_rows;
            size_t rows = set->rows - first < set->block_rows ? set->rows - first : set->block_rows;
            fill(set, first, rows, a, &heads, &info);
            status = nc_set_shard_add(shard, rows, &heads, a->tokens, a->embeddings);
        }
        if (status == NC_OK)
            status = nc_set_shard_commit(shard);
        else
            nc_set_shard_abort(shard);
    }
    free(a);
    if (status == NC_OK)
        status = nc_set_finish(folder, &info, shards);
    return status == NC_OK;
}
