/* Writes a prepared set, shard after shard. */
#include "set_format.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct nc_set_shard {
    char *path;
    struct nc_writer *file;
    struct nc_set_shard_head head;
    void *head_bytes;
    size_t table_offset;
    struct set_entry *entries; /* [head.blocks], and room for the sum */
    size_t blocks, row;        /* so far */
};

int nc_set_shard_create(const char *folder, const struct nc_set_shard_head *head,
                        struct nc_set_shard **out)
{
    *out = NULL;
    struct nc_set_shard *shard = calloc(1, sizeof *shard);
    if (shard) {
        shard->head = *head;
        shard->row = head->first_row;
        shard->path = set_shard_path(folder, head->number);
        shard->entries = calloc(head->blocks + 1, sizeof *shard->entries);
    }
    int status = shard && shard->path && shard->entries
                     ? NC_OK
                     : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK)
        status = set_pack_head(head, &shard->head_bytes, &shard->table_offset);
    if (status == NC_OK)
        status = nc_writer_create(shard->path, &shard->file);
    /* The table takes its place when its sums are known. */
    if (status == NC_OK)
        status = nc_writer_write(shard->file, shard->head_bytes, shard->table_offset);
    if (status == NC_OK)
        status = nc_writer_write(shard->file, shard->entries,
                                 head->blocks * sizeof *shard->entries + SET_SUM_BYTES);
    if (status == NC_OK)
        *out = shard;
    else
        nc_set_shard_abort(shard);
    return status;
}

/* A part in the making: its bytes are written and summed piece by piece. */
struct part {
    struct nc_writer *file;
    XXH3_state_t sum;
    int status;
};

static int fill_up(struct nc_writer *file)
{
    static const char zeros[NC_SET_ALIGNMENT];
    uint64_t at = nc_writer_position(file);
    return nc_writer_write(file, zeros, set_round_up(at, NC_SET_ALIGNMENT) - at);
}

static void begin(struct part *part, struct nc_writer *file, struct set_entry_part *entry)
{
    part->file = file;
    part->status = fill_up(file);
    entry->offset = nc_writer_position(file);
    XXH3_INITSTATE(&part->sum);
    XXH3_64bits_reset(&part->sum);
}

static void put(struct part *part, const void *bytes, size_t size)
{
    XXH3_64bits_update(&part->sum, bytes, size);
    if (part->status == NC_OK)
        part->status = nc_writer_write(part->file, bytes, size);
}

static int end(struct part *part, struct set_entry_part *entry)
{
    entry->bytes = nc_writer_position(part->file) - entry->offset;
    entry->sum = XXH3_64bits_digest(&part->sum);
    return part->status;
}

static void put_heads(const struct nc_set_shard *shard, const struct nc_set_heads *heads,
                      struct part *part)
{
    size_t n = heads->examples;
    put(part, heads->ordinal, n * sizeof *heads->ordinal);
    if (shard->head.row_bytes)
        put(part, heads->distractor, n * sizeof *heads->distractor);
    put(part, heads->row, n * sizeof *heads->row);
    put(part, heads->lengths, heads->texts * sizeof *heads->lengths);
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
        if (shard->head.roles >> role & 1)
            put(part, heads->counts[role], n);
}

static void put_body(const struct nc_set_shard *shard, const struct set_entry *entry,
                     const int32_t *tokens, const void *distractors, struct part *part)
{
    static const char zeros[SET_BODY_ALIGNMENT];
    if (shard->head.id_bytes == 2) {
        uint16_t narrow[2048];
        for (size_t i = 0; i < entry->tokens;) {
            size_t count = 0;
            while (count < sizeof narrow / sizeof *narrow && i < entry->tokens)
                narrow[count++] = (uint16_t)tokens[i++];
            put(part, narrow, count * sizeof *narrow);
        }
    } else {
        put(part, tokens, entry->tokens * sizeof *tokens);
    }
    if (!entry->distractors)
        return;
    uint64_t ids = entry->tokens * shard->head.id_bytes;
    put(part, zeros, set_round_up(ids, SET_BODY_ALIGNMENT) - ids);
    put(part, distractors, entry->distractors * shard->head.row_bytes);
}

int nc_set_shard_add(struct nc_set_shard *shard, size_t rows, const struct nc_set_heads *heads,
                     const int32_t *tokens, const void *distractors)
{
    if (shard->blocks == shard->head.blocks)
        return nc_error(NC_FAILED, "%s: more blocks than its head says", shard->path);
    struct set_entry *entry = &shard->entries[shard->blocks++];
    *entry = (struct set_entry){.first_row = shard->row,
                                .rows = rows,
                                .examples = heads->examples,
                                .texts = heads->texts,
                                .tokens = heads->tokens};
    shard->row += rows;
    for (size_t i = 0; shard->head.row_bytes && i < heads->examples; i++)
        entry->distractors += heads->distractor[i] != NC_SET_NO_ROW;
    struct part part;
    begin(&part, shard->file, &entry->heads);
    put_heads(shard, heads, &part);
    int status = end(&part, &entry->heads);
    if (status == NC_OK) {
        begin(&part, shard->file, &entry->body);
        put_body(shard, entry, tokens, distractors, &part);
        status = end(&part, &entry->body);
    }
    return status;
}

static void free_shard(struct nc_set_shard *shard)
{
    free(shard->path);
    free(shard->entries);
    free(shard->head_bytes);
    free(shard);
}

int nc_set_shard_commit(struct nc_set_shard *shard)
{
    size_t table = shard->head.blocks * sizeof *shard->entries;
    int status = shard->blocks == shard->head.blocks
                     ? fill_up(shard->file)
                     : nc_error(NC_FAILED, "%s: fewer blocks than its head says", shard->path);
    if (status == NC_OK) {
        XXH3_state_t state;
        XXH3_INITSTATE(&state);
        XXH3_64bits_reset(&state);
        XXH3_64bits_update(&state, shard->head_bytes, shard->table_offset);
        XXH3_64bits_update(&state, shard->entries, table);
        uint64_t sum = XXH3_64bits_digest(&state);
        memcpy((char *)shard->entries + table, &sum, sizeof sum);
        status = nc_writer_rewrite(shard->file, shard->table_offset, shard->entries,
                                   table + SET_SUM_BYTES);
    }
    if (status == NC_OK)
        status = nc_writer_commit(shard->file);
    else
        nc_writer_abort(shard->file);
    free_shard(shard);
    return status;
}

void nc_set_shard_abort(struct nc_set_shard *shard)
{
    if (!shard)
        return;
    nc_writer_abort(shard->file);
    free_shard(shard);
}

int nc_set_finish(const char *folder, const struct nc_set_info *info, size_t count)
{
    struct set_listed *shards = calloc(count ? count : 1, sizeof *shards);
    int status = shards ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    size_t blocks = 0;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        struct nc_set_shard_head head;
        struct set_entry *entries = NULL;
        char *path = set_shard_path(folder, i);
        status = path ? set_read_shard(path, &head, &entries, &shards[i].sum)
                      : nc_error(NC_FAILED, "%s: no memory", folder);
        if (status == NC_OK && (head.number != i || head.first_block != blocks))
            status = nc_error(NC_BAD_INPUT,
                              "%s: damaged examples: it does not follow the shard before it; "
                              "remove the set and run nclip prepare again",
                              path);
        if (status == NC_OK) {
            shards[i].first_block = blocks;
            shards[i].blocks = head.blocks;
            blocks += head.blocks;
        }
        free(entries);
        free(path);
    }
    if (status == NC_OK && blocks != info->blocks)
        status = nc_error(NC_FAILED, "%s: %zu blocks of %zu are there", folder, blocks,
                          info->blocks);
    if (status == NC_OK)
        status = set_write_info(folder, info, shards, count);
    free(shards);
    return status;
}
