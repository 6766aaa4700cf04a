/* Opens the sources in turn and cuts them into pieces and batches. */
#include "feeder.h"

#include "nclip/pictures/sidecar.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int embed_feeder_create(struct embed_feeder *feeder, const struct embed_job *job,
                        const struct embed_list *list, const struct embed_source *todo,
                        size_t todo_count)
{
    *feeder =
        (struct embed_feeder){.job = job, .list = list, .todo = todo, .todo_count = todo_count};
    pthread_mutex_init(&feeder->lock, NULL);
    feeder->complete = calloc(NC_EMBED_PIECES, sizeof *feeder->complete);
    return feeder->complete ? NC_OK : nc_error(NC_FAILED, "embed: no memory");
}

void embed_feeder_destroy(struct embed_feeder *feeder)
{
    pthread_mutex_destroy(&feeder->lock);
    embed_piece_release(feeder->piece);
    embed_source_release(feeder->open);
    embed_source_release(feeder->previous);
    free(feeder->complete);
    free(feeder->remark);
}

/* ---- opening a source ---- */

static uint64_t sum_of_keys(const struct nc_image_source *source)
{
    XXH3_state_t hash;
    XXH3_INITSTATE(&hash);
    XXH3_64bits_reset(&hash);
    for (size_t i = 0; i < nc_image_source_count(source); i++) {
        const char *key = nc_image_source_key(source, i);
        XXH3_64bits_update(&hash, key, strlen(key) + 1);
    }
    return XXH3_64bits_digest(&hash);
}

static void remark(struct embed_feeder *f, char *text)
{
    pthread_mutex_lock(&f->lock);
    free(f->remark);
    f->remark = text;
    pthread_mutex_unlock(&f->lock);
}

/* Names that repeat from source to source would be found at the end, when all is embedded: those of
 * two neighbours tell it at once. */
static void compare_names(struct embed_feeder *f)
{
    size_t common = 0, first, count = nc_image_source_count(f->open->source);
    for (size_t i = 0; f->previous && i < count; i++)
        common += nc_image_source_find(f->previous->source, nc_image_source_key(f->open->source, i),
                                       &first);
    char *text;
    if (!common || f->told_common || f->list->keys_by_path)
        return;
    f->told_common = true;
    if (asprintf(&text,
                 "embed: %zu of the %zu names in %s are in %s too; the second picture of a name is "
                 "left out; with --keys path, and another --out, both stay",
                 common, count, f->open->path, f->previous->path) >= 0)
        remark(f, text);
}

/* A tar of more pictures than pieces can hold; names the way out. */
static int check_size(const struct embed_open_source *open)
{
    if (open->pieces <= NC_EMBED_PIECES)
        return NC_OK;
    return nc_error(
        NC_BAD_INPUT, "%s: has %zu pictures; one of several sources may have %d: divide it",
        open->path, nc_image_source_count(open->source), NC_EMBED_PIECE * NC_EMBED_PIECES);
}

/* Finds the pieces that are complete; what was begun of another source by this name is dropped. */
static int find_complete(struct embed_feeder *f)
{
    struct embed_open_source *open = f->open;
    const char *store = f->job->options->store;
    const struct embed_record now = {.pictures = nc_image_source_count(open->source),
                                     .sum = open->sum};
    bool other = false;
    int status = NC_OK;
    for (size_t piece = 0; piece < open->pieces && status == NC_OK; piece++)
        status = embed_piece_done(store, open->number, piece, &now, &f->complete[piece], &other);
    if (status == NC_OK && other) {
        char *text;
        if (asprintf(&text, "embed: %s changed since it was begun: it is begun anew", open->path) >=
            0)
            remark(f, text);
        status = embed_pieces_forget(store, open->number, NC_EMBED_PIECES);
        memset(f->complete, 0, NC_EMBED_PIECES * sizeof *f->complete);
    }
    open->last_todo = SIZE_MAX;
    for (size_t piece = 0; piece < open->pieces; piece++)
        if (!f->complete[piece])
            open->last_todo = piece;
    return status;
}

/* For the estimate of what is left. */
static void count_work(struct embed_feeder *f, const struct embed_source *entry)
{
    size_t pictures = nc_image_source_count(f->open->source), todo = 0;
    for (size_t piece = 0; piece < f->open->pieces; piece++) {
        size_t first = piece * NC_EMBED_PIECE;
        size_t count = pictures - first < NC_EMBED_PIECE ? pictures - first : NC_EMBED_PIECE;
        todo += f->complete[piece] ? 0 : count;
    }
    pthread_mutex_lock(&f->lock);
    f->pictures += (double)todo;
    f->opened++;
    if (entry->bytes) {
        f->tar_pictures += (double)pictures;
        f->tar_bytes += (double)entry->bytes;
    }
    pthread_mutex_unlock(&f->lock);
}

static int open_next(struct embed_feeder *f)
{
    const struct embed_source *entry = &f->todo[f->next++];
    struct embed_open_source *open = calloc(1, sizeof *open);
    if (!open)
        return nc_error(NC_FAILED, "embed: no memory");
    open->holders = 1;
    open->number = entry->number;
    open->path = embed_path_of(f->list, entry->number);
    f->open = open;
    f->next_piece = 0;
    int status = f->list->captions ? nc_image_source_open_with_captions(open->path, &open->source)
                                   : nc_image_source_open(open->path, &open->source);
    if (status != NC_OK)
        return status;
    open->pieces = (nc_image_source_count(open->source) + NC_EMBED_PIECE - 1) / NC_EMBED_PIECE;
    open->sum = sum_of_keys(open->source);
    status = check_size(open);
    if (status == NC_OK)
        status = find_complete(f);
    if (status == NC_OK) {
        compare_names(f);
        count_work(f, entry);
    }
    if (status == NC_OK && open->last_todo == SIZE_MAX) /* killed before it was said to be done */
        status = embed_source_finish(f->job->options->store, open->number, open->pieces, open->path,
                                     nc_image_source_count(open->source));
    nc_communicator_tick(f->job->options->ranks);
    return status;
}

static void close_open(struct embed_feeder *f)
{
    embed_source_release(f->previous);
    f->previous = f->open;
    f->open = NULL;
}

/* ---- pieces ---- */

/* A piece that an earlier run has put aside goes on behind its last whole batch. */
static int find_begun(struct embed_feeder *f, struct embed_piece *piece)
{
    struct embed_record record;
    bool there = false;
    char *folder =
        embed_record_path(f->job->options->store, piece->of->number, piece->number, ".begun");
    char *path = folder ? nc_path_join(folder, "record.json") : NULL;
    int status = path ? nc_folder_recover(folder) : nc_error(NC_FAILED, "embed: no memory");
    if (status == NC_OK)
        status = embed_record_read(path, &record, &there);
    if (status == NC_OK && there && record.sum == piece->of->sum &&
        record.pictures == nc_image_source_count(piece->of->source) &&
        record.done < piece->end - piece->first && record.done % f->job->options->batch == 0) {
        piece->begun = true;
        piece->at = piece->first + record.done;
    }
    free(path);
    free(folder);
    return status;
}

static int next_piece(struct embed_feeder *f)
{
    struct embed_open_source *open = f->open;
    size_t number = f->next_piece++, count = nc_image_source_count(open->source);
    struct embed_piece *piece = calloc(1, sizeof *piece);
    if (!piece)
        return nc_error(NC_FAILED, "embed: no memory");
    size_t first = number * NC_EMBED_PIECE;
    *piece = (struct embed_piece){.of = open,
                                  .number = number,
                                  .first = first,
                                  .at = first,
                                  .end = count - first < NC_EMBED_PIECE ? count
                                                                        : first + NC_EMBED_PIECE};
    atomic_fetch_add(&open->holders, 1);
    piece->holders = 1;
    f->piece = piece;
    return find_begun(f, piece);
}

/* The piece to feed from; none at the end. */
static int find_piece(struct embed_feeder *f)
{
    int status = NC_OK;
    while (status == NC_OK && !f->piece) {
        if (f->open && f->next_piece < f->open->pieces) {
            if (f->complete[f->next_piece])
                f->next_piece++;
            else
                status = next_piece(f);
        } else if (f->open) {
            close_open(f);
        } else if (f->next < f->todo_count) {
            status = open_next(f);
        } else {
            break;
        }
    }
    return status;
}

/* A tar may have a name twice; a list that names a picture twice means the same one. */
static int note_again(const struct embed_open_source *open, struct embed_slot *slot)
{
    const char *key = nc_image_source_key(open->source, slot->index);
    size_t first;
    if (!nc_image_source_find(open->source, key, &first) || first == slot->index)
        return NC_OK;
    slot->status = NC_BAD_INPUT;
    if (asprintf(&slot->reason, "%s has this name twice; its first picture is in the store",
                 open->path) >= 0)
        return NC_OK;
    slot->reason = NULL;
    return nc_error(NC_FAILED, "embed: no memory");
}

int embed_feeder_feed(struct embed_feeder *f, struct embed_batch *batch, size_t most)
{
    int status = find_piece(f);
    if (status != NC_OK || !f->piece)
        return status;
    struct embed_piece *piece = f->piece;
    batch->source = piece->of->source;
    batch->owner = piece;
    atomic_fetch_add(&piece->holders, 1);
    while (batch->count < most && piece->at < piece->end && status == NC_OK) {
        struct embed_slot *slot = &batch->slots[batch->count++];
        slot->index = piece->at++;
        status = note_again(piece->of, slot);
    }
    batch->last = piece->at == piece->end;
    if (batch->last) {
        f->piece = NULL;
        embed_piece_release(piece);
    }
    return status;
}
