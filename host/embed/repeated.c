/* Takes back the rows whose keys earlier rows have.
 *
 * Ranks work on their sources without knowing of each other's keys, so that it shows only in the
 * end which key is there twice. Of each source that has such rows: first the note is written, then
 * the shards, each by rename. What is interrupted in between is done again: a row whose key is
 * noted already is noted once. Captions of the noted are left out where captions are joined. */
#include "repeated.h"

#include "nclip/formats/json.h"
#include "nclip/store/parts.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"
#include "nclip/support/text_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pair {
    size_t first, row; /* have one key; the first stays */
};

struct pairs {
    struct pair *items;
    size_t count, capacity;
};

struct settling {
    const struct embed_job *job;
    const struct embed_list *list;
    struct nc_embedding_store *store;
    struct nc_embedding_part *part;
};

static int add_pair(void *context, size_t first, size_t row)
{
    struct pairs *pairs = context;
    if (pairs->count == pairs->capacity) {
        size_t capacity = pairs->capacity ? 2 * pairs->capacity : 256;
        struct pair *larger = reallocarray(pairs->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "embed: no memory for %zu keys that repeat", capacity);
        pairs->items = larger;
        pairs->capacity = capacity;
    }
    pairs->items[pairs->count++] = (struct pair){first, row};
    return NC_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static size_t source_of(const struct settling *s, size_t row)
{
    return nc_embedding_store_shard(s->store, row).number / NC_EMBED_PIECES;
}

static bool is_listed(const struct settling *s, size_t source)
{
    return source >= s->list->first && source - s->list->first < s->list->paths.count;
}

/* ---- the notes of one source ---- */

struct notes {
    struct nc_text_pool *pool;
    struct nc_string_map *keys;
    struct embed_text lines;
};

static int note(struct notes *notes, const char *key, const char *reason)
{
    const char *copy = nc_text_pool_copy(&notes->pool, key);
    size_t present, number = nc_string_map_count(notes->keys);
    int status = copy ? nc_string_map_add(notes->keys, copy, number, &present)
                      : nc_error(NC_FAILED, "embed: no memory");
    if (status != NC_OK || present != number) /* noted by a run that was interrupted */
        return status;
    return embed_text_line(&notes->lines, "key", key, "reason", reason);
}

static int read_note(void *context, const char *where, const cJSON *object)
{
    const char *key = NULL, *reason = NULL;
    int status = nc_json_string(where, object, "key", &key);
    if (status == NC_OK)
        status = nc_json_string(where, object, "reason", &reason);
    return status == NC_OK ? note(context, key, reason) : status;
}

static int note_pair(const struct settling *s, const struct pair *pair, struct notes *notes)
{
    const char *key;
    size_t first = source_of(s, pair->first);
    int status = nc_embedding_store_key(s->store, pair->row, &key);
    char *reason;
    if (status != NC_OK)
        return status;
    if (asprintf(&reason, "%s has this name too, and its picture is in the store",
                 is_listed(s, first) ? embed_path_of(s->list, first) : "an earlier run") < 0)
        return nc_error(NC_FAILED, "embed: no memory");
    status = note(notes, key, reason);
    free(reason);
    return status;
}

static int write_notes(const struct settling *s, size_t source, const struct pair *pairs,
                       size_t count, struct notes *notes)
{
    char *path = embed_record_path(s->job->options->store, source, EMBED_WHOLE, EMBED_REPEATED);
    int status =
        path ? nc_string_map_create(&notes->keys) : nc_error(NC_FAILED, "embed: no memory");
    if (status == NC_OK && nc_file_exists(path))
        status = nc_json_lines_load(path, false, read_note, notes);
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = note_pair(s, &pairs[i], notes);
    if (status == NC_OK)
        status = nc_file_write(path, notes->lines.text, notes->lines.size);
    free(path);
    return status;
}

/* ---- the shards ---- */

/* The shard without the rows of `pairs`; without any row, no shard. */
static int write_shard(const struct settling *s, const struct nc_embedding_shard *shard,
                       const struct pair *pairs, size_t count)
{
    const char *folder = s->job->options->store, *key;
    const void *data;
    int status = NC_OK;
    nc_embedding_part_cut(s->part, 0);
    for (size_t row = shard->first_row, next = 0;
         row < shard->first_row + shard->rows && status == NC_OK; row++) {
        if (next < count && pairs[next].row == row) {
            next++;
            continue;
        }
        status = nc_embedding_store_key(s->store, row, &key);
        if (status == NC_OK)
            status = nc_embedding_store_row(s->store, row, &data);
        if (status == NC_OK)
            status = nc_embedding_part_copy(s->part, key, data);
    }
    if (status != NC_OK)
        return status;
    if (nc_embedding_part_count(s->part))
        return nc_embedding_part_write(s->part, folder, shard->number);
    char *path = nc_embedding_shard_path(folder, shard->number);
    if (!path)
        status = nc_error(NC_FAILED, "%s: no memory", folder);
    else if (unlink(path) != 0)
        status = nc_error(NC_FAILED, "%s: cannot remove it: %s", path, strerror(errno));
    free(path);
    return status;
}

static int settle_source(const struct settling *s, size_t source, const struct pair *pairs,
                         size_t count)
{
    struct notes notes = {0};
    int status = is_listed(s, source)
                     ? write_notes(s, source, pairs, count, &notes)
                     : nc_error(NC_BAD_INPUT,
                                "%s: shard %zu belongs to no source of the list; was "
                                "the list removed?",
                                s->job->options->store, source * NC_EMBED_PIECES);
    for (size_t i = 0, end; i < count && status == NC_OK; i = end) {
        struct nc_embedding_shard shard = nc_embedding_store_shard(s->store, pairs[i].row);
        for (end = i; end < count && pairs[end].row < shard.first_row + shard.rows; end++)
            ;
        status = write_shard(s, &shard, pairs + i, end - i);
    }
    nc_string_map_destroy(notes.keys);
    nc_text_pool_free(notes.pool);
    embed_text_free(&notes.lines);
    return status;
}

static int settle(struct settling *s, size_t *settled)
{
    struct pairs pairs = {0};
    int status = nc_embedding_store_doubles(s->store, add_pair, &pairs);
    *settled = pairs.count;
    if (status == NC_OK && pairs.count) {
        qsort(pairs.items, pairs.count, sizeof *pairs.items, compare_rows);
        status = nc_embedding_part_create(&s->job->info, NC_EMBED_PIECE, &s->part);
    }
    for (size_t i = 0, end; i < pairs.count && status == NC_OK; i = end) {
        size_t source = source_of(s, pairs.items[i].row);
        for (end = i; end < pairs.count && source_of(s, pairs.items[end].row) == source; end++)
            ;
        status = settle_source(s, source, pairs.items + i, end - i);
        nc_communicator_tick(s->job->options->ranks);
    }
    nc_embedding_part_destroy(s->part);
    free(pairs.items);
    return status;
}

/* Opens the store, and its index; without a shard (every picture may have been skipped) it stays
 * NULL. */
static int open_index(const struct embed_job *job, struct nc_embedding_store **store)
{
    bool has = false;
    int status = nc_embedding_has_shards(job->options->store, &has);
    if (status == NC_OK && has)
        status = nc_embedding_store_open(job->options->store, store);
    if (status == NC_OK && has)
        status = nc_embedding_store_index(*store);
    /* It can also lie in a temporary file, which is good for reading only. */
    if (status == NC_OK && has && !nc_folder_holds(job->options->store, "keys.index"))
        status = nc_error(NC_FAILED, "%s/keys.index: could not be written: is there memory, and room "
                          "on the disk?", job->options->store);
    return status;
}

int embed_settle_keys(const struct embed_job *job, const struct embed_list *list, size_t *rows)
{
    struct settling s = {.job = job, .list = list};
    size_t settled = 0;
    *rows = 0;
    int status = open_index(job, &s.store);
    if (status == NC_BAD_INPUT && s.store) { /* most likely a key that is there twice */
        char *message = strdup(nc_error_message());
        status = settle(&s, &settled);
        if (status == NC_OK && !settled)
            status = nc_error(NC_BAD_INPUT, "%s", message ? message : "embed: no memory");
        free(message);
        nc_embedding_store_close(s.store);
        s.store = NULL;
        if (status == NC_OK)
            status = open_index(job, &s.store);
    }
    if (status == NC_OK && s.store)
        *rows = nc_embedding_store_count(s.store);
    nc_embedding_store_close(s.store);
    return status;
}
