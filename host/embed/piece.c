/* Collects the rows and notes of a piece, writes them when it is complete, and puts them aside when
 * it must wait: after some minutes, and when the run is told to stop. */
#include "piece.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAVE_SECONDS = 300 }; /* what a kill may lose on a slow machine */

void embed_source_release(struct embed_open_source *source)
{
    if (!source || atomic_fetch_sub(&source->holders, 1) != 1)
        return;
    nc_image_source_close(source->source);
    free(source);
}

void embed_piece_release(struct embed_piece *piece)
{
    if (!piece || atomic_fetch_sub(&piece->holders, 1) != 1)
        return;
    embed_source_release(piece->of);
    free(piece);
}

int embed_sink_create(struct embed_sink *sink, const struct embed_job *job,
                      const struct embed_list *list)
{
    *sink = (struct embed_sink){.job = job, .list = list};
    return nc_embedding_part_create(&job->info, NC_EMBED_PIECE, &sink->part);
}

static void end_piece(struct embed_sink *sink)
{
    embed_piece_release(sink->piece);
    sink->piece = NULL;
}

void embed_sink_destroy(struct embed_sink *sink)
{
    end_piece(sink);
    nc_embedding_part_destroy(sink->part);
    for (int kind = 0; kind < EMBED_KINDS; kind++)
        embed_text_free(&sink->texts[kind]);
}

/* ---- put aside ---- */

static struct embed_record record_of(const struct embed_sink *sink)
{
    const struct embed_open_source *of = sink->piece->of;
    return (struct embed_record){.pictures = nc_image_source_count(of->source),
                                 .sum = of->sum,
                                 .rows = nc_embedding_part_count(sink->part),
                                 .done = sink->done};
}

static int fill_folder(const struct embed_sink *sink, const char *folder)
{
    const struct embed_record record = record_of(sink);
    char *path = nc_path_join(folder, "record.json");
    int status = path ? nc_folder_remove(folder) : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK)
        status = nc_folder_create(folder);
    if (status == NC_OK && record.rows)
        status = nc_embedding_part_write(sink->part, folder, 0);
    if (status == NC_OK)
        status = embed_texts_write(sink->job->options->store, 0, 0, folder, sink->texts);
    if (status == NC_OK)
        status = embed_record_write(path, &record);
    free(path);
    return status;
}

int embed_sink_save(struct embed_sink *sink)
{
    sink->saved = nc_seconds();
    /* One that is whole failed to be written: what is missing now is a disk or so. */
    if (!sink->piece || !sink->done || sink->done == sink->piece->end - sink->piece->first)
        return NC_OK;
    char *path = embed_record_path(sink->job->options->store, sink->piece->of->number,
                                   sink->piece->number, ".begun");
    char *staged;
    if (!path || asprintf(&staged, "%s.partial-%ld", path, (long)getpid()) < 0) {
        free(path);
        return nc_error(NC_FAILED, "embed: no memory");
    }
    int status = fill_folder(sink, staged);
    if (status == NC_OK)
        status = nc_folder_publish(staged, path);
    if (status != NC_OK) {
        char *message = strdup(nc_error_message());
        (void)nc_folder_remove(staged);
        status = nc_error(status, "%s", message ? message : "embed: no memory");
        free(message);
    }
    free(staged);
    free(path);
    return status;
}

static int load_rows(struct embed_sink *sink, const char *folder)
{
    struct nc_embedding_store *store;
    int status = nc_embedding_store_open(folder, &store);
    if (status != NC_OK)
        return status;
    const struct nc_embedding_info *info = nc_embedding_store_info(store);
    if (info->dimension != sink->job->info.dimension || info->type != sink->job->info.type ||
        strcmp(info->model_hash, sink->job->info.model_hash) != 0 ||
        strcmp(info->preprocessing, sink->job->info.preprocessing) != 0)
        status = nc_error(NC_BAD_INPUT, "%s: of another model; give another --out", folder);
    for (size_t row = 0; row < nc_embedding_store_count(store) && status == NC_OK; row++) {
        const char *key;
        const void *data;
        status = nc_embedding_store_key(store, row, &key);
        if (status == NC_OK)
            status = nc_embedding_store_row(store, row, &data);
        if (status == NC_OK)
            status = nc_embedding_part_copy(sink->part, key, data);
    }
    nc_embedding_store_close(store);
    return status;
}

static int load(struct embed_sink *sink, const char *folder)
{
    int status = NC_OK;
    struct embed_record record;
    bool there;
    char *path = nc_path_join(folder, "record.json");
    status = path ? embed_record_read(path, &record, &there)
                  : nc_error(NC_FAILED, "%s: no memory", folder);
    free(path);
    if (status == NC_OK && there && record.rows)
        status = load_rows(sink, folder);
    for (int kind = 0; kind < EMBED_KINDS && status == NC_OK; kind++) {
        char *text = NULL;
        size_t size;
        path = nc_path_join(folder, embed_endings[kind] + 1);
        if (!path)
            status = nc_error(NC_FAILED, "%s: no memory", folder);
        else if (nc_file_exists(path))
            status = nc_file_read(path, SIZE_MAX - 1, &text, &size);
        if (text)
            status = embed_text_add(&sink->texts[kind], text, size);
        free(text);
        free(path);
    }
    return status;
}

/* ---- batches ---- */

static int begin_piece(struct embed_sink *sink, struct embed_piece *piece)
{
    atomic_fetch_add(&piece->holders, 1);
    sink->piece = piece;
    sink->done = 0;
    sink->saved = nc_seconds();
    nc_embedding_part_cut(sink->part, 0);
    for (int kind = 0; kind < EMBED_KINDS; kind++)
        sink->texts[kind].size = 0;
    if (!piece->begun)
        return NC_OK;
    char *folder =
        embed_record_path(sink->job->options->store, piece->of->number, piece->number, ".begun");
    int status = folder ? load(sink, folder) : nc_error(NC_FAILED, "embed: no memory");
    free(folder);
    return status;
}

static int skip(struct embed_sink *sink, const char *key, const char *reason)
{
    sink->skipped++;
    return embed_text_line(&sink->texts[EMBED_SKIPPED], "key", key, "reason", reason);
}

/* A row that the store's type cannot hold is the picture's failure, not the run's. */
static int add_row(struct embed_sink *sink, const char *key, const struct embed_slot *slot,
                   const float *row)
{
    int status = nc_embedding_part_add(sink->part, key, row);
    if (status == NC_BAD_INPUT) {
        char reason[256];
        snprintf(reason, sizeof reason, "%s", nc_error_message());
        return skip(sink, key, reason);
    }
    if (status == NC_OK && slot->damage[0])
        status = embed_text_line(&sink->texts[EMBED_DAMAGED], "key", key, "reason", slot->damage);
    if (status == NC_OK && slot->caption)
        status =
            embed_text_line(&sink->texts[EMBED_CAPTIONS], "image", key, "caption", slot->caption);
    sink->embedded += status == NC_OK;
    return status;
}

static int take_slot(struct embed_sink *sink, const struct embed_slot *slot, const float **row)
{
    const struct embed_open_source *of = sink->piece->of;
    char *key =
        embed_key(of->path, of->source, slot->index, sink->list->keys_by_path, sink->list->prefix);
    int status;
    if (!key) {
        status = nc_error(NC_FAILED, "embed: no memory");
    } else if (slot->status == NC_OK) {
        status = add_row(sink, key, slot, *row);
        *row += sink->job->info.dimension;
    } else if (slot->status == NC_BAD_INPUT) {
        status = skip(sink, key, slot->reason);
    } else {
        status = nc_error(slot->status, "%s", slot->reason ? slot->reason : "embed: no memory");
    }
    free(key);
    return status;
}

/* The texts, then the record, then the shard: a piece is complete when all are there. */
static int complete(struct embed_sink *sink)
{
    const char *store = sink->job->options->store;
    const struct embed_piece *piece = sink->piece;
    const struct embed_record record = record_of(sink);
    size_t source = piece->of->number;
    char *path = embed_record_path(store, source, piece->number, ".json");
    char *begun = embed_record_path(store, source, piece->number, ".begun");
    int status = path && begun ? embed_texts_write(store, source, piece->number, NULL, sink->texts)
                               : nc_error(NC_FAILED, "embed: no memory");
    if (status == NC_OK)
        status = embed_record_write(path, &record);
    if (status == NC_OK && record.rows)
        status =
            nc_embedding_part_write(sink->part, store, source * NC_EMBED_PIECES + piece->number);
    if (status == NC_OK)
        status = nc_folder_remove(begun);
    if (status == NC_OK && piece->number == piece->of->last_todo)
        status =
            embed_source_finish(store, source, piece->of->pieces, piece->of->path, record.pictures);
    free(path);
    free(begun);
    if (status == NC_OK)
        end_piece(sink);
    return status;
}

int embed_sink_take(struct embed_sink *sink, struct embed_batch *batch)
{
    const float *row = batch->features;
    int status = NC_OK;
    if (!sink->piece)
        status = begin_piece(sink, batch->owner);
    size_t rows = nc_embedding_part_count(sink->part), sizes[EMBED_KINDS];
    for (int kind = 0; kind < EMBED_KINDS; kind++)
        sizes[kind] = sink->texts[kind].size;
    for (size_t i = 0; i < batch->count && status == NC_OK; i++)
        status = take_slot(sink, &batch->slots[i], &row);
    if (status != NC_OK) { /* what may be put aside now ends with the batch before */
        nc_embedding_part_cut(sink->part, rows);
        for (int kind = 0; kind < EMBED_KINDS; kind++)
            sink->texts[kind].size = sizes[kind];
        return status;
    }
    sink->done = batch->slots[batch->count - 1].index + 1 - sink->piece->first;
    if (batch->last)
        return complete(sink);
    return nc_seconds() - sink->saved > SAVE_SECONDS ? embed_sink_save(sink) : NC_OK;
}
